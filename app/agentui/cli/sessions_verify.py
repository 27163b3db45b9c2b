"""`agentui sessions verify [ID]`: whether what was recorded can be read as it was written."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from agentui.session.store import SessionStore
from agentui.session.verify import Verdict, verify
from agentui.text import clean_line, human_bytes, plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the session and ``--json``."""
    parser.add_argument("session", nargs="?", metavar="ID|PATH", help="one session (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line and session")


def run(args: argparse.Namespace, store: SessionStore) -> int:
    """Check one session or all; exit code 1 if anything is damaged.

    Raises:
        SessionError: If there is no such session.
    """
    journals = [store.find(args.session)] if args.session else [info.journal for info in store.sessions()]
    is_clean = True
    for journal in journals:
        verdict = verify(journal)
        is_clean = is_clean and verdict.is_clean
        print(json.dumps(_object(verdict)) if args.json else "\n".join(_lines(verdict)))
    if not journals and not args.json:
        print("there are no sessions")
    return 0 if is_clean else 1


def _object(verdict: Verdict) -> dict[str, Any]:
    held = asdict(verdict)
    return {**held, "journal": str(verdict.journal), "is_clean": verdict.is_clean}


def _lines(verdict: Verdict) -> list[str]:
    state = "clean" if verdict.is_clean else plural(len(verdict.findings), "finding")
    end = "" if verdict.was_closed else ", not closed (it runs, or ended by a crash)"
    torn = f", {verdict.torn_bytes} bytes of an unfinished record" if verdict.torn_bytes else ""
    lines = [
        f"{clean_line(verdict.session_id)}  {state}: {plural(verdict.records, 'record')} in "
        f"{plural(verdict.parts, 'part')}, {human_bytes(verdict.size_bytes)}{end}{torn}"
    ]
    for finding in verdict.findings:
        place = f"{finding.file} line {finding.line}" if finding.line else finding.file
        lines.append(f"  {clean_line(place)}: {clean_line(finding.text)}")
    return lines
