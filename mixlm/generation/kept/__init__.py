"""Lines of an output that are kept as they come."""
