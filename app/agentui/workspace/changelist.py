"""From differences to the list that the user sees: kinds, rules, line counts, and what is shown as one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentui.events import Change, ChangeKind, ChangeRule
from agentui.workspace.baseline import MAX_TEXT_BYTES, Baseline
from agentui.workspace.buildfiles import build_reason, is_build_file
from agentui.workspace.copystate import CopyState, host_can_hold
from agentui.workspace.diff import Comparison
from agentui.workspace.hosttree import HostTree, Node
from agentui.workspace.ignore import text_of
from agentui.workspace.manifest import is_git_path, is_text
from agentui.workspace.rules import Delta, TreeFacts, judge
from agentui.workspace.select import ignored_prefixes
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.textdiff import line_counts
from agentui.workspace.threads import in_thread

IGNORED = "ignored by .gitignore"
"""How the reason of a change begins that waits only because the host's ignore files leave the path out."""

HOLLOW = "it holds only what is never applied"

_MAX_READ_FILES = 300


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list and the differences it stands for."""

    change: Change
    paths: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ChangeList:
    """The list, and the rule of every single difference."""

    rows: tuple[Row, ...]
    rules: Mapping[bytes, ChangeRule]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What events carry."""
        return tuple(row.change for row in self.rows)

    @property
    def ignored(self) -> frozenset[bytes]:
        """Differences below a row that waits only because it is ignored."""
        rows = (row for row in self.rows if row.change.why.startswith(IGNORED))
        return frozenset(path for row in rows for path in row.paths)


class ChangeLister:
    """Makes change lists; remembers line counts and ignore verdicts between two looks."""

    def __init__(self, root: Path, settings: WorkspaceSettings, baseline: Baseline, state: CopyState) -> None:
        self._root = root
        self._settings = settings
        self._baseline = baseline
        self._state = state
        self._counts: dict[tuple[bytes, str, bytes], tuple[int | None, int | None]] = {}
        self._reasons: dict[tuple[bytes, str, bytes], str | None] = {}
        self._ignored: dict[bytes, bytes] = {}

    def forget_ignored(self) -> None:
        """The host's ignore files may have changed."""
        self._ignored.clear()

    async def present(self, comparison: Comparison, facts: TreeFacts) -> ChangeList:
        """Judge and present every difference; fetches small files that were not counted before."""
        deltas = comparison.deltas
        judged: dict[bytes, tuple[ChangeRule, str]] = {p: judge(delta, facts) for p, delta in deltas.items()}
        await self._read(deltas, judged)
        await self._find_ignored([p for p, d in deltas.items() if d.before is None and p not in self._ignored])
        for path, delta in deltas.items():
            rule, _ = judged[path]
            reason = self._build_reason(delta)
            if rule != "never" and path in comparison.conflicts:
                judged[path] = ("conflict", "the host has another version")
            elif rule == "free" and reason:
                judged[path] = ("ask", reason)
            elif rule == "free" and self._ignored_by(delta) is not None:
                judged[path] = ("ask", IGNORED)
        for path in _hollow_folders(comparison, judged):
            judged[path] = ("never", HOLLOW)
        rows = [*self._rows(deltas, judged), *_git_rows(comparison.git)]
        rules: dict[bytes, ChangeRule] = {path: rule for path, (rule, _) in judged.items()}
        return ChangeList(tuple(sorted(rows, key=lambda row: row.change.path)), rules)

    def _build_reason(self, delta: Delta) -> str | None:
        if not is_build_file(delta.path):
            return None
        return self._reasons.get(_key(delta), "it was not looked into")

    def _ignored_by(self, delta: Delta) -> bytes | None:
        found = self._ignored.get(delta.path, b"")
        return found if delta.before is None and found else None

    async def _find_ignored(self, paths: Collection[bytes]) -> None:
        if not paths or self._settings.everything:
            return

        def find() -> dict[bytes, bytes]:
            with HostTree(self._root) as tree:
                return ignored_prefixes(tree, self._settings, paths)

        found = await in_thread(find)
        self._ignored.update({path: found.get(path, b"") for path in paths})

    async def _read(
        self, deltas: Mapping[bytes, Delta], judged: Mapping[bytes, tuple[ChangeRule, str]]
    ) -> None:
        """Count lines and look into build files, where that was not done for this very content."""
        wanted = [
            delta
            for path, delta in deltas.items()
            if judged[path][0] != "never" and _is_small(delta) and _key(delta) not in self._counts
        ][:_MAX_READ_FILES]
        to_fetch = [d.path for d in wanted if d.after is not None and d.after.type == "file"]
        new = await self._state.contents([path for path in to_fetch if host_can_hold(path)])
        await in_thread(self._count, wanted, new)

    def _count(self, deltas: Iterable[Delta], new: Mapping[bytes, bytes]) -> None:
        for delta in deltas:
            before = delta.before
            old = self._baseline.text(before.sha256) if before is not None and before.type == "file" else None
            after = new.get(delta.path)
            key = _key(delta)
            had_file = before is not None and before.type == "file"
            has_file = delta.after is not None and delta.after.type == "file"
            if (had_file and old is None) or (has_file and (after is None or not is_text(after))):
                self._counts[key] = (None, None)
            else:
                self._counts[key] = line_counts(old or b"", after or b"")
            is_known = old is not None or not had_file
            self._reasons[key] = build_reason(delta.path, old, after if is_known else None)

    def _rows(self, deltas: Mapping[bytes, Delta], judged: Mapping[bytes, tuple[ChangeRule, str]]) -> list[Row]:
        rows: list[Row] = []
        folded: dict[bytes, list[bytes]] = {}
        hidden = _implied_folders(deltas)
        for path, delta in deltas.items():
            rule, why = judged[path]
            prefix = self._ignored_by(delta) if why == IGNORED else None
            if prefix is not None and prefix != path:
                folded.setdefault(prefix, []).append(path)
            elif prefix is not None and delta.after is not None and delta.after.type == "dir":
                folded.setdefault(path, []).append(path)
            elif path not in hidden:
                rows.append(Row(self._change(delta, rule, why), (path,)))
        for prefix, paths in folded.items():
            rows.append(_folded_row(prefix, paths, deltas))
        return rows

    def _change(self, delta: Delta, rule: ChangeRule, why: str) -> Change:
        added, removed = self._counts.get(_key(delta), (None, None))
        size = delta.after.size_bytes if delta.after is not None and delta.after.type == "file" else None
        return Change(text_of(delta.path), kind_of(delta), rule, why, added, removed, size)


