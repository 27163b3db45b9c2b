"""Where the links of a tree lead, by their text alone: nothing on a disk is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentui.sandbox.base import Entry

MAX_HOPS = 40
"""A way through more links than this leads in a circle, as the kernel sees it."""


def hops(path: bytes, target: bytes, entries: Mapping[bytes, Entry]) -> Iterator[list[bytes] | None]:
    """The places a link leads to, one link at a time, as names from the root; ``None`` and an end if it leaves.

    At most `MAX_HOPS` and one more. A place that is itself behind a link is followed by the next.
    """
    for _ in range(MAX_HOPS + 1):
        if not target or target.startswith(b"/") or b"\0" in target:
            yield None
            return
        parts = [part for part in target.split(b"/") if part not in (b"", b".")]
        ups = next((i for i, part in enumerate(parts) if part != b".."), len(parts))
        above = path.split(b"/")[:-1]
        # Only leading ".." are certain: after a name that may be a link, ".." can lead anywhere.
        if ups > len(above) or b".." in parts[ups:]:
            yield None
            return
        resolved = above[: len(above) - ups] + parts[ups:]
        yield resolved
        through = _first_link(resolved, entries)
        if through is None:
            return
        depth, entry = through
        path = entry.path
        target = b"/".join([entry.link_target or b"", *resolved[depth:]])


def _first_link(parts: Sequence[bytes], entries: Mapping[bytes, Entry]) -> tuple[int, Entry] | None:
    for depth in range(1, len(parts) + 1):
        entry = entries.get(b"/".join(parts[:depth]))
        if entry is not None and entry.type == "link":
            return depth, entry
    return None
