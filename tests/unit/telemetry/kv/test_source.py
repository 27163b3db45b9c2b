from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.errors import ModelFileError
from agentui.telemetry.kv import shape_from_gguf, shape_from_source, weights_bytes
from tests.unit.telemetry.kv.cases import ENGINE_CASES, GEMMA_26B, QWEN_35, metadata_of

CONFIG = {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_gguf_keys_as_json_give_the_same_shape_bare_or_within_a_case(tmp_path: Path) -> None:
    metadata = metadata_of("gemma4-e2b")
    bare = write_json(tmp_path / "keys.json", metadata)
    case = next(case for case in ENGINE_CASES if case["geometry"] == "gemma4-e2b")
    assert shape_from_source(bare) == shape_from_gguf(metadata)
    assert shape_from_source(write_json(tmp_path / "case.json", case)) == shape_from_gguf(metadata)


def test_a_config_is_found_by_itself_and_by_its_folder(tmp_path: Path) -> None:
    config = write_json(tmp_path / "config.json", CONFIG)
    (tmp_path / "model-00001.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "model-00002.safetensors").write_bytes(b"x" * 50)
    assert shape_from_source(tmp_path) == shape_from_source(str(config))
    assert shape_from_source(tmp_path).architecture == "llama"
    assert weights_bytes(tmp_path) == weights_bytes(config) == 150


def test_a_folder_with_a_gguf_is_that_model_and_its_projector_is_left_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", CONFIG)
    shutil.copy(QWEN_35, tmp_path / "a-mmproj-model.gguf")
    shutil.copy(GEMMA_26B, tmp_path / "model.gguf")
    assert shape_from_source(tmp_path).architecture == "gemma4"
    assert weights_bytes(tmp_path) == GEMMA_26B.stat().st_size


def test_a_gguf_without_a_suffix_is_recognised(tmp_path: Path) -> None:
    blob = tmp_path / "sha256-abc"
    shutil.copy(GEMMA_26B, blob)
    assert shape_from_source(blob).architecture == "gemma4"


def test_a_split_file_is_read_from_its_first_part_whichever_is_named(tmp_path: Path) -> None:
    first, second = (tmp_path / f"m-0000{index}-of-00002.gguf" for index in (1, 2))
    shutil.copy(GEMMA_26B, first)
    second.write_bytes(b"GGUF" + bytes(100))
    assert shape_from_source(second) == shape_from_source(first) == shape_from_source(tmp_path)
    assert weights_bytes(second) == GEMMA_26B.stat().st_size + 104
    first.unlink()
    with pytest.raises(ModelFileError, match="later part"):
        shape_from_source(second)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"null", b"{}"],
    ids=lambda content: f"{len(content)} bytes of {content[:2]!r}",
)
def test_json_that_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        shape_from_source(path)
    assert caught.value.hint


def test_json_without_a_kind_of_model_is_told_what_either_kind_has(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("{}")
    with pytest.raises(ModelFileError, match=r"neither model_type.*nor general\.architecture"):
        shape_from_source(path)


def test_what_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (9 << 20))
    for source in (tmp_path / "none", tmp_path, large, "a\0b", Path("/dev/null")):
        with pytest.raises(ModelFileError):
            shape_from_source(source)
    with pytest.raises(ModelFileError):
        weights_bytes(tmp_path / "none")


def test_a_description_alone_has_no_weights(tmp_path: Path) -> None:
    assert weights_bytes(write_json(tmp_path / "keys.json", metadata_of("gemma4-e2b"))) is None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    data=st.binary(max_size=200) | st.text(alphabet='{}[]":,0123456789model_typ', max_size=200).map(str.encode)
)
def test_any_file_is_a_model_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(data)
    with pytest.raises(ModelFileError):
        shape_from_source(path)
