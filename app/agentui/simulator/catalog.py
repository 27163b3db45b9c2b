"""The models a simulated server has on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentui.simulator.config import EMBEDDING, GEMMA_12B_MLX, GEMMA_26B


@dataclass(frozen=True, slots=True)
class KvGrowth:
    """Bytes of KV cache of a Gemma 4 model at 16 bits per value.

    Layers are either full attention, which keep every token, or sliding, which keep the last `window`.
    Bytes per token of a group of layers: layers * kv_heads * head_dim * 2 (K and V) * 2 (16 bits). This is
    the server's own arithmetic, apart from the client's on purpose.
    """

    full_bytes_per_token: int
    sliding_bytes_per_token: int
    window_tokens: int

    def bytes_of(self, tokens: int) -> int:
        """Return the bytes that `tokens` cached positions of one sequence take."""
        sliding = self.sliding_bytes_per_token * min(tokens, self.window_tokens)
        return self.full_bytes_per_token * tokens + sliding


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One downloaded model, with what the listings tell about it."""

    key: str
    type: Literal["llm", "embedding"]
    publisher: str
    display_name: str
    architecture: str
    format: Literal["gguf", "mlx"]
    quantization: str
    bits_per_weight: int
    size_bytes: int
    params: str | None
    max_context_length: int
    path: str
    kv: KvGrowth | None = None
    vision: bool = False
    trained_for_tool_use: bool = False
    num_experts: int | None = None
    variants: tuple[str, ...] = ()

    @property
    def is_embedding(self) -> bool:
        """Whether the model cannot chat."""
        return self.type == "embedding"


# Layers of gemma-4-26b-a4b: 5 full (2 heads of 512), 25 sliding (8 heads of 256, window 1024).
_KV_26B = KvGrowth(5 * 2 * 512 * 4, 25 * 8 * 256 * 4, 1024)
# Layers of gemma-4-12b: 8 full (1 head of 512), 40 sliding (8 heads of 256, window 1024).
_KV_12B = KvGrowth(8 * 1 * 512 * 4, 40 * 8 * 256 * 4, 1024)

CATALOG: tuple[CatalogModel, ...] = (
    CatalogModel(
        key=GEMMA_26B,
        type="llm",
        publisher="google",
        display_name="Gemma 4 26B A4B",
        architecture="gemma4",
        format="gguf",
        quantization="Q4_K_M",
        bits_per_weight=4,
        size_bytes=17_990_911_801,
        params="26B-A4B",
        max_context_length=262_144,
        path="lmstudio-community/gemma-4-26B-A4B-it-GGUF/gemma-4-26B-A4B-it-Q4_K_M.gguf",
        kv=_KV_26B,
        vision=True,
        trained_for_tool_use=True,
        num_experts=8,
        variants=(f"{GEMMA_26B}@q4_k_m",),
    ),
    CatalogModel(
        key=GEMMA_12B_MLX,
        type="llm",
        publisher="google",
        display_name="Gemma 4 12B QAT",
        architecture="gemma4",
        format="mlx",
        quantization="4bit",
        bits_per_weight=4,
        size_bytes=8_072_445_311,
        params="12B",
        max_context_length=262_144,
        path="lmstudio-community/gemma-4-12B-it-QAT-MLX-4bit",
        kv=_KV_12B,
        vision=True,
        trained_for_tool_use=True,
    ),
    CatalogModel(
        key=EMBEDDING,
        type="embedding",
        publisher="nomic-ai",
        display_name="Nomic Embed Text v1.5",
        architecture="nomic-bert",
        format="gguf",
        quantization="Q4_0",
        bits_per_weight=4,
        size_bytes=84_106_624,
        params=None,
        max_context_length=2048,
        path="nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q4_0.gguf",
    ),
)
