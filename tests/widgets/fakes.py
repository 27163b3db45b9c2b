"""A session for the screen that plays recorded events and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agentui.control import Control
from agentui.errors import SessionError
from agentui.events import Event, Recorded
from agentui.tui.app import AgentuiApp
from agentui.tui.services import ModelChoice
from tests.unit.view.scenes import Tape

PATHS = ("report.py", "tests/test_report.py", "README.md")


class FakeServices:
    """`past` is there at the start; `emit` says more, as a running session would."""

    def __init__(self, past: Sequence[Recorded] = (), *, read_only: bool = False) -> None:
        self.tape = Tape()
        self.tape.records.extend(past)
        if past:
            self.tape.t_s = past[-1].t_s
        self.sent: list[Control] = []
        self.is_started = self.is_stopped = self.is_always = False
        self.diffs: dict[str, str] = {}
        self.conflicts: tuple[str, ...] = ()
        self.outputs: dict[str, str] = {}
        self.choices: list[ModelChoice] = []
        self._read_only = read_only
        self._listeners: list[Callable[[Recorded], None]] = []

    @property
    def read_only(self) -> bool:
        return self._read_only

    def send(self, control: Control) -> None:
        self.sent.append(control)

    def past(self) -> Sequence[Recorded]:
        return list(self.tape.records)

    def subscribe(self, listener: Callable[[Recorded], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def emit(self, *events: Event, after_s: float = 0.1) -> None:
        for recorded in self.tape.wait(after_s).add(*events):
            for listener in list(self._listeners):
                listener(recorded)

    async def start(self) -> None:
        self.is_started = True

    async def stop(self) -> None:
        self.is_stopped = True

    async def diff_text(self, path: str) -> str:
        return self.diffs.get(path, f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-old\n+new\n")

    async def undo_conflicts(self) -> Sequence[str]:
        return self.conflicts

    def output_text(self, path: str) -> str:
        if path not in self.outputs:
            raise SessionError(f"there is no output {path}")
        return self.outputs[path]

    async def models(self) -> Sequence[ModelChoice]:
        return self.choices

    async def context_notes(self, lengths: Sequence[int]) -> Mapping[int, str]:
        """What a test put there."""
        return {length: "fits" for length in lengths}

    def complete_paths(self, prefix: str) -> Sequence[str]:
        return [path for path in PATHS if path.startswith(prefix)]

    def apply_always(self) -> None:
        self.is_always = True


def make_app(services: FakeServices, **settings: object) -> AgentuiApp:
    app = AgentuiApp(services, theme="agentui-dark", **settings)  # type: ignore[arg-type]
    app.animation_level = "none"
    return app
