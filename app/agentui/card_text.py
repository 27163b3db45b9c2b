"""A run card in words: one line, and rows of label and text. All of it is cleaned."""

from __future__ import annotations

from agentui.events import CheckResult, RunCard, SpeedAtDepth, TimeByKind
from agentui.text import (
    UNKNOWN,
    clean_line,
    human_bytes,
    human_context,
    human_duration,
    human_percent,
    human_rate,
    human_tokens,
    plural,
)

_KINDS = (
    ("reading prompts", "prefill_s"),
    ("generating", "decode_s"),
    ("commands", "commands_s"),
    ("checks", "checks_s"),
    ("waiting", "waiting_s"),
    ("asleep", "slept_s"),
    ("other", "other_s"),
)


def card_title(card: RunCard) -> str:
    """The card on one line: model, speed, peak memory, and how its checks ended."""
    parts = [f"run card · {model_text(card)}"]
    if card.decode_tok_per_s is not None:
        parts.append(f"{human_rate(card.decode_tok_per_s)} tok/s")
    if card.peak_memory_bytes is not None:
        parts.append(f"peak {human_bytes(card.peak_memory_bytes)}")
    parts += [check_text(check) for check in card.checks]
    return " · ".join(parts)


def card_rows(card: RunCard) -> tuple[tuple[str, str], ...]:
    """Label and text of everything that is known, in the order in which one asks for it."""
    model = card.model
    rows = [
        ("model", _joined(model_text(card), model.engine, "simulated" if model.is_simulated else None)),
        ("context", f"{human_context(model.loaded_context_tokens)} loaded, KV {card.kv_type or UNKNOWN}"),
        ("where", _joined(card.harness, card.backend, card.sandbox, _unless(card.profile, "default"))),
        ("prompt", f"system {card.system_hash or UNKNOWN}, sampling {card.sampling_hash}{_sampling(card)}"),
        ("ended", end_text(card)),
        ("work", _work(card)),
        ("tokens", _tokens(card)),
        ("speed", _speed(card)),
        *((f"to {human_context(at.depth_tokens)}", _at_depth(at)) for at in card.speeds),
        ("time", _time(card.time, card.wall_s)),
        ("memory", _memory(card)),
        *(("check", check_text(check)) for check in card.checks),
    ]
    return tuple(rows)


def model_text(card: RunCard) -> str:
    """The model's name and its quantization."""
    return clean_line(f"{card.model.display_name or card.model.model} {card.model.quantization or ''}")


def end_text(card: RunCard) -> str:
    """How the run ended, in a word or a sentence."""
    if card.reason is None:
        return "it did not end"
    words = f"{card.reason}, saved to go on" if card.is_saved else card.reason
    return f"{words}: {clean_line(card.error)}" if card.error else words


def check_text(check: CheckResult) -> str:
    """A check and its last result: ``test passed``, ``test failed (exit 1)``."""
    name = clean_line(check.name)
    if check.is_passed:
        return f"{name} passed"
    ended = f"exit {check.exit_code}" if check.exit_code is not None else check.outcome
    return f"{name} failed ({ended})"


def _joined(*parts: str | None) -> str:
    return ", ".join(clean_line(part) for part in parts if part)


def _unless(value: str, usual: str) -> str | None:
    return None if value == usual else f"{value} profile"


def _sampling(card: RunCard) -> str:
    shown = ", ".join(f"{name} {value}" for name, value in card.sampling.items())
    return f" ({clean_line(shown)})" if shown else ""


def _work(card: RunCard) -> str:
    parts = [plural(card.turns, "turn"), plural(card.commands, "command"), human_duration(card.wall_s)]
    if card.resumed:
        parts.append("resumed once" if card.resumed == 1 else f"resumed {card.resumed} times")
    if card.compactions:
        parts.append(plural(card.compactions, "compaction"))
    if card.pending_changes:
        parts.append(f"{plural(card.pending_changes, 'change')} waiting")
    return ", ".join(parts)


def _tokens(card: RunCard) -> str:
    read = f"{human_tokens(card.prompt_tokens)} in prompts"
    kept = f"{human_tokens(card.reused_tokens)} reused, {human_tokens(card.reread_tokens)} read"
    ratio = None
    if card.prompt_tokens and card.reused_tokens is not None:
        ratio = card.reused_tokens / card.prompt_tokens
    return f"{read} ({kept}, {human_percent(ratio)} reused), {human_tokens(card.completion_tokens)} written"


def _speed(card: RunCard) -> str:
    speeds = f"decode {human_rate(card.decode_tok_per_s)}, prefill {human_rate(card.prefill_tok_per_s)} tok/s"
    return f"{speeds}, first token after {human_duration(card.ttft_s)}"


def _at_depth(at: SpeedAtDepth) -> str:
    speeds = f"decode {human_rate(at.decode_tok_per_s)}, prefill {human_rate(at.prefill_tok_per_s)}"
    return f"{speeds} in {plural(at.requests, 'request')}"


def _time(time: TimeByKind | None, wall_s: float | None) -> str:
    if time is None:
        return f"{human_duration(wall_s)}, kinds not measured"
    kinds = [(name, float(getattr(time, field))) for name, field in _KINDS]
    return ", ".join(f"{name} {human_duration(seconds)}" for name, seconds in kinds if seconds >= 0.05)


def _memory(card: RunCard) -> str:
    mark = "~" if card.kv_source == "estimated" else ""
    parts = [
        f"peak {human_bytes(card.peak_memory_bytes)}",
        f"model {human_bytes(card.peak_model_bytes)}",
        f"KV {mark if card.peak_kv_bytes is not None else ''}{human_bytes(card.peak_kv_bytes)}",
        f"swap grew {human_bytes(card.swap_growth_bytes)}",
    ]
    return ", ".join(parts)
