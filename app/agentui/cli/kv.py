"""`agentui kv SOURCE`: what a model's cache takes, exactly, before anything is loaded."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from agentui.errors import ModelFileError, UsageError
from agentui.frozen import frozen
from agentui.telemetry.kv import (
    LayerKind,
    LlamaCppCache,
    MlxCache,
    ModelShape,
    builtin_shape,
    largest_context_tokens,
    llama_cpp,
    shape_from_source,
    weights_bytes,
)
from agentui.telemetry.kv.cache_types import GGML_TYPES
from agentui.telemetry.kv.report import KvReport, TableRow, llama_cpp_report, mlx_report, table_rows
from agentui.text import clean, human_bytes, human_context

_TOKENS_LIMIT = 1 << 32
_MLX_BITS = {"q8_0": 8, "q4_0": 4}
_MLX_ITEMSIZE_BYTES = {"f16": 2, "bf16": 2, "f32": 4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui kv`."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a .gguf file, a model folder, a config.json, a JSON file of GGUF keys, or a model's name",
    )
    parser.add_argument("--engine", choices=("llama.cpp", "mlx"), default="llama.cpp")
    parser.add_argument(
        "--context",
        type=_tokens,
        metavar="N",
        help="context length, e.g. 32768 or 32k (default: the trained one)",
    )
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="sequences at a time (default 1)")
    parser.add_argument(
        "--separate", action="store_true", help="one cache per sequence instead of a unified one (llama.cpp)"
    )
    parser.add_argument("--cache-k", choices=tuple(GGML_TYPES), default="f16", metavar="T", help="type of K")
    parser.add_argument("--cache-v", choices=tuple(GGML_TYPES), default="f16", metavar="T", help="type of V")
    parser.add_argument(
        "--swa-full", action="store_true", help="full-size cache for sliding layers too (llama.cpp)"
    )
    parser.add_argument("--batch", type=int, default=2048, metavar="N", help="logical batch (default 2048)")
    parser.add_argument("--ubatch", type=int, default=512, metavar="N", help="physical batch (default 512)")
    parser.add_argument("--flash-attn", choices=("on", "off", "auto"), default="auto")
    parser.add_argument(
        "--tokens", type=_tokens, metavar="T", help="live tokens of one sequence (default: the context)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print a model's cache sizes and return the exit code.

    Raises:
        ModelFileError: The source cannot be read as a model.
        UsageError: The flags do not fit the model.
    """
    shape, weights = _find(args.source)
    settings = _settings(args)
    report = _report(shape, settings, args)
    if args.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print(clean("\n".join(_page(args.source, report, settings, weights))))
    return 0


def _tokens(text: str) -> int:
    """A number of tokens, with `k` for 1024."""
    digits, factor = (text[:-1], 1024) if text[-1:] in ("k", "K") else (text, 1)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens")
    tokens = int(digits) * factor
    if tokens >= _TOKENS_LIMIT:
        raise argparse.ArgumentTypeError(f"{text} tokens are more than any engine can hold")
    return tokens


def _find(source: str) -> tuple[ModelShape, int | None]:
    """The shape behind a path or a name, and the size of its weights where known."""
    if _exists(source):
        return shape_from_source(source), weights_bytes(source)
    shape = builtin_shape(source)
    if shape is None:
        raise ModelFileError(
            f"there is no file {source!r}, and no built-in figures for a model of that name",
            hint="pass the model's .gguf file, its folder, its config.json or a JSON file of GGUF keys",
        )
    return shape, None


def _exists(source: str) -> bool:
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False


def _settings(args: argparse.Namespace) -> LlamaCppCache | MlxCache:
    if args.engine == "mlx":
        return _mlx_settings(args)
    if args.context == 0:
        raise UsageError(
            "a context of 0 tokens is not possible", hint="leave --context out for the trained one"
        )
    return LlamaCppCache(
        context_tokens=args.context or 0,
        parallel=args.parallel,
        unified=not args.separate,
        cache_k=args.cache_k,
        cache_v=args.cache_v,
        swa_full=args.swa_full,
        batch=args.batch,
        ubatch=args.ubatch,
        flash_attention=args.flash_attn,
    )


