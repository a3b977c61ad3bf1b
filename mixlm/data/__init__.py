"""From rows of any layout to token ids."""
