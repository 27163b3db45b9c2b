"""`agentui sandbox build`: build the image in which commands run; the only step that may use the network."""

from __future__ import annotations

import argparse
import asyncio
import sys

from agentui.cli.arguments import add_settings, start
from agentui.text import clean_line


def add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """Declare the flags of `agentui sandbox build`."""
    parser.epilog = "exit codes: 0 built, now or before; 2 usage; 75 there is no engine, or a step failed"
    add_settings(parser, ("profile",))


def run(args: argparse.Namespace) -> int:
    """Build the image unless it is there; the builder's lines go to standard error.

    Raises:
        SandboxUnavailable: If there is no engine, or a step fails.
    """
    settings = start(args).loaded.settings
    from agentui import wire

    image = wire.tools_image(settings)
    if asyncio.run(image.is_built()):
        print(f"{image.tag} is built already, from {image.base}")
        return 0
    asyncio.run(image.build(lambda line: print(clean_line(line), file=sys.stderr)))
    print(f"{image.tag} is built, from {image.base}")
    return 0
