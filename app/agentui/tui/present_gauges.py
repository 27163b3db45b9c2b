"""The gauges of the view as rows of figures: ``~`` before estimates, ``?`` for unknown."""

from __future__ import annotations

from dataclasses import replace

from agentui.events import KvSample, MemorySample, Source
from agentui.text import (
    GIB,
    UNKNOWN,
    clean_line,
    human_context,
    human_duration,
    human_gib,
    human_percent,
    human_rate,
    human_tokens,
)
from agentui.view.gauges import Gauges
from agentui_widgets.chart import Curve
from agentui_widgets.gauges import BarPart, BarRow, GaugeRow, LegendRow, TextRow
from agentui_widgets.line_bar import Fact
from agentui_widgets.transcript import Tone

_PRESSURE: dict[str, Tone] = {"ok": "good", "warn": "warning", "critical": "error"}
_GUARD: dict[str, Tone] = {"ok": "dim", "watch": "warning", "act": "error"}
_FULL_RATIO = 0.85


def mark(source: Source | None) -> str:
    """``~`` for an estimate."""
    return "~" if source == "estimated" else ""


def estimate(figure: str, source: Source | None) -> str:
    """A figure with its ``~``; unknown is a plain ``?``, wherever it would have come from."""
    return figure if figure.startswith(UNKNOWN) else f"{mark(source)}{figure}"


def rows_above(gauges: Gauges) -> list[GaugeRow]:
    """Memory, its bar and legend, and the KV figures: what stands above the curve."""
    parts = _parts(gauges)
    memory = gauges.memory
    wall = None
    if memory is not None and memory.total_bytes and memory.gpu_limit_bytes:
        wall = memory.gpu_limit_bytes / memory.total_bytes
    return [TextRow(_memory_facts(memory)), BarRow(parts, wall), LegendRow(parts), _kv_row(gauges.kv)]


def rows_below(gauges: Gauges) -> list[GaugeRow]:
    """Context and speed: what stands below the curve."""
    return [_context_row(gauges), _speed_row(gauges)]


def forecast_facts(gauges: Gauges) -> list[Fact]:
    """The title's right side: the guard, and when which limit is reached."""
    facts: list[Fact] = []
    if gauges.guard != "ok":
        facts.append(Fact(f"guard {gauges.guard}", _GUARD[gauges.guard], 1))
    for limit, words in (("context", "context full"), ("memory", "wall")):
        forecast = gauges.forecasts.get("context" if limit == "context" else "memory")
        if forecast is None:
            continue
        rank = 2 if limit == "context" else 3
        turns, minutes = forecast.turns_left, forecast.minutes_left
        if turns is None and minutes is None:
            if limit == "memory":
                facts.append(Fact("wall far", "dim", rank))
            continue
        in_what = f"{turns:.0f} turns" if turns is not None else human_duration((minutes or 0) * 60)
        is_near = (turns is not None and turns < 3) or (minutes is not None and minutes < 10)
        facts.append(Fact(f"~{words} in {in_what}", "warning" if is_near else "dim", rank))
    return facts


def kv_curve(gauges: Gauges) -> Curve:
    """Filled KV cache in GiB over time; points without a value are left out."""
    known = [point for point in gauges.kv_history if point.filled_bytes is not None]
    allocated = max((point.allocated_bytes or 0 for point in known), default=0)
    return Curve(
        tuple(point.t_s for point in known),
        tuple((point.filled_bytes or 0) / GIB for point in known),
        allocated / GIB if allocated else None,
        " GiB",
    )


def gauge_line(gauges: Gauges) -> tuple[list[Fact], list[Fact]]:
    """The numbers that a small screen never loses."""
    memory, kv, context = gauges.memory, gauges.kv, gauges.context
    used = human_gib(memory.used_bytes if memory else None)
    total = human_gib(memory.total_bytes if memory else None, 0)
    left = [Fact(f"mem {used}/{total} GiB", _memory_tone(memory), 0)]
    if kv is not None:
        filled = human_gib(kv.filled_bytes, 2)
        sizes = f"{estimate(filled, kv.source)}/{human_gib(kv.allocated_bytes, 2)}"
        left.append(Fact(f"kv {sizes}", "text", 2))
    if context is not None:
        share = context.used_tokens / context.limit_tokens if context.limit_tokens else None
        words = f"ctx {estimate(human_tokens(context.used_tokens), context.source)}"
        left.append(Fact(f"{words}/{human_context(context.limit_tokens)} {human_percent(share)}", "text", 1))
    speed = gauges.speed
    left.append(Fact(f"{estimate(human_rate(speed.decode_tok_per_s), speed.source)} tok/s", "text", 1))
    right = [replace(fact, rank=fact.rank + 4) for fact in forecast_facts(gauges)[:1]]
    if speed.ttft_s is not None:
        right.append(Fact(f"first token {human_duration(speed.ttft_s)}", "dim", 8))
    return left, right


# --- rows ----------------------------------------------------------------------------------------


def _memory_tone(memory: MemorySample | None) -> Tone:
    if memory is None or memory.pressure is None:
        return "text"
    return "text" if memory.pressure == "ok" else _PRESSURE[memory.pressure]


