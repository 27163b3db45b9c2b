"""What lies on the desk of a session: what was asked for, and what works on it now."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from agentui.run.approvals import Approvals
from agentui.run.aside import SlowControl
from agentui.run.gate import Talk
from agentui.run.grip import Grip
from agentui.run.ports import RunPolicy
from agentui.run.prepare import Preparation, Prepared
from agentui.run.queue import TaskQueue
from agentui.run.resumed import Unfinished
from agentui.run.stage import Stage


@dataclass(slots=True)
class Desk:
    """Shared by the life of a session, which works it off, and its controls, which put things on it.

    `wake` tells the former of the latter. All on one event loop.
    """

    policy: RunPolicy
    talk: Talk
    tasks: TaskQueue
    approvals: Approvals
    stage: Stage = field(default_factory=Stage)
    slow: deque[SlowControl] = field(default_factory=deque)
    unfinished: Unfinished | None = None
    run: Grip | None = None
    idle_work: Grip | None = None
    idle_control: SlowControl | None = None
    preparing: asyncio.Task[Prepared] | None = None
    preparation: Preparation | None = None
    begins_held: bool = False
    is_serving: bool = False
    is_quitting: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_run_coming(self) -> bool:
        """Whether a run begins as soon as all is prepared, without anybody submitting it: the one of ``-p``."""
        return self.preparing is not None and not self.is_serving
