"""How ``--help`` lays out what a command says of itself: filled to the terminal's width, tables as they are."""

from __future__ import annotations

import argparse
import re
import textwrap

_LABEL = re.compile(r"(?:exit codes|--json|names in --with): +")
_DEEP = " " * 9


class HelpFormatter(argparse.HelpFormatter):
    """Descriptions and epilogs in paragraphs.

    A line that begins with a label (``exit codes: ``) hangs from it, and deeply indented lines go on with it.
    Lines that are indented a little are examples or tables, and stay as they are.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(_filled(entry, width) for entry in _entries(text.replace("`", "").strip()))


def _entries(text: str) -> list[str]:
    """Its paragraphs, labelled entries, kept lines and empty lines."""
    entries: list[str] = []
    for line in text.splitlines():
        last = entries[-1] if entries else ""
        goes_on = line.startswith(_DEEP) or not (line.startswith(" ") or _LABEL.match(line))
        if line and last and goes_on and not last.startswith(" "):
            entries[-1] = f"{last} {line.strip()}"
        else:
            entries.append(line)
    return entries


def _filled(entry: str, width: int) -> str:
    if entry.startswith(" ") or not entry:
        return entry
    label = found[0] if (found := _LABEL.match(entry)) else ""
    return textwrap.fill(
        entry,
        width,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
