"""From a Hugging Face `config.json` to a model's shape.

Keys are looked up in `text_config` first, then at the top level, as transformers and mlx-lm do. Families
whose layers differ follow the configuration classes of transformers and `mlx_lm/models/*.py`, August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentui.errors import ModelFileError
from agentui.telemetry.kv.gguf_shape import slides_by_period
from agentui.telemetry.kv.shape import MAX_LAYERS, Layer, LayerKind, ModelShape

_MAX_NUMBER = 1 << 40


@dataclass(frozen=True, slots=True)
class _Family:
    """How a family fills in what its config leaves out."""

    period: int = 0
    default_window: int = 0
    counts_mtp: bool = False
    is_known: bool = True


_SLIDING = {
    "gemma2": _Family(2, default_window=4096),
    "gemma3": _Family(6),
    "gemma3n": _Family(5),
    "gemma4": _Family(6),
    "gemma4_unified": _Family(6),
    "gpt_oss": _Family(2),
    "cohere2": _Family(4),
    "olmo3": _Family(4),
    "exaone4": _Family(4),
    "llama4": _Family(4, default_window=8192),
}
_PLAIN = frozenset(
    [
        "llama",
        "mistral",
        "mistral3",
        "ministral3",
        "mixtral",
        "qwen2",
        "qwen2_moe",
        "qwen2_vl",
        "qwen2_5_vl",
        "qwen3",
        "qwen3_moe",
        "qwen3_vl",
        "qwen3_vl_moe",
        "qwen3_next",
        "qwen3_5",
        "qwen3_5_moe",
        "glm",
        "glm4",
        "glm4_moe_lite",
        "olmo",
        "olmo2",
        "olmoe",
        "gemma",
        "phi",
        "phi3",
        "phimoe",
        "deepseek",
        "deepseek_v2",
        "deepseek_v3",
        "kimi_k2",
        "cohere",
        "starcoder2",
        "internlm2",
        "internlm3",
        "minicpm",
        "minicpm3",
        "stablelm",
        "granite",
        "granitemoe",
        "dbrx",
        "ernie4_5",
        "ernie4_5_moe",
        "hunyuan_v1_dense",
        "smollm3",
        "dots1",
        "seed_oss",
        "apertus",
        "minimax_m2",
        "lfm2",
        "lfm2_moe",
        "falcon",
        "gpt2",
        "gpt_neox",
        "nemotron",
        "exaone",
        "bitnet",
    ]
)
_KEEPS_WHOLE_HEADS = frozenset({"minicpm3"})
"""Families whose K and V are made of a latent, and are what both engines keep."""
_COUNTS_MTP = frozenset({"glm4_moe", "glm4v_moe"})
_RECURRENT_TYPES = frozenset({"linear_attention", "mamba", "mamba2", "conv", "recurrent"})
_SLIDING_TYPES = frozenset({"sliding_attention", "chunked_attention"})
_FULL_TYPES = frozenset({"full_attention", "attention", "global_attention"})


class _Config:
    """Typed access to a config's values."""

    def __init__(self, config: Mapping[str, object]) -> None:
        text = config.get("text_config")
        self._parts = [text, config] if isinstance(text, Mapping) else [config]

    def get(self, *names: str) -> object:
        """The first of several names that has a value, in the text part before the whole."""
        for part in self._parts:
            for name in names:
                value = part.get(name)
                if value is not None:
                    return value
        return None

    def number(self, name: str, default: int = 0) -> int:
        value = self.get(name)
        return default if value is None else _whole(value, name)

    def names(self, name: str) -> list[str] | None:
        value = self.get(name)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return None
        if not all(isinstance(item, str) for item in value):
            raise ModelFileError(f"{name} in config.json is not a list of names")
        return [str(item) for item in value]


def _whole(value: object, name: str) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_NUMBER:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
        raise ModelFileError(f"{name} in config.json is not a whole number from 0 to 2^40")
    return value


