"""What `agentui doctor` says of the sandbox's limits, and of the sandboxes without an engine."""

from __future__ import annotations

import asyncio
import shutil

from agentui.cli.finding import Finding
from agentui.config import Settings
from agentui.errors import SandboxUnavailable
from agentui.text import human_bytes


def limits_finding(settings: Settings, memory_bytes: int | None, cpus: int | None) -> Finding:
    """What commands may use; a note where that is more than the engine has.

    Args:
        settings: Whose `limits` are shown.
        memory_bytes: What the engine can give out.
        cpus: The engine's.
    """
    facts = {
        "memory_bytes": settings.memory_limit_bytes,
        "cpus": settings.cpus,
        "pids": settings.pids_limit,
        "tmp_bytes": settings.tmp_bytes,
        "open_files": settings.open_files,
    }
    given = min(settings.cpus, cpus or settings.cpus)
    text = (
        f"{human_bytes(settings.memory_limit_bytes)} memory, {given:g} cpus,"
        f" {settings.pids_limit} processes, {human_bytes(settings.tmp_bytes)} in /tmp,"
        f" {settings.open_files} open files each"
    )
    if memory_bytes is not None and settings.memory_limit_bytes > memory_bytes:
        todo = f"the engine has only {human_bytes(memory_bytes)}: lower limits.memory"
        return Finding("limits", "note", text, todo, facts=facts)
    return Finding("limits", "ok", text, facts=facts)


async def jail_findings(settings: Settings) -> list[Finding]:
    """Start the jail once, with its self-test, and say what it does not give."""
    from agentui import wire
    from agentui.sandbox.jailed import JailedSandbox

    sandbox = await asyncio.to_thread(wire.probe_sandbox, settings)
    assert isinstance(sandbox, JailedSandbox)
    try:
        await sandbox.start(lambda _: None)
    except SandboxUnavailable as error:
        return [Finding("sandbox", "missing", f"{settings.sandbox}: {error.message}", error.hint, needed=True)]
    finally:
        await sandbox.aclose()
        shutil.rmtree(sandbox.folder, ignore_errors=True)
    notes = list(sandbox.facts.notes)
    text = f"{settings.sandbox}, passed its self-test; it does not give: {'; '.join(notes)}"
    return [
        Finding("sandbox", "note", text, needed=True, facts={"notes": notes}),
        limits_finding(settings, None, None),
    ]
