"""The language model: opening it, its tokens, and its forward pass with and without thoughts."""
