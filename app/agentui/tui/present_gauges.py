"""The gauges of the view as rows of figures: ``~`` before estimates, ``?`` for unknown."""

from __future__ import annotations

from agentui.events import KvSample, MemorySample, ModelFacts, PrefillProgressed, Source
from agentui.text import (
    GIB,
    UNKNOWN,
    clean_line,
    human_bytes,
    human_context,
    human_duration,
    human_gib,
    human_percent,
    human_rate,
    human_tokens,
)
from agentui.view.gauges import MEMORY, Gauges
from agentui_widgets.chart import Curve
from agentui_widgets.gauges import BarPart, BarRow, GaugeRow, LegendRow, TextRow
from agentui_widgets.line_bar import Fact
from agentui_widgets.transcript import Tone

_PRESSURE: dict[str, Tone] = {"ok": "good", "warn": "warning", "critical": "error"}
_GUARD: dict[str, Tone] = {"ok": "dim", "watch": "warning", "act": "error"}
_WARN_RATIO = 0.7
_LEAST_SHARE = 400
"""Our own memory is a part of the bar from this fraction of the whole on; smaller ones cannot be seen."""
_SMALL_BYTES = 100 << 20
_FULL_RATIO = 0.9
_LEAST_SHOWN_S = 0.05
_DEPTH_COLUMNS = 24
_LEVELS = "▁▂▃▄▅▆▇█"
_OLD_S = 8.0
"""A reading older than this says so: several of its intervals have passed without a new one."""


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
    return [TextRow(_memory_facts(gauges)), BarRow(parts, wall), LegendRow(parts), _kv_row(gauges.kv)]


def rows_below(gauges: Gauges) -> list[GaugeRow]:
    """Context, speed, and once they are known times and depth: what stands below the curve."""
    return [_context_row(gauges), _speed_row(gauges), *_time_rows(gauges), *_depth_rows(gauges)]


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
                facts.append(Fact("wall far" if forecast.is_far else "wall ?", "dim", rank))
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
        left.append(Fact(f"kv {_kv_sizes(kv, '/').removesuffix(' GiB')}", "text", 2))
    if context is not None:
        share = context.used_tokens / context.limit_tokens if context.limit_tokens else None
        words = f"ctx {estimate(human_tokens(context.used_tokens), context.source)}"
        left.append(Fact(f"{words}/{human_context(context.limit_tokens)} {human_percent(share)}", "text", 1))
    speed = gauges.speed
    left.append(Fact(f"{estimate(human_rate(speed.decode_tok_per_s), speed.source)} tok/s", "text", 1))
    right = [fact._replace(rank=fact.rank + 4) for fact in forecast_facts(gauges)[:1]]
    if speed.ttft_s is not None:
        right.append(Fact(f"first token {human_duration(speed.ttft_s)}", "dim", 8))
    return left, right


# --- rows ----------------------------------------------------------------------------------------


def _memory_tone(memory: MemorySample | None) -> Tone:
    if memory is None or memory.pressure is None:
        return "text"
    return "text" if memory.pressure == "ok" else _PRESSURE[memory.pressure]


def _memory_facts(gauges: Gauges) -> tuple[Fact, ...]:
    memory = gauges.memory
    if memory is None:
        return (Fact("memory ?", "dim", 0),)
    if memory.error:
        return (Fact(f"memory ?, walls ?: {clean_line(memory.error)}", "warning", 0),)
    used = f"{estimate(human_gib(memory.used_bytes), memory.source)} of {human_gib(memory.total_bytes)} GiB"
    facts = [Fact(used, _memory_tone(memory), 0)]
    if memory.gpu_limit_bytes is not None:
        wall = f"{mark(memory.gpu_limit_source)}GPU wall {human_gib(memory.gpu_limit_bytes)}"
        facts.append(Fact(wall, "text", 2))
    if memory.gpu_busy_percent is not None:
        facts.append(Fact(f"GPU {memory.gpu_busy_percent:.0f} %", "text", 3))
    if memory.swap_used_bytes:
        is_growing = bool(memory.swap_growth_bytes and memory.swap_growth_bytes > 0)
        grows = ", growing" if is_growing else ""
        facts.append(
            Fact(f"swap {human_gib(memory.swap_used_bytes)}{grows}", "warning", 1 if is_growing else 4)
        )
    pressure = memory.pressure
    facts.append(Fact(f"pressure {pressure or '?'}", _PRESSURE[pressure] if pressure else "dim", 5))
    if memory.is_process_sure is False and not _is_on_paper(gauges.model):
        facts.append(Fact("unsure which process is the model's", "warning", 6))
    age_s = gauges.age_s(MEMORY)
    if age_s is not None and age_s > _OLD_S:
        facts.append(Fact(f"{human_duration(age_s)} old", "warning", 1))
    return tuple(facts)


