"""Which of a server's models a name means, and what to say of it."""

from __future__ import annotations

from collections.abc import Sequence

from agentui.backends.base import LoadedInstance, ServerFacts, ServerModel
from agentui.errors import ModelNotFound
from agentui.events import ModelFacts

_SHOWN = 8


def find_model(models: Sequence[ServerModel], name: str) -> tuple[ServerModel, LoadedInstance | None] | None:
    """The model and instance that `name` means, ``None`` if that is not clear.

    An instance id wins over a key, a key over its last part, that over a part of a name; variants
    (``key@q4_k_m``) mean their model. With a key the first instance is meant.
    """
    for model in models:
        for instance in model.instances:
            if instance.id == name:
                return model, instance
    wanted = name.partition("@")[0].casefold()
    usable = [model for model in models if model.kind != "embedding"]
    tests = (
        lambda model: model.key == name,
        lambda model: model.key.partition("@")[0].casefold() == wanted,
        lambda model: model.key.casefold().rpartition("/")[2] == wanted,
        lambda model: model.display_name.casefold() == wanted,
        lambda model: wanted in model.key.casefold(),
    )
    for test in tests:
        found = [model for model in usable if test(model)]
        if len(found) == 1:
            return found[0], next(iter(found[0].instances), None)
    return None


def loaded_model(models: Sequence[ServerModel]) -> tuple[ServerModel, LoadedInstance] | None:
    """The loaded model to use when none was named; among several the first that was trained for tools."""
    loaded = [model for model in models if model.instances and model.kind != "embedding"]
    if not loaded:
        return None
    best = next((model for model in loaded if model.trained_for_tools), loaded[0])
    return best, best.instances[0]


def no_such_model(models: Sequence[ServerModel], name: str, address: str) -> ModelNotFound:
    """The error for a name that means nothing, or more than one model."""
    return ModelNotFound(
        f"There is no model “{name}” at {address}.",
        hint=f"It has: {_names(models)}." if models else "It offers no models at all.",
    )


def nothing_loaded(models: Sequence[ServerModel], address: str) -> ModelNotFound:
    """The error where none is named and none is to be taken; nothing is claimed of a server that lists none."""
    names = _names(models)
    if not names:
        return ModelNotFound(
            f"The server at {address} lists no models, and none was named.", hint="Name one with --model NAME."
        )
    return ModelNotFound(
        f"No model is loaded at {address}, and none was named.",
        hint=f"Load or name one with --model: {names}.",
    )


def _names(models: Sequence[ServerModel]) -> str:
    keys = [model.key for model in models if model.kind != "embedding"]
    more = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def facts_of(
    server: ServerFacts,
    model: ServerModel,
    instance: LoadedInstance | None,
    requested_context_tokens: int | None = None,
) -> ModelFacts:
    """What the header shows of a model; `model` in it is what a request must name."""
    return ModelFacts(
        model=instance.id if instance else model.key,
        display_name=model.display_name or model.key,
        architecture=model.architecture,
        quantization=model.quantization,
        engine=model.engine,
        size_bytes=model.size_bytes,
        loaded_context_tokens=instance.context_tokens if instance else None,
        requested_context_tokens=requested_context_tokens,
        trained_context_tokens=model.trained_context_tokens,
        parallel=instance.parallel if instance else None,
        is_remote=server.is_remote or model.is_remote,
        is_simulated=server.is_simulated,
    )
