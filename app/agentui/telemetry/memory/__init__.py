"""Memory readings of the machine and of single processes."""
