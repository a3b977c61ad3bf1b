"""What keeps many rows quick to tokenise and small in memory."""
