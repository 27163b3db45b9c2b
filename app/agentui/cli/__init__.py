"""The command line: the only modules that print or exit."""
