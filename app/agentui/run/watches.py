"""What is done about the machine while a run works: the memory guard's pause, and a sleep's broken request."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

from agentui.control import SwitchModel
from agentui.events import (
    CompactionEnded,
    CompactionStarted,
    Event,
    ForecastMade,
    MemorySample,
    ModelLoadEnded,
    ModelLoadStarted,
    Resumed,
    RunStarted,
    Slept,
    Warned,
)
from agentui.harness.base import Stop
from agentui.run.aside import Aside
from agentui.run.desk import Desk
from agentui.run.grip import Grip
from agentui.run.guard import Guard
from agentui.run.helpers import Helpers
from agentui.run.ports import Emit, RunParts
from agentui.run.sleep import SleepDetector

COMPACT, SMALLER, GO_ON = "compact", "reload smaller", "go on"
LEAST_CONTEXT_TOKENS = 4096

GRACE_S = 20.0
"""How long memory may stay short after a compaction before an unattended run ends: servers free it late."""
PATIENCE_S = 120.0
"""How long an unattended run may take until its compaction begins."""

_Silence: TypeAlias = Literal["none", "until it falls", "until it is ok"]
GUARD_HINT = "free memory, or load the model with a smaller context: agentui load MODEL --context N"


class Watches:
    """Sees every sample and the events it needs. Never blocks; what takes long runs in helpers."""

    def __init__(self, desk: Desk, aside: Aside, helpers: Helpers, parts: RunParts, emit: Emit) -> None:
        self._desk = desk
        self._aside = aside
        self._helpers = helpers
        self._emit = emit
        self._clock = parts.clock
        self._wall_clock = parts.wall_clock
        self._guard = Guard()
        self._why = ""
        self._sleep = SleepDetector()
        self._loading = 0
        self._silence: _Silence = "none"
        self._asking: asyncio.Task[None] | None = None
        self._compaction_asked_s: float | None = None
        self._compaction_began = False
        self._compacted_s: float | None = None

    def sampled(self, event: Event) -> None:
        """A reading of the machine."""
        gap_s = self._sleep.tick(self._clock(), self._wall_clock())
        if gap_s is not None:
            self._slept(gap_s)
        match event:
            case ForecastMade():
                self._guard.forecast(event)
            case MemorySample() if self._is_about_the_model:
                self._measured(event)
            case _:
                pass

    def happened(self, event: Event) -> None:
        """Something of the run; most of it does not matter here."""
        match event:
            case RunStarted():
                self._compaction_asked_s = self._compacted_s = None
                self._compaction_began = False
                if self._silence == "until it falls":
                    self._silence = "none"
            case Resumed() if self._asking is not None:
                # The user went on by the key, with the question open.
                self._asking.cancel()
                self._asking, self._silence = None, "until it is ok"
            case CompactionStarted():
                self._compaction_began = True
            case CompactionEnded() | Warned(code="nothing_to_compact"):
                self._compacted_s = self._clock()
            case ModelLoadStarted():
                self._loading += 1
            case ModelLoadEnded():
                self._loading -= 1
            case _:
                pass

    # --- sleep -------------------------------------------------------------------------------

    def _slept(self, gap_s: float) -> None:
        """The connection did not outlive it: the same request is asked again."""
        self._guard.forget_trend()
        self._emit(Slept(gap_s))
        working = self._desk.run or self._desk.idle_work
        if working is not None:
            working.gate.cut("freeze")

    # --- memory ------------------------------------------------------------------------------

    @property
    def _is_about_the_model(self) -> bool:
        """A simulated model takes no memory, and one elsewhere none of this machine's."""
        prepared = self._desk.stage.prepared
        return prepared is None or not (prepared.model.is_simulated or prepared.model.is_remote)

    def _measured(self, sample: MemorySample) -> None:
        if self._loading:
            self._guard.forget_trend()
        change = self._guard.observe(sample, self._clock())
        if change is not None:
            self._why = change.why
            self._emit(change)
        if self._guard.level == "ok" or (self._guard.level == "watch" and self._silence == "until it falls"):
            self._silence = "none"
        if self._guard.level == "act" and self._desk.run is not None:
            self._act(self._desk.run)

    def _act(self, run: Grip) -> None:
        if not self._desk.policy.is_interactive:
            self._act_unattended(run)
        elif self._silence == "none" and self._asking is None:
            was_held = run.is_held
            run.pause(freeze=True, by="guard")
            self._asking = self._helpers.start(self._ask(run, was_held))

    def _act_unattended(self, run: Grip) -> None:
        """Compact once; where that does not help, end."""
        now_s = self._clock()
        if self._compaction_asked_s is None:
            self._compaction_asked_s = now_s
            run.gate.ask_compaction(f"memory: {self._why}")
            run.gate.send_now()
            return
        is_late = not self._compaction_began and now_s - self._compaction_asked_s > PATIENCE_S
        is_in_vain = self._compacted_s is not None and now_s - self._compacted_s > GRACE_S
        if is_late or is_in_vain:
            run.gate.end_by_guard(Stop("guard", f"memory: {self._why}", GUARD_HINT))

    async def _ask(self, run: Grip, was_held: bool) -> None:
        smaller = self._smaller_context()
        choices = (COMPACT, SMALLER, GO_ON) if smaller is not None else (COMPACT, GO_ON)
        try:
            verdict = await self._desk.approvals.ask("Memory is nearly full. What now?", self._why, choices)
        finally:
            self._asking = None
        if verdict is None or self._desk.run is not run:
            return
        asks = run.asks
        self._silence = "until it is ok" if verdict == GO_ON else "until it falls"
        if verdict == COMPACT:
            run.gate.ask_compaction(f"memory: {self._why}")
        elif verdict == SMALLER:
            await self._aside.do(SwitchModel(None, smaller), run.gate)
        if not was_held and run.asks == asks:
            run.resume()

    def _smaller_context(self) -> int | None:
        """Half of what is loaded; ``None`` where that is too small, or cannot be loaded from here."""
        prepared = self._desk.stage.prepared
        loaded = prepared.model.loaded_context_tokens if prepared is not None else None
        if prepared is None or loaded is None or not prepared.backend.facts.can_load:
            return None
        return loaded // 2 if loaded // 2 >= LEAST_CONTEXT_TOKENS else None
