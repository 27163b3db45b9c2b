"""Talk to a container's main process: it keeps the container alive and answers questions in a millisecond.

The alternative, an exec or the engine's statistics, costs from 80 ms to a second per question. Calls block, and
may come from any thread. Nothing here is fatal: a frozen container simply does not answer in time.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass

from agentui.sandbox.docker_stream import EngineStream

FIELDS = 5
ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """A container's state at one moment; ``None`` where its kernel does not tell.

    `tasks` counts processes and threads, the container's own included. `cwd` is what the last command reported,
    as it reported it: the agent's word, to be checked.
    """

    tasks: int | None
    oom_kills: int | None
    memory_bytes: int | None
    cwd: str


class Keeper:
    """The near end of the connection that a container lives on: `close` ends the container."""

    def __init__(self, stream: EngineStream) -> None:
        self._stream = stream
        self._ids = itertools.count(1)
        self._waited_for: set[str] = set()
        self._answers: dict[str, Vitals] = {}
        self._arrived = threading.Condition()
        self._is_closed = False
        self._reader = threading.Thread(target=self._read, name="agentui-keeper", daemon=True)
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        """Whether the container still holds its end; False soon after it is gone."""
        return not self._is_closed

    def begin(self) -> Vitals | None:
        """State before a command; reports of earlier ones are forgotten."""
        return self._ask("begin")

    def end(self, token: str) -> Vitals | None:
        """State after a command, with the directory it reported with `token`."""
        return self._ask("end", token)

    def vitals(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Vitals | None:
        """State now; ``None`` if there is no answer in time."""
        return self._ask("memory", timeout_s=timeout_s)

    def free_disk_bytes(self) -> int | None:
        """Free room on the disk that the copy lies on; ``None`` if there is no answer."""
        answer = self._ask("disk")
        return int(answer.cwd) if answer is not None and answer.cwd.isdigit() else None

    def close(self) -> None:
        """Let the container end."""
        self._stream.close()
        self._reader.join(ANSWER_TIMEOUT_S)

    def _ask(self, question: str, token: str = "", timeout_s: float = ANSWER_TIMEOUT_S) -> Vitals | None:
        question_id = str(next(self._ids))
        with self._arrived:
            self._waited_for.add(question_id)
        try:
            self._stream.write(f"{question} {question_id} {token}\n".encode())
        except OSError:
            with self._arrived:
                self._waited_for.discard(question_id)
            return None
        with self._arrived:
            self._arrived.wait_for(lambda: self._is_closed or question_id in self._answers, timeout_s)
            self._waited_for.discard(question_id)
            return self._answers.pop(question_id, None)

    def _read(self) -> None:
        pending = b""
        for name, data in self._stream.frames():
            if name != "stdout":
                continue
            *fields, pending = (pending + data).split(b"\0")
            while len(fields) >= FIELDS:
                question_id, answer = parse_answer(fields[:FIELDS])
                del fields[:FIELDS]
                with self._arrived:
                    # Others come too late: nobody waits for them any more.
                    if question_id in self._waited_for:
                        self._answers[question_id] = answer
                    self._arrived.notify_all()
            pending = b"\0".join([*fields, pending])
        with self._arrived:
            self._is_closed = True
            self._arrived.notify_all()


def parse_answer(fields: list[bytes]) -> tuple[str, Vitals]:
    """The question's id and the values of one answer (see images/tools/lib/keeper)."""
    tasks, oom_kills, memory, cwd, question_id = fields
    return question_id.decode("ascii", "replace"), Vitals(
        tasks=_number(tasks),
        oom_kills=_number(oom_kills),
        memory_bytes=_number(memory),
        cwd=cwd.decode("utf-8", "surrogateescape"),
    )


def _number(field: bytes) -> int | None:
    return int(field) if field.isdigit() else None
