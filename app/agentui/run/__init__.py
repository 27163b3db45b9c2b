"""The supervisor of a run: the only owner of run state."""
