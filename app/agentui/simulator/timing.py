"""How long things take on a simulated machine."""

from __future__ import annotations

import asyncio
import random

from agentui.simulator.config import SimulatorConfig

# Unpaced generation gives other tasks a turn after so many tokens.
_TOKENS_PER_TURN = 32


class Pace:
    """Waits out the times of one server; divided by its speed, or not at all when unpaced."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config

    @staticmethod
    def now_s() -> float:
        """Return the event loop's monotonic clock."""
        return asyncio.get_running_loop().time()

    def scaled_s(self, seconds: float) -> float:
        """Return the real time of a simulated one."""
        return 0.0 if self._config.unpaced else seconds / self._config.speed

    async def wait(self, seconds: float) -> None:
        """Sleep for a simulated time."""
        await asyncio.sleep(self.scaled_s(seconds))

    def prefill_s(self, tokens: int) -> float:
        """Return the simulated time to read so many uncached prompt tokens."""
        return tokens / self._config.prefill_tok_per_s

    def token_s(self, filled: int, context_length: int) -> float:
        """Return the simulated mean time of one generated token at this fill of the context."""
        fill_ratio = min(filled / context_length, 1.0)
        slowest = self._config.decode_full_ratio
        return 1 / (self._config.decode_tok_per_s * (1 - (1 - slowest) * fill_ratio))


class TokenClock:
    """Keeps one generation on its pace: waits until each token is due, so that errors do not add up."""

    def __init__(self, pace: Pace, config: SimulatorConfig, seed: str) -> None:
        self._pace = pace
        self._config = config
        self._random = random.Random(seed)
        self._due_s = pace.now_s()
        self._count = 0

    async def tick(self, mean_s: float) -> None:
        """Wait for the next token, whose simulated time is `mean_s` give or take the jitter."""
        self._count += 1
        if self._config.unpaced:
            if self._count % _TOKENS_PER_TURN == 0:
                await asyncio.sleep(0)
            return
        jitter = self._config.jitter_ratio
        self._due_s += self._pace.scaled_s(mean_s * self._random.uniform(1 - jitter, 1 + jitter))
        await asyncio.sleep(max(0.0, self._due_s - self._pace.now_s()))
