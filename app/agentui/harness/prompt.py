"""The system prompt of the own loop and the one tool it offers.

Short and stable: every byte of it is read again by the model when anything in front of it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentui.events import Json, SandboxFacts

INSTRUCTION_FILES = ("AGENTS.md", "CLAUDE.md")
MAX_INSTRUCTION_BYTES = 32 * 1024

BASH_TOOL: Json = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Run one command line with bash in the project and get its output and exit code.",
        "parameters": {
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command line."},
                "timeout_s": {"type": "number", "description": "Seconds until it is killed; optional."},
            },
            "required": ["command"],
        },
    },
}

_ROLE = """\
You are a coding agent. You work on the user's project with one tool, `bash`, and you finish the task yourself.

How to work:
- Look before you change: `ls`, `{search}`, `sed -n '1,80p' FILE`.
- Small steps, one command at a time; read each result before the next.
- New files: `cat > FILE <<'EOF' ... EOF`. Changes in a file: `edit FILE`, which reads blocks on standard input:
  <<<<<<< SEARCH
  exact old lines
  =======
  new lines
  >>>>>>> REPLACE
  The old lines must occur exactly once. It prints the difference, or says why not.
- When done, say in a few sentences what you changed and how the user can check it. Do not ask to go on."""

_WORKSPACE = """\
About the tool:
- Every command is a fresh `bash -c`. The directory you `cd` to is kept, variables are not.
- You work on a private copy; the user reviews and applies your changes.{network}
- {programs}"""
_NO_INTERPRETER = (
    "There is no interpreter here: python, node, perl and package managers answer 127. Install nothing."
)
_ON_THE_HOST = (
    "Commands run on the user's own machine and nothing holds them: interpreters and the network are the "
    "user's. Stay in this directory. Install nothing."
)

_OWN_IMAGE = "The shell is the project's own image, with its interpreters and tools. Install nothing."

_CHECKS = """\
The user's checks (tests and the like) run outside your shell: on a throwaway copy of your files, with
interpreters, without network. Call one as a whole command, with nothing else in it:"""

_TALK_ONLY = """\
You have no tool in this conversation: nothing can be run or changed. Answer from what the user tells you."""


@dataclass(frozen=True, slots=True)
class Instructions:
    """A file of instructions from the user or the project; `origin` is shown to the model."""

    origin: str
    text: str


def find_instructions(project: Path, user_folder: Path | None = None) -> tuple[Instructions, ...]:
    """AGENTS.md (or CLAUDE.md) of the user's settings, then from the git root down to `project`.

    Files are cut at 32 KiB. Reads files; unreadable ones are passed over.
    """
    folders = [user_folder] if user_folder else []
    root = next((p for p in (project, *project.parents) if (p / ".git").exists()), project)
    between = [p for p in (project, *project.parents) if p == root or root in p.parents]
    folders += reversed(between)
    found = (instructions_in(folder) for folder in folders)
    return tuple(item for item in found if item)


def instructions_in(folder: Path) -> Instructions | None:
    """The file of instructions in one folder; ``None`` without a readable one."""
    for name in INSTRUCTION_FILES:
        try:
            with (folder / name).open("rb") as file:
                text = file.read(MAX_INSTRUCTION_BYTES).decode("utf-8", errors="replace").strip()
        except OSError:
            continue
        if text:
            return Instructions(f"{folder.name}/{name}", text)
    return None


def system_prompt(
    sandbox: SandboxFacts | None,
    instructions: Sequence[Instructions] = (),
    checks: Sequence[str] = (),
    base: str | None = None,
) -> str:
    """The whole system prompt.

    Args:
        sandbox: Where commands run; ``None`` means talk only.
        instructions: Files of the user's and the project's, in order.
        checks: A line for each of the user's checks: how it is called, and what it runs.
        base: The user's own text instead of ours (``--system FILE``).
    """
    parts = [base.strip() if base else _role(sandbox) if sandbox else _TALK_ONLY]
    if sandbox and not base:
        parts.append(_workspace(sandbox))
    return "\n\n".join([*parts, *_of_project(sandbox, instructions, checks)])


def appendix(
    sandbox: SandboxFacts | None, instructions: Sequence[Instructions] = (), checks: Sequence[str] = ()
) -> str:
    """What another harness appends to its own system prompt; arguments as for `system_prompt`."""
    parts = [_role(sandbox).partition("\n\n")[2], _workspace(sandbox)] if sandbox else [_TALK_ONLY]
    return "\n\n".join([*parts, *_of_project(sandbox, instructions, checks)])


def _of_project(
    sandbox: SandboxFacts | None, instructions: Sequence[Instructions], checks: Sequence[str]
) -> list[str]:
    called = ["\n".join([_CHECKS, *(f"- {line}" for line in checks)])] if sandbox and checks else []
    return [*called, *(f"Instructions from {item.origin}:\n{item.text}" for item in instructions)]


def _role(sandbox: SandboxFacts) -> str:
    # The image has ripgrep; a host need not.
    return _ROLE.replace("{search}", "rg -n" if sandbox.image else "grep -rn")


def _workspace(sandbox: SandboxFacts) -> str:
    return _WORKSPACE.format(
        network=" No network." if sandbox.network == "none" else "",
        programs=_programs(sandbox),
    )


def _programs(sandbox: SandboxFacts) -> str:
    if not sandbox.has_interpreters:
        return _NO_INTERPRETER
    return _OWN_IMAGE if sandbox.is_isolated else _ON_THE_HOST
