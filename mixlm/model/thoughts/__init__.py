"""Continuous thoughts for any causal LM: the last hidden state becomes the next input (Coconut, section 3)."""
