"""`agentui sandbox`: build the image in which commands run (only this may use the network), or test it."""

from __future__ import annotations

import argparse
import asyncio
import sys

from agentui.cli import sandbox_selftest
from agentui.cli.arguments import start
from agentui.text import clean_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui sandbox`."""
    parser.add_argument(
        "action", choices=("build", "selftest"), help="build: make the image; selftest: try to get out"
    )
    sandbox_selftest.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Test the sandbox, or build the image unless it is there; the builder's lines go to standard error.

    Raises:
        SandboxUnavailable: If there is no engine, or a step fails.
    """
    if args.action == "selftest":
        return sandbox_selftest.run(args)
    settings = start(args).loaded.settings
    from agentui import wire

    image = wire.tools_image(settings)
    if asyncio.run(image.is_built()):
        print(f"{image.tag} is built already, from {image.base}")
        return 0
    asyncio.run(image.build(lambda line: print(clean_line(line), file=sys.stderr)))
    print(f"{image.tag} is built, from {image.base}")
    return 0
