"""What `agentui doctor` looks at: each part is asked for itself, and none can fail the others."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from agentui.backends.base import ServerFacts, ServerModel
from agentui.cli.finding import Finding
from agentui.cli.models import models_object
from agentui.cli.pi_findings import pi_findings
from agentui.cli.sandbox_findings import jail_findings, limits_finding
from agentui.config import Settings
from agentui.errors import AgentuiError
from agentui.text import human_bytes, human_context, human_gib, plural

SMALLEST_COLUMNS, SMALLEST_LINES = 80, 24
LITTLE_MEMORY_BYTES = 4 << 30
LITTLE_ENGINE_BYTES = 3 << 30
# Instructions, a task and one file fill this; less makes an agent forget what it is doing.
LITTLE_CONTEXT_TOKENS = 16_384


async def all_findings(
    settings: Settings, *, may_connect: bool, blocked: AgentuiError | None = None
) -> list[Finding]:
    """Look at everything, the slow parts at the same time. Sends nothing but questions to the server.

    `blocked` says why the server cannot be asked at all: its key is not to be had.
    """
    server, engine, pi = await asyncio.gather(
        _ask_server(settings, may_connect, blocked), _ask_engine(settings), pi_findings(settings)
    )
    memory = await asyncio.to_thread(memory_finding)
    return [
        *server,
        *engine,
        *pi,
        memory,
        terminal_finding(os.environ, shutil.get_terminal_size(), sys.stdout.isatty()),
    ]


# --- the model server ----------------------------------------------------------------------------


async def _ask_server(settings: Settings, may_connect: bool, blocked: AgentuiError | None) -> list[Finding]:
    if blocked is not None:
        return [Finding("model server", "missing", blocked.message, blocked.hint, needed=True)]
    if not may_connect:
        text = f"{settings.url} was named by the environment only, and was not asked"
        return [
            Finding("model server", "missing", text, f"to mean it, type: --url {settings.url}", needed=True)
        ]
    from agentui import wire

    try:
        backend = await wire.find_backend(settings)
    except AgentuiError as error:
        return [Finding("model server", "missing", error.message, error.hint, needed=True)]
    try:
        return server_findings(backend.facts, await backend.models(), settings)
    except AgentuiError as error:
        return [Finding("models", "missing", error.message, error.hint, needed=True)]
    finally:
        await backend.aclose()


def server_findings(server: ServerFacts, models: Sequence[ServerModel], settings: Settings) -> list[Finding]:
    """What to say of a server that answered, and of its models."""
    version = f" {server.version}" if server.version else ""
    where = ", not on this machine: its memory cannot be seen" if server.is_remote else ""
    simulated = " (simulated)" if server.is_simulated else ""
    found = Finding(
        "model server",
        "note" if server.is_remote else "ok",
        f"{server.kind}{version}{simulated} at {server.base_url}{where}",
        needed=True,
        facts=models_object(server, models),
    )
    if not server.lists_models:
        return [found, _unlisted(settings.model)]
    return [found, _models_finding(server, [m for m in models if m.kind != "embedding"], settings)]


def _unlisted(model: str | None) -> Finding:
    if model:
        return Finding("models", "note", f"the server does not list its models; {model} is asked for by name")
    todo = 'name the one to use: --model NAME, or model = "NAME" in your settings'
    return Finding("models", "note", "the server does not list its models, and none is named", todo)


def _models_finding(server: ServerFacts, models: Sequence[ServerModel], settings: Settings) -> Finding:
    if not models:
        return Finding(
            "models", "missing", "the server has no language model", "download one in it", needed=True
        )
    loaded = [(model, instance) for model in models for instance in model.instances]
    if not loaded:
        named = settings.model or models[0].key
        todo = f"agentui load {named}" if server.can_load else "load one in the server"
        return Finding("models", "note", f"{plural(len(models), 'model')}, none is loaded", todo)
    words = [f"{instance.id} with {human_context(instance.context_tokens)}" for _, instance in loaded]
    text = f"{plural(len(models), 'model')}; loaded: " + ", ".join(words)
    small = [i for _, i in loaded if i.context_tokens is not None and i.context_tokens < LITTLE_CONTEXT_TOKENS]
    if small and server.can_load:
        return Finding(
            "models", "note", text, f"little context for an agent: agentui load {small[0].id} --context 32k"
        )
    return Finding("models", "ok", text)


# --- the sandbox ---------------------------------------------------------------------------------


async def _ask_engine(settings: Settings) -> list[Finding]:
    from agentui import wire

    if settings.sandbox == "none":
        return [
            Finding("sandbox", "note", "none: commands would run on this machine, on a copy of the project")
        ]
    if settings.sandbox in ("bubblewrap", "seatbelt"):
        return await jail_findings(settings)
    try:
        image = await asyncio.to_thread(wire.tools_image, settings)
        is_built = await image.is_built()
    except AgentuiError as error:
        return [Finding("sandbox", "missing", error.message, error.hint, needed=True)]
    facts = image.engine.facts
    memory = human_bytes(facts.memory_bytes)
    is_little = facts.memory_bytes is not None and facts.memory_bytes < LITTLE_ENGINE_BYTES
    engine = Finding(
        "sandbox",
        "note" if is_little else "ok",
        f"{facts.name} {facts.version}, {memory} memory, {facts.cpus or '?'} cpus",
        "give the engine more memory in its own settings" if is_little else "",
        needed=True,
        facts={
            "name": facts.name,
            "version": facts.version,
            "memory_bytes": facts.memory_bytes,
            "cpus": facts.cpus,
        },
    )
    built = {"tag": image.tag, "base": image.base, "is_built": is_built}
    limits = limits_finding(settings, facts.memory_bytes, facts.cpus)
    if is_built:
        return [engine, limits, Finding("sandbox image", "ok", f"{image.tag} from {image.base}", facts=built)]
    text = f"{image.tag} is not built yet"
    todo = f"agentui sandbox build   (from {image.base}; the only step that may use the network)"
    return [engine, limits, Finding("sandbox image", "missing", text, todo, needed=True, facts=built)]


# --- the machine ---------------------------------------------------------------------------------


def memory_finding() -> Finding:
    """The machine's memory. Blocks for some tens of milliseconds."""
    from agentui.telemetry.memory.detect import memory_reader

    try:
        machine = memory_reader().machine()
    except OSError as error:
        return Finding("memory", "note", f"cannot be read: {error}", "its gauges will show ?")
    facts = {
        name: getattr(machine, name)
        for name in ("total_bytes", "available_bytes", "swap_used_bytes", "gpu_limit_bytes", "pressure")
    }
    text = f"{human_gib(machine.available_bytes)} of {human_gib(machine.total_bytes)} GiB free"
    if machine.gpu_limit_bytes is not None:
        text += f", GPU limit {human_gib(machine.gpu_limit_bytes)} GiB"
    is_little = machine.available_bytes is not None and machine.available_bytes < LITTLE_MEMORY_BYTES
    return Finding("memory", "note" if is_little else "ok", text, facts=facts)


