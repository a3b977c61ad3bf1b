"""Word problems whose steps are needed, told in many ways."""
