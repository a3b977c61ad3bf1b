"""What texts say: where sentences, thoughts and steps end, and where an answer is marked."""
