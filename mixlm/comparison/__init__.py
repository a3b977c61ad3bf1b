"""Methods compared over seeds: the grid of what is run, the results of its cells, and what they say together."""
