"""Answers of a server: the connection to it, what is asked, and how its answers are held to a run's form."""