def _mlx_settings(args: argparse.Namespace) -> MlxCache:
    if args.cache_k != args.cache_v:
        raise UsageError("MLX has one type for K and V", hint="give --cache-k and --cache-v the same type")
    if args.cache_k in _MLX_BITS:
        return MlxCache(parallel=args.parallel, kv_bits=_MLX_BITS[args.cache_k])
    if args.cache_k in _MLX_ITEMSIZE_BYTES:
        return MlxCache(parallel=args.parallel, itemsize_bytes=_MLX_ITEMSIZE_BYTES[args.cache_k])
    raise UsageError(
        f"MLX has no {args.cache_k} cache", hint="use f16, q8_0 (8 bits in groups of 64) or q4_0 (4 bits)"
    )


def _report(shape: ModelShape, settings: LlamaCppCache | MlxCache, args: argparse.Namespace) -> KvReport:
    match settings:
        case LlamaCppCache():
            return llama_cpp_report(shape, settings, args.tokens)
        case MlxCache():
            tokens = args.tokens
            if tokens is None:
                tokens = llama_cpp.context_tokens(shape, LlamaCppCache(context_tokens=args.context or 0))
            return mlx_report(shape, settings, tokens)


def _page(source: str, report: KvReport, settings: LlamaCppCache | MlxCache, weights: int | None) -> list[str]:
    shape, mark = report.shape, "~" if report.confidence == "estimate" else ""
    lines = [
        f"{source}: {shape.architecture} on {report.engine}, {_layers_in_words(report)}",
        f"per token {mark}{human_bytes(report.full_bytes_per_token)} in full layers"
        + _sliding_in_words(report, mark),
        f"{report.confidence}" + "".join(f"; {note}" for note in report.notes),
        "",
        *_table(table_rows(shape, settings), mark),
        *_mlx_note(report),
        "",
        *_fit_in_words(shape, settings, weights),
    ]
    return lines


def _layers_in_words(report: KvReport) -> str:
    with_mtp = report.engine == "llama.cpp"
    counts = [(report.shape.count(kind, with_mtp=with_mtp), kind.value) for kind in LayerKind]
    return " + ".join(f"{count} {name}" for count, name in counts if count) + " layers"


def _sliding_in_words(report: KvReport, mark: str) -> str:
    if not report.sliding_bytes_per_token:
        return ""
    per_token = human_bytes(report.sliding_bytes_per_token)
    return f", {mark}{per_token} in sliding layers up to {report.shape.window_tokens} tokens"


def _mlx_note(report: KvReport) -> list[str]:
    if report.engine != "mlx" or not report.sliding_bytes_per_token:
        return []
    return ["allocated: right after a prompt of that length; the first new token lets it fall to about filled"]


def _table(rows: list[TableRow], mark: str) -> list[str]:
    header = ("context", "allocated", "filled", "checkpoint", "")
    cells = [
        (
            human_context(row.context_tokens),
            mark + human_bytes(row.allocated_bytes),
            mark + human_bytes(row.filled_bytes),
            mark + human_bytes(row.checkpoint_bytes) if row.checkpoint_bytes else "none",
            "" if row.is_trained else "longer than trained",
        )
        for row in rows
    ]
    return ["".join(f"{cell:>12}" for cell in row[:4]) + f"  {row[4]}".rstrip() for row in (header, *cells)]


@frozen
class _Budget:
    """Memory a model may take on this machine, and what that figure is."""

    size_bytes: int
    meaning: str


def _machine_budget() -> _Budget:
    """What a model may take here: on a Mac the GPU's share of memory, elsewhere what is free now."""
    import psutil  # slow to import, and only the table needs it

    memory = psutil.virtual_memory()
    if sys.platform == "darwin":
        # Metal's default working set as usually reported: two thirds up to 32 GiB, else three quarters.
        share = memory.total * 2 // 3 if memory.total <= 32 << 30 else memory.total * 3 // 4
        return _Budget(share, "the GPU may take by default")
    return _Budget(memory.available, "is available")


def _fit_in_words(shape: ModelShape, settings: LlamaCppCache | MlxCache, weights: int | None) -> list[str]:
    budget = _machine_budget()
    largest = largest_context_tokens(shape, settings, budget.size_bytes - (weights or 0))
    beside = f"beside {human_bytes(weights)} of weights" if weights is not None else "weights not counted"
    there = f"of the ~{human_bytes(budget.size_bytes)} that {budget.meaning} here ({beside})"
    if not largest:
        return [f"no context fits {there}"]
    if shape.trained_context_tokens and largest + 256 > shape.trained_context_tokens:
        return [f"the whole trained context of {human_context(shape.trained_context_tokens)} fits {there}"]
    return [f"a context of up to ~{human_context(largest)} ({largest} tokens) fits {there}"]
