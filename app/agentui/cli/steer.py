"""Say something to the agent of a running session: `agentui steer TEXT`, or `… | agentui steer -`."""

from __future__ import annotations

import argparse
import os
import sys

from agentui.cli import remote
from agentui.errors import UsageError
from agentui.text import clean_line

MAX_CHARS = 32_000
"""Some 8,000 tokens; of longer text the beginning and the end are sent."""
_HEAD_CHARS = 8_000
_KEPT_BYTES = 1 << 20
"""Of the beginning, and again of the end, of what is piped in."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the text and the session."""
    parser.add_argument("text", metavar="TEXT|-", help="what to say; - reads it from standard input")
    parser.add_argument("--session", metavar="ID", help="the session (default: this folder's, or the only one)")


def run(args: argparse.Namespace) -> int:
    """Send it.

    Raises:
        UsageError: If there is nothing to say.
        SessionError: If no session runs.
    """
    path, _ = remote.the_session(args.session)
    text = (_piped() if args.text == "-" else args.text).rstrip("\r\n")
    if not text.strip():
        raise UsageError("there is nothing to say", hint='agentui steer "keep the public names"')
    cut = shortened(text)
    status = remote.ask(path, {"do": "steer", "text": cut})
    print(f"{clean_line(str(status.get('session_id')))}: said")
    if cut != text:
        print(f"agentui: the text was cut to {len(cut):,} of {len(text):,} characters", file=sys.stderr)
    return 0


def shortened(text: str, limit: int = MAX_CHARS) -> str:
    """The text, or its beginning and its longer end with a note of what is missing between them."""
    if len(text) <= limit:
        return text
    head = text[:_HEAD_CHARS]
    tail = text[len(text) - (limit - _HEAD_CHARS) :]
    left_out = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left_out:,} characters left out here ...]\n{tail}"


def _piped() -> str:
    """Standard input, of which a bounded beginning and end are kept. Blocks until it ends."""
    head = bytearray()
    tail = bytearray()
    dropped = 0
    while chunk := os.read(sys.stdin.fileno(), 1 << 16):
        if len(head) < _KEPT_BYTES:
            head += chunk
            continue
        tail += chunk
        if len(tail) > 2 * _KEPT_BYTES:
            dropped += len(tail) - _KEPT_BYTES
            del tail[: len(tail) - _KEPT_BYTES]
    middle = f"\n[... {dropped:,} bytes left out here ...]\n".encode() if dropped else b""
    return (bytes(head) + middle + bytes(tail)).decode("utf-8", "replace")
