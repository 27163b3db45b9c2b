"""`agentui sandbox build`: build the image in which commands run; the only step that may use the network."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from agentui.cli.arguments import add_settings, start
from agentui.config import Settings
from agentui.text import clean_line

if TYPE_CHECKING:
    from agentui.sandbox.image import ToolsImage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui sandbox`."""
    parser.add_argument("action", choices=("build",), help="build: make the image, or say that it is there")
    add_settings(parser, ())


def run(args: argparse.Namespace) -> int:
    """Build the image unless it is there; the builder's lines go to standard error.

    Raises:
        SandboxUnavailable: If there is no engine, or a step fails.
    """
    settings = start(args).loaded.settings
    image = tools_image(settings)
    if asyncio.run(image.is_built()):
        print(f"{image.tag} is built already, from {image.base}")
        return 0
    asyncio.run(image.build(lambda line: print(clean_line(line), file=sys.stderr)))
    print(f"{image.tag} is built, from {image.base}")
    return 0


def tools_image(settings: Settings) -> ToolsImage:
    """The image of the agent's shell on the engine that answers. Blocks while engines are searched.

    Raises:
        SandboxUnavailable: If no engine answers.
    """
    from agentui.sandbox.engine import find_engine
    from agentui.sandbox.image import ToolsImage

    return ToolsImage(find_engine(), settings.base_image)
