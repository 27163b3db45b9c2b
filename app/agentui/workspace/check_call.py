"""Whether a command line as a whole is a call of a check, and what a check's command becomes with arguments.

The line comes from a model: nothing of it is ever handed to a shell but as quoted words.
"""

from __future__ import annotations

import re
import shlex

from agentui.config.checks import ARGS

MAX_CALL_CHARS = 32_768
# What bash would do something about, outside of quotes; `[` only means something where files match it.
_ACTIVE = frozenset(";&|<>()$`\n\r*?{}~")


def called_words(command: str) -> list[str] | None:
    """The words after ``check``, exactly as bash would hand them over; ``None`` if the line is anything else.

    A line with an operator, expansion, wildcard, comment or assignment is not a call as a whole, and neither is
    one whose quotes do not close.
    """
    text = command.strip(" \t\r\n")
    is_named = text == "check" or text.startswith(("check ", "check\t"))
    if not is_named or len(text) > MAX_CALL_CHARS or _does_more(text):
        return None
    try:
        return shlex.split(text)[1:]
    except ValueError:
        return None


def _does_more(text: str) -> bool:
    quote = ""
    is_escaped = False
    for position, character in enumerate(text):
        if is_escaped:
            # An escaped line end joins lines in bash, and within double quotes few escapes count.
            if character in "\r\n" or (quote and character not in '"\\$`'):
                return True
            is_escaped = False
        elif quote == "'":
            quote = "" if character == "'" else quote
        elif character == "\\":
            is_escaped = True
        elif quote:
            if character in "$`":
                return True
            quote = "" if character == '"' else quote
        elif character in "'\"":
            quote = character
        elif character in _ACTIVE or (character == "#" and text[position - 1] in " \t"):
            return True
    return bool(quote or is_escaped)


def with_arguments(run: str, arguments: list[str]) -> str | None:
    """A check's command line with its arguments as quoted words; ``None`` if it takes none but got some."""
    if ARGS not in run:
        return run if not arguments else None
    words = shlex.join(arguments)
    # A literal is put in: the words may hold what a pattern would take for a reference.
    return re.sub(re.escape(ARGS), lambda _: words, run)
