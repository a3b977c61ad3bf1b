"""How rows are laid out by custom: which columns hold a question, its choices, a chat."""
