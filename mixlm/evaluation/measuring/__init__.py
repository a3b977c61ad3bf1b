"""What an evaluation asks, and what it makes of the answers."""
