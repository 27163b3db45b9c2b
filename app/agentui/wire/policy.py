"""What the settings decide beforehand for the runs of a session."""

from __future__ import annotations

from typing import Literal

from agentui.config.settings import Settings
from agentui.run.changes import ApplyPolicy
from agentui.run.ports import RunPolicy

_APPROVE: dict[str, Literal["never", "ask"]] = {"never": "never", "ask": "ask"}
_APPLY: dict[str, ApplyPolicy] = {"ask": "ask", "auto": "auto", "never": "never"}


def apply_policy(settings: Settings, applies_always: bool) -> ApplyPolicy:
    """When changes are applied, given what was agreed to for the project."""
    return "auto" if applies_always and settings.apply == "ask" else _APPLY[settings.apply]


def run_policy(settings: Settings, is_demo: bool, is_interactive: bool, apply: ApplyPolicy) -> RunPolicy:
    """What the settings say of runs; the demo has its own model."""
    return RunPolicy(
        approve=_APPROVE[settings.approve],
        apply=apply,
        max_turns=settings.max_turns,
        command_timeout_s=settings.command_timeout_s,
        is_interactive=is_interactive,
        model=None if is_demo else settings.model,
        context_tokens=None if is_demo else settings.context_tokens,
        profile=settings.profile,
        harness=settings.harness,
    )
