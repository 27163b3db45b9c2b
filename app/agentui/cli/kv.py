"""`agentui kv SOURCE`: what a model's cache takes, exactly, before anything is loaded."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agentui.cli.arguments import SERVER_FLAGS, add_settings, agreed, start
from agentui.errors import BackendError, ModelFileError, UsageError
from agentui.events import ModelFacts
from agentui.frozen import frozen
from agentui.paths import places
from agentui.telemetry.fit import model_fit, walls_of
from agentui.telemetry.kv import (
    LayerKind,
    LlamaCppCache,
    MlxCache,
    ModelShape,
    llama_cpp,
    shape_from_source,
    weights_bytes,
)
from agentui.telemetry.kv.cache_types import GGML_TYPES
from agentui.telemetry.kv.locate import ModelFolders, model_folders
from agentui.telemetry.kv.report import KvReport, TableRow, llama_cpp_report, mlx_report, table_rows
from agentui.telemetry.memory.detect import memory_reader
from agentui.telemetry.model_file import KnownModel, known_model
from agentui.text import clean, human_bytes, human_context

Engine = Literal["llama.cpp", "mlx"]

_SERVER_S = 5.0
BATCH, UBATCH = 2048, 512
_TOKENS_LIMIT = 1 << 32
_MLX_BITS = {"q8_0": 8, "q4_0": 4}
_MLX_ITEMSIZE_BYTES = {"f16": 2, "bf16": 2, "f32": 4}
_SOURCES = "pass the model's .gguf file, its folder, its config.json or a JSON file of GGUF keys"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `agentui kv`."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a .gguf file, a model folder, a config.json, a JSON file of GGUF keys, or the name of a model: "
        "a loaded one's, a repository in LM Studio's or Hugging Face's folder, an Ollama name",
    )
    parser.add_argument(
        "--engine", choices=("llama.cpp", "mlx"), help="default: that of the model's files, else llama.cpp"
    )
    parser.add_argument(
        "--context",
        type=_tokens,
        metavar="N",
        help="context length, e.g. 32768 or 32k (default: the trained one)",
    )
    parser.add_argument(
        "--tokens", type=_tokens, metavar="T", help="tokens of one sequence in the cache (default: the context)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_cache_arguments(parser)
    add_settings(parser, SERVER_FLAGS)


def _add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """How the engine lays its cache out."""
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="sequences at a time (default 1)")
    parser.add_argument(
        "--separate", action="store_true", help="one cache per sequence instead of a unified one (llama.cpp)"
    )
    types = ", ".join(GGML_TYPES)
    parser.add_argument(
        "--cache-k",
        choices=tuple(GGML_TYPES),
        default="f16",
        metavar="T",
        help=f"type of K: {types}; MLX takes f16, bf16, f32, q8_0 and q4_0 (default f16)",
    )
    parser.add_argument(
        "--cache-v",
        choices=tuple(GGML_TYPES),
        default="f16",
        metavar="T",
        help="type of V, likewise; a quantized V needs flash attention, MLX one type for both (default f16)",
    )
    parser.add_argument(
        "--swa-full",
        action="store_true",
        help="as many cells for sliding layers as for full ones, instead of their window (llama.cpp)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=BATCH,
        metavar="N",
        help="logical batch, which bounds the physical one (llama.cpp; default 2048)",
    )
    parser.add_argument(
        "--ubatch",
        type=int,
        default=UBATCH,
        metavar="N",
        help="physical batch: sliding layers have so many cells beyond their window (llama.cpp; default 512)",
    )
    parser.add_argument(
        "--flash-attn",
        choices=("on", "off", "auto"),
        default="auto",
        help="off pads V to the longest row of any layer, and takes no quantized V; auto lays out as on does "
        "(llama.cpp; default auto)",
    )


def run(args: argparse.Namespace) -> int:
    """Print a model's cache sizes and return the exit code.

    Raises:
        ModelFileError: The source cannot be read as a model.
        UsageError: The flags do not fit the model.
    """
    found = _find(args)
    args.engine = args.engine or found.engine
    shape = found.model.shape
    settings = _settings(args)
    report = _report(shape, settings, args)
    for flag in _meaningless(args):
        print(f"agentui: {flag} means nothing to MLX and changes no figure", file=sys.stderr)
    if args.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        asked = " ".join(
            f"--{name} {human_context(value)}"
            for name, value in (("context", args.context), ("tokens", args.tokens))
            if value is not None
        )
        print(clean("\n".join(_page(args.source, report, settings, found.model, asked))))
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


@frozen
class _Found:
    """What SOURCE means, and the engine that can run it."""

    model: KnownModel
    engine: Engine = "llama.cpp"


def _find(args: argparse.Namespace) -> _Found:
    """The model behind a path, a name on this machine's disk, or a name of the server's.

    Raises:
        ModelFileError: Nothing knows it.
    """
    source: str = args.source
    if not source.strip():
        raise ModelFileError("no model was named", hint=_SOURCES)
    if _exists(source):
        path = Path(source)
        return _with_engine(KnownModel(shape_from_source(path), weights_bytes(path), path))
    folders = model_folders(places().home)
    known = known_model([source], folders)
    if known is not None and known.path is not None:
        return _with_engine(known)
    served = asyncio.run(_served(args, folders))
    if served is not None:
        return served
    if known is not None:
        return _with_engine(known)
    raise ModelFileError(
        f"there is no file {source!r}, and no model of that name on this machine or the server",
        hint=_SOURCES,
    )


def _with_engine(known: KnownModel) -> _Found:
    """Safetensors are MLX's; everything else is taken for llama.cpp's."""
    folder = known.path if known.path is None or known.path.is_dir() else known.path.parent
    is_mlx = known.shape.source == "config" and folder is not None and any(folder.glob("*.safetensors"))
    return _Found(known, "mlx" if is_mlx else "llama.cpp")


async def _served(args: argparse.Namespace, folders: ModelFolders) -> _Found | None:
    """What the server knows of a model of this name; ``None`` without a server or such a model."""
    from agentui import wire

    begun = start(args)
    if begun.loaded.remote_host is not None:
        return None  # not asked without the user's yes, and its files are not on this machine
    try:
        begun = agreed(begun, may_ask=False)
        async with asyncio.timeout(_SERVER_S):
            backend = await wire.find_backend(begun.loaded.settings)
            try:
                facts: ModelFacts = await backend.describe(args.source)
                known = await wire.served_model(backend, facts, folders)
            finally:
                await backend.aclose()
    except (BackendError, TimeoutError):
        return None
    if known is None:
        return None
    if known.weights_bytes is None:
        known = replace(known, weights_bytes=facts.size_bytes)
    return _Found(known, "mlx" if "mlx" in (facts.engine or "") else "llama.cpp")


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


def _meaningless(args: argparse.Namespace) -> list[str]:
    """Flags that were given and are llama.cpp's alone, for another engine."""
    if args.engine != "mlx":
        return []
    given = {
        "--separate": args.separate,
        "--swa-full": args.swa_full,
        "--batch": args.batch != BATCH,
        "--ubatch": args.ubatch != UBATCH,
        "--flash-attn": args.flash_attn != "auto",
    }
    return [flag for flag, is_given in given.items() if is_given]


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


