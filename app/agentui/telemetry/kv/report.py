"""One model, one setting, all figures: as JSON for programs and as rows for a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agentui.telemetry.kv import llama_cpp, mlx
from agentui.telemetry.kv.allocation import CacheBytes, Cells
from agentui.telemetry.kv.llama_cpp import LlamaCppCache
from agentui.telemetry.kv.mlx import MlxCache
from agentui.telemetry.kv.shape import LayerKind, ModelShape

TABLE_CONTEXTS = (4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144)


@dataclass(frozen=True, slots=True)
class KvReport:
    """All figures of one model under one setting.

    `notes` say why `confidence` is `estimate`; they are for people and not part of the JSON.
    """

    shape: ModelShape
    engine: Literal["llama.cpp", "mlx"]
    cells: Cells
    allocated: CacheBytes
    filled_bytes: int
    full_bytes_per_token: int
    sliding_bytes_per_token: int
    checkpoint_bytes: int
    notes: tuple[str, ...]

    @property
    def confidence(self) -> Literal["exact", "estimate"]:
        """Whether the layout is known for certain."""
        return "estimate" if self.notes else "exact"

    def to_json(self) -> dict[str, object]:
        """The report as plain values, ready for `json.dumps`."""
        with_mtp = self.engine == "llama.cpp"
        kinds = (LayerKind.FULL, LayerKind.SLIDING, LayerKind.RECURRENT, LayerKind.SHARED)
        allocated = self.allocated
        return {
            "architecture": self.shape.architecture,
            "engine": self.engine,
            "layers": {kind.value: self.shape.count(kind, with_mtp=with_mtp) for kind in kinds},
            "cells": {
                "full": self.cells.full,
                "sliding": self.cells.sliding,
                "streams": self.cells.streams,
            },
            "allocated_bytes": {
                "full": {"k": allocated.full_k, "v": allocated.full_v},
                "sliding": {"k": allocated.sliding_k, "v": allocated.sliding_v},
                "recurrent": allocated.recurrent,
                "total": allocated.total,
            },
            "filled_bytes": self.filled_bytes,
            "bytes_per_token": {
                "full": self.full_bytes_per_token,
                "sliding": self.sliding_bytes_per_token,
            },
            "checkpoint_bytes": self.checkpoint_bytes,
            "confidence": self.confidence,
        }


@dataclass(frozen=True, slots=True)
class TableRow:
    """What one context takes. `is_trained` is False where it is longer than the model was trained for."""

    context_tokens: int
    allocated_bytes: int
    filled_bytes: int
    checkpoint_bytes: int
    is_trained: bool


def llama_cpp_report(shape: ModelShape, settings: LlamaCppCache, tokens: int | None = None) -> KvReport:
    """All figures for llama.cpp; `tokens` are the live ones of one sequence, by default the whole context.

    Raises:
        UsageError: The settings do not fit the model.
    """
    live = llama_cpp.context_tokens(shape, settings) if tokens is None else tokens
    row = llama_cpp.rows(shape, settings)
    return KvReport(
        shape=shape,
        engine="llama.cpp",
        cells=llama_cpp.cells(shape, settings),
        allocated=llama_cpp.allocated_bytes(shape, settings),
        filled_bytes=llama_cpp.filled_bytes(shape, settings, live),
        full_bytes_per_token=row.full,
        sliding_bytes_per_token=row.sliding,
        checkpoint_bytes=llama_cpp.checkpoint_bytes(shape, settings, live),
        notes=shape.notes + llama_cpp.doubts(shape, settings),
    )


def mlx_report(shape: ModelShape, settings: MlxCache, tokens: int) -> KvReport:
    """All figures for MLX after one prefill of `tokens`. MLX keeps no context checkpoints.

    Raises:
        UsageError: The settings do not fit the model.
    """
    full, sliding = mlx.bytes_per_token(shape, settings, tokens)
    return KvReport(
        shape=shape,
        engine="mlx",
        cells=mlx.cells(shape, settings, tokens),
        allocated=mlx.allocated_bytes(shape, settings, tokens),
        filled_bytes=mlx.filled_bytes(shape, settings, tokens),
        full_bytes_per_token=full,
        sliding_bytes_per_token=sliding,
        checkpoint_bytes=0,
        notes=shape.notes + mlx.doubts(shape),
    )


def table_rows(
    shape: ModelShape, settings: LlamaCppCache | MlxCache, contexts: Sequence[int] = TABLE_CONTEXTS
) -> list[TableRow]:
    """What each of several contexts takes when it is full, longer ones than the trained one included.

    Raises:
        UsageError: The settings do not fit the model.
    """
    rows = []
    for tokens in contexts:
        match settings:
            case LlamaCppCache():
                report = llama_cpp_report(shape, replace(settings, context_tokens=tokens))
            case MlxCache():
                report = mlx_report(shape, settings, tokens)
        rows.append(
            TableRow(
                context_tokens=tokens,
                allocated_bytes=report.allocated.total,
                filled_bytes=report.filled_bytes,
                checkpoint_bytes=report.checkpoint_bytes,
                is_trained=not shape.trained_context_tokens or tokens <= shape.trained_context_tokens,
            )
        )
    return rows
