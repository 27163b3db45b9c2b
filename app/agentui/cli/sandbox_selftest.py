"""`agentui sandbox selftest`: try to get out of the sandbox, through the same door as every command."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

from agentui.cli.arguments import add_settings, start
from agentui.config.settings import Settings
from agentui.errors import SandboxUnavailable
from agentui.text import clean, clean_line

if TYPE_CHECKING:
    from agentui.events import SandboxFacts
    from agentui.sandbox.docker import DockerSandbox
    from agentui.sandbox.jailed import JailedSandbox
    from agentui.sandbox.selftest import Check

UNAVAILABLE = 75


def add_arguments(parser: argparse.ArgumentParser, _name: str = "") -> None:
    """Declare the flags of `agentui sandbox selftest`."""
    parser.epilog = """\
exit codes: 0 commands may run in it; 2 usage; 75 there is no sandbox, or something did not hold
--json:     sandbox, may_run, checks (name, tried, held, detail), given_up, notes, error, hint"""
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_settings(parser, ("sandbox",))


def run(args: argparse.Namespace) -> int:
    """Report what held; 0 if commands may run, 75 if there is no sandbox or something did not hold."""
    settings = start(args).loaded.settings
    report = asyncio.run(selftest_report(settings))
    if args.json:
        print(json.dumps(report))
    else:
        sys.stdout.write(report_text(report))
    return 0 if report["may_run"] else UNAVAILABLE


async def selftest_report(settings: Settings) -> dict[str, Any]:
    """Start a sandbox of the kind set, on an empty copy, and end it again; never builds an image.

    `may_run` says whether commands may run in it. A check that may fail is told in `given_up`.
    """
    from agentui import wire

    try:
        sandbox = await asyncio.to_thread(wire.probe_sandbox, settings)
    except SandboxUnavailable as error:
        return _report(settings.sandbox, None, (), error)
    if sandbox is None:
        text = "--sandbox none contains nothing, so there is nothing to test"
        return _report("none", None, (), SandboxUnavailable(text))
    return await _tried(sandbox)


async def _tried(sandbox: DockerSandbox | JailedSandbox) -> dict[str, Any]:
    from agentui.sandbox.jailed import JailedSandbox
    from agentui.sandbox.selftest import SelfTestFailed

    failure: SandboxUnavailable | None = None
    try:
        await sandbox.start(lambda text: print(clean_line(text), file=sys.stderr))
    except SandboxUnavailable as error:
        failure = error
    finally:
        await sandbox.aclose()
        if isinstance(sandbox, JailedSandbox):
            shutil.rmtree(sandbox.folder, ignore_errors=True)
    checks = failure.checks if isinstance(failure, SelfTestFailed) else sandbox.checks
    return _report(sandbox.facts.kind, sandbox.facts, checks, failure)


def _report(
    kind: str, facts: SandboxFacts | None, checks: tuple[Check, ...], failure: SandboxUnavailable | None
) -> dict[str, Any]:
    given_up = [check.name for check in checks if not check.held] if failure is None else []
    return {
        "sandbox": kind,
        "may_run": failure is None,
        "checks": [
            {"name": check.name, "tried": check.meaning, "held": check.held, "detail": check.detail}
            for check in checks
        ],
        "given_up": given_up,
        "notes": list(facts.notes) if facts is not None else [],
        "error": failure.message if failure is not None else None,
        "hint": failure.hint if failure is not None else None,
    }


def report_text(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"sandbox {report['sandbox']}"]
    for check in report["checks"]:
        mark = "held  " if check["held"] else ("given up" if check["name"] in report["given_up"] else "FAILED")
        detail = f"  ({clean_line(check['detail'])})" if check["detail"] else ""
        lines.append(f"  {mark:<9}{check['tried']}{detail}")
    if report["notes"]:
        lines += ["what it does not give:", *(f"  {note}" for note in report["notes"])]
    if report["error"]:
        lines += [
            f"No command may run: {report['error']}",
            *([f"→ {report['hint']}"] if report["hint"] else []),
        ]
    else:
        lines.append("Commands may run in it.")
    return clean("\n".join(lines)) + "\n"
