"""Data sets and generated tasks, one file each: load or generate rows, find an answer in a text, check it."""
