"""Each gauge in words: its figure, how sure it is, how old, and what it rests on."""

from __future__ import annotations

from agentui.events import ForecastMade, MemorySample, Source
from agentui.text import (
    UNKNOWN,
    clean_line,
    human_bytes,
    human_context,
    human_duration,
    human_rate,
    human_tokens,
)
from agentui.tui.present_gauges import estimate
from agentui.view.blocks import BlockId
from agentui.view.gauges import CONTEXT, KV, MEMORY, PROCESS, SPEED, Gauges

_NAME_CELLS, _FIGURE_CELLS, _SURE_CELLS = 22, 24, 11


def gauge_report(gauges: Gauges) -> str:
    """A line for each gauge. Ages are seconds of the session's clock, as of its last event."""
    lines = [_line("gauge", "figure", "how sure", "age", "from"), ""]
    lines += [*_memory(gauges), *_kv(gauges), *_context(gauges), *_speed(gauges)]
    lines += [_forecast(limit, made) for limit, made in sorted(gauges.forecasts.items())]
    own = gauges.process
    figure = UNKNOWN if own is None else f"{own.cpu_percent:.1f} % cpu {human_bytes(own.rss_bytes)}"
    lines += [_line("agentui", figure, _sure(figure, "measured"), _age(gauges, PROCESS), "our own process")]
    lines += ["", "measured: read from the system or our clock. reported: by the model server."]
    lines += ["estimated: computed, wears ~. ? is not known."]
    return "\n".join(lines)


def _line(name: str, figure: str, sure: str, age: str, basis: str) -> str:
    shown = f"{name:<{_NAME_CELLS}}{figure:<{_FIGURE_CELLS}}{sure:<{_SURE_CELLS}}{age:<10}{clean_line(basis)}"
    return shown.rstrip()


def _sure(figure: str, source: Source) -> str:
    return "" if figure.startswith(UNKNOWN) else source


def _row(name: str, figure: str, source: Source, age: str, basis: str) -> str:
    return _line(name, estimate(figure, source), _sure(figure, source), age, basis)


def _age(gauges: Gauges, block: BlockId) -> str:
    return human_duration(gauges.age_s(block))


def _memory(gauges: Gauges) -> list[str]:
    memory = gauges.memory
    if memory is None or memory.error:
        why = "" if memory is None or memory.error is None else memory.error
        return [_line("memory", UNKNOWN, "", "", why)]
    age_s = gauges.age_s(MEMORY) or 0.0
    age = human_duration(age_s)
    used = f"{human_bytes(memory.used_bytes)} of {human_bytes(memory.total_bytes)}"
    sandbox_age = UNKNOWN if memory.sandbox_age_s is None else human_duration(age_s + memory.sandbox_age_s)
    gpu = human_bytes(memory.gpu_limit_bytes)
    sizes: list[tuple[str, int | None, Source, str]] = [
        ("memory wall", memory.total_bytes, "measured", "installed memory"),
        ("weights", memory.weights_bytes, "reported", "the model's size, as the server says"),
        ("model's process", memory.model_process_bytes, "measured", _process_words(memory)),
        ("compute", memory.compute_bytes, "estimated", "the engine's compute buffer"),
        ("ckpt, prompt cache", memory.engine_rest_bytes, "estimated", "what the process holds beside the rest"),
        ("swap", memory.swap_used_bytes, "measured", "the system"),
    ]
    return [
        _row("memory used", used, memory.source, age, "total less available"),
        _row("GPU wall", gpu, memory.gpu_limit_source, age, "your own limit, else a share of memory"),
        *(_row(name, human_bytes(size), source, age, basis) for name, size, source, basis in sizes),
        _row("sandbox", human_bytes(memory.sandbox_bytes), "measured", sandbox_age, "its engine"),
        _row("pressure", memory.pressure or UNKNOWN, "measured", age, "the kernel"),
    ]


def _process_words(memory: MemorySample) -> str:
    return "unsure which process it is" if memory.is_process_sure is False else "the system"


def _kv(gauges: Gauges) -> list[str]:
    kv = gauges.kv
    if kv is None or kv.error:
        return [_line("kv cache", UNKNOWN, "", "", kv.error or "" if kv else "")]
    age = _age(gauges, KV)
    checkpoints = human_bytes(kv.checkpoint_bytes)
    return [
        _row("kv filled", human_bytes(kv.filled_bytes), kv.source, age, kv.basis),
        _row("kv allocated", human_bytes(kv.allocated_bytes), kv.source, age, kv.basis),
        _row("kv checkpoints", checkpoints, "estimated", age, "at most so much"),
    ]


def _context(gauges: Gauges) -> list[str]:
    context, age = gauges.context, _age(gauges, CONTEXT)
    if context is None:
        return [_line("context", UNKNOWN, "", "", "")]
    used = f"{human_tokens(context.used_tokens)} of {human_context(context.limit_tokens)}"
    lines = [_row("context", used, context.source, age, "prompt and answer of the last request")]
    prefix = gauges.prefix
    if prefix is not None:
        told = (
            "the server's count"
            if prefix.source == "reported"
            else "the bytes sent before, and the first token"
        )
        lines += [
            _row("reused", human_tokens(prefix.reused_tokens), prefix.source, age, told),
            _row("re-read", human_tokens(prefix.reread_tokens), prefix.source, age, told),
        ]
    return lines


def _speed(gauges: Gauges) -> list[str]:
    speed, age = gauges.speed, _age(gauges, SPEED)
    decode = human_rate(speed.decode_tok_per_s)
    how = "the server's own timing" if speed.source == "reported" else "from the first token to the last"
    return [
        _row("decode tok/s", decode, speed.source, age, how),
        _row(
            "prefill tok/s", human_rate(speed.prefill_tok_per_s), speed.source, age, "prompt tokens read anew"
        ),
        _row("first token", human_duration(speed.ttft_s), "measured", age, "our clock"),
    ]


def _forecast(limit: str, made: ForecastMade) -> str:
    name = "context full in" if limit == "context" else "wall met in"
    if made.turns_left is None:
        figure = "far" if made.is_far else UNKNOWN
        return _line(name, figure, _sure(figure, "estimated"), "", made.basis)
    minutes = "" if made.minutes_left is None else f", {human_duration(made.minutes_left * 60)}"
    return _row(name, f"{made.turns_left:.0f} turns{minutes}", "estimated", "", made.basis)
