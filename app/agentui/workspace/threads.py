"""Blocking work that must not be left half-watched when its task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and wait for its end even when cancelled: what it holds must be free again.

    Raises:
        asyncio.CancelledError: Only after the work has ended.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            # Cancelled again: still not before the work has ended; the first cancellation is raised below.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            # Collect the outcome, else an error of the work would be reported as never retrieved.
            running.exception()
        raise
