"""Which layers slide, recur or own a cache, for each architecture llama.cpp knows.

The rules follow llama.cpp's model code as of August 2026; families that differ from the plain case (every
layer keeps every token) have an entry, the plain ones are only named, and everything else is an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ArchitectureRule:
    """How one architecture lays out its cache.

    Attributes:
        sliding: `none` even if a window is given; `period`: layer i slides where `i % p < p - 1`; `array`: the
            file says so for each layer.
        period: Default period p; a scalar pattern in the file replaces it, an array does not.
        default_window: Window in tokens where the file has none; 0 means no sliding without the key.
        fixed_window: Window in tokens whatever the file says, unless it says 0.
        sliding_depth: Only models of exactly so many layers slide; 0 means all do.
        owning_layers: Only so many first layers own a cache; 0 means all (less the shared ones).
        has_shared_layers: The last `attention.shared_kv_layers` layers own none.
        recurrent: Which layers are recurrent: `interval` all but each n-th, `kv_heads` those without KV heads,
            `both` every layer beside its attention, `all` every layer instead.
        has_feed_forward_layers: Layers without KV heads but with a width of their own in `feed_forward_length`
            are nothing but a feed-forward block.
        excludes_mtp: Trailing multi-token-prediction layers get no cache.
        has_cache: False for encoders.
        doubt: Why the result is only an estimate; empty if it is exact.
    """

    sliding: Literal["none", "period", "array"] = "none"
    period: int = 0
    default_window: int = 0
    fixed_window: int = 0
    sliding_depth: int = 0
    owning_layers: int = 0
    has_shared_layers: bool = False
    recurrent: Literal["none", "interval", "kv_heads", "both", "all"] = "none"
    has_feed_forward_layers: bool = False
    excludes_mtp: bool = False
    has_cache: bool = True
    doubt: str = ""


def _period(period: int, *, default_window: int = 0) -> ArchitectureRule:
    return ArchitectureRule(sliding="period", period=period, default_window=default_window)


_INDEXER = "this architecture keeps a further indexer cache that is not modelled; the figure is a lower bound"
_UNMODELLED = "this architecture has a cache of its own kind that is not modelled"
_UNCHECKED = "the layout of this architecture was not checked against the engine"
_NO_CACHE = "an embedding model: it keeps no cache between requests"

_LINEAR_ATTENTION = ArchitectureRule(recurrent="interval", excludes_mtp=True)
_BY_KV_HEADS = ArchitectureRule(recurrent="kv_heads")
_NEMOTRON = ArchitectureRule(recurrent="kv_heads", has_feed_forward_layers=True)
_RECURRENT_ONLY = ArchitectureRule(recurrent="all")
_WITH_INDEXER = ArchitectureRule(excludes_mtp=True, doubt=_INDEXER)
_ENCODER = ArchitectureRule(has_cache=False, doubt=_NO_CACHE)
_PLAIN = ArchitectureRule()

_RULES: dict[str, ArchitectureRule] = {
    "gemma2": _period(2, default_window=4096),
    "gemma3": _period(6),
    "gemma3n": ArchitectureRule(sliding="period", period=5, owning_layers=20),
    "gemma4": ArchitectureRule(sliding="array", period=6, has_shared_layers=True),
    "gpt-oss": _period(2),
    "cohere2": _period(4),
    "olmo2": _period(4),
    "olmo3": _period(4),
    "exaone4": ArchitectureRule(sliding="period", period=4, default_window=4096, sliding_depth=64),
    "llama4": ArchitectureRule(sliding="period", period=4, fixed_window=8192),
    "step35": ArchitectureRule(sliding="array", excludes_mtp=True),
    "mimo2": ArchitectureRule(sliding="array", excludes_mtp=True, doubt=_UNCHECKED),
    "hy-v3": ArchitectureRule(excludes_mtp=True),
    "hy_v3": ArchitectureRule(excludes_mtp=True),
    "qwen3next": _LINEAR_ATTENTION,
    "qwen35": _LINEAR_ATTENTION,
    "qwen35moe": _LINEAR_ATTENTION,
    "lfm2": _BY_KV_HEADS,
    "lfm2moe": _BY_KV_HEADS,
    "granitehybrid": _BY_KV_HEADS,
    "jamba": _BY_KV_HEADS,
    "nemotron_h": _NEMOTRON,
    "nemotron_h_moe": _NEMOTRON,
    "kimi-linear": _BY_KV_HEADS,
    "falcon-h1": ArchitectureRule(recurrent="both"),
    "mamba": _RECURRENT_ONLY,
    "mamba2": _RECURRENT_ONLY,
    "rwkv6": _RECURRENT_ONLY,
    "rwkv6qwen2": _RECURRENT_ONLY,
    "rwkv7": _RECURRENT_ONLY,
    "arwkv7": _RECURRENT_ONLY,
    "deepseek32": _WITH_INDEXER,
    "glm-dsa": _WITH_INDEXER,
    "dots3note": _WITH_INDEXER,
    "deepseek4": ArchitectureRule(doubt=_UNMODELLED),
    "minimax-m3": ArchitectureRule(doubt=_UNMODELLED),
}
_PLAIN_FAMILIES = [
    "llama",
    "mistral3",
    "mistral4",
    "qwen",
    "qwen2",
    "qwen2moe",
    "qwen2vl",
    "qwen3",
    "qwen3moe",
    "qwen3vl",
    "qwen3vlmoe",
    "glm4",
    "glm4moe",
    "chatglm",
    "olmo",
    "olmoe",
    "gemma",
    "phi2",
    "phi3",
    "phimoe",
    "deepseek",
    "deepseek2",
    "command-r",
    "starcoder",
    "starcoder2",
    "falcon",
    "gpt2",
    "gptneox",
    "gptj",
    "mpt",
    "bloom",
    "baichuan",
    "internlm2",
    "minicpm",
    "minicpm3",
    "stablelm",
    "granite",
    "granitemoe",
    "dbrx",
    "grok",
    "arcee",
    "ernie4_5",
    "ernie4_5-moe",
    "hunyuan-dense",
    "hunyuan-moe",
    "smollm3",
    "dots1",
    "bailingmoe",
    "bailingmoe2",
    "nemotron",
    "exaone",
    "orion",
    "codeshell",
    "xverse",
    "apertus",
    "seed_oss",
    "minimax-m2",
    "deci",
    "refact",
    "bitnet",
    "jais",
]
_ENCODERS = [
    "bert",
    "nomic-bert",
    "nomic-bert-moe",
    "jina-bert-v2",
    "jina-bert-v3",
    "neo-bert",
    "modern-bert",
    "gemma-embedding",
]

_RULES.update(dict.fromkeys(_PLAIN_FAMILIES, _PLAIN))
_RULES.update(dict.fromkeys(_ENCODERS, _ENCODER))


def rule_for(architecture: str) -> ArchitectureRule:
    """Return the layout of an architecture; an unknown one keeps a full cache in every layer and says so."""
    known = _RULES.get(architecture)
    if known is not None:
        return known
    return ArchitectureRule(
        doubt=f"architecture {architecture!r} is unknown: every layer is assumed to keep a full cache"
    )
