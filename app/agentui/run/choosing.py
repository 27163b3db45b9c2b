"""Which model a session uses where none is loaded and none was named: the user says."""

from __future__ import annotations

from agentui.backends.base import Backend
from agentui.errors import BackendError
from agentui.run.approvals import Approvals
from agentui.run.ports import RunParts
from agentui.text import clean_line, plural

MOST_MODELS = 6
"""More do not fit into a question; ``--model`` takes any."""

WAIT = "wait"


class ModelChoice:
    """The question for a model, and its answer. It is asked once, and again after a load that failed.

    Meanwhile the server is asked on and on: a model that is loaded elsewhere takes the question back.
    """

    def __init__(self, parts: RunParts, approvals: Approvals) -> None:
        self._parts = parts
        self._approvals = approvals
        self.name: str | None = None
        self.context_tokens: int | None = None

    def forget(self) -> None:
        """It could not be loaded."""
        self.name = self.context_tokens = None

    async def ask(self, backend: Backend) -> None:
        """Ask which of the server's models to use; nothing is asked where it lists none."""
        try:
            models = [model for model in await backend.models() if model.kind != "embedding"]
        except BackendError:
            return  # whoever looks for the model meets it too, and tells
        if not models:
            return
        loads = backend.facts.can_load
        question = "No model is loaded. Load one?" if loads else "Which model?"
        more = len(models) - MOST_MODELS
        others = f"{plural(more, 'more model')}: start with --model NAME. " if more > 0 else ""
        why = f"{others}Your task is kept; what is loaded elsewhere is taken as soon as it is there."
        names = {clean_line(model.key): model for model in models[:MOST_MODELS]}
        verdict = await self._approvals.ask(question, why, (*names, WAIT))
        chosen = names.get(verdict or "")
        if chosen is None:
            return
        if loads and not chosen.is_loaded:
            self.context_tokens = await self._parts.usual_context(backend, chosen)
        self.name = chosen.key
