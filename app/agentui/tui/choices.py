"""What the pickers offer, as values: models, context lengths, themes, and what a reload costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentui.events import ModelFacts
from agentui.text import human_bytes, human_context, human_duration, human_rate, human_tokens
from agentui.tui.screens.pick import Choice
from agentui.tui.services import ModelChoice
from agentui.view.gauges import Gauges

_LEAST_CONTEXT_TOKENS = 4096
_MOST_STEPS = 10


def model_choices(models: Sequence[ModelChoice], current: str | None) -> list[Choice]:
    """The server's models, loaded ones first."""
    ordered = sorted(models, key=lambda model: (not model.is_loaded, model.name))
    return [Choice(model.name, _model_text(model), model.note, model.name == current) for model in ordered]


def _model_text(model: ModelChoice) -> str:
    parts = [model.quantization or "", human_bytes(model.size_bytes)]
    if model.is_loaded:
        parts.append(f"loaded, ctx {human_context(model.loaded_context_tokens)}")
    elif model.max_context_tokens is not None:
        parts.append(f"up to {human_context(model.max_context_tokens)}")
    return "  ".join(part for part in parts if part)


def context_choices(model: ModelFacts | None, notes: Mapping[int, str] | None = None) -> list[Choice]:
    """Context lengths up to what the model was trained for, in doublings; `notes` by number of tokens."""
    if model is None:
        return []
    loaded, trained = model.loaded_context_tokens, model.trained_context_tokens
    return [
        Choice(
            human_context(tokens) if tokens % 1024 == 0 else str(tokens),
            " ".join(
                word for word, is_it in (("loaded", tokens == loaded), ("trained", tokens == trained)) if is_it
            ),
            (notes or {}).get(tokens, ""),
            tokens == loaded,
        )
        for tokens in context_lengths(model)
    ]


def context_lengths(model: ModelFacts | None) -> list[int]:
    """The lengths to choose from: doublings up to the trained one, that one, and the loaded one."""
    if model is None:
        return []
    loaded, trained = model.loaded_context_tokens, model.trained_context_tokens
    most = trained or loaded
    if most is None:
        return []
    lengths = {_LEAST_CONTEXT_TOKENS << step for step in range(_MOST_STEPS)}
    lengths |= {tokens for tokens in (loaded, trained) if tokens is not None}
    return [tokens for tokens in sorted(lengths) if tokens <= most]


def theme_choices(names: Iterable[str], current: str) -> list[Choice]:
    """The themes by name."""
    return [Choice(name, is_current=name == current) for name in sorted(names)]


def reload_cost(gauges: Gauges) -> str:
    """What a reload costs in words: the cache is lost, and what was said so far is read again."""
    context, speed = gauges.context, gauges.speed.prefill_tok_per_s
    if context is None or not context.used_tokens:
        return "a reload empties the cache; nothing has been read so far"
    words = f"a reload empties the cache: some {human_tokens(context.used_tokens)} tokens are read again"
    if not speed:
        return words
    seconds = human_duration(context.used_tokens / speed)
    return f"{words}, ~{seconds} at {human_rate(speed)} tok/s"
