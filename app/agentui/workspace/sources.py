"""Marks of the files outside of a project's own walk that say which of its paths are copied."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from agentui.workspace.hosttree import mark_of

RACY_NS = 2_000_000_000
"""A file written again within one tick of its clock, with the same size, would show the same mark.

Two seconds cover the coarsest file systems (FAT). As git's "racily clean" entries, younger files are compared
by content.
"""
ABSENT = "-"


def source_mark(path: str | Path) -> str:
    """The mark of a file that is read through links; empty while it is too young, ``-`` if there is none."""
    try:
        st = os.stat(path)
    except OSError:
        return ABSENT
    if not stat.S_ISREG(st.st_mode):
        return f"{st.st_mode:o}"
    return mark_of(st) if time.time_ns() - st.st_ctime_ns > RACY_NS else ""
