"""The user's grip on a run: pause, freeze, step and go on, whatever runs at that moment."""

from __future__ import annotations

from agentui.events import Warned
from agentui.run.execute import Executor
from agentui.run.gate import RunGate
from agentui.run.helpers import Helpers
from agentui.run.hold import Asker, Holder
from agentui.run.ports import Emit


class Grip:
    """Holds one run. Controls return at once; a command is frozen and thawed by helpers."""

    def __init__(
        self, gate: RunGate, holder: Holder, executor: Executor | None, helpers: Helpers, emit: Emit
    ) -> None:
        self.gate = gate
        self._holder = holder
        self._executor = executor
        self._helpers = helpers
        self._emit = emit

    @property
    def is_held(self) -> bool:
        """Whether the run stands still now."""
        return self._holder.is_reached

    @property
    def is_pausing(self) -> bool:
        """Whether a hold was asked for and is not reached."""
        return self._holder.is_asked and not self._holder.is_reached

    @property
    def asks(self) -> int:
        """How often a hold was asked for; who sees the same number knows that it is still the same hold."""
        return self._holder.asks

    @property
    def is_busy(self) -> bool:
        """Whether a command is in the middle, running or frozen: then nobody may work on the copy."""
        return self._executor is not None and self._executor.is_running

    def pause(self, freeze: bool, by: Asker = "user") -> None:
        """Hold at the next safe point; asked again while that is not reached, or with `freeze`: at once."""
        holder = self._holder
        if holder.is_reached:
            return
        is_second = holder.is_asked
        if not is_second or freeze:
            holder.ask(by, freeze)
        if (is_second or freeze) and not self.gate.cut("freeze") and self._executor is not None:
            self._helpers.start(self._freeze(self._executor))

    def step(self) -> None:
        """Go on to the next safe point; while running, hold there."""
        if self._holder.is_reached:
            self.resume(step=True)
        elif not self._holder.is_asked:
            self._holder.ask("step")

    def resume(self, step: bool = False) -> None:
        """Go on; with `step` only to the next safe point."""
        if self._executor is not None:
            self._helpers.start(self._executor.thaw())
        self._holder.release(step)

    def end(self) -> None:
        """What was held is over."""
        if self._holder.is_asked:
            self._holder.release()

    async def _freeze(self, executor: Executor) -> None:
        holder = self._holder
        is_frozen = await executor.freeze()
        if not holder.is_asked or holder.is_interrupted:
            await executor.thaw()
        elif is_frozen is False:
            self._emit(Warned("cannot_freeze", "this sandbox cannot freeze a command; it holds after it ends"))
        elif is_frozen and executor.is_frozen and not holder.is_reached:
            holder.reached("during_command")