def _parts(gauges: Gauges) -> tuple[BarPart, ...]:
    """Who holds the memory; the rest is what none of the named owners does."""
    memory, kv = gauges.memory, gauges.kv
    if memory is None or not memory.total_bytes:
        return ()
    total = memory.total_bytes
    named: list[tuple[str, str, int | None, str]] = [("weights", "weights", memory.weights_bytes, "")]
    if kv is not None and not _is_on_paper(gauges.model) and _is_held_here(kv, memory):
        named.append(("kv", "kv", kv.allocated_bytes, mark(kv.source)))
        held = memory.engine_rest_bytes
        checkpoints = kv.checkpoint_bytes if held is None else held
        if checkpoints:
            named.append(("checkpoint", "ckpt", checkpoints, "~"))
        if memory.compute_bytes and memory.engine_rest_bytes is not None:
            named.append(("compute", "compute", memory.compute_bytes, "~"))
    named.append(("sandbox", "sandbox", memory.sandbox_bytes, ""))
    if memory.own_bytes and memory.own_bytes >= total // _LEAST_SHARE:
        named.append(("own", "agentui", memory.own_bytes, ""))
    parts = [
        # our own share in the unit and digits of the footer; a small one in its own, 0.0 would tell nothing
        BarPart(
            name,
            (size or 0) / total,
            f"{tilde}{label} {human_bytes(size) if name == 'own' or size < _SMALL_BYTES else human_gib(size)}",
        )
        for name, label, size, tilde in named
        if size is not None
    ]
    if memory.used_bytes is not None:
        rest = max(0, memory.used_bytes - sum(size or 0 for _, _, size, _ in named))
        parts.append(BarPart("rest", rest / total, f"rest {human_gib(rest)}"))
        parts.append(BarPart("free", 0.0, f"free {human_gib(max(0, total - memory.used_bytes))}"))
    return tuple(parts)


def _is_on_paper(model: ModelFacts | None) -> bool:
    """Whether what the model takes is computed only: a simulated one holds no memory."""
    return model is not None and model.is_simulated


def _is_held_here(kv: KvSample, memory: MemorySample | None) -> bool:
    """Whether the cache can lie in the memory that is shown."""
    if memory is None or memory.used_bytes is None or kv.allocated_bytes is None:
        return True
    return kv.allocated_bytes + (kv.checkpoint_bytes or 0) <= memory.used_bytes


def _kv_sizes(kv: KvSample, between: str) -> str:
    """Filled and allocated in GiB; a small cache would be all noughts there, so it has units of its own."""
    filled, allocated = kv.filled_bytes, kv.allocated_bytes
    if allocated is not None and allocated < GIB // 10:
        figures = human_bytes(filled), human_bytes(allocated)
    else:
        figures = human_gib(filled, 2), f"{human_gib(allocated, 2)} GiB"
    if filled is None:
        return f"{UNKNOWN}{between}{estimate(figures[1], kv.source)}"
    return f"{estimate(figures[0], kv.source)}{between}{figures[1]}"


def _kv_row(kv: KvSample | None) -> TextRow:
    if kv is None:
        return TextRow((Fact("?", "dim", 0),), "KV")
    if kv.error:
        return TextRow((Fact(f"? {clean_line(kv.error)}", "dim", 0),), "KV")
    if kv.filled_bytes is None and kv.allocated_bytes is None:
        facts = [Fact(UNKNOWN, "dim", 0)]
    else:
        facts = [Fact(f"{_kv_sizes(kv, ' of ')} filled", "text", 0)]
    if kv.tokens is not None:
        facts.append(Fact(f"{human_tokens(kv.tokens)} tokens", "dim", 2))
    if kv.basis:
        facts.append(Fact(clean_line(kv.basis), "dim", 3))
    return TextRow(tuple(facts), "KV")


def _context_row(gauges: Gauges) -> TextRow:
    context = gauges.context
    if context is None:
        return TextRow((Fact("?", "dim", 0), *_context_truth(gauges)), "Context")
    share = context.used_tokens / context.limit_tokens if context.limit_tokens else None
    used = estimate(human_tokens(context.used_tokens), context.source)
    words = f"{used} / {human_context(context.limit_tokens)}"
    facts = [Fact(f"{words}  {human_percent(share)}", _fill_tone(share), 0), *_context_truth(gauges)]
    return TextRow((*facts, *_prefix_facts(gauges)), "Context")


def _fill_tone(share: float | None) -> Tone:
    if share is None or share < _WARN_RATIO:
        return "text"
    return "warning" if share < _FULL_RATIO else "error"


