"""How a llama-server on this machine was started. Its command line tells what none of its routes does.

Flags follow llama.cpp's `common/arg.cpp` of August 2026. What was set by environment variables or presets is
not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from agentui.errors import UsageError
from agentui.frozen import frozen
from agentui.telemetry.memory.process import listener_of

if TYPE_CHECKING:
    from agentui.telemetry.kv.llama_cpp import LlamaCppCache

DEFAULT_SLOTS = 4
"""Slots of a llama-server that was not told a number; they then share one unified cache."""
_NAME = "llama-server"
_MODEL_FLAGS = ("-m", "--model", "-hf", "-hfr", "--hf-repo", "-mu", "--model-url")


@frozen
class LlamaStart:
    """A llama-server's arguments."""

    arguments: tuple[str, ...]

    def settings(self, slot_tokens: int, slots: int) -> LlamaCppCache:
        """The cache of a server that tells `slots` of `slot_tokens` each.

        Raises:
            UsageError: The arguments name what no engine takes.
        """
        from agentui.telemetry.kv.llama_cpp import LlamaCppCache

        is_unified = self._is_unified(slots)
        return LlamaCppCache(
            context_tokens=slot_tokens if is_unified else slot_tokens * slots,
            parallel=slots,
            unified=is_unified,
            cache_k=self._value("-ctk", "--cache-type-k") or "f16",
            cache_v=self._value("-ctv", "--cache-type-v") or "f16",
            swa_full=self._has("--swa-full"),
            batch=self._number(2048, "-b", "--batch-size"),
            ubatch=self._number(512, "-ub", "--ubatch-size"),
            flash_attention=self._flash_attention(),
        )

    def _is_unified(self, slots: int) -> bool:
        """One slot is as good as unified; a number of slots that was asked for is separate unless told."""
        if self._has("-no-kvu", "--no-kv-unified"):
            return slots == 1
        is_default = self._number(-1, "-np", "--parallel") < 0
        return is_default or slots == 1 or self._has("-kvu", "--kv-unified")

    def _flash_attention(self) -> Literal["on", "off", "auto"]:
        match self._value("-fa", "--flash-attn"):
            case "off" | "0" | "disabled" | "false":
                return "off"
            case "on" | "1" | "enabled" | "true":
                return "on"
            case _:
                return "auto"

    def _has(self, *names: str) -> bool:
        return any(name in self.arguments for name in names)

    def _value(self, *names: str) -> str | None:
        """What follows the last of these flags, as the server reads it."""
        pairs = zip(self.arguments, self.arguments[1:], strict=False)
        return next((value for name, value in reversed(list(pairs)) if name in names), None)

    def _number(self, default: int, *names: str) -> int:
        value = self._value(*names)
        if value is None:
            return default
        try:
            return int(value)
        except ValueError as error:
            raise UsageError(
                f"the server was started with {names[-1]} {value!r}, which is no number"
            ) from error


def slots_guess(slot_tokens: int, slots: int) -> LlamaCppCache:
    """The cache of a server whose start is not known: the default four slots share, others are separate."""
    arguments = () if slots == DEFAULT_SLOTS else ("--parallel", str(slots))
    return LlamaStart(arguments).settings(slot_tokens, slots)


def llama_start(port: int | None) -> LlamaStart | None:
    """The start of the llama-server that listens on a local port; ``None`` if it is not to be seen.

    Where the system does not tell who listens (macOS), the only llama-server that runs is taken. Blocks for
    some milliseconds.
    """
    process = _process_on(port)
    try:
        arguments = () if process is None else tuple(process.cmdline())
    except (psutil.Error, OSError):
        return None
    return LlamaStart(arguments) if _is_server(arguments) else None


def file_of_server(told: str, port: int | None) -> Path:
    """Where the file lies that the server on a local port names, perhaps relative to where it was started.

    Whatever program it is that serves there. Blocks as `llama_start` does.
    """
    path = Path(told)
    if path.is_absolute():
        return path
    process = _process_on(port)
    try:
        return path if process is None else Path(process.cwd()) / path
    except (psutil.Error, OSError):
        return path


def _process_on(port: int | None) -> psutil.Process | None:
    """The process that listens on a port, or the only llama-server where that is not told."""
    owner = None if port is None else listener_of(port)
    try:
        processes = [psutil.Process(owner)] if owner is not None else _running()
    except (psutil.Error, OSError):
        return None
    return processes[0] if len(processes) == 1 else None


def _running() -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == _NAME]


def _is_server(arguments: Sequence[str]) -> bool:
    """A llama-server with a model of its own; one that only hands requests on to others has none."""
    is_named = any(Path(argument).name.startswith(_NAME) for argument in arguments[:2])
    return is_named and any(flag in arguments for flag in _MODEL_FLAGS)
