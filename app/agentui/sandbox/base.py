"""What a sandbox is to the rest of agentui: where commands run, and the private copy they run on.

A sandbox owns two things: an environment that runs one command at a time, and a *copy* of the project that only
those commands can write. The host project is never writable from it. Paths of the copy are ``bytes`` relative
to its root, with ``/``: names may hold anything but NUL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from agentui.events import SandboxFacts, ToolOutcome

EntryType = Literal["file", "dir", "link", "fifo", "socket", "device"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command line for a fresh ``bash -c``, passed untouched.

    `cwd` is relative to the copy's root, empty for the root itself. `timeout_s` counts running time only: it
    stands still while frozen.
    """

    text: str
    cwd: str = ""
    timeout_s: float | None = None


MAX_COMMAND_BYTES = 128 * 1024 - 1
"""Linux takes no longer argument (MAX_ARG_STRLEN, its last byte a NUL)."""


def unfit(command: Command) -> str:
    """Why no shell can be given a command as it stands, in words; empty if one can."""
    try:
        size_bytes = len(command.text.encode("utf-8"))
    except UnicodeEncodeError:
        return "The command did not run. It holds bytes that are not UTF-8 text; write them as escapes."
    if "\0" in command.text:
        return "The command did not run. It holds a NUL, which no command can."
    if size_bytes > MAX_COMMAND_BYTES:
        return (
            f"The command did not run. It has {size_bytes:,} bytes, and a shell takes {MAX_COMMAND_BYTES:,}: "
            "do it in parts."
        )
    return ""


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """Exact bytes of a command's output, as they came; may cut lines and characters anywhere."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `exit_code` is ``None`` when it is not known (lost) or never ran (refused).

    `cwd` is where the outermost shell ended, relative to the copy's root; unchanged where it is not known.
    """

    outcome: ToolOutcome
    exit_code: int | None
    wall_s: float
    cwd: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree, host or copy.

    `mode` holds the permission bits, of a file also setuid and setgid. `fingerprint` changes whenever content
    may have changed (size, times and inode as the tree's owner cannot forge them); `link_target` only for
    links.
    """

    path: bytes
    type: EntryType
    mode: int
    size_bytes: int
    mtime_ns: int
    fingerprint: str
    link_target: bytes | None = None


MAX_ENTRIES = 1_000_000
"""So many entries of a copy are listed (some 700 MB of memory); a command can make any number."""
TOO_MANY = f"The private copy holds more than {MAX_ENTRIES:,} files and folders, too many to be compared"
TOO_MANY_HINT = "Let a command remove some (`!rm -r …`), or drop the whole copy: agentui sandbox remove"

OnOutput: TypeAlias = Callable[[OutputChunk], None]
OnBytes: TypeAlias = Callable[[int, int], None]
"""Called with files and bytes done so far."""


class Copy(Protocol):
    """The private copy's files, as seen from outside the agent's environment. Commands must not be running.

    All methods may take long; they never block the event loop.
    """

    async def manifest(self) -> tuple[Entry, ...]:
        """Every entry of the copy but its root, in no particular order. O(entries).

        Raises:
            SandboxError: If there are more than `MAX_ENTRIES`.
        """
        ...

    async def identity(self) -> str | None:
        """A text that stays as long as this is the copy that was once made here. Cheap.

        ``None`` where that cannot be told, or where the copy may be empty: then `manifest` must be asked.
        """
        ...

    async def seed(self, root: Path, paths: Sequence[bytes], progress: OnBytes) -> None:
        """Bring `paths` (files, links, directories) of the host tree `root` into the copy, replacing.

        Modes and modification times are kept; links are copied as links; the agent owns the result.
        """
        ...

    async def fetch(self, paths: Sequence[bytes], into: Path) -> None:
        """Write regular files of the copy below the host folder `into`, which is ours and empty."""
        ...

    async def remove(self, paths: Sequence[bytes]) -> None:
        """Remove entries of the copy; directories with all they hold. Missing ones are no error."""
        ...

    async def clear(self) -> None:
        """Remove everything."""
        ...


class Sandbox(Protocol):
    """Runs one command at a time. A contract suite checks every implementation."""

    @property
    def facts(self) -> SandboxFacts:
        """What this sandbox is and holds."""
        ...

    @property
    def copy(self) -> Copy:
        """The private copy that commands work on."""
        ...

    async def start(self, note: Callable[[str], None]) -> None:
        """Make it ready; `note` gets progress in words (image build lines among them).

        Raises:
            SandboxUnavailable: If there is no engine or image, or the self-test failed; says what to do.
        """
        ...

    async def run(self, command: Command, on_output: OnOutput) -> CommandResult:
        """Run a command to its end, calling `on_output` on the event loop as output comes.

        All processes the command started are gone when this returns. Cancelling kills them first. Never raises
        for what the command does: see the outcome. With back pressure: output is read no faster than taken.
        """
        ...

    async def freeze(self) -> bool:
        """Stop the running command in place, its deadline too; False if nothing runs or it cannot freeze."""
        ...

    async def thaw(self) -> None:
        """Let a frozen command go on."""
        ...

    async def memory_bytes(self) -> int | None:
        """Memory in use by the environment now; ``None`` if unknown."""
        ...

    async def aclose(self) -> None:
        """End everything; the copy stays unless the sandbox is throwaway."""
        ...
