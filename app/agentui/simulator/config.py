"""What a simulated LM Studio can be told to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agentui.errors import UsageError
from agentui.simulator.faults import Fault

GEMMA_26B = "google/gemma-4-26b-a4b"
GEMMA_12B_MLX = "google/gemma-4-12b-qat"
EMBEDDING = "text-embedding-nomic-embed-text-v1.5"


def _no_faults() -> Mapping[int, Fault]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """Settings of one simulated server; the defaults resemble gemma-4-26b-a4b on an M2-class Mac.

    Attributes:
        host: Address to listen on; keep it a loopback one.
        port: TCP port; 0 takes a free one.
        context_length: Tokens of context the first model is loaded with.
        parallel: Requests that one instance decodes at once; more of them wait.
        loaded: Keys of the models that are in memory at the start.
        second_instance: Whether the first model is loaded a second time, as ``:2``.
        jit: Whether a request to a model that is not loaded loads it.
        api_token: Token that requests must carry; empty when no token is wanted.
        load_s: Time a load takes, on request as well as just in time.
        mlx_fitted_context: Context that MLX loads get whatever they asked for ("auto-fit"); None
            gives them what they asked for.
        k_cache_type: llama.cpp type of the K cache, told only by the WebSocket.
        v_cache_type: The same for V.
        prefill_tok_per_s: Uncached prompt tokens read in one second.
        decode_tok_per_s: Tokens written in one second with an empty context.
        pace_by_model: Share of these speeds that a model decodes with, by its key; 1 where it is not named.
        decode_full_ratio: Share of that speed that is left when the context is full (0..1).
        jitter_ratio: Largest deviation of one token's time, up and down (0..1).
        headers_first: Whether a stream's HTTP headers are sent before the prompt is read.
        finish_prefill: Whether a prompt is read to its end after its client has gone.
        ping_s: Seconds between ``: ping`` comments while a stream is silent; 0 sends none.
        join_ratio: Share of tokens that go out in one write with the next one (0..1).
        split_ratio: Share of records with a multi-byte character that are cut inside it (0..1).
        llama_timings: Whether answers carry llama-server's ``timings`` and ``prompt_progress``.
        speed: Divides all times; 10 makes everything ten times as fast.
        unpaced: Whether nothing waits at all, for tests and benchmarks.
        seed: Of everything random.
        faults: Fault by number of the chat request, counted from 1.
        fault_every: Fault of every chat request, or a state the server is in all the time.
        slow_listing_s: What ``SLOW_MODELS`` adds to a listing of models.
        stall_s: How long a ``STALL`` is silent before the server drops the connection.
        restart_s: How long the port is closed in a ``RESTART``.
        reasoning_limit_tokens: Tokens after which ``ENDLESS_REASONING`` is cut when the request sets no cap.
    """

    host: str = "127.0.0.1"
    port: int = 0
    context_length: int = 65536
    parallel: int = 4
    loaded: tuple[str, ...] = (GEMMA_26B,)
    second_instance: bool = False
    jit: bool = True
    api_token: str = ""
    load_s: float = 2.0
    mlx_fitted_context: int | None = None
    k_cache_type: str = "f16"
    v_cache_type: str = "f16"
    prefill_tok_per_s: float = 400.0
    decode_tok_per_s: float = 45.0
    pace_by_model: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    decode_full_ratio: float = 0.6
    jitter_ratio: float = 0.1
    headers_first: bool = True
    finish_prefill: bool = True
    ping_s: float = 0.0
    join_ratio: float = 0.03
    split_ratio: float = 0.3
    llama_timings: bool = False
    speed: float = 1.0
    unpaced: bool = False
    seed: int = 4
    faults: Mapping[int, Fault] = field(default_factory=_no_faults)
    fault_every: Fault | None = None
    slow_listing_s: float = 2.0
    stall_s: float = 600.0
    restart_s: float = 0.5
    reasoning_limit_tokens: int = 4096

    def __post_init__(self) -> None:
        """Refuse what no server could be.

        Raises:
            UsageError: If a rate, ratio or size is out of its range.
        """
        positive = {
            "context_length": self.context_length,
            "parallel": self.parallel,
            "prefill_tok_per_s": self.prefill_tok_per_s,
            "decode_tok_per_s": self.decode_tok_per_s,
            "speed": self.speed,
        }
        for name, value in positive.items():
            if value <= 0:
                raise UsageError(f"The simulator's {name} must be above 0, not {value}.")
        ratios = {
            "decode_full_ratio": self.decode_full_ratio,
            "jitter_ratio": self.jitter_ratio,
            "join_ratio": self.join_ratio,
            "split_ratio": self.split_ratio,
        }
        for name, value in ratios.items():
            if not 0 <= value <= 1:
                raise UsageError(f"The simulator's {name} must be from 0 to 1, not {value}.")
