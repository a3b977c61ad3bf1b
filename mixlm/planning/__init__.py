"""What a long command would do and take, found out by some steps of it in a folder that is thrown away."""
