"""Runs of a comparison: each a session of its own, on its own copy of one snapshot of the project."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from agentui.backends.base import ServerModel
from agentui.config.settings import RULES, Settings
from agentui.errors import AgentuiError
from agentui.events import CheckResult
from agentui.paths import Places, private_folder
from agentui.sandbox.base import OutputChunk
from agentui.session.compare import SNAPSHOT, Comparison, Outcome, Variant
from agentui.wire.bench import Bench
from agentui.wire.check_run import run_check, seed_folder
from agentui.wire.live import open_session
from agentui.wire.servers import find_backend
from agentui.wire.workshops import own_place

log = logging.getLogger(__name__)

COMPARABLE = (
    "model",
    "harness",
    "profile",
    "max_turns",
    "system_file",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "seed",
    "max_tokens",
)
"""Settings that a side of a comparison may have, beside the context's length."""


class CompareRuns:
    """Starts the runs of a comparison. Nothing reaches the project; changes go to the run's own folder."""

    def __init__(
        self,
        settings: Settings,
        where: Places,
        comparison: Comparison,
        names: Mapping[str, str],
        note: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._where = where
        self._comparison = comparison
        self._names = names
        self._note = note

    async def take_snapshot(self) -> None:
        """Copy the project as an agent would get it, once for all runs; one cut short is made anew."""
        folder, half = self._snapshot, self._comparison.folder / f"{SNAPSHOT}.part"
        if folder.is_dir():
            return
        await asyncio.to_thread(shutil.rmtree, half, True)
        self._note("copying the project once for all runs")
        await seed_folder(self._settings, self._where, Path(self._comparison.plan.project), half)
        (half / "copy").rename(folder)
        await asyncio.to_thread(shutil.rmtree, half, True)

    @property
    def _snapshot(self) -> Path:
        return self._comparison.folder / SNAPSHOT

    async def clear(self) -> None:
        """Remove what runs left that were killed: their folders and their private copies."""
        name = Path(self._comparison.plan.project).name
        for folder in await asyncio.to_thread(self._comparison.left_behind):
            await self._forget(self._settings, folder / name)
            await asyncio.to_thread(shutil.rmtree, folder, True)

    async def start_run(self, variant: Variant, folder: Path) -> Outcome:
        """Run the task with `variant` in `folder`, then the check on what came of it."""
        plan = self._comparison.plan
        project = private_folder(folder) / Path(plan.project).name
        await asyncio.to_thread(shutil.copytree, self._snapshot, project, symlinks=True)
        settings = self._with(variant)
        await self._make_room(settings.model)
        session = open_session(settings, project=project, accepts_changes=True)
        try:
            ended = await session.run_task(plan.task)
        finally:
            await session.aclose()
        self._note(f"{variant.name}: {ended.reason} after {ended.turns} turns")
        check = await self._check(settings, project)
        await self._forget(settings, project)
        return Outcome(str(session.journal), check)

    async def _forget(self, settings: Settings, project: Path) -> None:
        """Drop the private copy of a run; what came of it lies in the run's own folder."""
        bench = Bench(settings, self._where, project, own_place(self._where, project))
        try:
            await bench.remove()
        except AgentuiError as error:
            log.warning("the copy of %s stays: %s", project, error.message)

    def _with(self, variant: Variant) -> Settings:
        changed = {self._names[name]: value for name, value in variant.settings}
        return replace(self._settings, **{name: RULES[name].parse(value) for name, value in changed.items()})

    async def _make_room(self, model: str | None) -> None:
        """Unload other models: what they hold would count for this run."""
        backend = await find_backend(self._settings)
        try:
            for served in await backend.models():
                for instance in served.instances:
                    if model is not None and not _is_meant(served, model):
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
        return CheckResult(name, result.outcome, result.exit_code, result.wall_s)


def _is_meant(served: ServerModel, model: str) -> bool:
    return model in (served.key, served.display_name) or any(model == one.id for one in served.instances)