def shape_from_config(config: Mapping[str, object]) -> ModelShape:
    """Build a model's shape from a parsed `config.json`.

    Raises:
        ModelFileError: A value that is needed is missing or makes no sense.
    """
    keys = _Config(config)
    model_type = keys.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ModelFileError(
            "the JSON has neither model_type, as in a config.json, nor general.architecture, as in GGUF keys",
            hint="pass the config.json of a language model, or its GGUF keys",
        )
    architecture = model_type.removesuffix("_text")
    total = keys.number("num_hidden_layers")
    if not 0 < total <= MAX_LAYERS:
        raise ModelFileError(
            f"config.json has {total} hidden layers; 1 to {MAX_LAYERS} are possible",
            hint="pass the config.json of a language model",
        )
    family = _family(architecture)
    window = _window(keys, family)
    kinds, doubt = _kinds(keys, family, total, window)
    layers = _layers(keys, architecture, kinds)
    if not any(layer.k_elements or layer.state_elements or layer.conv_elements for layer in layers):
        raise ModelFileError("config.json names neither attention heads nor recurrent state")
    doubts = [doubt] if doubt else []
    if not family.is_known:
        doubts.append(f"model type {architecture!r} is unknown: the usual keys were taken at their word")
    return ModelShape(
        architecture=architecture,
        layers=layers + _mtp_layers(keys, family, layers),
        source="config",
        window_tokens=window if LayerKind.SLIDING in kinds else 0,
        trained_context_tokens=keys.number("max_position_embeddings"),
        embedding_length=keys.number("hidden_size"),
        head_count=keys.number("num_attention_heads"),
        vocab_tokens=keys.number("vocab_size"),
        per_layer_input_elements=keys.number("hidden_size_per_layer_input") * total,
        is_mla=_latent_elements(keys, architecture) > 0,
        is_exact=not doubts,
        notes=tuple(doubts),
    )


def _family(architecture: str) -> _Family:
    if architecture in _COUNTS_MTP:
        return _Family(counts_mtp=True)
    known = _SLIDING.get(architecture)
    if known is not None:
        return known
    return _Family(is_known=architecture in _PLAIN)


def _window(keys: _Config, family: _Family) -> int:
    if not family.period and family.is_known:
        return 0
    if keys.get("attention_chunk_size") is not None and keys.get("sliding_window") is None:
        return keys.number("attention_chunk_size")
    return keys.number("sliding_window", family.default_window)


def _kinds(keys: _Config, family: _Family, total: int, window: int) -> tuple[list[LayerKind], str]:
    """The kind of each layer: listed ones first, then the family's pattern."""
    shared = min(keys.number("num_kv_shared_layers"), total)
    listed = keys.names("layer_types")
    doubt = ""
    if listed is not None:
        if len(listed) < total:
            raise ModelFileError(f"layer_types in config.json has {len(listed)} entries for {total} layers")
        kinds = [_kind_of(name, window) for name in listed[:total]]
        if unknown := sorted(set(listed) - _RECURRENT_TYPES - _SLIDING_TYPES - _FULL_TYPES):
            doubt = f"layers of unknown type {unknown[0]!r} are assumed to keep a full cache"
    elif (indices := _indices(keys, "full_attn_idxs")) is not None:
        kinds = [LayerKind.FULL if index in indices else LayerKind.RECURRENT for index in range(total)]
    elif (interval := _interval(keys)) > 0:
        kinds = [
            LayerKind.FULL if (index + 1) % interval == 0 else LayerKind.RECURRENT for index in range(total)
        ]
    elif family.period and window:
        kinds = _by_period(keys, family, total)
    else:
        kinds = [LayerKind.FULL] * total
    return kinds[: total - shared] + [LayerKind.SHARED] * shared, doubt


def _indices(keys: _Config, name: str) -> frozenset[int] | None:
    value = keys.get(name)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    return frozenset(_whole(item, name) for item in value)


def _kind_of(name: str, window: int) -> LayerKind:
    if name in _RECURRENT_TYPES:
        return LayerKind.RECURRENT
    return LayerKind.SLIDING if name in _SLIDING_TYPES and window else LayerKind.FULL


def _interval(keys: _Config) -> int:
    default = 4 if keys.get("linear_num_value_heads") is not None else 0
    return keys.number("full_attention_interval", default)


def _by_period(keys: _Config, family: _Family, total: int) -> list[LayerKind]:
    pattern = keys.get("sliding_window_pattern", "_sliding_window_pattern")
    if isinstance(pattern, str) and pattern and set(pattern) <= {"L", "G"}:  # EXAONE: local and global layers
        slides = [pattern[index % len(pattern)] == "L" for index in range(total)]
    else:
        period = family.period if pattern is None else _whole(pattern, "sliding_window_pattern")
        slides = slides_by_period(total, period)
    return [LayerKind.SLIDING if one else LayerKind.FULL for one in slides]


