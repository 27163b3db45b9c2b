"""The state in words, as the screen and scripts say it."""

from __future__ import annotations

from agentui.events import Hold, Phase
from agentui.text import clean_line, human_duration

_PHASE_WORDS: dict[Phase, str] = {
    "idle": "ready",
    "starting": "starting",
    "loading_model": "loading model",
    "seeding": "copying the project",
    "reading_prompt": "reading prompt",
    "generating": "generating",
    "running_command": "running command",
    "checking": "checking",
    "working": "working",
    "waiting_for_user": "waiting for you",
    "compacting": "compacting",
    "retrying": "retrying",
    "done": "done",
    "interrupted": "interrupted",
    "failed": "failed",
}
RESTING: frozenset[Phase] = frozenset(("idle", "done", "interrupted", "failed"))
"""Phases in which no run works."""


def state_words(
    phase: Phase,
    hold: Hold,
    detail: str = "",
    *,
    progress_ratio: float | None = None,
    eta_s: float | None = None,
    retry_in_s: float | None = None,
) -> tuple[str, str]:
    """The state in words, and what can be left out where room is scarce; together they are one sentence.

    Asked-for and reached are different: ``pausing``, then ``paused``.

    Args:
        phase: What the run does or would do.
        hold: Whether it is held.
        detail: More in words, and while held the place; cleaned here.
        progress_ratio: 0..1 while loading or reading, ``None`` when unknown.
        eta_s: Seconds until the first token while reading the prompt.
        retry_in_s: Seconds until the next attempt while retrying.
    """
    words = _PHASE_WORDS[phase]
    short = clean_line(detail)
    if hold in ("paused", "frozen") and phase != "waiting_for_user" and short:
        return hold, f" {short}"
    if hold in ("paused", "frozen"):
        return hold, "" if phase in RESTING else f" ({words})"
    if phase == "retrying" and retry_in_s is not None:
        words = f"retrying in {human_duration(retry_in_s)}"
    elif progress_ratio is not None:
        words = f"{words} {progress_ratio * 100:.0f} %"
        if eta_s is not None:
            words = f"{words}, ~{human_duration(eta_s)}"
    if hold == "pausing":
        return "pausing", f" after {words}"
    return words, f": {short}" if short else ""