def terminal_finding(environ: Mapping[str, str], size: os.terminal_size, is_terminal: bool) -> Finding:
    """What the terminal can do, as far as it tells."""
    term = environ.get("TERM", "")
    colours = "256" if "256" in term else "16"
    if environ.get("COLORTERM") in ("truecolor", "24bit"):
        colours = "true colour"
    if environ.get("NO_COLOR"):
        colours = "none (NO_COLOR)"
    inside = [name for name, variable in (("tmux", "TMUX"), ("SSH", "SSH_CONNECTION")) if environ.get(variable)]
    facts = {
        "term": term,
        "columns": size.columns,
        "lines": size.lines,
        "colours": colours,
        "inside": inside,
        "is_terminal": is_terminal,
    }
    text = f"{term or 'TERM is not set'}, {size.columns}x{size.lines}, colours: {colours}"
    text += f", inside {' and '.join(inside)}" if inside else ""
    if not is_terminal:
        return Finding("terminal", "note", f"{text}; output is not a terminal", facts=facts)
    if term in ("", "dumb"):
        return Finding("terminal", "missing", text, "use a terminal that sets TERM, or agentui -p", facts=facts)
    if size.columns < SMALLEST_COLUMNS or size.lines < SMALLEST_LINES:
        todo = f"the screen wants {SMALLEST_COLUMNS}x{SMALLEST_LINES} or more"
        return Finding("terminal", "note", text, todo, facts=facts)
    return Finding("terminal", "ok", text, facts=facts)
