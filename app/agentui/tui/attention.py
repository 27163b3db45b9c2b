"""Notifications of the desktop, for terminals that are known to show them."""

from __future__ import annotations

from collections.abc import Mapping

from agentui.text import clean_line

_LIMIT_CHARS = 120
# iTerm2's own form, which kitty takes too; the one of urxvt has a title of its own.
_OSC_9 = frozenset(("iTerm.app",))
_OSC_777 = frozenset(("WezTerm", "ghostty"))
_KITTY = "xterm-kitty"
_GHOSTTY = "xterm-ghostty"


def desktop_notification(environ: Mapping[str, str], text: str) -> str | None:
    """The sequence that notifies of `text` (untrusted), or ``None`` where the terminal might print it instead.

    Inside tmux and screen the terminal behind them is not known, and they pass such a sequence on only when
    told to.
    """
    if environ.get("TMUX") or environ.get("STY"):
        return None
    words = clean_line(text).replace(";", ",")[:_LIMIT_CHARS]
    program, term = environ.get("TERM_PROGRAM", ""), environ.get("TERM", "")
    if program in _OSC_9 or term == _KITTY:
        return f"\x1b]9;agentui: {words}\x1b\\"
    if program in _OSC_777 or term == _GHOSTTY:
        return f"\x1b]777;notify;agentui;{words}\x1b\\"
    return None
