"""Make the copy, and keep it up to date with the user's own edits on the host."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentui.errors import WorkspaceError
from agentui.events import Event, WorkspaceSeedProgressed
from agentui.sandbox.base import Entry
from agentui.workspace import sync
from agentui.workspace.baseline import WITNESS, Baseline, Known
from agentui.workspace.copystate import CopyState, remove_tree
from agentui.workspace.diff import compare
from agentui.workspace.hosttree import HostTree, Node, NotPlain
from agentui.workspace.ignore import text_of
from agentui.workspace.kept_back import write_marked
from agentui.workspace.manifest import HostView, is_git_path, is_text, look
from agentui.workspace.merge import merge3
from agentui.workspace.rules import Delta
from agentui.workspace.select import Selection, ask_about_size, select
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.threads import in_thread
from agentui.workspace.witness import Witness, parse_witness, witness_of

_PROGRESS_S = 0.1
_IDENTITY = "copy identity"
# A write in the same tick of the file system's clock as ours would leave no trace in the times.
_TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Synced:
    """What came over, what was merged, and what both sides changed; `conflicts` only those not told before."""

    copied: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


class SeedProgress:
    """Turns progress of any thread into events on the loop, at most ten a second."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._last_s = 0.0

    def tell(self, files: int, size: int, total_files: int | None, total: int | None) -> None:
        """May be called from any thread."""
        now_s = time.monotonic()
        if now_s - self._last_s >= _PROGRESS_S:
            self._last_s = now_s
            event = WorkspaceSeedProgressed(files, total_files, size, total)
            self._loop.call_soon_threadsafe(self._emit, event)


