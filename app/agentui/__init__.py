"""agentui: run a coding agent on a local model in a sandbox, and see the machine under it."""

__version__ = "0.1.0"
