"""`agentui unload [MODEL]`: remove a model from the server's memory."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from agentui.backends.base import Backend, LoadedInstance, ServerModel
from agentui.cli.arguments import SERVER_FLAGS, Start, add_settings
from agentui.cli.models import with_backend
from agentui.errors import ModelNotFound, UsageError
from agentui.text import clean_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui unload`."""
    parser.add_argument("name", nargs="?", metavar="MODEL", help="a model's key or a loaded instance's name")
    parser.add_argument("--all", action="store_true", dest="everything", help="all that is loaded")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_settings(parser, SERVER_FLAGS)


def run(args: argparse.Namespace) -> int:
    """Unload what is named.

    Raises:
        UsageError: If it is not clear what is meant.
        BackendError: If the server cannot or will not.
    """
    if bool(args.name) == args.everything:
        raise UsageError("name one model to unload, or say --all", hint="agentui models lists what is loaded")

    async def unload(backend: Backend, begun: Start) -> list[str]:
        chosen = chosen_instances(await backend.models(), args.name)
        for instance in chosen:
            await backend.unload(instance.id)
        return [instance.id for instance in chosen]

    gone = with_backend(args, unload)
    if args.json:
        print(json.dumps({"unloaded": gone}))
    else:
        print("unloaded " + ", ".join(map(clean_line, gone)) if gone else "nothing was loaded")
    return 0


def chosen_instances(models: Sequence[ServerModel], name: str | None) -> list[LoadedInstance]:
    """The loaded instances that `name` means: one by its own name, or all of a model; all without a name.

    Raises:
        ModelNotFound: If nothing loaded has that name.
    """
    loaded = [(model, instance) for model in models for instance in model.instances]
    if name is None:
        return [instance for _, instance in loaded]
    exact = [instance for _, instance in loaded if instance.id == name]
    chosen = exact or [instance for model, instance in loaded if name in (model.key, model.display_name)]
    if not chosen:
        names = ", ".join(instance.id for _, instance in loaded) or "nothing"
        raise ModelNotFound(f"no loaded model is called {name!r}", hint=f"loaded: {names}")
    return chosen