def kind_of(delta: Delta) -> ChangeKind:
    """The kind of a difference in the words of the change list."""
    before, after = delta.before, delta.after
    if before is None:
        return "added"
    if after is None:
        return "deleted"
    if before.type != after.type:
        return "type"
    if before.type == "link":
        return "link"
    if before.type == "dir" or before.same_content(after):
        return "mode"
    return "modified"


def _key(delta: Delta) -> tuple[bytes, str, bytes]:
    fingerprint = delta.entry.fingerprint if delta.entry is not None else ""
    return delta.path, fingerprint, delta.before.sha256 if delta.before is not None else b""


def _is_small(delta: Delta) -> bool:
    nodes = [node for node in (delta.before, delta.after) if node is not None]
    has_file = any(node.type == "file" for node in nodes)
    return has_file and all(node.size_bytes <= MAX_TEXT_BYTES for node in nodes)


def _hollow_folders(comparison: Comparison, judged: Mapping[bytes, tuple[ChangeRule, str]]) -> Iterable[bytes]:
    """New folders in which there is something, but nothing that may ever be applied."""
    new = {p for p, d in comparison.deltas.items() if d.before is None and _is_folder(d.after)}
    if not new:
        return ()
    filled: set[bytes] = set()
    kept: set[bytes] = set()
    for path, entry in comparison.entries.items():
        never = judged[path][0] == "never" if path in judged else is_git_path(path)
        if entry.type == "dir" and path in new and not never:
            continue
        head = path.rpartition(b"/")[0]
        while head:
            filled.add(head)
            if not never:
                kept.add(head)
            head = head.rpartition(b"/")[0]
    empty = new - filled
    for path in empty:
        head = path.rpartition(b"/")[0]
        while head:
            kept.add(head)
            head = head.rpartition(b"/")[0]
    return new & filled - kept


def _is_folder(node: Node | None) -> bool:
    return node is not None and node.type == "dir"


def _implied_folders(deltas: Mapping[bytes, Delta]) -> set[bytes]:
    """Folders that came or went together with something in them: that line says it already."""
    implied: set[bytes] = set()
    for path, delta in deltas.items():
        is_gone = delta.after is None
        head = path.rpartition(b"/")[0]
        while head and head not in implied:
            above = deltas.get(head)
            if above is None:
                break
            node = above.before if is_gone else above.after
            other = above.after if is_gone else above.before
            if node is None or node.type != "dir" or other is not None:
                break
            implied.add(head)
            head = head.rpartition(b"/")[0]
    return implied


def _folded_row(prefix: bytes, paths: Sequence[bytes], deltas: Mapping[bytes, Delta]) -> Row:
    nodes = [deltas[path].after for path in paths]
    files = [node for node in nodes if node is not None and node.type != "dir"]
    size = sum(node.size_bytes for node in files)
    why = f"{IGNORED}; {len(files)} files"
    return Row(Change(text_of(prefix), "added", "ask", why, size_bytes=size), tuple(paths))


def _git_rows(changed: Mapping[bytes, ChangeKind]) -> Iterable[Row]:
    for path, kind in changed.items():
        why = "git's own files (commits, hooks, settings) stay in the copy"
        yield Row(Change(text_of(path), kind, "never", why), ())
