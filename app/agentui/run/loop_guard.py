"""Notices a model that runs in circles: the same command with the same result, again and again."""

from __future__ import annotations

import hashlib

TOLD_AFTER = 3
"""Equal results in a row after which the model is told once."""

ASKED_AFTER = 4
"""Equal results in a row after which the user is asked (without a user: the run stops)."""


class LoopGuard:
    """Counts equal (command, outcome, output) in a row."""

    def __init__(self) -> None:
        self._last = b""
        self.repeats = 0

    def observe(self, command: str, outcome: str, text: str) -> int:
        """Take a finished command; returns how often it gave this result in a row, this time included."""
        key = hashlib.sha256("\0".join((command, outcome, text)).encode("utf-8", "surrogatepass")).digest()
        self.repeats = self.repeats + 1 if key == self._last else 1
        self._last = key
        return self.repeats

    def forgive(self) -> None:
        """The user said go on: count anew."""
        self._last, self.repeats = b"", 0
