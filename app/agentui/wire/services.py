"""What the screen may ask of a live session."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.backends.base import ServerModel
from agentui.backends.choice import find_model
from agentui.control import Apply, Control
from agentui.errors import AgentuiError, BackendUnavailable
from agentui.events import Recorded
from agentui.session.output_file import read_output
from agentui.telemetry.fit import ModelFit
from agentui.tui.services import ModelChoice

if TYPE_CHECKING:
    from agentui.wire.live import LiveSession

log = logging.getLogger(__name__)

MAX_COMPLETIONS = 50
MAX_SEARCHED = 2000
_HIDDEN = frozenset({".git", "node_modules", ".venv", "__pycache__"})


class LiveServices:
    """The screen's side of a live session; see `agentui.tui.services.Services`."""

    read_only = False

    def __init__(self, session: LiveSession) -> None:
        self._session = session

    def send(self, control: Control) -> None:
        """Ask something of the run; answers come as events."""
        self._session.supervisor.send(control)

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        """Call `listener` with every record from now on; returns the way to end that."""
        return self._session.recorder.subscribe(listener)

    def past(self) -> Sequence[Recorded]:
        """All records so far. Reads the journal: blocks."""
        return self._session.recorder.past

    async def start(self) -> None:
        """Begin the session in the background."""
        self._session.start()

    async def stop(self) -> None:
        """End and save the session."""
        await self._session.aclose()

    async def diff_text(self, path: str) -> str:
        """The unified diff of one path of the private copy; what went wrong, if it cannot be made."""
        try:
            return await self._session.supervisor.diff_text(path)
        except AgentuiError as error:
            return error.message

    async def undo_conflicts(self) -> Sequence[str]:
        """Paths for which an undo would be refused now; none where that cannot be read."""
        try:
            return await self._session.supervisor.undo_conflicts()
        except AgentuiError as error:
            log.info("what an undo would meet cannot be read: %s", error)
            return ()

    def output_text(self, path: str) -> str:
        """The whole output of a command from the disk, at most 4 MiB; blocks for a read.

        Raises:
            SessionError: If there is no such file in the session's folder.
        """
        return read_output(self._session.session_folder, path)

    async def models(self) -> Sequence[ModelChoice]:
        """The models of the server.

        Raises:
            BackendError: If the server cannot be asked.
        """
        backend = self._session.found.backend
        if backend is None:
            raise BackendUnavailable("no model server has been found yet")
        models = [model for model in await backend.models() if model.kind != "embedding"]
        fits = {} if backend.facts.is_remote else await self._session.fits.fits(models, backend.facts)
        return [_choice(model, fits.get(model.key), can_load=backend.facts.can_load) for model in models]

    async def context_notes(self, lengths: Sequence[int]) -> Mapping[int, str]:
        """Whether contexts of the model in use fit on this machine, by length.

        Raises:
            BackendError: If the server cannot be asked.
        """
        backend, model = self._session.found.backend, self._session.found.model
        if backend is None or model is None or model.is_remote:
            return {}
        found = find_model(await backend.models(), model.model)
        return {} if found is None else await self._session.fits.notes(found[0], lengths, backend.facts)

    def apply_always(self) -> None:
        """Apply what waits, and from now on without asking in this project."""
        self._session.trust.apply_always(self._session.project)
        self.send(Apply(always=True))

    def complete_paths(self, prefix: str) -> Sequence[str]:
        """Paths of the project for what was typed of one; see `paths_for`."""
        return paths_for(self._session.project, prefix)


def paths_for(root: Path, prefix: str) -> Sequence[str]:
    """Paths below `root` that begin with `prefix`, folders with a ``/``; else those whose name does.

    The nearest come first. Blocks for one folder, where a name alone is not in it for `MAX_SEARCHED` entries.
    """
    folder, _, start = prefix.rpartition("/")
    below = (root / folder).resolve()
    if below != root.resolve() and root.resolve() not in below.parents:
        return ()
    return _names(below, folder, start) or (_names_below(root, start) if start and not folder else ())


def _choice(model: ServerModel, fit: ModelFit | None, *, can_load: bool) -> ModelChoice:
    loaded = model.instances[0] if model.instances else None
    return ModelChoice(
        name=model.key,
        display_name=model.display_name,
        quantization=model.quantization,
        size_bytes=model.size_bytes,
        is_loaded=model.is_loaded,
        loaded_context_tokens=loaded.context_tokens if loaded else None,
        max_context_tokens=model.trained_context_tokens,
        note="" if fit is None else fit.in_words,
        default_context_tokens=None if fit is None else fit.default_tokens,
        can_load=can_load,
    )


def _names(below: Path, folder: str, start: str, most: int = MAX_COMPLETIONS) -> list[str]:
    found: list[str] = []
    try:
        with os.scandir(below) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.name.startswith(start) and entry.name not in _HIDDEN:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    found.append(path + "/" * entry.is_dir())
    except OSError:
        return []
    return found[:most]


def _names_below(root: Path, start: str) -> list[str]:
    found: list[str] = []
    folders, searched = deque([""]), 0
    while folders and searched < MAX_SEARCHED and len(found) < MAX_COMPLETIONS:
        folder = folders.popleft()
        inside = _names(root / folder, folder.rstrip("/"), "", most=MAX_SEARCHED - searched)
        searched += len(inside)
        found += [path for path in inside if path.rstrip("/").rpartition("/")[2].startswith(start)]
        folders += [path for path in inside if path.endswith("/") and not (root / path[:-1]).is_symlink()]
    return found[:MAX_COMPLETIONS]
