"""When two names are one: as case-insensitive and normalising file systems see them, and as people do."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

# Invisible code points that no category tells: those of Unicode's Default_Ignorable_Code_Point that are neither
# control nor format characters. HFS+ ignores some in names (git's utf8.c, is_hfs_dotgit), and people see none.
# The first is the dot that a dotted capital I leaves behind.
_IGNORABLE = frozenset(
    map(
        chr,
        [
            0x0307,
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            *range(0x180B, 0x1810),
            0x3164,
            *range(0xFE00, 0xFE10),
        ],
    )
) | {chr(0xFFA0)}
_TRAILING = ". \u1680\u2028\u2029"


def fold_name(name: bytes) -> str:
    """One path component as the most forgiving file system would compare it.

    NFKC and case folding, without ignorable and control code points, without trailing dots and spaces, and
    without what follows a colon (alternate data streams).
    """
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text.casefold().partition(":")[0].rstrip(". ")
    text = "".join(ch for ch in text if not _is_ignorable(ch))
    # Folding can make new compositions, and normalising new capitals: twice settles both. Some compare
    # capitals, and to those the dotless i is an i.
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text).upper().casefold()
    text = "".join(ch for ch in unicodedata.normalize("NFKC", text) if not _is_ignorable(ch))
    return text.partition(":")[0].rstrip(_TRAILING)


def _is_ignorable(ch: str) -> bool:
    if ch in _IGNORABLE or 0xE0000 <= ord(ch) <= 0xE0FFF or 0xFFF0 <= ord(ch) <= 0xFFF8:
        return True
    return unicodedata.category(ch) in ("Cc", "Cf")


def folds_to(name: bytes, wanted: str) -> bool:
    """Whether a component is `wanted` (given folded) to a forgiving file system, its 8.3 form included.

    To some a backslash parts names; then one of the parts is enough.
    """
    forms = (wanted, "git~1") if wanted == ".git" else (wanted,)
    if b"\\" not in name:
        return fold_name(name) in forms
    return any(fold_name(part) in forms for part in name.split(b"\\"))


def fold_path(path: bytes) -> str:
    """A key that is equal for paths which a case-insensitive, normalising file system takes for one."""
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def folder_folds_case(folder: Path) -> bool:
    """Whether the file system of `folder` takes upper and lower case for one; looks, writes nothing.

    Falls back to False where no name in or above the folder has letters.
    """
    for candidate in (folder, *folder.parents):
        swapped = candidate.name.swapcase()
        if swapped == candidate.name:
            continue
        try:
            return os.path.samestat(candidate.lstat(), (candidate.parent / swapped).lstat())
        except OSError:
            return False
    return False
