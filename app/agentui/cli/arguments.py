"""Flags that stand for settings, and what every command does first: find the project and its settings."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from agentui.cli.providers import with_keys, with_provider
from agentui.config import ConfigFiles, Loaded, load_settings, trust_project
from agentui.config.settings import APPLIES, APPROVALS, HARNESSES, PROFILES, RULES, SANDBOXES
from agentui.config.trust import TrustStore
from agentui.errors import UsageError
from agentui.frozen import frozen
from agentui.paths import PROJECT_CONFIG, Places, lmstudio_server_config, places, private_folder
from agentui.text import clean

log = logging.getLogger(__name__)

SERVER_FLAGS = ("url",)
ALL_FLAGS = tuple(name for name, rule in RULES.items() if rule.flag)

_HELP: dict[str, tuple[str, str]] = {
    "url": ("URL", "the model server, with or without /v1 (default: LM Studio's own port)"),
    "model": ("NAME", "the model to use, or PROVIDER/ID of your models.json (default: the loaded one)"),
    "models_file": ("FILE", "your list of providers (default: Pi's models.json)"),
    "context_tokens": ("N", "context length to load with, such as 32768 or 64k"),
    "harness": ("NAME", f"who thinks: {'|'.join(HARNESSES)}"),
    "pi_place": ("host", "with --harness pi: run Pi on this machine; its commands stay in the sandbox"),
    "sandbox": ("KIND", f"where commands run: {'|'.join(SANDBOXES)}; none means on this machine"),
    "profile": ("NAME", f"what the sandbox holds: {'|'.join(PROFILES)}"),
    "research_allow": ("LIST", "what --profile research may reach: host:port,host:port"),
    "apply": ("WHEN", f"bring changes to your project: {'|'.join(APPLIES)} (default: ask)"),
    "approve": ("WHEN", f"ask before each command: {'|'.join(APPROVALS)} (default: never)"),
    "seed_limit_bytes": ("SIZE", "copy a project of up to this size unasked, such as 2g (default: 500 MB)"),
    "max_turns": ("N", "end a run after so many model requests"),
    "theme": ("NAME", "colours of the dashboard"),
    "system_file": ("FILE", "use this file as system prompt"),
}
_FIXED = frozenset({"pi_place"})
"""Flags that are typed without a value: they stand for the one in the place of its name."""


@frozen
class Start:
    """What a command begins with: the project's folder, the user's folders, and the settings."""

    project: Path
    places: Places
    files: ConfigFiles
    loaded: Loaded


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str] = ALL_FLAGS) -> None:
    """Declare the flags of the settings `names`, and ``-C``."""
    parser.add_argument("-C", dest="directory", metavar="DIR", help="work in this folder instead")
    for name in names:
        metavar, text = _HELP[name]
        flag = RULES[name].flag
        if name in _FIXED:
            parser.add_argument(flag, dest=name, action="store_const", const=metavar, help=text)
        else:
            parser.add_argument(flag, dest=name, metavar=metavar, help=text)


def start(args: argparse.Namespace) -> Start:
    """Go to the project's folder and read all settings; warnings go to standard error.

    Raises:
        UsageError: If the folder or a setting cannot be used.
    """
    if directory := args.directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise UsageError(f"cannot work in {directory}: {error.strerror}") from error
    project = Path.cwd()
    found = places()
    files = ConfigFiles(
        user=found.config_file,
        project=project,
        project_file=project / PROJECT_CONFIG,
        trust=found.trust_file,
        lmstudio=lmstudio_server_config(found.home),
    )
    _log_to_file(found)
    if getattr(args, "trust_project", False) and not trust_project(files):
        raise UsageError(f"there is no {files.project_file} to trust")
    loaded = with_provider(load_settings(typed(args), os.environ, files), files, found.home)
    for warning in loaded.warnings:
        print(f"agentui: {clean(warning)}", file=sys.stderr)
    return Start(project, found, files, loaded)


def typed(args: argparse.Namespace) -> dict[str, object]:
    """The settings that were given by flags, by name."""
    return {name: value for name in ALL_FLAGS if (value := getattr(args, name, None)) is not None}


def agreed(begun: Start, *, may_ask: bool) -> Start:
    """What `begun` is once the user agreed: to a public host, and to the commands that a key comes from.

    Blocks for questions and commands; nothing was sent before.

    Raises:
        UsageError: If nobody can be asked about a host, or the answer is not yes.
        BackendUnavailable: If a command may not run, or gives nothing.
    """
    _agree_to_remote(begun, may_ask=may_ask)
    trust = TrustStore(begun.files.trust)
    settings = with_keys(begun.loaded.settings, trust, begun.places.home, may_ask=may_ask)
    return replace(begun, loaded=replace(begun.loaded, settings=settings))


def _agree_to_remote(begun: Start, *, may_ask: bool) -> None:
    """Before anything is sent to a public host that the user did not name themselves: ask, or refuse."""
    host = begun.loaded.remote_host
    if host is None:
        return
    origin = begun.loaded.origins["url"]
    message = f"{origin.where} in the {origin.kind} names {host}, which is not on your machine or network"
    hint = f"to mean it, type: --url {begun.loaded.settings.url}"
    if not may_ask:
        raise UsageError(message + "; nothing was sent", hint=hint)
    print(f"{clean(message)}.\nYour task, files and command output would go there.", file=sys.stderr)
    print("Send them, now and later? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(f"nothing was sent to {host}", hint=hint)
    TrustStore(begun.files.trust).trust_host(host)


def _log_to_file(found: Places) -> None:
    """Diagnostics go to a file of the user's; a folder that cannot be written costs only them."""
    root = logging.getLogger("agentui")
    if root.handlers:
        return
    try:
        private_folder(found.state)
        handler: logging.Handler = logging.FileHandler(found.log_file, encoding="utf-8", delay=True)
    except OSError:
        handler = logging.NullHandler()
    logging.raiseExceptions = False  # a full disk costs the log a line, and no stack trace over the screen
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
