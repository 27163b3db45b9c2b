"""The research profile: what may be reached, and telling about each connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentui.config.settings import RULES, Settings
from agentui.errors import ConfigError
from agentui.events import EgressDecided, Event

if TYPE_CHECKING:
    from agentui.sandbox.egress.proxy import Decision
    from agentui.sandbox.research import WayOut


def way_out_of(settings: Settings, emit: Callable[[Event], None]) -> WayOut | None:
    """The way out that the settings ask for, not opened; ``None`` for profiles without one.

    Raises:
        ConfigError: If nothing is listed, or a line of the list is no target.
    """
    if settings.profile != "research":
        return None
    from agentui.sandbox.egress.proxy import EgressProxy
    from agentui.sandbox.egress.rules import parse_target
    from agentui.sandbox.research import WayOut

    key = RULES["research_allow"].key
    if not settings.research_allow:
        raise ConfigError(
            "--profile research needs to know what may be reached",
            hint=f"Name it: --allow api.example.com:443, or {key} in your own settings file.",
        )
    targets = []
    for text in settings.research_allow:
        try:
            targets.append(parse_target(text))
        except ValueError as error:
            raise ConfigError(f"{key}: {text!r} {error}") from error

    def tell(decision: Decision) -> None:
        emit(EgressDecided(decision.host, decision.port, decision.verdict, decision.why))

    return WayOut(EgressProxy(targets, tell))


def require_docker(settings: Settings) -> None:
    """Refuse a profile other than the default in a sandbox that cannot hold it.

    Raises:
        ConfigError: If another kind than Docker is asked for.
    """
    if settings.profile != "default":
        raise ConfigError(
            f"--profile {settings.profile} needs the Docker sandbox, not {settings.sandbox}",
            hint="Leave --sandbox out, use --sandbox docker, or add --profile default.",
        )