def _layers(keys: _Config, architecture: str, kinds: Sequence[LayerKind]) -> tuple[Layer, ...]:
    heads = keys.number("num_attention_heads")
    kv_heads = keys.number("num_key_value_heads", heads)
    head_dim = keys.number("head_dim", keys.number("hidden_size") // heads if heads else 0)
    full = (kv_heads, head_dim)
    if architecture.startswith("gemma4"):
        full = (_global_kv_heads(keys, kv_heads), keys.number("global_head_dim", head_dim))
    listed = keys.names("layer_types")
    overrides = _per_layer_config(keys)
    conv, state = _recurrent_elements(keys)
    latent = _latent_elements(keys, architecture)
    k_dim = 0
    if architecture in _KEEPS_WHOLE_HEADS:
        k_dim = keys.number("qk_nope_head_dim") + keys.number("qk_rope_head_dim")
    layers = []
    for index, kind in enumerate(kinds):
        slides = kind is LayerKind.SLIDING or (listed is not None and listed[index] in _SLIDING_TYPES)
        layer_heads, dim = (kv_heads, head_dim) if slides else full
        layer_heads, dim = _overridden(overrides.get(index, {}), layer_heads, dim)
        if kind is LayerKind.RECURRENT:
            layers.append(Layer(kind, layer_heads, dim, dim, conv, state))
        elif latent:
            layers.append(Layer(kind, 1, latent, 0))
        else:
            layers.append(Layer(kind, layer_heads, k_dim or dim, keys.number("v_head_dim", dim)))
    return tuple(layers)


def _latent_elements(keys: _Config, architecture: str) -> int:
    """Elements of the one row that latent attention keeps for all heads; 0 where it keeps the heads."""
    rank = 0 if architecture in _KEEPS_WHOLE_HEADS else keys.number("kv_lora_rank")
    return rank + keys.number("qk_rope_head_dim") if rank else 0


def _global_kv_heads(keys: _Config, kv_heads: int) -> int:
    """Gemma 4's full layers have their own head count only where K and V share a weight."""
    if keys.get("attention_k_eq_v") is not True:
        return kv_heads
    return keys.number("num_global_key_value_heads", kv_heads)


def _per_layer_config(keys: _Config) -> Mapping[int, Mapping[str, object]]:
    """What differs on single layers, as newer transformers write it: by number, with zeros before it or not."""
    value = keys.get("per_layer_config")
    if not isinstance(value, Mapping):
        return {}
    return {
        int(name): own
        for name, own in value.items()
        if isinstance(name, str)
        and name.isascii()
        and name.isdigit()
        and len(name) <= 4
        and isinstance(own, Mapping)
    }


def _overridden(own: Mapping[str, object], kv_heads: int, dim: int) -> tuple[int, int]:
    kv_value, dim_value = own.get("num_key_value_heads"), own.get("head_dim")
    return (
        kv_heads if kv_value is None else _whole(kv_value, "num_key_value_heads"),
        dim if dim_value is None else _whole(dim_value, "head_dim"),
    )


def _recurrent_elements(keys: _Config) -> tuple[int, int]:
    """Elements of the convolution and of the recurrent state of one layer and sequence."""
    value_heads = keys.number("linear_num_value_heads")
    if value_heads:
        key_dim, value_dim = keys.number("linear_key_head_dim"), keys.number("linear_value_head_dim")
        channels = 2 * keys.number("linear_num_key_heads") * key_dim + value_heads * value_dim
        kernel = keys.number("linear_conv_kernel_dim", 4)
        return max(0, kernel - 1) * channels, value_heads * value_dim * key_dim
    if keys.get("conv_L_cache") is not None:
        return max(0, keys.number("conv_L_cache") - 1) * keys.number("hidden_size"), 0
    inner = keys.number("mamba_n_heads") * keys.number("mamba_d_head")
    state = keys.number("mamba_d_state")
    channels = inner + 2 * keys.number("mamba_n_groups") * state
    return max(0, keys.number("mamba_d_conv") - 1) * channels, inner * state


def _mtp_layers(keys: _Config, family: _Family, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Multi-token-prediction layers, which stand beside the hidden ones and only llama.cpp gives a cache."""
    count = keys.number("num_nextn_predict_layers") if family.counts_mtp else 0
    if count > MAX_LAYERS - len(layers):
        raise ModelFileError(f"config.json has {count} prediction layers")
    last = layers[-1]
    return (Layer(LayerKind.FULL, last.kv_heads, last.k_dim, last.v_dim, is_mtp=True),) * count
