"""Who thinks: our own loop, or Pi."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentui.backends.base import Backend
from agentui.config.settings import HARNESSES, PI_PLACES, Settings
from agentui.errors import UsageError
from agentui.events import ModelFacts, SandboxFacts
from agentui.harness.base import Harness
from agentui.harness.loop import LoopSettings, OwnLoop
from agentui.harness.prompt import appendix, find_instructions, system_prompt
from agentui.paths import PI_EXTENSION, Places, pi_folder, private_folder
from agentui.run.ports import HarnessFactory
from agentui.run.resumed import ResumedState

if TYPE_CHECKING:
    from agentui.harness.pi.launch import PiFolders, PiPlace
    from agentui.sandbox.pi_container import PiImage

Ids = Callable[[str], str]
Checks = Callable[[], Sequence[str]]


def as_before(settings: Settings, resumed: ResumedState, kept: Collection[str]) -> Settings:
    """The settings with what thought in a session last, and where, of those that are `kept` and known.

    Raises:
        UsageError: If Pi was named for a conversation that Pi has no record of: it would begin with nothing.
    """
    if "harness" in kept and resumed.harness in HARNESSES:
        settings = replace(settings, harness=resumed.harness)
    if "pi_place" in kept and resumed.harness_place in PI_PLACES:
        settings = replace(settings, pi_place=resumed.harness_place)
    if settings.harness == "pi" and resumed.messages and resumed.harness != "pi":
        raise UsageError(
            "Pi cannot go on with this session: the own loop thought in it, and Pi has no record of it",
            hint="leave --harness pi away, or begin a new session with Pi (without -c or -r)",
        )
    return settings


def typed_prompt(settings: Settings) -> str | None:
    """The text of ``--system``, if there is one.

    Raises:
        UsageError: If the file cannot be read.
    """
    try:
        return settings.system_file.read_text(encoding="utf-8") if settings.system_file else None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the system prompt {settings.system_file} cannot be read: {error}") from error


def harness_factory(
    settings: Settings, base: str | None, where: Places, project: Path, checks: Checks, ids: Ids
) -> HarnessFactory:
    """Makes what thinks for what was found; `base` is the typed prompt, `checks` gives lines that name them."""

    def loop(
        backend: Backend, model: ModelFacts, sandbox: SandboxFacts | None, resumed: ResumedState | None
    ) -> Harness:
        system = system_prompt(sandbox, find_instructions(project, where.config), checks(), base)
        options = LoopSettings(
            has_tools=sandbox is not None, sampling=settings.sampling, max_tokens=settings.answer_tokens
        )
        history = resumed.messages if resumed is not None else ()
        return OwnLoop(backend, model, system, options, ids, history)

    def pi(
        backend: Backend, model: ModelFacts, sandbox: SandboxFacts | None, resumed: ResumedState | None
    ) -> Harness:
        return _pi(settings, where, project, checks, ids, backend, model, sandbox, resumed)

    return pi if settings.harness == "pi" else loop


def _pi(
    settings: Settings,
    where: Places,
    project: Path,
    checks: Checks,
    ids: Ids,
    backend: Backend,
    model: ModelFacts,
    sandbox: SandboxFacts | None,
    resumed: ResumedState | None,
) -> Harness:
    from agentui.backends.models_json import models_path, read_models_file
    from agentui.harness.pi.config import ModelOptions, read_pi_settings
    from agentui.harness.pi.harness import PiHarness, PiSettings
    from agentui.harness.pi.launch import PiFolders
    from agentui.harness.pi.userconfig import remove_ended, user_instructions

    root = private_folder(where.pi)
    remove_ended(root)
    own = where.pi_state(project)
    folders = PiFolders(
        private=root / f"run-{os.getpid()}-{ids('')}",
        sessions=private_folder(own / "sessions"),
        workdir=private_folder(own / "workdir"),
        extension=PI_EXTENSION,
    )
    user_folder = pi_folder(where.home, os.environ)
    instructions = (*user_instructions(user_folder), *find_instructions(project, where.config))
    listed = None
    if (route := settings.provider) is not None:
        file = read_models_file(models_path(settings.models_file, where.home, os.environ))
        found = file.find(f"{route.provider}/{route.model}")
        listed = found[0] if found is not None else None
    options = PiSettings(
        options=ModelOptions(
            settings.sampling,
            settings.answer_tokens,
            listed,
            read_pi_settings(user_folder / "settings.json"),
            route.thinking_level if route is not None else None,
        ),
        api_key=settings.api_key,
        headers=route.headers if route is not None else (),
        system_file=settings.system_file,
        appendix=appendix(sandbox, instructions, checks()),
        has_tools=sandbox is not None,
        user_folder=user_folder,
        extensions=settings.pi_extensions,
    )
    reference = resumed.harness_ref if resumed is not None else None
    session = Path(reference) if reference is not None else None
    is_stale = resumed is not None and resumed.is_history_stale
    return PiHarness(_place(settings, where, folders), folders, backend, model, options, ids, session, is_stale)


def _place(settings: Settings, where: Places, folders: PiFolders) -> PiPlace:
    """Where Pi runs; nothing is looked for yet."""
    if settings.pi_place == "host":
        from agentui.harness.pi.host import HostPlace

        return HostPlace(private_folder(where.pi))
    from agentui.harness.pi.container import ContainerPlace

    return ContainerPlace(lambda: pi_image(settings), folders)


def pi_image(settings: Settings) -> PiImage:
    """The image that Pi runs in, with our extension, on this machine's engine. Blocks for a question to it.

    Raises:
        SandboxUnavailable: If there is no engine.
    """
    from agentui.sandbox.engine import find_engine
    from agentui.sandbox.pi_container import PiImage

    return PiImage(find_engine(), settings.base_image, PI_EXTENSION)
