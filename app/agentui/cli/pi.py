"""`agentui pi install`: fetch the Pi that `--harness pi` runs; the only step of it that uses the network."""

from __future__ import annotations

import argparse
import asyncio
import sys

from agentui.paths import places, private_folder
from agentui.text import clean_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui pi`."""
    parser.add_argument(
        "action",
        choices=("install",),
        help="install: fetch Pi by npm into agentui's own folder (some 150 MB), and Node where it is too old",
    )


def run(args: argparse.Namespace) -> int:
    """Install Pi unless it is there; the steps go to standard error.

    Raises:
        HarnessUnavailable: If there is no npm, or a step fails.
    """
    from agentui.errors import HarnessUnavailable
    from agentui.harness.pi.install import find_pi, install_pi

    folder = private_folder(places().pi)
    try:
        found = asyncio.run(find_pi(folder))
    except HarnessUnavailable:
        found = asyncio.run(install_pi(folder, lambda line: print(clean_line(line), file=sys.stderr)))
        print(f"Pi {found.version} is installed in {folder}")
    else:
        print(f"Pi {found.version} is installed already")
    return 0
