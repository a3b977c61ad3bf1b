"""What commands print of their results, one file a command."""
