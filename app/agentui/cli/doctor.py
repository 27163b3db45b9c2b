"""`agentui doctor`: what was found, which setting came from where, what is missing, what to do.

``agentui doctor`` looks at server, models, Docker and its memory, terminal, memory, and your settings.
``agentui doctor keys`` lists all actions that keys can be bound to, and how; then, for each key you press, the
bytes that your terminal sends, the name to bind, and what it does, until q is pressed twice.
``agentui doctor models`` shows your models.json, and what Pi is given instead.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentui import __version__
from agentui.cli import UNAVAILABLE
from agentui.cli.arguments import Start, add_settings, start
from agentui.cli.finding import Finding
from agentui.cli.findings import all_findings
from agentui.cli.providers import with_keys
from agentui.config import Loaded, Settings
from agentui.config.checks import ProjectChecks
from agentui.config.settings import RULES
from agentui.config.trust import TrustStore
from agentui.errors import AgentuiError, UsageError
from agentui.text import clean, clean_line

EXIT_CODES = "exit codes: 0 tasks can be run; 75 the model server or the sandbox is missing; 1 failed; 2 usage"
_PARTS_HELP = "what to look at instead"
_MARKS = {"ok": "ok     ", "note": "note   ", "missing": "missing"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui doctor`."""
    parser.add_argument("part", nargs="?", choices=("keys", "models"), help=_PARTS_HELP)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Report; 0 if tasks can be run, 75 if the server or the sandbox is missing.

    Raises:
        UsageError: If the settings cannot be used.
    """
    if args.part == "keys":
        if args.json:
            raise UsageError("doctor keys has no --json")
        from agentui.cli.keys import show_keys

        begun = start(args)
        return show_keys(dict(begun.loaded.settings.keymap), begun.places.config_file)
    begun = start(args)
    if args.part == "models":
        from agentui.cli.doctor_models import show_models

        return show_models(begun, as_json=args.json)
    findings = _findings(begun)
    if args.json:
        print(json.dumps(report_object(findings, begun)))
    else:
        sys.stdout.write(report_text(findings, begun))
    return 0 if is_ready(findings) else UNAVAILABLE


def _findings(begun: Start) -> list[Finding]:
    settings, blocked = begun.loaded.settings, None
    try:
        settings = with_keys(settings, TrustStore(begun.files.trust), begun.places.home, may_ask=False)
    except AgentuiError as error:
        blocked = error
    may_connect = begun.loaded.remote_host is None
    return asyncio.run(all_findings(settings, may_connect=may_connect, blocked=blocked))


def is_ready(findings: Sequence[Finding]) -> bool:
    """Whether nothing that is needed is missing."""
    return not any(finding.needed and finding.status == "missing" for finding in findings)


def report_object(findings: Sequence[Finding], begun: Start) -> dict[str, Any]:
    """The whole report as one JSON object; keys are never in it."""
    return {
        "version": __version__,
        "is_ready": is_ready(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "settings": {
            name: {"value": value, "origin": origin.kind, "where": origin.where}
            for name, value, origin in _settings_rows(begun.loaded)
        },
        "warnings": list(begun.loaded.warnings),
        "places": {
            "settings": str(begun.places.config_file),
            "sessions": str(begun.places.sessions),
            "log": str(begun.places.log_file),
        },
    }


def report_text(findings: Sequence[Finding], begun: Start) -> str:
    """The report for people: findings, what to do about them, settings that are not defaults."""
    lines = [f"agentui {__version__} on {sys.platform}, Python {sys.version.split()[0]}", ""]
    for finding in findings:
        lines.append(f"{_MARKS[finding.status]}  {finding.area:<14}{clean(finding.text)}")
        if finding.todo:
            lines.append(f"{'':9}{'':<14}→ {clean(finding.todo)}")
    lines += ["", "settings (the rest are defaults; --json lists all):"]
    rows = [row for row in _settings_rows(begun.loaded) if row[0] == "url" or row[2].kind != "default"]
    lines += [
        f"  {RULES[name].key if name in RULES else name:<20}{_shown(value):<32}{clean_line(str(origin))}"
        for name, value, origin in rows
    ]
    lines += [
        "",
        f"your settings file: {begun.places.config_file}",
        f"sessions:           {begun.places.sessions}",
    ]
    lines.append("" if is_ready(findings) else "\nSomething needed is missing: see the arrows above.")
    return "\n".join(lines).rstrip() + "\n"


def _settings_rows(loaded: Loaded) -> list[tuple[str, Any, Any]]:
    return [
        (found.name, _plain(found.name, getattr(loaded.settings, found.name)), loaded.origins[found.name])
        for found in dataclasses.fields(Settings)
        if found.name in loaded.origins
    ]


def _plain(name: str, value: Any) -> Any:
    if name == "api_key":
        return "set" if value else None
    if isinstance(value, ProjectChecks):
        return list(value.names)
    return str(value) if isinstance(value, Path) else value


def _shown(value: Any) -> str:
    return clean_line(str(value)) + "  "
