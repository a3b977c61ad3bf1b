"""Prompts of chats: rendered by the tokenizer's chat template, with no control tokens of a user, on any date."""
