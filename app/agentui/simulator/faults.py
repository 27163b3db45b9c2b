"""Everything that has been seen to go wrong with LM Studio, as switches."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from agentui.errors import UsageError


class Fault(StrEnum):
    """One way to fail; the value is its name on the command line and in the control route."""

    UNKNOWN_MODEL = "unknown-model"
    """400 with an error object that names the models there are."""
    NO_MODELS_LOADED = "no-models-loaded"
    """400 with an error object."""
    NO_MODELS_LOADED_TEXT = "no-models-loaded-text"
    """400 with the older plain text."""
    LOAD_FAILED = "load-failed"
    """A load ends in an error; a request that had to load gets a 400."""
    LOW_MEMORY = "low-memory"
    """The memory guardrail refuses a load."""
    UNAUTHORIZED = "unauthorized"
    """401 on every route that wants a token."""
    UNEXPECTED_ENDPOINT = "unexpected-endpoint"
    """200 with an error text, as for a base URL without /v1."""
    OVERFLOW_KEEP_FIRST = "overflow-keep-first"
    """0.3.x: 400, or an error event in a stream."""
    OVERFLOW_N_KEEP = "overflow-n-keep"
    """0.4.0: 400 in JSON, an error event in a stream."""
    OVERFLOW_EVENT = "overflow-event"
    """0.4.20 on MLX: 200, then an error event."""
    OVERFLOW_EMPTY = "overflow-empty"
    """GGUF in 2026: 200, a well-formed stream without any content and no error."""
    OVERFLOW_SHARED = "overflow-shared"
    """The shared cache ran out: every running generation of the instance ends in an error."""
    CRASH = "crash"
    """The engine dies in the middle of a stream: an error event."""
    ERROR_DATA = "error-data"
    """The same as a plain data record, without an event line."""
    ERROR_TEXT = "error-text"
    """A plain data record whose error is a string."""
    ERROR_KEYLESS = "error-keyless"
    """An error event whose data has no error key."""
    CUT = "cut"
    """The stream ends cleanly, but without finish_reason or [DONE]."""
    RESET = "reset"
    """The TCP connection is reset inside a record."""
    STALL = "stall"
    """The stream goes silent and stays open."""
    HTTP_500 = "http-500"
    """An internal error of the server."""
    MALFORMED_JSON = "malformed-json"
    """One record of the stream cannot be parsed."""
    ENDLESS_REASONING = "endless-reasoning"
    """The model never stops thinking: finish_reason length, empty content."""
    TOOL_CALL_AS_TEXT = "tool-call-as-text"
    """Tool calls arrive as ordinary content with finish_reason stop."""
    EMPTY_DELTAS = "empty-deltas"
    """Records with an empty content between the real ones."""
    NO_USAGE = "no-usage"
    """The usage is left out although it was asked for."""
    REASONING_FIELD = "reasoning-field"
    """Thoughts arrive as `reasoning` and not as `reasoning_content`."""
    INLINE_THINKING = "inline-thinking"
    """Thoughts arrive inside the content, between the model's own marks."""
    WRONG_CONTEXT = "wrong-context"
    """A load gets a larger context than it asked for."""
    BUSY = "busy"
    """Another program uses the model: the state is `generating` without a request of ours."""
    RESTART = "restart"
    """The server restarts after the request: caches and just-in-time loads are gone."""
    SLOW_MODELS = "slow-models"
    """GET /api/v1/models takes two seconds."""


_STATES = frozenset({Fault.BUSY, Fault.SLOW_MODELS, Fault.WRONG_CONTEXT})
OVERFLOWS = frozenset(
    {
        Fault.OVERFLOW_KEEP_FIRST,
        Fault.OVERFLOW_N_KEEP,
        Fault.OVERFLOW_EVENT,
        Fault.OVERFLOW_EMPTY,
        Fault.OVERFLOW_SHARED,
    }
)


def parse_fault(name: str) -> Fault:
    """Return the fault of that name.

    Raises:
        UsageError: If there is none.
    """
    try:
        return Fault(name.strip().lower().replace("_", "-"))
    except ValueError:
        known = ", ".join(fault.value for fault in Fault)
        raise UsageError(f"The simulator has no fault “{name}”.", hint=f"Choose one of: {known}") from None


class FaultPlan:
    """Which request fails in which way; it can be changed while the server runs."""

    def __init__(self, at: Mapping[int, Fault], every: Fault | None) -> None:
        self._at = dict(at)
        self._every = every
        self._next: list[Fault] = []
        self._states: set[Fault] = set()

    def set_every(self, fault: Fault | None) -> None:
        """Make every request fail like this from now on; None switches it off."""
        self._every = fault

    def set_at(self, number: int, fault: Fault) -> None:
        """Make the chat request of this number (from 1) fail."""
        self._at[number] = fault

    def add_next(self, fault: Fault) -> None:
        """Make one coming chat request fail; several of these wait in line."""
        self._next.append(fault)

    def clear(self) -> None:
        """Switch everything off."""
        self._at.clear()
        self._next.clear()
        self._states.clear()
        self._every = None

    def of_request(self, number: int) -> Fault | None:
        """Return the fault of this chat request and use up what was meant for one request.

        A fault that is a state of the server stays on from this request on.
        """
        fault = self._at.get(number)
        if fault is None:
            fault = self._next.pop(0) if self._next else self._every
        if fault is not None and fault in _STATES:
            self._states.add(fault)
        return fault

    def is_on(self, fault: Fault) -> bool:
        """Tell whether the server is in this state outside of chat requests."""
        return self._every is fault or fault in self._states

    def describe(self) -> dict[str, object]:
        """Return the plan as the control route shows it."""
        return {
            "every": self._every.value if self._every else None,
            "at": {str(number): fault.value for number, fault in sorted(self._at.items())},
            "next": [fault.value for fault in self._next],
            "states": sorted(fault.value for fault in self._states),
        }
