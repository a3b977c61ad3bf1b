"""``mixlm evaluate``: answers checked, lengths counted, losses measured."""
