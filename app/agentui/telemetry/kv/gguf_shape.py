"""From GGUF metadata to a model's shape.

Keys and rules follow llama.cpp's loader and model code: `llama-hparams.cpp`, `src/models/*.cpp`, August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentui.errors import ModelFileError
from agentui.telemetry.kv.architecture import ArchitectureRule, rule_for
from agentui.telemetry.kv.gguf import SkippedValue
from agentui.telemetry.kv.shape import MAX_LAYERS, Layer, LayerKind, ModelShape

_MAX_NUMBER = 1 << 40


class _Keys:
    """Typed access to the keys of one architecture."""

    def __init__(self, metadata: Mapping[str, object], architecture: str) -> None:
        self._metadata = metadata
        self._prefix = f"{architecture}."

    def number(self, name: str, default: int = 0) -> int:
        """A whole number; of an array its first element."""
        value = self._metadata.get(self._prefix + name)
        if isinstance(value, Sequence) and not isinstance(value, str) and value:
            value = value[0]
        if value is None:
            return default
        return self._whole(value, name)

    def scalar(self, name: str) -> int | None:
        """A whole number, or None if the key is absent or an array."""
        value = self._metadata.get(self._prefix + name)
        if value is None or isinstance(value, (bool, str, Sequence, SkippedValue)):
            return None
        return self._whole(value, name)

    def has(self, name: str) -> bool:
        return self._metadata.get(self._prefix + name) is not None

    def per_layer(self, name: str, layers: int, default: Sequence[int]) -> Sequence[int]:
        """One number for each layer, given as array or as one for all."""
        value = self._metadata.get(self._prefix + name)
        if value is None:
            return default
        if isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) < layers:
                raise ModelFileError(f"{self._prefix}{name} has {len(value)} entries for {layers} layers")
            return [self._whole(item, name) for item in value[:layers]]
        return [self._whole(value, name)] * layers

    def flags(self, name: str, layers: int) -> list[bool] | None:
        """One truth value for each layer; None if the key is absent or not an array."""
        value = self._metadata.get(self._prefix + name)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return None
        if len(value) < layers:
            raise ModelFileError(f"{self._prefix}{name} has {len(value)} entries for {layers} layers")
        return [bool(item) for item in value[:layers]]

    def missing(self, name: str) -> ModelFileError:
        return ModelFileError(
            f"the metadata has no usable {self._prefix}{name}", hint="use a complete .gguf file of this model"
        )

    def _whole(self, value: object, name: str) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_NUMBER:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
            raise ModelFileError(f"{self._prefix}{name} is not a whole number from 0 to 2^40")
        return value


def shape_from_gguf(metadata: Mapping[str, object]) -> ModelShape:
    """Build a model's shape from GGUF metadata, as read from a file or written down as JSON.

    Raises:
        ModelFileError: A key that is needed is missing or makes no sense.
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise ModelFileError(
            "the metadata has no general.architecture", hint="pass a language model's .gguf file or its keys"
        )
    if architecture == "clip":
        raise ModelFileError(
            "this is a vision projector (mmproj), not a language model", hint="pass the model file beside it"
        )
    keys = _Keys(metadata, architecture)
    rule = rule_for(architecture)
    if not keys.has("block_count"):
        raise keys.missing("block_count")
    total = keys.number("block_count")
    if not 0 < total <= MAX_LAYERS:
        raise ModelFileError(f"{architecture}.block_count is {total}; 1 to {MAX_LAYERS} layers are possible")
    mtp_layers = min(keys.number("nextn_predict_layers"), total - 1)
    heads = keys.number("attention.head_count")
    sliding, window, doubt = _sliding_layers(rule, keys, total - mtp_layers)
    doubts = tuple(text for text in (rule.doubt, doubt) if text)
    return ModelShape(
        architecture=architecture,
        layers=_layers(rule, keys, total, mtp_layers, sliding),
        source="gguf",
        window_tokens=window if any(sliding) else 0,
        trained_context_tokens=keys.number("context_length"),
        embedding_length=keys.number("embedding_length"),
        head_count=heads,
        vocab_tokens=_vocabulary(metadata, keys),
        per_layer_input_elements=keys.number("embedding_length_per_layer_input") * total,
        is_mla=_is_mla(keys),
        is_exact=not doubts,
        notes=doubts,
    )


def _is_mla(keys: _Keys) -> bool:
    return keys.number("attention.key_length_mla") > 0 and keys.number("attention.value_length_mla") > 0


def _vocabulary(metadata: Mapping[str, object], keys: _Keys) -> int:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, SkippedValue):
        return tokens.count
    if isinstance(tokens, list):
        return len(tokens)
    return keys.number("vocab_size")


def _sliding_layers(rule: ArchitectureRule, keys: _Keys, layers: int) -> tuple[list[bool], int, str]:
    """Which layers slide, over which window, and what is doubtful about it."""
    none = [False] * layers
    if rule.sliding == "none" or rule.sliding_depth not in (0, layers):
        return none, 0, ""
    window = keys.number("attention.sliding_window", rule.default_window)
    if rule.fixed_window and (window or not keys.has("attention.sliding_window")):
        window = rule.fixed_window
    if not window:
        return none, 0, ""
    period = keys.scalar("attention.sliding_window_pattern")
    doubt = ""
    flags = keys.flags("attention.sliding_window_pattern", layers)
    if rule.sliding == "array":
        if flags is not None:
            return flags, window, ""
        doubt = "the list of sliding layers is missing from the file; the engine would refuse it"
    period = rule.period if period is None else period
    if rule.sliding == "array" and not period:
        return none, 0, doubt
    slides = slides_by_period(layers, period)
    if flags is not None and flags != slides:
        doubt = (
            "the file lists its sliding layers, which newer builds of the engine follow and older ones do not"
        )
    return slides, window, doubt


