"""The rows that a training run reads, and what every read of one makes of it."""
