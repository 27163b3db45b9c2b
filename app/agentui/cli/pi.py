"""`agentui pi`: get the Pi that `--harness pi` runs, as an image or onto this machine, over the network."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from agentui.cli.arguments import add_settings, start
from agentui.paths import places, private_folder
from agentui.text import clean_line

if TYPE_CHECKING:
    from agentui.sandbox.pi_container import PiImage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui pi`."""
    add_settings(parser, ())
    parser.add_argument(
        "action",
        choices=("build", "install"),
        help="build: make the image that Pi runs in (some 280 MB); install: for --pi-host, fetch Pi by npm "
        "into agentui's own folder (some 150 MB), and Node where it is too old",
    )


def run(args: argparse.Namespace) -> int:
    """Get Pi unless it is there; the steps go to standard error.

    Raises:
        HarnessUnavailable: If there is no npm, or a step of the installation fails.
        SandboxUnavailable: If there is no engine, or a step of the build fails.
    """
    if args.action == "build":
        return _build(args)
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


def _build(args: argparse.Namespace) -> int:
    from agentui import wire

    image = wire.pi_image(start(args).loaded.settings)
    if asyncio.run(image.is_built()):
        print(f"{image.tag} is built already, from {image.base}")
        return 0
    asyncio.run(_built(image))
    print(f"{image.tag} is built, from {image.base}")
    return 0


async def _built(image: PiImage) -> None:
    from agentui.errors import HarnessUnavailable
    from agentui.harness.pi.install import packed_for_image

    def note(line: str) -> None:
        print(clean_line(line), file=sys.stderr)

    try:
        packages = await packed_for_image(image.engine.facts.architecture, note)
    except HarnessUnavailable as error:
        note(f"{error.message}: the packages are fetched while building instead")
        packages = {}
    await image.build(note, packages)
