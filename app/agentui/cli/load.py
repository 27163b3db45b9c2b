"""`agentui load MODEL`: bring a model into memory, or load it again with another context length."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from agentui.backends.base import Backend
from agentui.backends.choice import find_model
from agentui.cli.arguments import SERVER_FLAGS, Start, add_settings
from agentui.cli.models import with_backend
from agentui.errors import UsageError
from agentui.events import ModelFacts
from agentui.paths import places
from agentui.telemetry.fit import ModelFit
from agentui.telemetry.kv.locate import model_folders
from agentui.telemetry.memory.detect import memory_reader
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

    async def load(backend: Backend, begun: Start) -> tuple[ModelFacts, ModelFit | None]:
        settings = begun.loaded.settings
        model = args.name or settings.model
        if not model:
            raise UsageError("which model?", hint="agentui models lists them; agentui load MODEL loads one")
        fit, is_loaded = await _fit(backend, model)
        wanted = settings.context_tokens
        if wanted is None and fit is not None and not is_loaded:
            wanted = fit.default_tokens
        for line in fit_lines(model, fit, wanted):
            print(line, file=sys.stderr)
        return await backend.load(model, wanted, lambda ratio: progress.show(model, ratio)), fit

    try:
        facts, fit = with_backend(args, load)
    finally:
        progress.end()
    if args.json:
        print(json.dumps(asdict(facts) | {"fit": fit.in_words if fit else None}))
    else:
        size = f", {human_bytes(facts.size_bytes)}" if facts.size_bytes else ""
        print(f"{clean_line(facts.model)} is loaded with {human_context(facts.loaded_context_tokens)}{size}")
    return 0


async def _fit(backend: Backend, name: str) -> tuple[ModelFit | None, bool]:
    """Which contexts of a model fit here, ``None`` if nobody knows; and whether it is loaded already."""
    from agentui import wire

    found = find_model(await backend.models(), name)
    if found is None or backend.facts.is_remote:
        return None, False
    model, instance = found
    fits = await wire.ModelFits(model_folders(places().home), memory_reader()).fits([model], backend.facts)
    return fits.get(model.key), instance is not None


def fit_lines(model: str, fit: ModelFit | None, wanted_tokens: int | None) -> list[str]:
    """What is said before a load: which contexts fit, and what will be asked for."""
    if fit is None:
        return []
    mark = "" if fit.is_exact else "~"
    lines = [f"{clean_line(model)}: {mark}{fit.in_words}"]
    if wanted_tokens is None:
        return lines
    if fit.largest_tokens < wanted_tokens:
        lines.append(
            f"{human_context(wanted_tokens)} does not fit; up to ~{human_context(fit.largest_tokens)} does"
        )
    elif wanted_tokens == fit.default_tokens:
        lines.append(
            f"asking for {human_context(wanted_tokens)}: it leaves 8 GiB to spare (--context N for another)"
        )
    return lines


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
