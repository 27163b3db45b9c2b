"""The difference of one change as text for the screen."""

from __future__ import annotations

from pathlib import Path

from agentui.workspace.baseline import Baseline
from agentui.workspace.changelist import Row
from agentui.workspace.copystate import CopyState, host_can_hold
from agentui.workspace.diff import Comparison
from agentui.workspace.hosttree import HostChanged, HostTree, Node, NotPlain
from agentui.workspace.ignore import bytes_of, text_of
from agentui.workspace.manifest import is_text
from agentui.workspace.rules import Delta
from agentui.workspace.textdiff import quoted_name, unified
from agentui.workspace.threads import in_thread

MAX_SHOWN_BYTES = 2 * 1024 * 1024
_MAX_NAMES = 200


class DiffTexts:
    """Writes diffs; reads copy, base and host, writes nothing."""

    def __init__(self, root: Path, baseline: Baseline, state: CopyState) -> None:
        self._root = root
        self._baseline = baseline
        self._state = state

    async def text(self, row: Row, comparison: Comparison) -> str:
        """The difference that a row stands for; against the host's version where both changed."""
        change = row.change
        if bytes_of(change.path) not in comparison.deltas or len(row.paths) > 1:
            names = [quoted_name(text_of(path)) for path in sorted(row.paths)[:_MAX_NAMES]]
            more = f"and {len(row.paths) - _MAX_NAMES} more\n" if len(row.paths) > _MAX_NAMES else ""
            return f"{quoted_name(change.path)}: {change.why}\n" + "".join(name + "\n" for name in names) + more
        delta = comparison.deltas[bytes_of(change.path)]
        note = f"{quoted_name(change.path)}: {change.why}\n" if change.rule == "conflict" else ""
        return note + _header(delta) + await self._content(delta, change.rule == "conflict")

    async def _content(self, delta: Delta, against_host: bool) -> str:
        nodes = [n for n in (delta.before, delta.after) if n is not None and n.type == "file"]
        if not nodes or (delta.before and delta.after and delta.before.same_content(delta.after)):
            return ""
        if any(node.size_bytes > MAX_SHOWN_BYTES for node in nodes):
            return "The file is too large to be compared here.\n"
        old = await in_thread(self._old, delta, against_host)
        new = await self._new(delta)
        if delta.before is not None and delta.before.type == "file" and old is None and not against_host:
            return "The version before is not kept and the host has another one by now.\n"
        if not all(is_text(content) for content in (old, new) if content is not None):
            return f"Binary file: {_size(old)} became {_size(new)}.\n"
        return await in_thread(unified, old, new, text_of(delta.path))

    def _old(self, delta: Delta, against_host: bool) -> bytes | None:
        before = delta.before
        if not against_host:
            if before is None or before.type != "file":
                return None
            kept = self._baseline.text(before.sha256)
            if kept is not None:
                return kept
        with HostTree(self._root) as tree:
            try:
                st = tree.lstat(delta.path)
                node = tree.node(delta.path, st)
                if st is None or node is None or node.type != "file" or st.st_size > MAX_SHOWN_BYTES:
                    return None
                is_base = before is not None and node.same_content(before)
                return tree.read(delta.path, st) if against_host or is_base else None
            except (NotPlain, HostChanged, OSError):
                return None

    async def _new(self, delta: Delta) -> bytes | None:
        if delta.after is None or delta.after.type != "file" or not host_can_hold(delta.path):
            return None
        return (await self._state.contents([delta.path]))[delta.path]


def _header(delta: Delta) -> str:
    """What a diff of lines does not show: types, modes, targets."""
    before, after = delta.before, delta.after
    lines: list[str] = []
    if before is not None and after is not None and before.type != after.type:
        lines.append(f"{before.type} became {after.type}")
    elif before is not None and after is not None and before.type != "link" and before.mode != after.mode:
        lines.append(f"mode {before.mode:04o} became {after.mode:04o}")
    for node, word in ((before, "was"), (after, "is")):
        if node is not None and node.type != "file":
            lines.append(f"{word} {_what(node)}")
    return "".join(line + "\n" for line in lines)


def _what(node: Node) -> str:
    if node.type == "link":
        return f"a link to {quoted_name(text_of(node.link_target or b''))}"
    return {"dir": "a folder"}.get(node.type, f"a {node.type}")


def _size(content: bytes | None) -> str:
    return "nothing" if content is None else f"{len(content)} bytes"
