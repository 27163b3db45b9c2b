"""Figures of a turn and of a run, from those of their requests."""

from __future__ import annotations

from agentui.events import RequestEnded, TurnEnded, Usage


def turn_ended(
    turn: int, usage: Usage, answered: RequestEnded | None, commands_s: float, waiting_s: float
) -> TurnEnded:
    """What a turn ends with; the answer's figures are those of the request that was answered."""
    if answered is None:
        return TurnEnded(turn, usage, commands_s=commands_s, waiting_s=waiting_s)
    return TurnEnded(
        turn,
        usage,
        answered.ttft_s,
        answered.decode_s,
        commands_s,
        waiting_s,
        answered.decode_tok_per_s,
        answered.prefill_tok_per_s,
    )


def sum_usage(total: Usage, more: Usage) -> Usage:
    """Both together; unknown counts as nothing, but two unknowns stay unknown."""

    def add(a: int | None, b: int | None) -> int | None:
        return b if a is None else a if b is None else a + b

    return Usage(
        add(total.prompt_tokens, more.prompt_tokens),
        add(total.completion_tokens, more.completion_tokens),
        add(total.reasoning_tokens, more.reasoning_tokens),
        add(total.cached_tokens, more.cached_tokens),
    )
