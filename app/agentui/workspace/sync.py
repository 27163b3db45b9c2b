"""What the user's own edits on the host mean for the copy: bring, merge, or call it a conflict. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agentui.sandbox.base import Entry
from agentui.workspace.baseline import Known
from agentui.workspace.copystate import is_untouched
from agentui.workspace.diff import GIT_NOISE, git_root
from agentui.workspace.hosttree import Node, same_node
from agentui.workspace.manifest import HostView, is_git_path
from agentui.workspace.rules import Delta


@dataclass(slots=True)
class HostEdits:
    """Paths on which the host is not the base any more, and marks worth refreshing where it still is."""

    edited: dict[bytes, Node | None] = field(default_factory=dict)
    git: set[bytes] = field(default_factory=set)
    refreshed: dict[bytes, Known] = field(default_factory=dict)


def host_edits(known: Mapping[bytes, Known], view: HostView, gone: Iterable[bytes]) -> HostEdits:
    """Compare base and host. `gone` are known paths that the host has no more. O(entries)."""
    found = HostEdits()
    for path, node in view.nodes.items():
        before, mark = known.get(path), view.marks[path]
        if before is not None and mark and before.host_mark == mark:
            continue
        if is_git_path(path):
            found.git.add(path)
        elif before is None or not same_node(before.node, node):
            found.edited[path] = node
        elif mark:
            found.refreshed[path] = Known(before.node, mark, before.copy_mark, before.copy_mode)
    for path in gone:
        if is_git_path(path):
            found.git.add(path)
        else:
            found.edited[path] = None
    return found


@dataclass(slots=True)
class Decision:
    """What to do with the copy and the base. `merge` pairs are the agent's difference and the host's node."""

    seed: set[bytes] = field(default_factory=set)
    remove: set[bytes] = field(default_factory=set)
    settle: dict[bytes, Node] = field(default_factory=dict)
    drop: set[bytes] = field(default_factory=set)
    merge: dict[bytes, tuple[Delta, Node]] = field(default_factory=dict)
    conflicts: set[bytes] = field(default_factory=set)


def decide(
    edits: HostEdits, view: HostView, deltas: Mapping[bytes, Delta], entries: Mapping[bytes, Entry]
) -> Decision:
    """Bring what the agent left alone; merge texts that both changed; else the host keeps its own and waits."""
    decision = Decision()
    for path, node in edits.edited.items():
        delta = deltas.get(path)
        if delta is None:
            _bring(decision, path, node)
        elif _agree(node, delta.after):
            if node is None:
                decision.drop.add(path)
            else:
                decision.settle[path] = node
        elif node is not None and _both_files(node, delta):
            decision.merge[path] = (delta, node)
        else:
            decision.conflicts.add(path)
    _mind_folders(decision, view, entries)
    return decision


def _bring(decision: Decision, path: bytes, node: Node | None) -> None:
    if node is None:
        decision.remove.add(path)
    else:
        decision.seed.add(path)


def _agree(host: Node | None, after: Node | None) -> bool:
    if host is not None and after is not None and host.type == after.type == "dir":
        return True
    # A file whose content was not needed to see the difference has no hash; `compare` settles those.
    if after is not None and after.type == "file" and not after.sha256:
        return False
    return same_node(host, after)


def _both_files(host: Node, delta: Delta) -> bool:
    before, after = delta.before, delta.after
    return (
        before is not None and after is not None and host.type == "file" == before.type and after.type == "file"
    )


def _mind_folders(decision: Decision, view: HostView, entries: Mapping[bytes, Entry]) -> None:
    """Where a folder is in the way, or missing: what the agent has in it must not be swept away."""
    staying = set(entries) - decision.remove
    holding = _folders_of(staying)
    for path in list(decision.remove):
        entry = entries.get(path)
        if entry is not None and entry.type == "dir" and path in holding:
            # The agent has files of its own in it: the folder stays with them, as one that it added.
            decision.remove.discard(path)
            decision.drop.add(path)
    for path in sorted(decision.seed):
        entry, node = entries.get(path), view.nodes[path]
        if entry is not None and entry.type == "dir" and node.type != "dir":
            if path in holding:
                decision.seed.discard(path)
                decision.conflicts.add(path)
            else:
                decision.remove.add(path)
        elif entry is not None and entry.type != node.type:
            decision.remove.add(path)
    for path in sorted(decision.seed):
        _mind_parents(decision, path, view, entries)


def _mind_parents(decision: Decision, path: bytes, view: HostView, entries: Mapping[bytes, Entry]) -> None:
    head = path.rpartition(b"/")[0]
    missing: list[bytes] = []
    while head:
        entry = entries.get(head)
        if head in decision.seed:
            break
        if entry is None or head in decision.remove:
            missing.append(head)
        elif entry.type != "dir":
            decision.seed.discard(path)
            decision.conflicts.add(path)
            return
        head = head.rpartition(b"/")[0]
    for folder in missing:
        decision.remove.discard(folder)
        if folder in view.nodes:
            decision.seed.add(folder)


def _folders_of(paths: Iterable[bytes]) -> set[bytes]:
    folders: set[bytes] = set()
    for path in paths:
        head = path.rpartition(b"/")[0]
        while head and head not in folders:
            folders.add(head)
            head = head.rpartition(b"/")[0]
    return folders


def decide_git(
    edits: HostEdits, view: HostView, known: Mapping[bytes, Known], entries: Mapping[bytes, Entry]
) -> Decision:
    """A repository's own files come over as a whole, and only while the agent has not used it to write."""
    decision = Decision()
    if not edits.git:
        return decision
    roots = {git_root(path) for path in edits.git}
    written = {
        git_root(path)
        for path in entries.keys() | known.keys()
        if is_git_path(path) and _was_written(path, entries, known)
    }
    for path in edits.git:
        root = git_root(path)
        if root in roots - written:
            _bring(decision, path, view.nodes.get(path))
    _mind_folders(decision, view, entries)
    return decision


def _was_written(path: bytes, entries: Mapping[bytes, Entry], known: Mapping[bytes, Known]) -> bool:
    if path.rpartition(b"/")[2] in GIT_NOISE:
        return False
    entry, before = entries.get(path), known.get(path)
    if entry is not None and entry.type == "dir" and before is not None:
        return False
    return not is_untouched(entry, before)
