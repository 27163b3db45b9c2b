"""`agentui models`: what the server offers, and what of it is in memory."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from agentui.backends.base import Backend, LoadedInstance, ServerFacts, ServerModel
from agentui.backends.models_json import ModelsFile, ProviderModel
from agentui.cli.arguments import SERVER_FLAGS, Start, add_settings, agreed, start
from agentui.cli.providers import allow_commands, models_file
from agentui.config.trust import TrustStore
from agentui.errors import BackendError
from agentui.text import clean, clean_line, human_bytes, human_context

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui models`."""
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument(
        "--allow-commands",
        metavar="PROVIDER",
        help="let the commands that this provider of your models.json takes its key from run, from now on",
    )
    add_settings(parser, (*SERVER_FLAGS, "model", "models_file"))


def run(args: argparse.Namespace) -> int:
    """List the models, the loaded ones first, then those of the user's list of providers.

    Raises:
        BackendError: If there is no server, or it refuses; the user's list was shown.
        UsageError: If the settings or the list cannot be used.
    """
    begun = start(args)
    file = models_file(begun.loaded.settings, begun.places.home)
    if args.allow_commands:
        return _allow(file, args.allow_commands, TrustStore(begun.files.trust))
    try:
        server, models = ask_server(begun, _listed)
    except BackendError:
        if not args.json:
            for line in provider_lines(file):
                print(line)
        raise
    if args.json:
        print(json.dumps(models_object(server, models) | {"providers": providers_object(file)}))
        return 0
    print(clean_line(f"{server.kind} {server.version or ''}") + f" at {server.base_url}")
    if not server.lists_models:
        print("  it does not list its models; name the one to use: agentui --model NAME")
    elif not models:
        print("  no models: download one in the server's own program first")
    for line in model_lines(models):
        print(line)
    if file.providers:
        print("\n".join(["", *provider_lines(file)]))
    return 0


def _allow(file: ModelsFile, provider: str, trust: TrustStore) -> int:
    commands = allow_commands(file, provider, trust)
    for command in commands:
        print(f"may run from now on: {clean_line(command)}")
    if not commands:
        print(f"{clean_line(provider)} takes its key from no command")
    return 0


def provider_lines(file: ModelsFile) -> list[str]:
    """The models of the user's list, by the name that ``--model`` takes, and why some cannot be used."""
    if not file.providers:
        return []
    lines = [f"in {file.path} (agentui --model PROVIDER/ID):"]
    for provider in file.providers:
        lines += [f"  {model.label}  {_route_note(model)}" for model in provider.models]
        if not provider.models:
            lines.append(f"  {provider.id}/…  {_route_note(provider.model('…'))}; it lists no models: name one")
    return [clean(line) for line in lines]


def _route_note(model: ProviderModel) -> str:
    if model.why_not is not None:
        return f"cannot be used: {model.why_not}"
    return f"at {model.url}"


def providers_object(file: ModelsFile) -> list[dict[str, Any]]:
    """The user's list for ``--json``; keys and headers are never in it."""
    return [
        {
            "provider": provider.id,
            "models": [
                {"name": model.label, "url": model.url, "why_not": model.why_not} for model in provider.models
            ],
        }
        for provider in file.providers
    ]


async def _listed(backend: Backend, begun: Start) -> tuple[ServerFacts, tuple[ServerModel, ...]]:
    return backend.facts, await backend.models()


def with_backend(args: argparse.Namespace, work: Callable[[Backend, Start], Awaitable[T]]) -> T:
    """Find the server that the settings name, do `work` with it, close it.

    Raises:
        BackendError: If there is no server, or it refuses.
        UsageError: If the settings cannot be used.
    """
    return ask_server(start(args), work)


def ask_server(begun: Start, work: Callable[[Backend, Start], Awaitable[T]]) -> T:
    """Find the server of settings that were read already, do `work` with it, close it; see `with_backend`."""
    begun = agreed(begun, may_ask=sys.stdin.isatty() and sys.stderr.isatty())

    async def found() -> T:
        from agentui import wire

        backend = await wire.find_backend(begun.loaded.settings)
        try:
            return await work(backend, begun)
        finally:
            await backend.aclose()

    return asyncio.run(found())


def models_object(server: ServerFacts, models: Sequence[ServerModel]) -> dict[str, Any]:
    """The server and its models as one JSON object; lengths in tokens, sizes in bytes."""
    return {"server": asdict(server), "models": [_model_object(model) for model in models]}


def _model_object(model: ServerModel) -> dict[str, Any]:
    plain = {name: getattr(model, name) for name in model.__dataclass_fields__ if name != "instances"}
    instances = [
        {
            "id": instance.id,
            "context_tokens": instance.context_tokens,
            "parallel": instance.parallel,
            "settings": dict(instance.settings),
        }
        for instance in model.instances
    ]
    return {**plain, "is_loaded": model.is_loaded, "instances": instances}


def model_lines(models: Sequence[ServerModel]) -> list[str]:
    """The models as a table: loaded ones first and marked, each with what is known of it."""
    ordered = sorted(models, key=lambda model: (not model.is_loaded, model.kind == "embedding", model.key))
    rows = [("", "MODEL", "QUANT", "SIZE", "CONTEXT", "NOTES"), *(_row(model) for model in ordered)]
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row(model: ServerModel) -> tuple[str, str, str, str, str, str]:
    loaded = ", ".join(_instance(instance, model) for instance in model.instances)
    notes = [loaded and f"loaded {loaded}", model.kind if model.kind == "embedding" else ""]
    notes += [model.engine or "", "remote" if model.is_remote else ""]
    return (
        "●" if model.is_loaded else "",
        clean_line(model.key),
        clean_line(model.quantization or "?"),
        human_bytes(model.size_bytes),
        human_context(model.trained_context_tokens),
        clean_line(", ".join(note for note in notes if note)),
    )


def _instance(instance: LoadedInstance, model: ServerModel) -> str:
    name = "" if instance.id == model.key else f" as {instance.id}"
    return f"with {human_context(instance.context_tokens)}{name}"
