"""`agentui doctor keys`: what the terminal sends for a key, the name it is bound by, and what it does."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentui.errors import UsageError
from agentui.text import clean_line

# The dashboard asks for the Kitty protocol in the same way, so that the same bytes arrive here.
_KITTY_ON, _KITTY_OFF = "\x1b[>1u", "\x1b[<u"
# A lone Escape is told from the beginning of a sequence by the silence that follows it.
_SILENCE_S = 0.1
_PRESS = re.compile(
    # Sequences (with an Escape before them: Alt), Alt with a character, a character of one or more bytes.
    rb"\x1b?\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~])|\x1b?(?:[\xc0-\xff][\x80-\xbf]+|[^\x1b])|\x1b",
    re.DOTALL,
)


def show_keys(keymap: Mapping[str, str], settings_file: Path) -> int:
    """Print what can be bound, then each key that is pressed, until q is pressed twice in a row.

    Raises:
        UsageError: If there is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("doctor keys needs a terminal to press keys in")
    from agentui.tui.keys import actions_by_key

    print("\n".join(bindings_text(keymap, settings_file)))
    print("\nPress keys. Each shows the bytes that arrive, the name to bind, and what it does. q twice ends.\n")
    does = actions_by_key(keymap)
    with _raw_terminal(sys.stdin.fileno()):
        last = ""
        for arrived in _presses(sys.stdin.fileno()):
            names = key_names(arrived)
            shown = f"{spelled(arrived):<24}{', '.join(names) or 'not a key':<18}"
            words = "; ".join(does[name] for name in names if name in does)
            sys.stdout.write(f"{shown}{words}".rstrip() + "\r\n")
            sys.stdout.flush()
            if names == ["q"] and last == "q":
                break
            last = names[-1] if names else ""
    return 0


def bindings_text(keymap: Mapping[str, str], settings_file: Path) -> list[str]:
    """The ids that keys can be bound by, with the key of each as it stands, and how to bind another one."""
    from agentui.tui.keys import KEYS

    lines = [f"{key.id:<19}{keymap.get(key.id, key.keys):<16}{key.words}" for key in KEYS]
    unknown = sorted(keymap.keys() - {key.id for key in KEYS})
    if unknown:
        lines += ["", f"your settings bind what there is not: {clean_line(', '.join(unknown))}"]
    return [*lines, "", f"To bind another key, in {settings_file}:", "  [keys]", '  "run.pause" = "f7,space"']


def spelled(arrived: bytes) -> str:
    """Bytes as a person can read and repeat them; nothing of it acts on a terminal."""
    return "".join(
        "ESC " if b == 0x1B else chr(b) if 0x20 < b < 0x7F else f"\\x{b:02x}" for b in arrived
    ).strip()


def key_names(arrived: bytes) -> list[str]:
    """The names the dashboard gives to what arrived; several where one press sends several keys."""
    from textual import events
    from textual._xterm_parser import XTermParser

    # Private to Textual, but the only way to see through its own eyes.
    parser = XTermParser()
    messages = [*parser.feed(arrived.decode("utf-8", "replace")), *parser.feed("")]
    return [message.key for message in messages if isinstance(message, events.Key)]


def single_presses(arrived: bytes) -> list[bytes]:
    """What one read brought, key by key: keys that are hit fast, or pasted, arrive together."""
    return _PRESS.findall(arrived)


def _presses(fd: int) -> Iterator[bytes]:
    """Each key that arrives; a sequence may come in several reads."""
    while first := os.read(fd, 1024):
        arrived = first
        while select.select([fd], [], [], _SILENCE_S if arrived == b"\x1b" else 0)[0]:
            more = os.read(fd, 1024)
            if not more:
                break
            arrived += more
        yield from single_presses(arrived)


@contextmanager
def _raw_terminal(fd: int) -> Iterator[None]:
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    sys.stdout.write(_KITTY_ON)
    sys.stdout.flush()
    try:
        yield
    finally:
        sys.stdout.write(_KITTY_OFF)
        sys.stdout.flush()
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
