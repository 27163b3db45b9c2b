"""The simulated model: scripts that do real work on real files, chosen by the task's words."""
