"""What thinks: the agent loops."""
