"""Recorded events built in code: a small recorder with a fixed clock, and a whole run to draw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agentui.events import (
    CallId,
    Change,
    ContextMeasured,
    Event,
    ForecastMade,
    KvSample,
    MemorySample,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    ProcessSample,
    RateSample,
    Recorded,
    RequestEnded,
    RequestId,
    RequestStarted,
    RunEnded,
    RunId,
    RunStarted,
    SandboxFacts,
    SessionStarted,
    StateChanged,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolEnded,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    Usage,
    WorkspaceChanged,
    WorkspaceSeeded,
)

GIB = 1024**3
START = datetime(2026, 3, 2, 12, 1, 0, tzinfo=UTC)
MODEL = ModelFacts(
    model="gemma-4-26b-a4b",
    display_name="Gemma 4 26B A4B",
    quantization="Q4_K_M",
    engine="gguf",
    size_bytes=int(15.6 * GIB),
    loaded_context_tokens=65_536,
    requested_context_tokens=65_536,
    trained_context_tokens=262_144,
)
SANDBOX = SandboxFacts(kind="docker", label="docker, no network", is_isolated=True)


class Tape:
    """Numbers and times events with a clock that only `wait` moves."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self.t_s = 0.0

    def wait(self, seconds: float) -> Tape:
        self.t_s = round(self.t_s + seconds, 6)
        return self

    def add(self, *events: Event) -> list[Recorded]:
        new: list[Recorded] = []
        for event in events:
            at = (START + timedelta(seconds=self.t_s)).isoformat(timespec="milliseconds")
            new.append(Recorded(len(self.records) + len(new) + 1, self.t_s, at, RunId("run-1"), event))
        self.records.extend(new)
        return new


def memory(used_gib: float = 44.1, **changes: object) -> MemorySample:
    values: dict[str, object] = {
        "total_bytes": 64 * GIB,
        "used_bytes": int(used_gib * GIB),
        "available_bytes": int((64 - used_gib) * GIB),
        "swap_used_bytes": 0,
        "model_process_bytes": int(17.9 * GIB),
        "sandbox_bytes": int(0.4 * GIB),
        "own_bytes": 92 * 1024**2,
        "gpu_limit_bytes": 48 * GIB,
        "pressure": "ok",
        "source": "measured",
        "gpu_busy_percent": 97.0,
        "weights_bytes": int(15.6 * GIB),
    }
    return MemorySample(**{**values, **changes})  # type: ignore[arg-type]


def kv(tokens: int) -> KvSample:
    filled = tokens * 38_000
    return KvSample(filled, int(1.5 * GIB), int(0.8 * GIB), tokens, "estimated", "llama.cpp, f16")