def _page(
    source: str, report: KvReport, settings: LlamaCppCache | MlxCache, model: KnownModel, asked: str
) -> list[str]:
    """What is printed for people; `asked` are the typed lengths, whose figures come before those of all."""
    shape, mark = report.shape, "~" if report.confidence == "estimate" else ""
    lines = [
        f"{source}: {shape.architecture} on {report.engine}, {_layers_in_words(report)}",
        f"per token {mark}{human_bytes(report.full_bytes_per_token)} in full layers"
        + _sliding_in_words(report, mark),
        f"{report.confidence}" + "".join(f"; {note}" for note in report.notes),
        *_asked_in_words(asked, report, mark),
        "",
        *_table(table_rows(shape, settings), mark),
        *_mlx_note(report),
        "",
        *_fit_in_words(shape, settings, model.weights_bytes),
    ]
    return lines


def _asked_in_words(asked: str, report: KvReport, mark: str) -> list[str]:
    if not asked:
        return []
    allocated, filled = human_bytes(report.allocated.total), human_bytes(report.filled_bytes)
    return [f"with {asked}: {mark}{allocated} allocated, {mark}{filled} filled"]


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


def _fit_in_words(shape: ModelShape, settings: LlamaCppCache | MlxCache, weights: int | None) -> list[str]:
    """What would fit on this machine, as its memory stands now."""
    try:
        walls = walls_of(memory_reader().machine())
    except OSError as error:
        return [f"what fits here is not known: {error}"]
    fit = model_fit(shape, settings, weights, walls)
    beside = f"beside {human_bytes(weights)} of weights" if weights is not None else "weights not counted"
    gpu = f"GPU wall ~{human_bytes(walls.gpu_bytes)}, " if walls.gpu_bytes is not None else ""
    here = f"here, {beside}: {gpu}memory wall {human_bytes(walls.memory_bytes)} (what others leave now)"
    largest = f"largest ~{human_context(fit.largest_tokens)} ({fit.largest_tokens} tokens)"
    return [here, f"{fit.in_words}; {largest}" if fit.largest_tokens else f"no context fits; {fit.in_words}"]
