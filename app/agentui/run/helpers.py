"""Short pieces of work beside a run: none is forgotten, and none fails unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from agentui.errors import AgentuiError
from agentui.events import Event, Warned

log = logging.getLogger(__name__)

Work: TypeAlias = Coroutine[None, None, None]

LOG_HINT = "see the log file"


def warning_of(error: BaseException) -> Warned:
    """What the user is told of work that failed."""
    if isinstance(error, AgentuiError):
        return Warned("failed", error.message, error.hint)
    return Warned("internal", f"this could not be done: {type(error).__name__}: {error}", LOG_HINT)


class Helpers:
    """Tasks that run beside the run; all are over when `aclose` returns."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._tasks: dict[asyncio.Task[None], bool] = {}

    def start(self, work: Work, *, must_finish: bool = False) -> asyncio.Task[None]:
        """Begin a piece of work; one that `must_finish` is waited for at the end, not cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = must_finish
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a control failed", exc_info=error)
            self._emit(warning_of(error))

    async def aclose(self) -> None:
        """End all of them."""
        tasks = list(self._tasks)
        for task, must_finish in list(self._tasks.items()):
            if not must_finish:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
