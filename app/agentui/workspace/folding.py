"""When two names are one: as case-insensitive and normalising file systems see them, and as people do."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

# Code points that HFS+ ignores in names (git's utf8.c, is_hfs_dotgit), and other invisible ones.
_IGNORABLE = frozenset(
    map(
        chr,
        [
            0x00AD,
            0x034F,
            0x061C,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            *range(0x180B, 0x1810),
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            0x3164,
            *range(0xFE00, 0xFE10),
            0xFEFF,
            0xFFA0,
            *range(0xFFF0, 0xFFF9),
        ],
    )
)


def fold_name(name: bytes) -> str:
    """One path component as the most forgiving file system would compare it.

    NFKC and case folding, without ignorable code points, without trailing dots and spaces, and without what
    follows a colon (alternate data streams).
    """
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii():
        return text.casefold().partition(":")[0].rstrip(". ")
    text = "".join(ch for ch in text if not _is_ignorable(ch))
    text = unicodedata.normalize("NFKC", text).casefold()
    # Folding can make new compositions, and normalising new capitals: once more settles both.
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(ch for ch in text if not _is_ignorable(ch))
    return text.partition(":")[0].rstrip(". ")


def _is_ignorable(ch: str) -> bool:
    return ch in _IGNORABLE or 0xE0000 <= ord(ch) <= 0xE0FFF


def folds_to(name: bytes, wanted: str) -> bool:
    """Whether a component is `wanted` (given folded) to a forgiving file system, its 8.3 form included."""
    folded = fold_name(name)
    return folded == wanted or (wanted == ".git" and folded == "git~1")


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
