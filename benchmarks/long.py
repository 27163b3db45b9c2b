"""agentui at the end of a long session: the dashboard goes on with one that was recorded before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentui.events import (
    Event,
    HistoryReplaced,
    MessageEnded,
    MessageId,
    MessageStarted,
    ModelFacts,
    Recorded,
    RunEnded,
    RunId,
    RunStarted,
    SessionEnded,
    SessionStarted,
    TextDelta,
    TurnEnded,
    TurnStarted,
    Usage,
)
from agentui.session.journal import encode_record
from benchmarks.subject import AgentuiSubject

SESSION = "20260101T000000Z-0be5c4a7"
LINES_PER_ANSWER = 200


@dataclass
class LongSubject(AgentuiSubject):
    """The dashboard on a session of so many lines; its context was compacted, so that the next answer fits."""

    lines: int = 100_000

    def __init__(self, options: list[str], lines: int) -> None:
        super().__init__(options=options)
        self.lines = lines

    def command(self, url: str, tokens: int, place: Path) -> list[str]:
        """See `Subject`."""
        folder = place / "agentui" / "state" / "sessions" / SESSION
        folder.mkdir(parents=True, mode=0o700)
        with (folder / "journal.jsonl").open("wb") as file:
            for seq, event in enumerate(self._events(place / "project"), start=1):
                file.write(
                    encode_record(Recorded(seq, seq * 0.1, "2026-01-01T00:00:00.000Z", RunId("r"), event))
                )
        plain = super().command(url, tokens, place)
        return [*plain[:3], "-r", SESSION, *plain[3:]]

    def _events(self, project: Path) -> Iterator[Event]:
        yield SessionStarted(SESSION, str(project), "0")
        yield RunStarted("write", ModelFacts("m"), "http://127.0.0.1", str(project), "loop", None)
        for turn in range(1, self.lines // LINES_PER_ANSWER + 1):
            message = MessageId(f"m{turn}")
            yield TurnStarted(turn)
            yield MessageStarted(message, "assistant", turn)
            text = "".join(f"line {number} of answer {turn}\n\n" for number in range(LINES_PER_ANSWER // 2))
            yield TextDelta(message, text, LINES_PER_ANSWER)
            yield MessageEnded(message, "stop")
            yield TurnEnded(turn, Usage())
        yield HistoryReplaced(
            ({"role": "user", "content": "write"}, {"role": "assistant", "content": "."}), "compacted"
        )
        yield RunEnded("done")
        yield SessionEnded("closed")
