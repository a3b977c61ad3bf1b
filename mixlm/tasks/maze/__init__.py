"""The Keys-Finding Maze, with the trace of a search."""
