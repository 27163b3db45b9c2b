"""Runs of a comparison: each a session of its own, on its own copy of one snapshot of the project."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from agentui.backends.base import ServerModel
from agentui.config.settings import Settings
from agentui.errors import AgentuiError, BackendUnavailable, ModelNotFound, UsageError
from agentui.events import CheckResult
from agentui.paths import Places, private_folder
from agentui.sandbox.base import OutputChunk
from agentui.session.compare import SNAPSHOT, STOPPED, Comparison, Outcome, Variant, last_card
from agentui.text import plural
from agentui.wire.bench import Bench
from agentui.wire.check_run import run_check, seed_folder
from agentui.wire.checks import CheckSandboxes
from agentui.wire.live import open_session
from agentui.wire.servers import find_backend
from agentui.wire.workshops import own_place
from agentui.workspace.copystate import remove_tree

log = logging.getLogger(__name__)


class CompareRuns:
    """Starts the runs of a comparison. Nothing reaches the project; changes go to the run's own folder.

    Args:
        sides: The settings of each side.
        where: The user's folders.
        comparison: What is compared, and its folder.
        note: Hears of the progress.
    """

    def __init__(
        self,
        sides: Mapping[Variant, Settings],
        where: Places,
        comparison: Comparison,
        note: Callable[[str], None],
    ) -> None:
        self._sides = sides
        self._where = where
        self._comparison = comparison
        self._note = note

    async def find_models(self) -> None:
        """See that the server of each side has its model, before the first run takes its time.

        Raises:
            BackendUnavailable: If a server is not there, or has no such model.
        """
        for variant, settings in self._sides.items():
            backend = await find_backend(settings)
            try:
                if settings.model is not None:
                    await backend.describe(settings.model)
            except ModelNotFound as error:
                raise BackendUnavailable(f"{variant.name}: {error.message}", hint=error.hint) from error
            finally:
                await backend.aclose()

    async def find_check(self) -> None:
        """See that the check can be run, before the first run takes its time. Builds what needs no network.

        Raises:
            UsageError: If there is no such check.
            SandboxUnavailable: If there is no engine, or its image must be built with a network first.
        """
        plan = self._comparison.plan
        if plan.check is None:
            return
        settings = next(iter(self._sides.values()))
        check = settings.checks.find(plan.check)
        if check is None:
            names = ", ".join(settings.checks.names)
            hint = f"there are: {names}" if names else "agentui checks add sets one up"
            raise UsageError(f"there is no check {plan.check!r} for {plan.project}", hint=hint)
        sandbox = await CheckSandboxes(settings, Path(plan.project), "", "").open(check)
        await sandbox.aclose()

    async def take_snapshot(self) -> None:
        """Copy the project as an agent would get it, once for all runs; one cut short is made anew."""
        folder, half = self._snapshot, self._comparison.folder / f"{SNAPSHOT}.part"
        if folder.is_dir():
            return
        await asyncio.to_thread(shutil.rmtree, half, True)
        self._note("copying the project once for all runs")
        settings = next(iter(self._sides.values()))
        await seed_folder(settings, self._where, Path(self._comparison.plan.project), half)
        (half / "copy").rename(folder)
        await asyncio.to_thread(shutil.rmtree, half, True)

    async def drop_snapshot(self) -> None:
        """Remove it: every run has ended, and what came of each lies in a folder of its own."""
        await asyncio.to_thread(shutil.rmtree, self._snapshot, True)

    @property
    def _snapshot(self) -> Path:
        return self._comparison.folder / SNAPSHOT

    async def clear(self) -> None:
        """Remove what runs left that were killed: their folders and their private copies."""
        name = Path(self._comparison.plan.project).name
        settings = next(iter(self._sides.values()))
        for folder in await asyncio.to_thread(self._comparison.left_behind):
            await self._forget(settings, folder / name)
            await asyncio.to_thread(shutil.rmtree, folder, True)

    async def start_run(self, variant: Variant, folder: Path) -> Outcome:
        """Run the task with `variant` in `folder`, then the check on what came of it."""
        plan = self._comparison.plan
        project = private_folder(folder) / Path(plan.project).name
        await asyncio.to_thread(shutil.copytree, self._snapshot, project, symlinks=True)
        settings = self._sides[variant]
        await self._make_room(settings)
        session = open_session(settings, project=project, accepts_changes=True)
        try:
            ended = await session.run_task(plan.task)
        finally:
            await session.aclose()
        self._note(f"{variant.name}: {ended.reason} after {plural(ended.turns, 'turn')}")
        card = await asyncio.to_thread(last_card, session.journal)
        check = None if ended.reason in STOPPED else await self._check(settings, project)
        await self._forget(settings, project)
        return Outcome(str(session.journal), card, check)

    async def _forget(self, settings: Settings, project: Path) -> None:
        """Drop the private copy of a run, and its undo; what came of it lies in the run's own folder."""
        place = own_place(self._where, project)
        try:
            await Bench(settings, self._where, project, place).remove()
            await asyncio.to_thread(remove_tree, place.state)
        except (AgentuiError, OSError) as error:
            log.warning("the copy of %s stays: %s", project, error)

    async def _make_room(self, settings: Settings) -> None:
        """Unload other models where the server can: what they hold would count for this run."""
        if settings.model is None:
            return
        backend = await find_backend(settings)
        try:
            for served in await backend.models() if backend.facts.can_load else ():
                for instance in served.instances:
                    if not _is_meant(served, settings.model):
                        await backend.unload(instance.id)
        finally:
            await backend.aclose()

    async def _check(self, settings: Settings, project: Path) -> CheckResult | None:
        name = self._comparison.plan.check
        if name is None:
            return None

        def drop(chunk: OutputChunk) -> None:
            """The verdict is what is compared."""

        result = await run_check(
            settings, self._where, project, f"check {name}", drop, lambda text: None, is_fresh=True
        )
        if result.outcome == "refused":
            self._note(f"the check {name} did not run: {result.message}")
            return None
        return CheckResult(name, result.outcome, result.exit_code, result.wall_s)


def _is_meant(served: ServerModel, model: str) -> bool:
    return model in (served.key, served.display_name) or any(model == one.id for one in served.instances)
