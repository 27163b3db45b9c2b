"""A simulated LM Studio server that plays scripted tasks."""
