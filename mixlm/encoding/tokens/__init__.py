"""Tokenising many rows in several processes, a shard at a time, and where their ids are kept."""
