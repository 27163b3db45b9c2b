"""What differs between copy, base and host: the first step of every change list, apply and sync."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentui.events import ChangeKind
from agentui.sandbox.base import Entry
from agentui.workspace.baseline import Baseline, Known
from agentui.workspace.copystate import (
    CopyState,
    host_can_hold,
    is_untouched,
    marked,
    needs_hash,
    node_of_entry,
)
from agentui.workspace.hosttree import HostChanged, HostTree, Node, NotPlain, mark_of, same_node
from agentui.workspace.manifest import is_git_path, settled_mark
from agentui.workspace.rules import Delta
from agentui.workspace.threads import in_thread

GIT_NOISE = (b"index", b"index.lock")
"""Git rewrites these when it only looks."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences of copy and base. `conflicts` are those where the host differs from the base too.

    `git` holds the repositories whose own files changed, by the path of their ``.git``.
    """

    entries: Mapping[bytes, Entry]
    deltas: Mapping[bytes, Delta]
    conflicts: frozenset[bytes]
    git: Mapping[bytes, ChangeKind]


async def compare(root: Path, baseline: Baseline, state: CopyState) -> Comparison:
    """Compare copy with base, then the differing paths with the host. O(entries) of the copy.

    Where host and copy already agree (an apply whose end was not recorded), the base is brought up to date.
    """
    entries = await state.manifest()
    deltas = await _deltas(entries, baseline, state)
    git = _git_changes(entries, baseline.entries)
    differing = await in_thread(_differing_host, root, deltas, baseline)
    conflicts = await _settle_agreeing(differing, deltas, baseline, state)
    for path in conflicts.agreed:
        del deltas[path]
    return Comparison(entries, deltas, conflicts.real, git)


async def _deltas(entries: Mapping[bytes, Entry], baseline: Baseline, state: CopyState) -> dict[bytes, Delta]:
    known = baseline.entries
    suspects = [
        entry
        for path, entry in entries.items()
        if path in known and needs_hash(entry, known[path]) and not is_git_path(path)
    ]
    hashes = await state.hashes(suspects)
    settled: dict[bytes, Known] = {}
    deltas: dict[bytes, Delta] = {}
    for path, entry in entries.items():
        before = known.get(path)
        if is_untouched(entry, before) or is_git_path(path):
            continue
        after = after_node(entry, before, hashes.get(path, b""))
        if before is not None and same_node(before.node, after):
            settled[path] = marked(before, entry)
            continue
        deltas[path] = Delta(path, before.node if before else None, after, entry)
    for path, before in known.items():
        if path not in entries and not is_git_path(path):
            deltas[path] = Delta(path, before.node, None)
    if settled:
        await in_thread(baseline.update, settled)
    return deltas


def after_node(entry: Entry, before: Known | None, sha256: bytes) -> Node:
    """What the copy has now. The host's mode counts as long as the copy's did not change."""
    node = node_of_entry(entry, sha256)
    if before is None:
        return node
    mode = before.node.mode if entry.mode == before.copy_mode else entry.mode
    if node.type == before.node.type != "link":
        # Bits that do not come into the copy; those that the agent set on a file stay to be seen.
        mode |= before.node.mode & 0o7000
    digest = sha256
    if node.type == before.node.type == "file" and entry.fingerprint == before.copy_mark:
        digest = before.node.sha256
    return Node(node.type, mode, node.size_bytes, node.mtime_ns, digest, node.link_target)


def _git_changes(entries: Mapping[bytes, Entry], known: Mapping[bytes, Known]) -> dict[bytes, ChangeKind]:
    changed: dict[bytes, ChangeKind] = {}
    for path in entries.keys() | known.keys():
        if not is_git_path(path) or path.rpartition(b"/")[2] in GIT_NOISE:
            continue
        root = git_root(path)
        if root in changed or is_untouched(entries.get(path), known.get(path)):
            continue
        entry = entries.get(path)
        if entry is not None and entry.type == "dir" and path in known:
            continue
        kind: ChangeKind = "modified"
        if root not in known:
            kind = "added"
        elif root not in entries:
            kind = "deleted"
        changed[root] = kind
    return changed


def git_root(path: bytes) -> bytes:
    """The ``.git`` that a path is or lies below."""
    parts = path.split(b"/")
    depth = next(i for i, part in enumerate(parts) if is_git_path(part))
    return b"/".join(parts[: depth + 1])


@dataclass(frozen=True, slots=True)
class _Conflicts:
    agreed: tuple[bytes, ...]
    real: frozenset[bytes]


def host_node(tree: HostTree, path: bytes, known: Known | None) -> tuple[Node | None, str]:
    """What the host has at a path, and its mark; reads the file only if the mark differs from the known one.

    Raises:
        NotPlain: If the way there leads through a link.
        HostChanged: If it changes while it is read.
    """
    st = tree.lstat(path)
    if st is None:
        return None, ""
    if known is not None and known.host_mark and mark_of(st) == known.host_mark:
        return known.node, known.host_mark
    return tree.node(path, st), settled_mark(st)


def _differing_host(
    root: Path, deltas: Mapping[bytes, Delta], baseline: Baseline
) -> dict[bytes, tuple[Node | None, str] | None]:
    """Paths on which the host is not the base any more, with what it has; ``None`` if that cannot be said."""
    found: dict[bytes, tuple[Node | None, str] | None] = {}
    refreshed: dict[bytes, Known] = {}
    with HostTree(root) as tree:
        for path in deltas:
            before = baseline.entries.get(path)
            try:
                node, mark = host_node(tree, path, before)
            except NotPlain as error:
                # Below a file or link of the host: absent; whether that one is as before, it says itself.
                if error.path not in deltas:
                    found[path] = None
                    continue
                node, mark = None, ""
            except (HostChanged, OSError):
                found[path] = None
                continue
            if not same_node(node, before.node if before else None):
                found[path] = (node, mark)
            elif before is not None and mark != before.host_mark:
                refreshed[path] = Known(before.node, mark, before.copy_mark, before.copy_mode)
    baseline.update(refreshed)
    return found


async def _settle_agreeing(
    differing: Mapping[bytes, tuple[Node | None, str] | None],
    deltas: Mapping[bytes, Delta],
    baseline: Baseline,
    state: CopyState,
) -> _Conflicts:
    hashes = await state.hashes(list(_comparable(differing, deltas)))
    put: dict[bytes, Known] = {}
    drop: list[bytes] = []
    real: set[bytes] = set()
    for path, host in differing.items():
        delta = deltas[path]
        if host is None:
            real.add(path)
            continue
        node, mark = host
        entry = delta.entry
        if node is None and delta.after is None:
            drop.append(path)
        elif node is not None and entry is not None and _agree(node, delta.after, hashes.get(path)):
            put[path] = Known(node, mark, entry.fingerprint, entry.mode)
        else:
            real.add(path)
    await in_thread(baseline.update, put, drop)
    return _Conflicts((*put, *drop), frozenset(real))


def _agree(host: Node, after: Node | None, sha256: bytes | None) -> bool:
    if after is None:
        return False
    if host.type == after.type == "dir":
        return True
    if host.type == "file" and sha256 is not None:
        after = Node("file", after.mode, after.size_bytes, after.mtime_ns, sha256)
    return host.same_as(after)


def _comparable(
    differing: Mapping[bytes, tuple[Node | None, str] | None], deltas: Mapping[bytes, Delta]
) -> Iterable[Entry]:
    """Files of the copy whose hash decides whether the host has the same."""
    for path, host in differing.items():
        entry = deltas[path].entry
        if host is None or host[0] is None or entry is None or not host_can_hold(path):
            continue
        if host[0].type == entry.type == "file" and host[0].size_bytes == entry.size_bytes:
            yield entry
