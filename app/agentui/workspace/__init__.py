"""The private copy of the project: seed, diff, apply, undo."""
