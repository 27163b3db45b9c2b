"""The private copy of a project, and the way of its changes to the host and back.

The host is written only by `apply`, `undo`, `redo` and `recover`; everything else writes the copy or our own
state. No command may run in the copy while a method works on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agentui.errors import AgentuiError, SandboxError, WorkspaceError
from agentui.events import (
    Change,
    CommitsTaken,
    Event,
    HostEditsCopied,
    WorkspaceApplied,
    WorkspaceConflicted,
    WorkspaceDiscarded,
    WorkspaceSeeded,
    WorkspaceUndone,
)
from agentui.paths import private_folder
from agentui.sandbox.base import Command, Copy, Sandbox
from agentui.workspace.applier import Applier, nothing_chosen
from agentui.workspace.apply import refusal
from agentui.workspace.baseline import Baseline
from agentui.workspace.changelist import IGNORED, ChangeList, ChangeLister
from agentui.workspace.choose import chosen_deltas, chosen_rows
from agentui.workspace.commits import (
    BUNDLE,
    NO_REPOSITORY,
    NOTHING_NEW,
    TIMEOUT_S,
    HostRepository,
    bundle_script,
)
from agentui.workspace.copystate import CopyState, remove_tree
from agentui.workspace.diff import Comparison, compare
from agentui.workspace.difftext import DiffTexts
from agentui.workspace.fitness import refuse_unfit
from agentui.workspace.folding import folder_folds_case
from agentui.workspace.hosttree import HostChanged, HostTree, NotPlain
from agentui.workspace.ignore import text_of
from agentui.workspace.lock import ProjectLock
from agentui.workspace.manifest import is_git_path
from agentui.workspace.record import APPLIES, base_file, write_record
from agentui.workspace.rules import mass_deletion, tree_facts
from agentui.workspace.seed import Seeder, SeedProgress, Synced, worth_telling
from agentui.workspace.settings import CopyKind, WorkspaceSettings
from agentui.workspace.threads import in_thread
from agentui.workspace.undo import History, PastApply, UndoPreview, nothing_to

log = logging.getLogger(__name__)


class Workspace:
    """One project's copy and history of applies.

    `state` is this project's own folder (see `paths.Places.workspace`); trash and undo lie in it, so it is best
    on the project's file system. The first use takes the project's lock, `aclose` frees it.
    """

    def __init__(
        self,
        project: Path,
        copy: Copy,
        state: Path,
        settings: WorkspaceSettings,
        kind: CopyKind = "folder",
    ) -> None:
        self._project = Path(os.path.realpath(project))
        self._copy = copy
        self._kind: CopyKind = kind
        self._folder = state
        self._settings = settings
        self._lock = asyncio.Lock()
        self._project_lock = ProjectLock(state / "lock")
        self._parts: _Parts | None = None
        self._last: tuple[Comparison, ChangeList] | None = None
        self._untold: list[HostEditsCopied | WorkspaceConflicted] = []
        self.on_point: Callable[[str], None] = lambda point: None
        """Called at every point of an apply or undo where a crash leaves a state of its own."""

    @property
    def workspace_id(self) -> str:
        """The name of its state's folder."""
        return self._folder.name

    def agree_to_size(self) -> None:
        """The user agreed to copy the project however large it is: `prepare` no longer asks."""
        self._settings = replace(self._settings, max_seed_bytes=None)
        self._parts = None

    async def recover(self) -> str | None:
        """Take back an apply or undo that a crash cut short; says what was done, ``None`` if all was well.

        Raises:
            WorkspaceError: If another process works on the project, or the state is damaged.
        """
        async with self._opened() as parts:

            def work() -> str | None:
                with HostTree(self._project) as tree:
                    return parts.history.recover(tree)

            return await in_thread(work)

    async def prepare(self, emit: Callable[[Event], None]) -> None:
        """Make the copy, or bring a kept one up to date, telling progress. Takes as long as copying takes.

        A kept copy keeps the agent's changes. An empty one is made anew: its volume was lost, or the agent
        deleted everything.

        Raises:
            SeedTooLarge: If the project is larger than may be copied unasked.
            WorkspaceError: If the project may not be copied at all, or the copy failed.
        """
        started_s = time.monotonic()
        async with self._opened() as parts:
            progress = SeedProgress(emit)
            reused = await parts.seeder.is_kept()
            if reused:
                synced, view = await parts.seeder.edits_in()
                self._note(synced)
            else:
                view = await parts.seeder.seed(progress)
            await in_thread(parts.baseline.prune_texts)
            # Progress of other threads is on its way through the loop; the end must come after it.
            await asyncio.sleep(0)
            wall_s = time.monotonic() - started_s
            emit(WorkspaceSeeded(self.workspace_id, view.files, view.size_bytes, view.left_out, wall_s, reused))
        for event in self._untold:
            emit(event)
        self._untold.clear()

    async def host_edits_in(self) -> HostEditsCopied | WorkspaceConflicted | None:
        """Bring the user's own edits on the host into the copy; ``None`` if there are none.

        If some came over and others are in conflict, the conflicts are what the next call returns.

        Raises:
            SeedTooLarge: If the project has grown beyond the limit; nothing was copied.
        """
        async with self._opened() as parts:
            if not self._untold:
                synced, _ = await parts.seeder.edits_in()
                self._note(synced)
                parts.lister.forget_ignored()
            return self._untold.pop(0) if self._untold else None

    def _note(self, synced: Synced) -> None:
        if synced.copied or synced.merged:
            self._untold.append(HostEditsCopied(synced.copied, synced.merged))
        if synced.conflicts:
            self._untold.append(WorkspaceConflicted(synced.conflicts))

    async def changes(self) -> tuple[Change, ...]:
        """All differences of the copy. One stat walk of it if nothing changed since the last look."""
        async with self._opened() as parts:
            _, listing = await self._look(parts)
            return listing.changes

    async def _look(self, parts: _Parts) -> tuple[Comparison, ChangeList]:
        comparison = await compare(self._project, parts.baseline, parts.state)
        facts = tree_facts(comparison.entries, parts.folds_case, self._settings.max_file_bytes)
        listing = await parts.lister.present(comparison, facts)
        self._last = (comparison, listing)
        return self._last

    async def diff_text(self, path: str) -> str:
        """The difference of one change as text, exact and uncleaned: a unified diff, or a sentence.

        Raises:
            WorkspaceError: If the path has no change.
        """
        async with self._opened() as parts:
            comparison, listing = self._last or await self._look(parts)
            row = chosen_rows(listing, (path,))[0]
            return await parts.texts.text(row, comparison)

    def auto_blocker(self, changes: tuple[Change, ...]) -> str | None:
        """Why `changes` must not be applied unasked, ``None`` if they may. Does not block."""
        asks = [c for c in changes if c.rule == "ask" and not c.why.startswith(IGNORED)]
        if asks:
            more = f" (and {len(asks) - 1} more)" if asks[1:] else ""
            return f"{asks[0].path} needs a yes: {asks[0].why}{more}"
        conflicts = [change.path for change in changes if change.rule == "conflict"]
        if conflicts:
            return f"{conflicts[0]} was changed on the host too"
        if self._last is None or self._parts is None:
            return "the changes were not looked at"
        comparison, listing = self._last
        taken = [delta for path, delta in comparison.deltas.items() if listing.rules.get(path) == "free"]
        known = self._parts.baseline.entries.items()
        files = sum(one.node.type == "file" and not is_git_path(path) for path, one in known)
        if why := mass_deletion(taken, files):
            return why
        if not any(change.rule == "free" for change in changes):
            return "every change waits for you"
        return None

    async def apply(
        self, paths: tuple[str, ...] | None, include_ask: bool, by: Literal["user", "auto"]
    ) -> WorkspaceApplied:
        """Bring changes to the host as one unit; see `choose.chosen_deltas` for what is taken.

        Raises:
            ApplyConflict: If the host changed since the changes were last shown; nothing was written.
            WorkspaceError: If there is nothing to apply, or the file system refused; nothing was changed.
        """
        async with self._opened() as parts:
            shown = self._last[0].conflicts if self._last else frozenset()
            comparison, listing = await self._look(parts)
            chosen = chosen_deltas(listing, comparison.deltas, paths, include_ask)
            parts.applier.refuse_new_conflicts(comparison, shown, paths)
            if not chosen:
                raise nothing_chosen(listing)
            rows = [row for row in listing.rows if chosen.intersection(row.paths)]
            changes = tuple(row.change for row in rows)
            apply_id = await parts.applier.apply(comparison, chosen, changes, by, self.on_point)
            self._last = None
            waiting = sum(row.change.rule != "never" for row in listing.rows) - len(rows)
            return WorkspaceApplied(apply_id, changes, waiting, by)

    async def undo(self) -> WorkspaceUndone:
        """Take back the last apply that stands: on the host, then in the copy where the agent left it alone.

        Raises:
            ApplyConflict: If the host changed on one of its paths since; nothing was written.
            WorkspaceError: If there is none, or the file system refused.
        """
        return await self._turn(redo=False)

    async def redo(self) -> WorkspaceUndone:
        """Bring the last undone apply again; as `undo`."""
        return await self._turn(redo=True)

    async def _turn(self, redo: bool) -> WorkspaceUndone:
        async with self._opened() as parts:

            def work() -> tuple[str, tuple[bytes, ...]]:
                history = parts.history
                unit = history.next_redo() if redo else history.next_undo()
                if unit is None:
                    raise nothing_to("redo" if redo else "undo")
                with HostTree(self._project) as tree:
                    return unit.read_head().apply_id, history.turn(tree, unit, redo, self.on_point)

            apply_id, paths = await in_thread(work)
            self._last = None
            if parts.baseline.has_entries:
                await self._follow(parts)
            return WorkspaceUndone(apply_id, worth_telling(set(paths)), redo)

    async def _follow(self, parts: _Parts) -> None:
        """Bring the copy along after an undo. The host is done already, so a failure here only waits."""
        try:
            synced, _ = await parts.seeder.edits_in()
        except (AgentuiError, HostChanged, NotPlain, OSError) as error:
            log.warning("the copy follows an undo at the next safe point only: %s", error)
            return
        if synced.conflicts:
            self._untold.append(WorkspaceConflicted(synced.conflicts))

    async def undo_preview(self, redo: bool = False) -> UndoPreview | None:
        """What `undo` (or `redo`) would do, ``None`` if there is nothing."""
        async with self._opened() as parts:

            def work() -> UndoPreview | None:
                with HostTree(self._project) as tree:
                    return parts.history.preview(tree, redo)

            return await in_thread(work)

    async def history(self) -> tuple[PastApply, ...]:
        """Every apply whose contents are still kept, oldest first."""
        async with self._opened() as parts:
            return await in_thread(parts.history.past)

    async def empty_trash(self, keep: int = 0) -> int:
        """Delete for good what applies replaced, but of the last `keep`; returns bytes freed.

        Those applies cannot be undone any more. Only ever call this on the user's explicit wish.
        """
        async with self._opened() as parts:
            return await in_thread(parts.history.empty, keep)

    async def discard(self, paths: tuple[str, ...] | None) -> WorkspaceDiscarded:
        """Drop changes from the copy: it gets what the host has now.

        Raises:
            WorkspaceError: If a path has no change.
        """
        async with self._opened() as parts:
            comparison, listing = await self._look(parts)
            rows = chosen_rows(listing, paths)
            deltas = comparison.deltas if paths is None else parts.applier.to_discard(rows, comparison)
            of_git = {row.change.path for row in rows if not row.paths}
            git = [path for path in comparison.git if text_of(path) in of_git]
            await parts.seeder.revert(deltas, git)
            self._last = None
            return WorkspaceDiscarded(tuple(row.change.path for row in rows))

    async def take_commits(self, sandbox: Sandbox) -> CommitsTaken:
        """Bring the agent's commits to the project's repository, below a ref of ours; no file changes.

        Runs git in the sandbox, so no other command may run, and the user's git on the host.

        Raises:
            WorkspaceError: If there are none, or a git refused.
        """
        async with self._opened() as parts:
            host = HostRepository(self._project)
            script = bundle_script(await in_thread(host.known))
            result = await sandbox.run(Command(script, timeout_s=TIMEOUT_S), lambda chunk: None)
            if result.exit_code in (NOTHING_NEW, NO_REPOSITORY):
                raise WorkspaceError("the agent has made no commits that your repository has not")
            if result.exit_code != 0:
                raise WorkspaceError(f"git made no bundle in the sandbox ({result.outcome}) {result.message}")
            try:
                async with parts.state.fetched([BUNDLE]) as files:
                    return await in_thread(host.take, files[BUNDLE], parts.baseline.entries)
            finally:
                await self._copy.remove([BUNDLE])

    async def aclose(self) -> None:
        """Free the project's lock; the copy and its changes stay."""
        async with self._lock:
            self._parts = None
            self._last = None
            self._project_lock.free()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[_Parts]:
        async with self._lock:
            if self._parts is None:
                self._parts = await in_thread(self._open)
            try:
                yield self._parts
            except (HostChanged, NotPlain) as error:
                raise WorkspaceError(
                    f"{text_of(error.path)} changed while it was looked at", hint="try again"
                ) from error
            except SandboxError as error:
                raise WorkspaceError(error.message, hint=error.hint) from error
            except OSError as error:
                named = error.filename if isinstance(error.filename, str | bytes) else "a file"
                why, hint = refusal(error, text_of(os.fsencode(named)))
                raise WorkspaceError(f"the workspace cannot be worked on: {why}", hint=hint) from error
            except sqlite3.Error as error:
                raise WorkspaceError(f"the workspace's state cannot be used: {error}") from error

    def _open(self) -> _Parts:
        refuse_unfit(self._project, self._folder, self._settings.home)
        try:
            private_folder(self._folder)
            self._project_lock.take()
            scratch = self._folder / "scratch"
            remove_tree(scratch)
            scratch.mkdir(mode=0o700)
            write_record(self._folder, self._project, self._settings.everything)
            return _Parts(self._project, self._copy, self._folder, scratch, self._settings, self._kind)
        except OSError as error:
            raise WorkspaceError(
                f"cannot use {self._folder}: {error}", hint="make room or rights there"
            ) from error


class _Parts:
    """What an opened workspace works with."""

    def __init__(
        self,
        project: Path,
        copy: Copy,
        folder: Path,
        scratch: Path,
        settings: WorkspaceSettings,
        kind: CopyKind,
    ) -> None:
        folds = settings.folds_case
        self.folds_case = folder_folds_case(project) if folds is None else folds
        self.baseline = Baseline(base_file(folder, kind))
        self.state = CopyState(copy, scratch)
        self.history = History(folder / APPLIES)
        self.lister = ChangeLister(project, settings, self.baseline, self.state)
        self.seeder = Seeder(project, settings, self.baseline, self.state, scratch)
        self.texts = DiffTexts(project, self.baseline, self.state)
        self.applier = Applier(project, self.baseline, self.state, self.history)
