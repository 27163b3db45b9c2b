"""Choosing a model or a context length, with what a reload costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentui.control import SwitchModel
from agentui.tui.choices import context_choices, context_lengths, model_choices, reload_cost
from agentui.tui.commands import run_command
from agentui.tui.screens.pick import Choice, PickScreen

if TYPE_CHECKING:
    from agentui.tui.screens.deck import DeckScreen


def pick_model(deck: DeckScreen) -> None:
    """Ask the server for its models, and load the one that is chosen."""
    view = deck.bridge.view
    current = view.status.model.model if view.status.model else None
    lengths: dict[str, int | None] = {}
    loadable: set[str] = set()

    async def load() -> Sequence[Choice]:
        models = await deck.services.models()
        loadable.update(m.name for m in models if m.can_load)
        lengths.update({m.name: m.default_context_tokens for m in models if not m.is_loaded})
        return model_choices(models, current)

    def chosen(name: str | None) -> None:
        if name is not None and name not in loadable:
            deck.say("this server cannot load models from here: start with --model NAME for another one")
        elif name is not None:
            deck.send(SwitchModel(model=name, context_tokens=lengths.get(name)))

    none = "the server has no models"
    deck.app.push_screen(PickScreen("Models", load, note=reload_cost(view.gauges), none=none), chosen)


def pick_context(deck: DeckScreen) -> None:
    """Say what each length would take, and reload with the one that is chosen."""
    view = deck.bridge.view

    async def load() -> Sequence[Choice]:
        lengths = context_lengths(view.status.model)
        return context_choices(view.status.model, await deck.services.context_notes(lengths))

    def chosen(length: str | None) -> None:
        if length is not None:
            run_command(deck, f"/context {length}")

    none = "no model is known yet; /context 64k asks for one"
    deck.app.push_screen(PickScreen("Context", load, note=reload_cost(view.gauges), none=none), chosen)
