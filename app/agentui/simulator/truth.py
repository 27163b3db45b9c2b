"""What really happened on a simulated server, to compare a client's gauges and claims with."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentui.simulator.faults import Fault

# Bodies repeat the whole conversation each time; beyond this many only the numbers are kept.
_BODIES_KEPT = 400


@dataclass(slots=True)
class RequestRecord:
    """One request to a route that generates text. Times are real seconds of the server's clock."""

    number: int
    route: str
    body: dict[str, object]
    fault: Fault | None
    instance_id: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    queued_s: float = 0.0
    load_s: float = 0.0
    prefill_s: float = 0.0
    planned_prefill_s: float = 0.0
    """Simulated time of the prompt, before `speed`: uncached tokens over the prefill rate."""
    arrived_at_s: float = 0.0
    first_token_at_s: float | None = None
    last_token_at_s: float | None = None
    ended_at_s: float | None = None
    finish_reason: str | None = None
    disconnected: bool = False
    disconnected_during: str = ""

    @property
    def uncached_tokens(self) -> int:
        """Prompt tokens that had to be read."""
        return self.prompt_tokens - self.cached_tokens

    @property
    def decode_s(self) -> float:
        """Time from the first generated token to the last."""
        if self.first_token_at_s is None or self.last_token_at_s is None:
            return 0.0
        return self.last_token_at_s - self.first_token_at_s

    @property
    def decode_tok_per_s(self) -> float | None:
        """The server's own rate: tokens after the first over the time they took."""
        if self.decode_s <= 0 or self.completion_tokens < 2:
            return None
        return (self.completion_tokens - 1) / self.decode_s

    def describe(self) -> dict[str, object]:
        """Return the record as the control route shows it, without the body."""
        return {
            "number": self.number,
            "route": self.route,
            "fault": self.fault.value if self.fault else None,
            "instance_id": self.instance_id,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "uncached_tokens": self.uncached_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "queued_s": self.queued_s,
            "load_s": self.load_s,
            "prefill_s": self.prefill_s,
            "planned_prefill_s": self.planned_prefill_s,
            "decode_s": self.decode_s,
            "decode_tok_per_s": self.decode_tok_per_s,
            "finish_reason": self.finish_reason,
            "disconnected": self.disconnected,
            "disconnected_during": self.disconnected_during,
            "is_open": self.ended_at_s is None,
        }


@dataclass(slots=True)
class Truth:
    """Everything a check may want to know about what the server saw and did."""

    requests: list[RequestRecord] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    """Number of requests by "METHOD /path", of all routes."""
    loads: int = 0
    restarts: int = 0

    def count_call(self, method: str, path: str) -> None:
        """Count a request to any route."""
        name = f"{method} {path}"
        self.calls[name] = self.calls.get(name, 0) + 1

    def open_request(
        self, route: str, body: dict[str, object], fault: Fault | None, now_s: float
    ) -> RequestRecord:
        """Start the record of a request that generates text."""
        record = RequestRecord(len(self.requests) + 1, route, body, fault, arrived_at_s=now_s)
        self.requests.append(record)
        if len(self.requests) > _BODIES_KEPT:
            self.requests[-_BODIES_KEPT - 1].body = {}
        return record

    @property
    def open_count(self) -> int:
        """Generating requests that have not ended."""
        return sum(1 for record in self.requests if record.ended_at_s is None)

    @property
    def disconnects(self) -> int:
        """Requests whose client went away before the end."""
        return sum(1 for record in self.requests if record.disconnected)
