"""`agentui load MODEL`: bring a model into memory, or load it again with another context length."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from agentui.backends.base import Backend
from agentui.cli.arguments import SERVER_FLAGS, Start, add_settings
from agentui.cli.models import with_backend
from agentui.errors import UsageError
from agentui.events import ModelFacts
from agentui.text import clean_line, human_bytes, human_context, human_duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui load`."""
    parser.add_argument("name", nargs="?", metavar="MODEL", help="the model (default: that of your settings)")
    parser.add_argument("--json", action="store_true", help="one JSON object when it is loaded")
    add_settings(parser, (*SERVER_FLAGS, "context_tokens"))


def run(args: argparse.Namespace) -> int:
    """Load the model; progress goes to standard error.

    Raises:
        UsageError: If no model is named anywhere.
        BackendError: If the server cannot or will not.
    """
    progress = LoadLine(is_live=sys.stderr.isatty())

    async def load(backend: Backend, begun: Start) -> ModelFacts:
        settings = begun.loaded.settings
        model = args.name or settings.model
        if not model:
            raise UsageError("which model?", hint="agentui models lists them; agentui load MODEL loads one")
        return await backend.load(model, settings.context_tokens, lambda ratio: progress.show(model, ratio))

    try:
        facts = with_backend(args, load)
    finally:
        progress.end()
    if args.json:
        print(json.dumps(asdict(facts)))
    else:
        size = f", {human_bytes(facts.size_bytes)}" if facts.size_bytes else ""
        print(f"{clean_line(facts.model)} is loaded with {human_context(facts.loaded_context_tokens)}{size}")
    return 0


class LoadLine:
    """Progress of a load on standard error: one changing line on a terminal, a line per tenth elsewhere."""

    def __init__(self, *, is_live: bool) -> None:
        self._is_live = is_live
        self._began_s = time.monotonic()
        self._last_tenth = -1
        self._is_open = False

    def show(self, model: str, ratio: float | None) -> None:
        """Show how far it is; ``None`` where only time passes."""
        elapsed = human_duration(time.monotonic() - self._began_s)
        share = f"{ratio * 100:.0f} %" if ratio is not None else "…"
        line = f"loading {clean_line(model)}  {share}  {elapsed}"
        if self._is_live:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self._is_open = True
            return
        tenth = int(ratio * 10) if ratio is not None else 0
        if tenth > self._last_tenth:
            self._last_tenth = tenth
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._is_open:
            print(file=sys.stderr)
            self._is_open = False