def _context_truth(gauges: Gauges) -> list[Fact]:
    """What was asked for where the engine gave something else, in red; and what the model was trained for."""
    model = gauges.model
    if model is None:
        return []
    facts: list[Fact] = []
    loaded, asked = model.loaded_context_tokens, model.requested_context_tokens
    if loaded is not None and asked is not None and loaded != asked:
        facts.append(Fact(f"asked {human_context(asked)}, engine gave {human_context(loaded)}", "error", 1))
    trained = model.trained_context_tokens
    if trained is not None and trained != loaded:
        facts.append(Fact(f"trained {human_context(trained)}", "dim", 6))
    return facts


def _prefix_facts(gauges: Gauges) -> list[Fact]:
    """How much of the last prompt was reused, and which message broke the prefix where it did not hold."""
    reused, read, prefix = gauges.reused_tokens, gauges.read_tokens, gauges.prefix
    if reused is None or read is None:
        return []
    tilde = mark(prefix.source if prefix is not None else None)
    share = human_percent(reused / (reused + read) if reused + read else None)
    words = f"reused {tilde}{share}, re-read {tilde}{human_tokens(read)}"
    if prefix is not None and prefix.cost_s is not None:
        words += f", {tilde}{human_duration(prefix.cost_s)}"
    facts = [Fact(words, "dim", 2)]
    if prefix is not None and prefix.first_changed is not None:
        facts.append(Fact(f"prefix broke at message {prefix.first_changed + 1}", "warning", 1))
    return facts


def _speed_row(gauges: Gauges) -> TextRow:
    speed = gauges.speed
    decode = f"decode {estimate(human_rate(speed.decode_tok_per_s), speed.source)} tok/s"
    facts = [
        Fact(decode, "accent" if speed.is_live else "text", 0),
        Fact(f"prefill {human_rate(speed.prefill_tok_per_s)}", "text", 2),
        Fact(f"first token {human_duration(speed.ttft_s)}", "text", 3),
    ]
    if gauges.thinking_tokens:
        facts.append(Fact(f"thinking {human_tokens(gauges.thinking_tokens)}", "dim", 5))
    if gauges.prefill is not None:
        facts.insert(0, _reading(gauges.prefill))
    return TextRow(tuple(facts), "Speed")


def _reading(prefill: PrefillProgressed) -> Fact:
    """How far the server is with the prompt, and how long it will be."""
    tilde = mark(prefill.source)
    share = prefill.processed_tokens / prefill.total_tokens if prefill.total_tokens else None
    left = "" if prefill.eta_s is None else f", ~{human_duration(prefill.eta_s)} left"
    return Fact(f"reading prompt {tilde}{human_percent(share)}{left}", "accent", 0)


def _time_rows(gauges: Gauges) -> list[GaugeRow]:
    """Where the last turn's time went; kinds that took none are left out."""
    times = gauges.times
    if times is None:
        return []
    kinds = (
        ("prefill", times.prefill_s),
        ("decode", times.decode_s),
        ("commands", times.commands_s),
        ("checks", times.checks_s),
        ("waiting", times.waiting_s),
        ("slept", times.slept_s),
    )
    facts = [Fact(f"turn {times.turn} {human_duration(times.wall_s)}", "text", 0)]
    facts += [
        Fact(f"{name} {human_duration(spent)}", "dim", rank)
        for rank, (name, spent) in enumerate(kinds, start=1)
        if spent >= _LEAST_SHOWN_S
    ]
    return [TextRow(tuple(facts), "Time")]


def _depth_rows(gauges: Gauges) -> list[GaugeRow]:
    """Decode speed over the depth of the context, as a small curve: where it falls it is time to compact."""
    points = gauges.depths
    low = min((point.depth_tokens for point in points), default=0)
    high = max((point.depth_tokens for point in points), default=0)
    if human_tokens(low) == human_tokens(high):
        return []
    columns: dict[int, list[float]] = {}
    for point in points:
        place = (point.depth_tokens - low) * (_DEPTH_COLUMNS - 1) // (high - low)
        columns.setdefault(place, []).append(point.decode_tok_per_s)
    means = {place: sum(speeds) / len(speeds) for place, speeds in columns.items()}
    most = max(means.values())
    curve = "".join(
        _LEVELS[round(means[place] / most * (len(_LEVELS) - 1))] if place in means else " "
        for place in range(_DEPTH_COLUMNS)
    )
    first, last = means[min(means)], means[max(means)]
    facts = (
        Fact(f"{human_tokens(low)} {curve} {human_tokens(high)}", "text", 0),
        Fact(f"{human_rate(first)} → {human_rate(last)} tok/s", "dim", 1),
    )
    return [TextRow(facts, "Depth")]
