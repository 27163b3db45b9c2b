"""The user's own ignore file, which git heeds in every repository; found without running git."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_MAX_CONFIG_BYTES = 256 * 1024
_EXCLUDES = re.compile(
    r"^[ \t]*\[core\][^\[]*?^[ \t]*excludesfile[ \t]*=[ \t]*\"?([^\"#;\n]+)", re.IGNORECASE | re.MULTILINE
)


def user_ignore_file(home: Path, git_folder: Path) -> Path:
    """What ``core.excludesFile`` of the user's settings names, else git's own default; it need not exist.

    Blocks for a look at two small files. See git-config(1) and gitignore(5).
    """
    for config in (home / ".gitconfig", git_folder / "config"):
        text = ""
        with suppress(OSError):
            text = config.read_bytes()[:_MAX_CONFIG_BYTES].decode("utf-8", "surrogateescape")
        if named := list(_EXCLUDES.finditer(text)):
            value = str(named[-1][1]).strip()
            return home / value[2:] if value.startswith("~/") else home / value
    return git_folder / "ignore"
