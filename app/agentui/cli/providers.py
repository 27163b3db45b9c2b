"""Models of the user's ``models.json``: ``--model PROVIDER/ID``, and their keys after consent."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.config import ConfigFiles, Loaded, Settings, host_of, is_private_host
from agentui.config.settings import Origin
from agentui.config.trust import TrustStore
from agentui.errors import BackendUnavailable, UsageError
from agentui.text import clean

if TYPE_CHECKING:
    from agentui.backends.models_json import ModelsFile

_SAID_BY_OTHERS = ("environment", "project file")


def models_file(settings: Settings, home: Path) -> ModelsFile:
    """The list of providers; empty where there is no file and none was named. Blocks for the read.

    Raises:
        ConfigError: If it cannot be used; names line and column.
    """
    from agentui.backends.models_json import models_path, read_models_file

    path = models_path(settings.models_file, home, os.environ)
    return read_models_file(path, must_exist=settings.models_file is not None)


def with_provider(loaded: Loaded, files: ConfigFiles, home: Path) -> Loaded:
    """The settings with what ``PROVIDER/ID`` means, where the model is named so; keys stay as written.

    A public host is asked for like one from the environment where not the user's own words named the model.

    Raises:
        ConfigError: If the list of providers or the model in it cannot be used.
        UsageError: If what counts more than the model's name says another address than the provider's.
    """
    name = loaded.settings.model
    if name is None or "/" not in name:
        return loaded
    file = models_file(loaded.settings, home)
    found = file.find(name)
    if found is None:
        return loaded
    model, level = found
    origin = loaded.origins["url"]
    if model.why_not is not None and origin.kind == "flag":
        return loaded
    route = model.route(level)
    kind = loaded.origins["model"].kind
    is_stronger = origin.kind == "flag" or (origin.kind == "environment" and kind != "flag")
    if is_stronger and loaded.settings.url != route.url:
        raise UsageError(
            f"{origin.where} names {loaded.settings.url}, which is not where {model.label} is: {route.url}",
            hint=f"leave {origin.where} away, or name the model as that server does",
        )
    settings = replace(loaded.settings, url=route.url, model=route.model, provider=route, api_key=None)
    where = f"{model.label} in {file.path}"
    host = host_of(route.url)
    asks = (
        kind in _SAID_BY_OTHERS and not is_private_host(host) and not TrustStore(files.trust).trusts_host(host)
    )
    named = Origin(kind, where)
    return replace(
        loaded,
        settings=settings,
        origins={**loaded.origins, "url": named, "api_key": named},
        remote_host=host if asks else None,
    )


def with_keys(settings: Settings, trust: TrustStore, home: Path, *, may_ask: bool) -> Settings:
    """The settings with the provider's key and headers filled in; its commands run, after a yes.

    Blocks for the question, and up to ten seconds for each command.

    Raises:
        BackendUnavailable: If a command may not run, or gives nothing.
        ConfigError: If a variable is not set.
    """
    route = settings.provider
    if route is None:
        return settings
    from agentui.backends.provider_values import commands_of, resolved_route

    unknown = [command for command in commands_of(route) if not trust.trusts_command(command)]
    if unknown:
        _agree(unknown, route.provider, trust, may_ask=may_ask)
    filled = resolved_route(route, os.environ, home)
    return replace(settings, api_key=filled.api_key, provider=filled)


def allow_commands(file: ModelsFile, provider_id: str, trust: TrustStore) -> tuple[str, ...]:
    """Let the commands of a provider run from now on; returns them.

    Raises:
        UsageError: If there is no such provider.
    """
    from agentui.backends.provider_values import commands_of

    provider = next((found for found in file.providers if found.id == provider_id), None)
    if provider is None:
        raise UsageError(f"there is no provider {provider_id!r} in {file.path}")
    models = [model for model in provider.models or (provider.model("any"),) if model.why_not is None]
    commands = tuple(dict.fromkeys(c for model in models for c in commands_of(model.route())))
    for command in commands:
        trust.trust_command(command)
    return commands


def _agree(commands: Sequence[str], provider: str, trust: TrustStore, *, may_ask: bool) -> None:
    shown = "\n".join(f"  {clean(command)}" for command in commands)
    refused = BackendUnavailable(
        f"provider {provider} of your models.json takes its key from a command you have not allowed:\n{shown}",
        hint=f"to allow it: agentui models --allow-commands {provider}",
    )
    if not may_ask:
        raise refused
    print(f"Provider {clean(provider)} of your models.json takes its key from:\n{shown}", file=sys.stderr)
    print("Run it, now and later? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise refused
    for command in commands:
        trust.trust_command(command)
