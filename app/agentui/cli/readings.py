"""One reading of all gauges: as a JSON object, and in words for people and screen readers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from agentui.backends.source import ServerReading, SlotReading
from agentui.cli.ports import Watching
from agentui.events import ForecastMade, KvSample, MemorySample, ModelFacts, Source
from agentui.text import (
    clean_line,
    human_bytes,
    human_context,
    human_duration,
    human_percent,
    human_rate,
    human_tokens,
)
from agentui.view.fold import View
from agentui.view.gauges import CONTEXT, KV, MEMORY, PROCESS, SPEED, Gauges


def reading_object(watching: Watching, view: View, at_utc: str) -> dict[str, Any]:
    """Everything that is known now; ``null`` is unknown. Sizes in bytes, lengths in tokens, times in seconds.

    `server` is null where none answers; `trouble` says why there is no server, or no model.
    """
    gauges, trouble = view.gauges, watching.trouble
    reading = watching.reading
    return {
        "at_utc": at_utc,
        "ages_s": {name: _rounded(gauges.age_s(block)) for name, block in _AGED.items()},
        "server": _plain(watching.facts),
        "trouble": None if trouble is None else {"message": trouble.message, "hint": trouble.hint},
        "state": view.status.phase if watching.facts is not None else None,
        "queued": reading.queued,
        "model": _plain(view.status.model) if watching.facts is not None else None,
        "memory": _plain(gauges.memory),
        "kv": _plain(gauges.kv) if watching.facts is not None else None,
        "context": _plain(gauges.context),
        "prefill": _plain(gauges.prefill),
        "speed": _plain(gauges.speed),
        "reused_tokens": gauges.reused_tokens,
        "read_tokens": gauges.read_tokens,
        "slots": [_plain(slot) for slot in reading.slots],
        "totals": _totals(reading),
        "server_model_bytes": reading.model_bytes,
        "server_gpu_bytes": reading.gpu_bytes,
        "process": _plain(gauges.process),
        "forecasts": {limit: _plain(forecast) for limit, forecast in gauges.forecasts.items()},
    }


_AGED = {"memory": MEMORY, "kv": KV, "context": CONTEXT, "speed": SPEED, "process": PROCESS}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else dataclasses.asdict(value)


def _totals(reading: ServerReading) -> dict[str, Any] | None:
    totals = reading.totals
    if totals is None:
        return None
    rates = {"prefill_tok_per_s": totals.prefill_tok_per_s, "decode_tok_per_s": totals.decode_tok_per_s}
    return {**dataclasses.asdict(totals), **rates}


def plain_lines(watching: Watching, view: View) -> list[str]:
    """The same in words, a line for each gauge; estimates wear ``~``, unknown is ``?``."""
    gauges = view.gauges
    lines = _server_lines(watching, view)
    lines.append(f"memory: {_memory(gauges.memory)}")
    if watching.facts is None:
        return lines
    lines.append(f"kv cache: {_kv(gauges.kv)}")
    if watching.reading.model_bytes is not None:
        lines.append(f"model in memory, as the server says: {human_bytes(watching.reading.model_bytes)}")
    context = gauges.context
    if context is not None:
        share = context.used_tokens / context.limit_tokens if context.limit_tokens else None
        used = f"{_mark(context.source)}{human_tokens(context.used_tokens)}"
        lines.append(f"context: {used} of {human_context(context.limit_tokens)}, {human_percent(share)}")
    else:
        lines.append("context used: ?")
    lines += _prefix(gauges)
    lines += [f"slot {slot.slot}: {_slot(slot)}" for slot in watching.reading.slots]
    lines.append(_speed(view, watching.reading))
    lines += [_forecast(made) for _, made in sorted(gauges.forecasts.items())]
    return lines


def _prefix(gauges: Gauges) -> list[str]:
    """What the last prompt reused, where that is known."""
    reused, read, prefix = gauges.reused_tokens, gauges.read_tokens, gauges.prefix
    if reused is None or read is None:
        return []
    mark = _mark(prefix.source) if prefix is not None else ""
    words = f"last prompt: reused {mark}{human_tokens(reused)}, re-read {mark}{human_tokens(read)}"
    if prefix is not None and prefix.first_changed is not None:
        words += f", prefix broke at message {prefix.first_changed + 1}"
    return [words]


def _forecast(made: ForecastMade) -> str:
    name = "context full" if made.limit == "context" else "memory wall"
    if made.turns_left is None:
        return f"{name}: {'far' if made.is_far else '?'} ({clean_line(made.basis)})"
    minutes = "" if made.minutes_left is None else f", {human_duration(made.minutes_left * 60)}"
    return f"{name}: in ~{made.turns_left:.0f} turns{minutes} ({clean_line(made.basis)})"


def _server_lines(watching: Watching, view: View) -> list[str]:
    facts, trouble = watching.facts, watching.trouble
    lines: list[str] = []
    if facts is None:
        is_looking = trouble is None
        lines.append(f"server: {'?' if is_looking else 'none'}; only this machine's memory can be read")
    else:
        name = f"{facts.kind} {facts.version or ''}".rstrip()
        simulated = ", simulated" if facts.is_simulated else ""
        lines.append(clean_line(f"server: {name} at {facts.base_url}{simulated}"))
        lines.append(f"state: {view.status.words}")
    if trouble is not None:
        hint = f" ({trouble.hint})" if trouble.hint else ""
        lines.append(clean_line(f"trouble: {trouble.message}{hint}"))
    if facts is not None and view.status.model is not None:
        lines.append(f"model: {_model(view.status.model)}")
    return lines


def _model(model: ModelFacts) -> str:
    words = [model.model, model.quantization or "", model.engine or ""]
    loaded = f"loaded with {human_context(model.loaded_context_tokens)}"
    trained = f"trained for {human_context(model.trained_context_tokens)}"
    remote = ", on another machine" if model.is_remote else ""
    return clean_line(f"{' '.join(filter(None, words))}, {loaded}, {trained}{remote}")


def _mark(source: Source) -> str:
    return "~" if source == "estimated" else ""


def _memory(memory: MemorySample | None) -> str:
    if memory is None:
        return "?"
    parts = [
        f"{_mark(memory.source)}{human_bytes(memory.used_bytes)} of {human_bytes(memory.total_bytes)} used"
    ]
    if memory.model_process_bytes is not None:
        parts.append(f"model's process {human_bytes(memory.model_process_bytes)}")
    if memory.gpu_limit_bytes is not None:
        wall = f"{_mark(memory.gpu_limit_source)}{human_bytes(memory.gpu_limit_bytes)}"
        parts.append(f"GPU wall {wall}")
    parts.append(f"pressure {memory.pressure or '?'}")
    if memory.error:
        parts.append(clean_line(memory.error))
    return ", ".join(parts)


def _kv(kv: KvSample | None) -> str:
    if kv is None:
        return "?"
    if kv.error:
        return f"? {clean_line(kv.error)}"
    mark = _mark(kv.source)
    filled = f"{mark}{human_bytes(kv.filled_bytes)}" if kv.filled_bytes is not None else "?"
    allocated = f"{mark}{human_bytes(kv.allocated_bytes)}" if kv.allocated_bytes is not None else "?"
    return f"{filled} of {allocated} filled" + (f" ({clean_line(kv.basis)})" if kv.basis else "")


def _slot(slot: SlotReading) -> str:
    words = ["busy" if slot.is_busy else "idle"]
    words.append(f"{human_tokens(slot.used_tokens)} of {human_context(slot.context_tokens)}")
    if slot.cached_tokens is not None:
        words.append(f"reused {human_tokens(slot.cached_tokens)}, re-read {human_tokens(slot.read_tokens)}")
    if slot.answer_tokens:
        words.append(f"answered {human_tokens(slot.answer_tokens)}")
    return ", ".join(words)


def _speed(view: View, reading: ServerReading) -> str:
    speed = view.gauges.speed
    words: Sequence[str] = (
        f"decode {_mark(speed.source)}{human_rate(speed.decode_tok_per_s)} tok/s",
        f"prefill {human_rate(speed.prefill_tok_per_s)} tok/s",
        f"first token {human_duration(speed.ttft_s)}",
    )
    line = "speed: " + ", ".join(words)
    totals = reading.totals
    if totals is None or totals.decode_tok_per_s is None:
        return line
    return (
        f"{line}\nsince the server started: decode {human_rate(totals.decode_tok_per_s)} tok/s, "
        f"prefill {human_rate(totals.prefill_tok_per_s)} tok/s"
    )
