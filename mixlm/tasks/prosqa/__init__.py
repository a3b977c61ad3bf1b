"""ProsQA: which of two concepts can be reached in a graph of invented ones?"""
