"""What comes along of the user's own Pi: texts, read-only; code only by name; keys never."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from agentui.harness.prompt import Instructions, instructions_in

TEXT_FILES = ("SYSTEM.md", "APPEND_SYSTEM.md")
TEXT_FOLDERS = ("prompts", "skills")
TEXT_ENDINGS = (".md", ".txt")
MOST_TEXT_BYTES = 256 * 1024
MOST_FILES = 500
_OWN = frozenset({"models.json", "settings.json", "sessions", "models-store.json", "bin", "AGENTS.md"})
"""Not left out: read elsewhere, written anew, or nothing of the user's wishes."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What came along, and what did not and why; names are relative to the user's agent folder."""

    texts: tuple[str, ...] = ()
    extensions: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()


def bring_texts(source: Path, private: Path, wanted_extensions: Sequence[str] = ()) -> Brought:
    """Copy the user's texts into the private agent folder, read-only. Blocks; follows no links.

    `wanted_extensions` are names below ``extensions/`` that the user agreed to.
    """
    if not source.is_dir():
        return Brought()
    texts: list[str] = []
    left_out: list[str] = []
    for path in _texts_of(source):
        name = str(path.relative_to(source))
        if _is_text(path) and len(texts) < MOST_FILES:
            _copy(path, private / name)
            texts.append(name)
        else:
            left_out.append(f"{name} (no plain text file)")
    extensions: list[Path] = []
    for path in _children(source / "extensions"):
        if path.name in wanted_extensions or path.stem in wanted_extensions:
            extensions.append(path)
        else:
            left_out.append(f"extensions/{path.name} (code; name it in pi.extensions to load it)")
    for path in _children(source):
        if path.name in _OWN or path.name in TEXT_FILES or path.name in (*TEXT_FOLDERS, "extensions"):
            continue
        why = "never given away" if path.name == "auth.json" else "not used here"
        left_out.append(f"{path.name} ({why})")
    return Brought(tuple(texts), tuple(extensions), tuple(left_out))


def user_instructions(source: Path) -> tuple[Instructions, ...]:
    """The user's AGENTS.md for Pi. Reads a file."""
    found = instructions_in(source)
    return (found,) if found is not None else ()


def remove_ended(root: Path) -> None:
    """Remove what processes of ours left that were killed. Blocks."""
    for folder in root.glob("run-*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _texts_of(source: Path) -> Iterator[Path]:
    for name in TEXT_FILES:
        if (source / name).exists():
            yield source / name
    for name in TEXT_FOLDERS:
        for folder, folders, files in os.walk(source / name):
            folders.sort()
            yield from (Path(folder) / file for file in sorted(files))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_text(path: Path) -> bool:
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_TEXT_BYTES:
            return False
        return path.suffix.lower() in TEXT_ENDINGS and b"\x00" not in path.read_bytes()
    except OSError:
        return False


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(source, target, follow_symlinks=False)
    target.chmod(0o400)