def assistant(tape: Tape, message_id: str, *, thinking: str = "", text: str = "", pieces: int = 8) -> None:
    """Stream an answer in pieces, a tenth of a second each."""
    mid = MessageId(message_id)
    tape.add(MessageStarted(mid, "assistant", 1))
    for kind, whole in ((ThinkingDelta, thinking), (TextDelta, text)):
        step = max(1, len(whole) // pieces)
        for start in range(0, len(whole), step):
            tape.wait(0.1).add(kind(mid, whole[start : start + step], 4))


def command(
    tape: Tape,
    number: int,
    text: str,
    output: str = "",
    *,
    exit_code: int = 0,
    wall_s: float = 0.1,
    message_id: str = "",
    check: str | None = None,
) -> None:
    """A command from the model's draft to its end."""
    call = CallId(f"call-{number}")
    if message_id:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        tape.add(ToolCallDelta(MessageId(message_id), 0, "bash", '{"command": "' + escaped + '"}', 12))
        tape.add(MessageEnded(MessageId(message_id), "tool_calls"))
    tape.add(StateChanged("checking" if check else "running_command", "none"))
    tape.add(ToolStarted(call, "bash", text, "/workspace", label="check" if check else "command", check=check))
    tape.wait(wall_s)
    if output:
        tape.add(ToolOutput(call, "stdout", output))
    path = f"output/{call}.txt"
    tape.add(
        ToolEnded(call, "ok" if exit_code == 0 else "error", exit_code, wall_s, len(output), output_path=path)
    )


CHANGES = (
    Change("report/__init__.py", "added", added_lines=12),
    Change("report/render.py", "added", added_lines=84),
    Change("report/load.py", "added", added_lines=61),
    Change("report.py", "deleted", removed_lines=312),
    Change("setup.cfg", "modified", rule="ask", why="build configuration", added_lines=1, removed_lines=1),
)
ANSWER = """I'll look at the file first. The plan:

1. read `report.py` and list its **public names**
2. move the loaders to `report/load.py`
3. keep the old import path working

```python
from report.load import Row, load_rows

def main(path: str) -> list[Row]:
    return load_rows(path)
```

> The tests stay as they are.

| module | holds |
|---|---|
| `load.py` | rows and parsing |
| `render.py` | tables, HTML |
"""


def begin(tape: Tape) -> None:
    """A session with a model and a sandbox, and a task."""
    tape.add(SessionStarted("s-1", "~/shop", "0.1.0", branch="main"))
    tape.add(StateChanged("starting", "none"))
    tape.add(
        RunStarted(
            "split report.py into modules, PEP 585",
            MODEL,
            "LM Studio 127.0.0.1:1234",
            "~/shop",
            "loop",
            SANDBOX,
        )
    )
    tape.wait(0.4).add(WorkspaceSeeded("w-1", 212, 4_800_000, (), 0.4))


def samples(tape: Tape, turns: int = 40) -> None:
    """A minute of telemetry with a KV cache that fills."""
    for second in range(turns):
        tape.wait(1.0).add(
            memory(43.0 + second / 40), kv(2_000 + 260 * second), ProcessSample(0.6, 92 * 1024**2)
        )
    tape.add(ContextMeasured(12_400, 65_536, "reported"))
    tape.add(ForecastMade("context", 9.0, None, "6 turns"))
    tape.add(ForecastMade("memory", None, None, "the context is full before", is_far=True))


def whole_run() -> list[Recorded]:
    """A run that thinks, answers, runs two commands and leaves changes; ends done."""
    tape = Tape()
    begin(tape)
    samples(tape)
    tape.add(TurnStarted(1), StateChanged("generating", "none"))
    tape.add(RequestStarted(RequestId("r-1"), 1, 2, 5_000, 1_200))
    assistant(tape, "m-1", thinking="The user wants modules. First I read the file. " * 6, text=ANSWER)
    tape.add(RateSample(42.3, 812.0, 0.8, 312, "measured"))
    usage = Usage(12_400, 480, 120, 12_088)
    tape.add(RequestEnded(RequestId("r-1"), "done", "tool_calls", usage, 0.8, 7.0, 7.8, 42.3, 812.0))
    command(tape, 1, "wc -l report.py", "312 report.py\n", message_id="m-1")
    command(tape, 2, "grep -n '^def ' report.py | head", "12:def load\n40:def render\n", wall_s=0.2)
    failed = "FAILED tests/test_report.py::test_totals\n1 failed, 11 passed in 2.90s\n"
    command(tape, 3, "check test", failed, exit_code=1, wall_s=3.2, check="test")
    tape.add(TurnEnded(1, usage, 0.8, 7.0, 3.5), WorkspaceChanged(CHANGES))
    tape.add(StateChanged("generating", "none"))
    assistant(tape, "m-2", text="All public names are kept. Run `python3 -m unittest` to see for yourself.")
    tape.add(MessageEnded(MessageId("m-2"), "stop"))
    tape.add(StateChanged("done", "none"))
    tape.add(RunEnded("done", None, "", usage, 2, 3, 62.0, len(CHANGES)))
    return tape.records
