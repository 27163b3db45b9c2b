"""The rules of ``.gitignore`` files, nested as git nests them."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass

import pathspec

MAX_IGNORE_BYTES = 1_000_000


def text_of(path: bytes) -> str:
    """A path as text; undecodable bytes become surrogate escapes, so the way back is exact."""
    return path.decode("utf-8", "surrogateescape")


def bytes_of(path: str) -> bytes:
    """The way back from `text_of`."""
    return path.encode("utf-8", "surrogateescape")


def patterns(lines: Iterable[str]) -> pathspec.GitIgnoreSpec:
    """Compile ignore patterns; a line that is no pattern is left out, as git does."""
    good: list[str] = []
    for line in lines:
        try:
            pathspec.GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        good.append(line)
    return pathspec.GitIgnoreSpec.from_lines(good)


def parse(content: bytes) -> pathspec.GitIgnoreSpec:
    """Compile the content of an ignore file; only the first megabyte counts.

    As git reads it: lines end at a newline alone, and a mark of UTF-8 at the beginning is none of the pattern.
    """
    text = text_of(content[:MAX_IGNORE_BYTES].removeprefix(codecs.BOM_UTF8))
    return patterns(line.removesuffix("\r") for line in text.split("\n"))


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """Rules that hold in a folder: its own file first, then those above; the first that matches decides.

    Each level is a prefix (the folder of the file, relative to the project, ending in ``/`` unless empty) and
    its patterns. For a file above the project the
    prefix is empty and the second text leads from its folder down to the project.
    """

    levels: tuple[tuple[str, str, pathspec.GitIgnoreSpec], ...] = ()

    def within(self, folder: bytes, spec: pathspec.GitIgnoreSpec) -> IgnoreRules:
        """These rules with a nested file of `folder` (empty: the project) put before them."""
        prefix = text_of(folder) + "/" if folder else ""
        return IgnoreRules(((prefix, "", spec), *self.levels))

    def above(self, outer: str, spec: pathspec.GitIgnoreSpec) -> IgnoreRules:
        """These rules with those of a folder above the project; `outer` leads from there to the project."""
        return IgnoreRules((("", outer, spec), *self.levels))

    def ignores(self, path: bytes, is_dir: bool) -> bool:
        """Whether the rules leave `path` out; the folders above it must have been asked before."""
        name = text_of(path) + ("/" if is_dir else "")
        for prefix, outer, spec in self.levels:
            verdict = spec.check_file(outer + name.removeprefix(prefix)).include
            if verdict is not None:
                return verdict
        return False
