"""ProntoQA: is a statement true in a world of invented concepts?"""
