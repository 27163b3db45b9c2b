"""Which differences one apply takes, given what the user chose: always a set that makes sense by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agentui.errors import ApplyConflict, WorkspaceError
from agentui.events import ChangeRule
from agentui.workspace.changelist import IGNORED, ChangeList, Row
from agentui.workspace.hosttree import Node
from agentui.workspace.rules import Delta


def chosen_rows(listing: ChangeList, paths: Collection[str] | None) -> list[Row]:
    """Rows that are named, or lie below a named folder; all without names.

    Raises:
        WorkspaceError: If a name is no change and has none below.
    """
    if paths is None:
        return list(listing.rows)
    rows: dict[str, Row] = {}
    for wanted in paths:
        name = wanted.rstrip("/")
        found = [r for r in listing.rows if r.change.path == name or r.change.path.startswith(name + "/")]
        if not found:
            raise WorkspaceError(
                f"{wanted} has no change that waits", hint="/review and agentui sandbox diff list what waits"
            )
        rows.update({row.change.path: row for row in found})
    return list(rows.values())


def chosen_deltas(
    listing: ChangeList, deltas: Mapping[bytes, Delta], paths: Collection[str] | None, include_ask: bool
) -> set[bytes]:
    """The differences to apply, closed over what they need.

    Without names: the free ones, with `include_ask` also the ask list, never what waits only because it is
    ignored. With names: the named ones, where those of the ask list need `include_ask` too.

    Raises:
        ApplyConflict: If a named one is in conflict.
        WorkspaceError: If a named one may never be applied, needs a yes, or does not exist.
    """
    rows = chosen_rows(listing, paths)
    if paths is not None:
        named = {path.rstrip("/") for path in paths}
        _refuse([row for row in rows if row.change.path in named], include_ask)
    allowed = _allowed(listing, include_ask, with_ignored=paths is not None)
    chosen = {path for row in rows for path in row.paths if path in allowed}
    return close_over(chosen, deltas, allowed)


def _refuse(rows: Collection[Row], include_ask: bool) -> None:
    for row in rows:
        change = row.change
        if change.rule == "conflict":
            raise ApplyConflict(
                f"{change.path}: {change.why}; nothing was written",
                hint="discard the agent's version, or put both together by hand",
                paths=(change.path,),
            )
        if change.rule == "never":
            raise WorkspaceError(f"{change.path} is never applied: {change.why}")
        if change.rule == "ask" and not include_ask and not change.why.startswith(IGNORED):
            raise WorkspaceError(
                f"{change.path} needs your yes: {change.why}", hint="review it and apply it from there"
            )


def _allowed(listing: ChangeList, include_ask: bool, with_ignored: bool) -> set[bytes]:
    wanted: set[ChangeRule] = {"free", "ask"} if include_ask else {"free"}
    ignored = listing.ignored
    allowed = {path for path, rule in listing.rules.items() if rule in wanted and path not in ignored}
    return allowed | {p for p in ignored if listing.rules[p] in ("free", "ask")} if with_ignored else allowed


def close_over(chosen: set[bytes], deltas: Mapping[bytes, Delta], allowed: Collection[bytes]) -> set[bytes]:
    """Add the folders that chosen entries need or empty; drop entries whose needs are not allowed."""
    possible = set(allowed)
    while True:
        closed = set(chosen)
        for path in chosen:
            needs = _needs(path, deltas)
            if needs <= possible:
                closed |= needs
            else:
                possible.discard(path)
        closed |= _emptied(closed, deltas)
        closed &= possible
        if closed == chosen:
            return closed
        chosen = closed


def _needs(path: bytes, deltas: Mapping[bytes, Delta]) -> set[bytes]:
    """What must be applied together with a path: new folders above it, or what must go to make room."""
    delta = deltas[path]
    needs: set[bytes] = set()
    if delta.after is not None:
        for head in _above(path):
            above = deltas.get(head)
            if above is not None and _is_dir(above.after) and not _is_dir(above.before):
                needs.add(head)
    if _is_dir(delta.before) and delta.after is not None and not _is_dir(delta.after):
        needs |= {other for other in deltas if other.startswith(path + b"/")}
    return needs


def _is_dir(node: Node | None) -> bool:
    return node is not None and node.type == "dir"


def _emptied(chosen: Collection[bytes], deltas: Mapping[bytes, Delta]) -> set[bytes]:
    """Folders that went together with chosen entries; the plan leaves those that are not empty on the host."""
    folders: set[bytes] = set()
    for path in chosen:
        if deltas[path].after is not None:
            continue
        for head in _above(path):
            above = deltas.get(head)
            if above is not None and above.after is None:
                folders.add(head)
    return folders


def _above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]