def _memory_facts(memory: MemorySample | None) -> tuple[Fact, ...]:
    if memory is None:
        return (Fact("memory ?", "dim", 0),)
    if memory.error:
        return (Fact(f"memory ? {clean_line(memory.error)}", "warning", 0),)
    used = f"{estimate(human_gib(memory.used_bytes), memory.source)} of {human_gib(memory.total_bytes)} GiB"
    facts = [Fact(used, _memory_tone(memory), 0)]
    if memory.gpu_limit_bytes is not None:
        facts.append(Fact(f"~GPU wall {human_gib(memory.gpu_limit_bytes)}", "text", 2))
    if memory.gpu_busy_percent is not None:
        facts.append(Fact(f"GPU {memory.gpu_busy_percent:.0f} %", "text", 3))
    if memory.swap_used_bytes:
        facts.append(Fact(f"swap {human_gib(memory.swap_used_bytes)}", "warning", 4))
    pressure = memory.pressure
    facts.append(Fact(f"pressure {pressure or '?'}", _PRESSURE[pressure] if pressure else "dim", 5))
    return tuple(facts)


def _parts(gauges: Gauges) -> tuple[BarPart, ...]:
    """Who holds the memory; the rest is what none of the named owners does."""
    memory, kv = gauges.memory, gauges.kv
    if memory is None or not memory.total_bytes:
        return ()
    named: list[tuple[str, str, int | None, str]] = [("weights", "weights", memory.weights_bytes, "")]
    if kv is not None and _is_held_here(kv, memory):
        named.append(("kv", "kv", kv.allocated_bytes, mark(kv.source)))
        if kv.checkpoint_bytes:
            named.append(("checkpoint", "ckpt", kv.checkpoint_bytes, "~"))
    named.append(("sandbox", "sandbox", memory.sandbox_bytes, ""))
    total = memory.total_bytes
    parts = [
        BarPart(name, (size or 0) / total, f"{tilde}{label} {human_gib(size)}")
        for name, label, size, tilde in named
        if size is not None
    ]
    if memory.used_bytes is not None:
        rest = max(0, memory.used_bytes - sum(size or 0 for _, _, size, _ in named))
        parts.append(BarPart("rest", rest / total, f"rest {human_gib(rest)}"))
    return tuple(parts)


def _is_held_here(kv: KvSample, memory: MemorySample | None) -> bool:
    """Whether the cache can lie in the memory that is shown; a simulated model's exists on paper only."""
    if memory is None or memory.used_bytes is None or kv.allocated_bytes is None:
        return True
    return kv.allocated_bytes + (kv.checkpoint_bytes or 0) <= memory.used_bytes


def _kv_row(kv: KvSample | None) -> TextRow:
    if kv is None:
        return TextRow((Fact("?", "dim", 0),), "KV")
    if kv.error:
        return TextRow((Fact(f"? {clean_line(kv.error)}", "dim", 0),), "KV")
    if kv.filled_bytes is None and kv.allocated_bytes is None:
        facts = [Fact(UNKNOWN, "dim", 0)]
    else:
        filled = estimate(human_gib(kv.filled_bytes, 2), kv.source)
        facts = [Fact(f"{filled} of {human_gib(kv.allocated_bytes, 2)} GiB filled", "text", 0)]
    if kv.tokens is not None:
        facts.append(Fact(f"{human_tokens(kv.tokens)} tokens", "dim", 2))
    if kv.basis:
        facts.append(Fact(clean_line(kv.basis), "dim", 3))
    return TextRow(tuple(facts), "KV")


def _context_row(gauges: Gauges) -> TextRow:
    context = gauges.context
    if context is None:
        return TextRow((Fact("?", "dim", 0),), "Context")
    share = context.used_tokens / context.limit_tokens if context.limit_tokens else None
    tone: Tone = "warning" if share is not None and share > _FULL_RATIO else "text"
    used = estimate(human_tokens(context.used_tokens), context.source)
    words = f"{used} / {human_context(context.limit_tokens)}"
    facts = [Fact(f"{words}  {human_percent(share)}", tone, 0)]
    if gauges.reused_tokens is not None and gauges.read_tokens is not None:
        prompt = gauges.reused_tokens + gauges.read_tokens
        reused = human_percent(gauges.reused_tokens / prompt if prompt else None)
        facts.append(Fact(f"reused {reused}, re-read {human_tokens(gauges.read_tokens)}", "dim", 2))
    return TextRow(tuple(facts), "Context")


def _speed_row(gauges: Gauges) -> TextRow:
    speed = gauges.speed
    decode = f"decode {estimate(human_rate(speed.decode_tok_per_s), speed.source)} tok/s"
    facts = [
        Fact(decode, "accent" if speed.is_live else "text", 0),
        Fact(f"prefill {human_rate(speed.prefill_tok_per_s)}", "text", 2),
        Fact(f"first token {human_duration(speed.ttft_s)}", "text", 3),
    ]
    return TextRow(tuple(facts), "Speed")
