"""End the run of a session; queued text stays."""

from __future__ import annotations

import argparse

from agentui.cli import remote


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the session."""
    remote.add_session(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for it."""
    return remote.control(args, "interrupt")