class Seeder:
    """Writes the copy and the base, never the host."""

    def __init__(
        self, root: Path, settings: WorkspaceSettings, baseline: Baseline, state: CopyState, scratch: Path
    ) -> None:
        self._root = root
        self._settings = settings
        self._baseline = baseline
        self._state = state
        self._scratch = scratch

    async def is_kept(self) -> bool:
        """Whether the copy that was once made is still there."""
        if not await in_thread(lambda: self._baseline.is_seeded and self._baseline.has_entries):
            return False
        identity = await self._state.copy.identity()
        if identity is not None and identity == await in_thread(self._baseline.meta, _IDENTITY):
            return True
        if not await self._state.copy.manifest():
            return False
        await in_thread(self._baseline.set_meta, _IDENTITY, identity or "")
        return True

    async def seed(self, progress: SeedProgress) -> HostView:
        """Make the copy anew. What was in it is gone.

        Raises:
            SeedTooLarge: Before anything was copied.
            WorkspaceError: If the copy does not hold what it should.
        """
        selection, view = await in_thread(
            self._look, lambda files, size: progress.tell(files, size, None, None)
        )
        await in_thread(self._baseline.begin_seeding)
        await self._state.copy.clear()
        total_files, total = len(view.nodes), view.size_bytes
        await self._bring(view.nodes, view, lambda files, size: progress.tell(files, size, total_files, total))
        entries = await self._state.manifest()
        missing = [path for path in view.nodes if path not in entries]
        for path in await in_thread(self._absent, missing):
            del view.nodes[path]
            missing.remove(path)
        if missing:
            raise WorkspaceError(
                f"{len(missing)} files did not reach the copy, the first is {text_of(missing[0])}",
                hint="they may have been removed while copying: try again",
            )
        await in_thread(self._baseline.add_texts, view.texts)
        await in_thread(self._baseline.replace, _known(view, view.nodes, entries))
        await in_thread(self._baseline.set_meta, _IDENTITY, await self._state.copy.identity() or "")
        await in_thread(self._remember, selection, view)
        await asyncio.sleep(_TICK_S)
        return view

    async def _bring(
        self,
        paths: Collection[bytes],
        view: HostView,
        progress: Callable[[int, int], None] = lambda files, size: None,
    ) -> None:
        """Copy host paths; an index that names files which stay behind gets their marks on the way."""
        copy, marked = self._state.copy, {path: view.kept_back[path] for path in view.kept_back.keys() & paths}
        if not marked:
            await copy.seed(self._root, sorted(paths), progress)
            return
        async with self._scratch_folder("index-") as folder:
            done = await in_thread(write_marked, folder, marked)
            await copy.seed(self._root, sorted(set(paths) - set(done)), progress)
            await copy.seed(folder, done, lambda files, size: None)

    @asynccontextmanager
    async def _scratch_folder(self, prefix: str) -> AsyncIterator[Path]:
        folder = Path(await in_thread(lambda: tempfile.mkdtemp(prefix=prefix, dir=self._scratch)))
        try:
            yield folder
        finally:
            await in_thread(remove_tree, folder)

    def _remember(self, selection: Selection, view: HostView) -> None:
        """Host and base agree: the next look may be a stat walk."""
        if witness := witness_of(self._root, self._settings, selection, view):
            self._baseline.set_meta(WITNESS, witness.text())

    def _as_before(self) -> Witness | None:
        """What was seen when host and base last agreed, if the host is still the same."""
        witness = parse_witness(self._baseline.meta(WITNESS))
        return witness if witness is not None and witness.holds(self._root, self._settings) else None

    def _look(
        self, progress: Callable[[int, int], None] = lambda files, size: None
    ) -> tuple[Selection, HostView]:
        known = self._baseline.entries
        with HostTree(self._root) as tree:
            selection = select(tree, self._settings, known)
            limit = self._settings.max_seed_bytes
            before = sum(entry.node.size_bytes for entry in known.values())
            if limit is not None and before <= limit:
                ask_about_size(selection, self._settings)
            return selection, look(tree, selection, known, progress)

    def _absent(self, paths: Collection[bytes]) -> list[bytes]:
        with HostTree(self._root) as tree:
            return [path for path in paths if tree.lstat_or_none(path) is None]

    def _gone(self, view: HostView) -> set[bytes]:
        """Known paths that the host has no more; those that only cannot be read now are not gone."""
        gone: set[bytes] = set()
        with HostTree(self._root) as tree:
            for path in self._baseline.entries.keys() - view.nodes.keys():
                try:
                    if tree.lstat(path) is None:
                        gone.add(path)
                except NotPlain:
                    gone.add(path)
                except OSError:
                    continue
        return gone

    async def edits_in(self) -> tuple[Synced, HostView | Witness]:
        """Bring the user's edits into the copy. Cheap if there are none: one stat walk of the host.

        Raises:
            SeedTooLarge: If the project has grown beyond the limit; nothing was copied.
        """
        if same := await in_thread(self._as_before):
            await in_thread(self._no_conflicts)
            return Synced(), same
        selection, view = await in_thread(self._look)
        edits = await in_thread(lambda: sync.host_edits(self._baseline.entries, view, self._gone(view)))
        if edits.refreshed:
            await in_thread(self._baseline.update, edits.refreshed)
        if not edits.edited and not edits.git:
            await in_thread(self._no_conflicts)
            await in_thread(self._remember, selection, view)
            return Synced(), view
        comparison = await compare(self._root, self._baseline, self._state)
        await in_thread(self._baseline.add_texts, view.texts)
        known = self._baseline.entries
        # The comparison may have found that host and copy agree already.
        edits.edited = {
            path: node
            for path, node in edits.edited.items()
            if not (node is None and path not in known) and not _settled(known.get(path), node)
        }
        decision = sync.decide(edits, view, comparison.deltas, comparison.entries)
        of_git = sync.decide_git(edits, view, known, comparison.entries)
        merged = await self._merge(decision)
        await self._carry_out(decision, of_git, view)
        fresh = await in_thread(self._fresh_conflicts, decision.conflicts, view)
        copied = worth_telling(decision.seed | decision.remove)
        return Synced(copied, tuple(map(text_of, merged)), fresh), view

    def _no_conflicts(self) -> None:
        if self._baseline.has_told_conflicts:
            self._baseline.set_told_conflicts({})

    async def _carry_out(self, decision: sync.Decision, of_git: sync.Decision, view: HostView) -> None:
        copy = self._state.copy
        remove, seed = decision.remove | of_git.remove, decision.seed | of_git.seed
        if remove:
            await copy.remove(sorted(remove))
        if seed:
            await self._bring(seed, view)
        entries = await self._state.manifest()
        put = _known(view, seed, entries)
        for path, node in decision.settle.items():
            put[path] = _known_of(view, path, node, entries[path])
        gone = (remove - seed) | decision.drop | of_git.drop
        await in_thread(self._baseline.update, put, gone)
        await asyncio.sleep(_TICK_S)

    async def _merge(self, decision: sync.Decision) -> list[bytes]:
        """Merge what both changed; what cannot be merged becomes a conflict."""
        pairs = decision.merge
        if not pairs:
            return []
        theirs = await self._state.contents(pairs)
        async with self._scratch_folder("merge-") as folder:
            done = await in_thread(self._merge_into, folder, pairs, theirs)
            if done:
                await self._state.copy.seed(folder, sorted(done), lambda files, size: None)
                entries = await self._state.manifest()
                # The copy is not the base now: an empty mark makes the next look compare the content.
                put = {path: Known(node, "", "", entries[path].mode) for path, node in done.items()}
                await in_thread(self._baseline.update, put)
        decision.conflicts |= pairs.keys() - done.keys()
        return sorted(done)

    def _merge_into(
        self,
        folder: Path,
        pairs: Mapping[bytes, tuple[Delta, Node]],
        theirs: Mapping[bytes, bytes],
    ) -> dict[bytes, Node]:
        done: dict[bytes, Node] = {}
        with HostTree(self._root) as tree:
            for path, (delta, node) in pairs.items():
                base = self._baseline.text(delta.before.sha256) if delta.before is not None else None
                st = tree.lstat(path)
                if base is None or st is None or not stat.S_ISREG(st.st_mode):
                    continue
                ours, other = tree.read(path, st), theirs[path]
                if not is_text(ours) or not is_text(other):
                    continue
                both = merge3(base, ours, other)
                mode = _merged_mode(delta, node)
                if both is None or mode is None:
                    continue
                file = folder / os.fsdecode(path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(both)
                file.chmod(mode)
                done[path] = node
        return done

    def _fresh_conflicts(self, conflicts: Collection[bytes], view: HostView) -> tuple[str, ...]:
        told = self._baseline.told_conflicts()
        now = {path: _identity(view.nodes.get(path)) for path in conflicts}
        if now != told:
            self._baseline.set_told_conflicts(now)
        return tuple(text_of(path) for path in sorted(now) if told.get(path) != now[path])

    async def revert(self, deltas: Mapping[bytes, Delta], git: Collection[bytes]) -> None:
        """Make the copy at these paths what the host has now; what the host has not, or keeps back, goes."""
        _, view = await in_thread(self._look)
        roots = set(git)
        known = self._baseline.entries
        git_paths = {path for path in view.nodes if is_git_path(path) and _below(path, roots)}
        paths = set(deltas) | git_paths
        seed = {path for path in paths if path in view.nodes}
        entries = await self._state.manifest()
        for path in list(seed):
            head = path.rpartition(b"/")[0]
            while head and head in view.nodes and (head not in entries or entries[head].type != "dir"):
                seed.add(head)
                head = head.rpartition(b"/")[0]
        remove = {path for path in paths if path in entries and path not in view.nodes}
        remove |= {path for path in seed if path in entries and entries[path].type != view.nodes[path].type}
        remove |= roots & entries.keys()
        if remove:
            await self._state.copy.remove(sorted(remove))
        if seed:
            await self._bring(seed, view)
        after = await self._state.manifest()
        gone = {path for path in known if path not in after and (path in paths or _below(path, roots))}
        await in_thread(self._baseline.add_texts, view.texts)
        await in_thread(self._baseline.update, _known(view, seed, after), gone)
        await asyncio.sleep(_TICK_S)


def _known(view: HostView, paths: Collection[bytes], entries: Mapping[bytes, Entry]) -> dict[bytes, Known]:
    return {path: _known_of(view, path, view.nodes[path], entries[path]) for path in paths if path in entries}


def _known_of(view: HostView, path: bytes, node: Node, entry: Entry) -> Known:
    same_size = node.type != "file" or entry.size_bytes == node.size_bytes
    # Another size means that the file was written to while it was copied: then the content decides.
    is_sure = entry.type == node.type and same_size
    return Known(node, view.marks.get(path, ""), entry.fingerprint if is_sure else "", entry.mode)


def _settled(known: Known | None, node: Node | None) -> bool:
    return known is not None and node is not None and known.node.same_as(node)


def _merged_mode(delta: Delta, host: Node) -> int | None:
    before, after = delta.before, delta.after
    if before is None or after is None or after.mode == before.mode or after.mode == host.mode:
        return host.mode
    return after.mode if host.mode == before.mode else None


def _identity(node: Node | None) -> str:
    if node is None:
        return "absent"
    return f"{node.type} {node.mode:o} {node.sha256.hex()} {node.link_target!r}"


def worth_telling(paths: set[bytes]) -> tuple[str, ...]:
    """Paths as text, without folders that are named by what lies in them."""
    holding = {path.rpartition(b"/")[0] for path in paths}
    return tuple(text_of(path) for path in sorted(paths) if path not in holding)


def _below(path: bytes, roots: Collection[bytes]) -> bool:
    return any(path == root or path.startswith(root + b"/") for root in roots)
