"""A fold of events into plain values that a screen can draw."""
