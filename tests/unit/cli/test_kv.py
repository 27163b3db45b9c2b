from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agentui.cli import kv
from agentui.errors import ModelFileError, UsageError
from tests.unit.telemetry.kv.cases import ENGINE_CASES, GEMMA_26B, MLX_CASES


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command like its entry point does and return what it printed."""
    parser = argparse.ArgumentParser()
    kv.add_arguments(parser)
    assert kv.run(parser.parse_args([str(argument) for argument in arguments])) == 0
    return capsys.readouterr().out


def flags_of(load: dict[str, Any]) -> list[object]:
    """A recorded load as flags of the command."""
    flags: list[object] = ["--context", load["n_ctx"], "--parallel", load["parallel"]]
    flags += ["--cache-k", load["cache_type_k"], "--cache-v", load["cache_type_v"]]
    flags += ["--batch", load["n_batch"], "--ubatch", load["n_ubatch"], "--flash-attn", load["flash_attn"]]
    flags += [] if load["kv_unified"] else ["--separate"]
    return flags + (["--swa-full"] if load["swa_full"] else [])


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case["id"])
def test_recorded_loads_are_answered_by_the_command(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "keys.json"
    source.write_text(json.dumps(case["metadata"]))
    answer = json.loads(run(capsys, source, "--json", *flags_of(case["load"])))
    exact = case["exact_bytes"]
    assert answer["allocated_bytes"]["total"] == exact["total"]
    assert answer["allocated_bytes"]["full"]["v"] == exact["full_attention"]["v"]
    assert answer["allocated_bytes"]["sliding"]["k"] == exact["sliding_window"]["k"]
    assert answer["confidence"] == "exact"


@pytest.mark.parametrize(
    "case",
    [case for case in MLX_CASES if len(case["chunks"]) == 1 and case.get("group_size", 64) == 64],
    ids=lambda case: f"{case['geometry']}, {case['pushes']}, {case.get('bits')} bits",
)
def test_measured_mlx_caches_are_answered_by_the_command(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = case.get("window")
    config: dict[str, Any] = {
        "model_type": "gpt_oss" if window else "llama",
        "num_hidden_layers": 1,
        "num_attention_heads": 8,
        "num_key_value_heads": case["kv_heads"],
        "head_dim": case["head_dim"],
        "max_position_embeddings": 4096,
    }
    if window:
        config |= {"sliding_window": window, "layer_types": ["sliding_attention"]}
    source = tmp_path / "config.json"
    source.write_text(json.dumps(config))
    cache_type = {None: "f16", 8: "q8_0", 4: "q4_0"}[case.get("bits")]
    flags = ["--cache-k", cache_type, "--cache-v", cache_type, "--tokens", case["tokens"]]
    answer = json.loads(run(capsys, source, "--engine", "mlx", "--json", *flags))
    assert answer["allocated_bytes"]["total"] == case["nbytes"]
    assert answer["cells"]["sliding" if window else "full"] == case["slots"]


def test_the_table_shows_every_context_and_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, GEMMA_26B)
    assert "5 full + 25 sliding layers" in printed
    assert "20 KiB in full layers, 200 KiB in sliding layers up to 1024 tokens" in printed
    contexts = [line.split()[0] for line in printed.splitlines() if line.startswith("   ")][1:]
    assert contexts == ["4k", "8k", "16k", "32k", "64k", "128k", "256k"]
    assert "256k fits" in printed or "passes the" in printed
    assert "memory wall" in printed


def test_a_name_is_answered_from_the_table_and_wears_a_tilde(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, "google/gemma-4-26b-a4b", "--engine", "mlx")
    assert "~200 KiB" in printed
    assert "built-in table" in printed
    answer = json.loads(run(capsys, "google/gemma-4-26b-a4b", "--json", "--context", "32k", "--parallel", 4))
    assert answer["allocated_bytes"]["total"] == 1_614_807_040
    assert answer["confidence"] == "estimate"


def test_typed_lengths_are_answered_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, GEMMA_26B, "--context", "32k", "--tokens", 2048)
    assert "with --context 32k --tokens 2k: 940 MiB allocated, " in printed
    assert "with --" not in run(capsys, GEMMA_26B)


def test_an_empty_name_is_not_the_folder_one_is_in(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(GEMMA_26B, tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="no model was named"):
        run(capsys, "")


def test_mlx_is_answered_for_the_context_unless_tokens_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    mlx = ["--engine", "mlx", "--json"]
    at_context = json.loads(run(capsys, GEMMA_26B, *mlx, "--context", 8192))
    assert at_context == json.loads(run(capsys, GEMMA_26B, *mlx, "--tokens", 8192))
    trained = json.loads(run(capsys, GEMMA_26B, *mlx))
    assert trained["cells"] == {"full": 262_144, "sliding": 3071, "streams": 1}


def test_live_tokens_fill_the_cache_of_llama_cpp(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(run(capsys, GEMMA_26B, "--json", "--context", 4096, "--tokens", 100))
    assert answer["filled_bytes"] == 100 * 225_280
    assert answer["checkpoint_bytes"] == 100 * 204_800


def test_a_source_that_is_nothing_says_what_to_pass(capsys: pytest.CaptureFixture[str]) -> None:
    for source in ("qwen3-8b", "missing.gguf", "x" * 5000, ""):
        with pytest.raises(ModelFileError) as caught:
            run(capsys, source)
        assert ".gguf" in caught.value.hint


@pytest.mark.parametrize(
    "flags",
    [
        ["--cache-v", "q8_0", "--flash-attn", "off"],
        ["--context", "0"],
        ["--parallel", "0"],
        ["--engine", "mlx", "--cache-k", "q8_0"],
        ["--engine", "mlx", "--cache-k", "q5_1", "--cache-v", "q5_1"],
        ["--engine", "mlx", "--cache-k", "q8_0", "--cache-v", "q8_0"],
    ],
)
def test_flags_that_do_not_fit_are_usage_errors(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        run(capsys, GEMMA_26B, *flags)


@pytest.mark.parametrize("tokens", ["-1", "4.5", "many", "²", "99999999999", "k"])
def test_numbers_of_tokens_that_are_none_are_refused_by_the_parser(
    tokens: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(capsys, GEMMA_26B, f"--context={tokens}")
    assert caught.value.code == 2


def test_names_from_files_are_cleaned_before_they_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "keys.json"
    keys = {"block_count": 2, "attention.head_count": 2, "embedding_length": 64, "context_length": 4096}
    name = "evil\x1b]0;x\x07\ud800"
    content: dict[str, Any] = {f"{name}.{key}": value for key, value in keys.items()}
    source.write_text(json.dumps(content | {"general.architecture": name}))
    printed = run(capsys, source)
    assert "\x1b" not in printed
    assert printed.encode()


def test_what_means_nothing_to_mlx_is_said_and_leaves_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    plain = run(capsys, GEMMA_26B, "--engine", "mlx", "--json")
    parser = argparse.ArgumentParser()
    kv.add_arguments(parser)
    flags = ["--engine", "mlx", "--json", "--separate", "--swa-full", "--ubatch", "1024"]
    kv.run(parser.parse_args([str(GEMMA_26B), *flags]))
    said = capsys.readouterr()
    assert said.out == plain
    assert [line.split()[1] for line in said.err.splitlines()] == ["--separate", "--swa-full", "--ubatch"]
