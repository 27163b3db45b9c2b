"""What `agentui doctor` says of Pi, where that is what thinks."""

from __future__ import annotations

import asyncio

from agentui.cli.finding import Finding
from agentui.config import Settings
from agentui.errors import AgentuiError
from agentui.paths import places


async def pi_findings(settings: Settings) -> list[Finding]:
    """Whether the Pi that the settings ask for can be started; nothing where they ask for none."""
    if settings.harness != "pi":
        return []
    try:
        return [await (_on_host() if settings.pi_place == "host" else _in_container(settings))]
    except AgentuiError as error:
        return [Finding("Pi", "missing", error.message, error.hint, needed=True)]


async def _on_host() -> Finding:
    from agentui.harness.pi.install import find_pi

    found = await find_pi(places().pi)
    facts = {"version": found.version, "node": str(found.node)}
    return Finding(
        "Pi", "ok", f"{found.version} on this machine, run by {found.node}", needed=True, facts=facts
    )


async def _in_container(settings: Settings) -> Finding:
    from agentui import wire

    image = await asyncio.to_thread(wire.pi_image, settings)
    is_built = await image.is_built()
    facts = {"tag": image.tag, "base": image.base, "is_built": is_built}
    if is_built:
        return Finding("Pi", "ok", f"{image.tag} from {image.base}", needed=True, facts=facts)
    todo = f"{image.command}   (or run Pi on this machine: --pi-host)"
    return Finding("Pi", "missing", f"{image.tag} is not built yet", todo, needed=True, facts=facts)
