"""Bring files from one private copy into another, by way of a folder of ours on the host."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from agentui.sandbox.base import Copy, Entry
from agentui.workspace.copystate import remove_tree
from agentui.workspace.ignore import patterns, text_of
from agentui.workspace.manifest import is_git_path

_CARRIED = ("file", "dir", "link")


async def mirror(source: Copy, target: Copy, scratch: Path) -> None:
    """Make the empty copy `target` hold what `source` holds. Costs two copies of all bytes."""
    entries = {entry.path: entry for entry in await source.manifest() if entry.type in _CARRIED}
    await carry(source, target, entries, entries, {}, scratch)


async def write_back(
    source: Copy, target: Copy, globs: Collection[str], scratch: Path
) -> tuple[list[str], list[str]]:
    """Bring over what `globs` name and `source` has otherwise; returns what was written and what was removed.

    Globs are in the form of a ``.gitignore``, relative to the root. Nothing below a ``.git`` is ever taken.
    """
    spec = patterns(globs)
    after = {entry.path: entry for entry in await source.manifest()}
    before = {entry.path: entry for entry in await target.manifest()}

    def is_wanted(entry: Entry) -> bool:
        name = text_of(entry.path) + ("/" if entry.type == "dir" else "")
        return not is_git_path(entry.path) and spec.match_file(name)

    fresh = {
        path: entry
        for path, entry in after.items()
        if entry.type in _CARRIED and is_wanted(entry) and not _same(before.get(path), entry)
    }
    gone = [path for path, entry in before.items() if path not in after and is_wanted(entry)]
    # The source may lie over the target: everything is read before anything is written.
    if fresh:
        await carry(source, target, fresh, after, before, scratch)
    if gone:
        await target.remove(sorted(gone))
    told = [text_of(path) for path, entry in sorted(fresh.items()) if entry.type != "dir"]
    return told, [text_of(path) for path in sorted(gone)]


async def carry(
    source: Copy,
    target: Copy,
    chosen: Mapping[bytes, Entry],
    all_entries: Mapping[bytes, Entry],
    held: Mapping[bytes, Entry],
    scratch: Path,
) -> None:
    """Copy `chosen` entries. Folders above get the mode they have in the target (`held`), else the source."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="carry-", dir=scratch))
    try:
        files = sorted(path for path, entry in chosen.items() if entry.type == "file")
        await source.fetch(files, folder)
        await asyncio.to_thread(_complete, os.fsencode(folder), chosen, all_entries, held)
        await target.seed(folder, sorted(chosen), lambda files, size_bytes: None)
    finally:
        await asyncio.to_thread(remove_tree, folder)


def _complete(
    base: bytes, chosen: Mapping[bytes, Entry], all_entries: Mapping[bytes, Entry], held: Mapping[bytes, Entry]
) -> None:
    """Give fetched files their modes and times, and make the links and folders."""
    folders: set[bytes] = set()
    for path, entry in chosen.items():
        full = os.path.join(base, path)
        folders.update(_above(path))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if entry.type == "dir":
            os.makedirs(full, exist_ok=True)
            folders.add(path)
        elif entry.type == "link":
            os.symlink(entry.link_target or b"", full)
            os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
        else:
            os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns))
            os.chmod(full, entry.mode | 0o400)
    for path in sorted(folders, reverse=True):
        known = chosen.get(path) or held.get(path) or all_entries.get(path)
        full = os.path.join(base, path)
        if known is not None and known.type == "dir":
            os.utime(full, ns=(known.mtime_ns, known.mtime_ns))
            # We read it once more: what its owner closed stays open to us.
            os.chmod(full, known.mode | 0o500)


def _above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]


def _same(one: Entry | None, other: Entry) -> bool:
    if one is None or one.type != other.type or one.mode != other.mode:
        return False
    match other.type:
        case "file":
            return (one.size_bytes, one.mtime_ns) == (other.size_bytes, other.mtime_ns)
        case "link":
            return one.link_target == other.link_target
        case _:
            return True