def slides_by_period(layers: int, period: int) -> list[bool]:
    """Every `period`-th layer is full, the others slide; period 0 lets all slide."""
    return [period == 0 or index % period < period - 1 for index in range(layers)]


def _recurrent_layers(rule: ArchitectureRule, keys: _Keys, layers: int, kv_heads: Sequence[int]) -> list[bool]:
    match rule.recurrent:
        case "none" | "both":
            return [False] * layers
        case "all":
            return [True] * layers
        case "kv_heads":
            return [heads == 0 for heads in kv_heads[:layers]]
        case "interval":
            flags = keys.flags("attention.recurrent_layers", layers)
            if flags is not None:
                return flags
            interval = keys.number("full_attention_interval", 4)
            if not interval:
                raise ModelFileError("full_attention_interval is 0; the engine cannot load such a file")
            return [(index + 1) % interval != 0 for index in range(layers)]


def _layers(
    rule: ArchitectureRule, keys: _Keys, total: int, mtp_layers: int, sliding: Sequence[bool]
) -> tuple[Layer, ...]:
    trunk = total - mtp_layers
    heads = keys.per_layer("attention.head_count", total, [0] * total)
    kv_heads = keys.per_layer("attention.head_count_kv", total, heads)
    recurrent = _recurrent_layers(rule, keys, trunk, kv_heads)
    shared = keys.number("attention.shared_kv_layers") if rule.has_shared_layers else 0
    owning = rule.owning_layers or max(0, trunk - shared)
    widths = keys.flags("feed_forward_length", total) if rule.has_feed_forward_layers else None
    conv, state = _recurrent_elements(keys)
    full_dims, sliding_dims = _head_dims(keys, sliding=False), _head_dims(keys, sliding=True)
    layers = []
    for index in range(trunk):
        kind = LayerKind.SLIDING if sliding[index] else LayerKind.FULL
        if not rule.has_cache or (recurrent[index] and widths is not None and widths[index]):
            kind = LayerKind.NONE
        elif recurrent[index]:
            kind = LayerKind.RECURRENT
        elif index >= owning:
            kind = LayerKind.SHARED
        has_state = kind is LayerKind.RECURRENT or rule.recurrent == "both"
        k_dim, v_dim = sliding_dims if sliding[index] else full_dims
        layers.append(
            Layer(kind, kv_heads[index], k_dim, v_dim, conv if has_state else 0, state if has_state else 0)
        )
    if rule.has_cache and not rule.excludes_mtp:
        layers += [Layer(LayerKind.FULL, heads, *full_dims, is_mtp=True) for heads in kv_heads[trunk:]]
    _require_dimensions(layers, keys)
    return tuple(layers)


def _require_dimensions(layers: Sequence[Layer], keys: _Keys) -> None:
    """Refuse metadata that would give a cache of nothing: zero bytes are never an honest answer."""
    attention = [layer for layer in layers if layer.kind in (LayerKind.FULL, LayerKind.SLIDING)]
    if attention and not any(layer.kv_heads for layer in attention):
        raise keys.missing("attention.head_count")
    if any(layer.kv_heads and not layer.k_dim for layer in attention):
        raise keys.missing("attention.key_length")
    recurrent = [layer for layer in layers if layer.kind is LayerKind.RECURRENT]
    if recurrent and not any(layer.conv_elements or layer.state_elements for layer in recurrent):
        raise keys.missing("ssm.state_size")


def _head_dims(keys: _Keys, *, sliding: bool) -> tuple[int, int]:
    heads = keys.number("attention.head_count")
    default = keys.number("embedding_length") // heads if heads else 0
    k_dim = keys.number("attention.key_length", default)
    v_dim = keys.number("attention.value_length", default)
    if sliding:
        k_dim = keys.number("attention.key_length_swa", k_dim)
        v_dim = keys.number("attention.value_length_swa", v_dim)
    return k_dim, 0 if _is_mla(keys) else v_dim


def _recurrent_elements(keys: _Keys) -> tuple[int, int]:
    """Elements of the convolution and of the recurrent state of one layer and sequence."""
    width = keys.number("embedding_length")
    conv_kernel = keys.number("ssm.conv_kernel")
    if keys.number("wkv.head_size"):
        return keys.number("token_shift_count", 2) * width, width * keys.number("wkv.head_size")
    if keys.number("shortconv.l_cache"):
        return width * (keys.number("shortconv.l_cache") - 1), 0
    if keys.number("kda.head_dim"):
        dim, heads = keys.number("kda.head_dim"), keys.number("attention.head_count")
        return 3 * max(0, conv_kernel - 1) * heads * dim, dim * dim * heads
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    channels = inner + 2 * keys.number("ssm.group_count") * state
    return max(0, conv_kernel - 1) * channels, state * inner
