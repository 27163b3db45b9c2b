"""`agentui export`: a session for others to read, as Markdown, JSON, or one HTML file that needs nothing else.

Secrets and home paths are taken out, and it is told what was. Look through it before you pass it on: only what
looks like a secret can be found.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from agentui.cli.arguments import start
from agentui.cli.replay import read_session
from agentui.errors import SessionError
from agentui.session.document import make_document
from agentui.session.export import FORMATS, redacted_words, render
from agentui.session.redact import Redactor
from agentui.session.store import SessionStore

EXIT_CODES = "exit codes: 0 written; 1 no such session, or the file cannot be written; 2 usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui export`."""
    parser.add_argument("session", nargs="?", metavar="ID", help="default: the last one of this folder")
    parser.add_argument("--format", choices=FORMATS, help="default: by the name of FILE, else md")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--no-redact", action="store_true", help="leave secrets and home paths in")
    parser.add_argument("-C", dest="directory", metavar="DIR", help="work in this folder instead")


def run(args: argparse.Namespace) -> int:
    """Write the session.

    Raises:
        SessionError: If there is no such session, or the file cannot be written.
    """
    begun = start(args)
    store = SessionStore(begun.places.sessions)
    journal = read_session(store.find(args.session) if args.session else store.newest(begun.project))
    if args.no_redact:
        document, counts = make_document(journal.records), None
    else:
        key = begun.loaded.settings.api_key
        redactor = Redactor(str(begun.places.home), (key,) if key else ())
        document, counts = redactor.value(make_document(journal.records, redactor.text)), redactor.counts
    form = args.format or _format_of(args.output)
    _write(args.output, render(document, form, counts))
    if counts is not None:
        print(f"agentui: redacted: {redacted_words(counts) or 'nothing was found'}", file=sys.stderr)
    return 0


def _format_of(path: Path | None) -> str:
    suffix = path.suffix.removeprefix(".").lower() if path is not None else ""
    return {"htm": "html", "markdown": "md"}.get(suffix, suffix if suffix in FORMATS else "md")


def _write(path: Path | None, text: str) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    try:
        # Readable by its owner only: passing it on is another decision.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise SessionError(f"{path} cannot be written: {error.strerror}") from error
