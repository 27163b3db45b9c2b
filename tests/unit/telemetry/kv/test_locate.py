from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentui.telemetry.kv import shape_from_source
from agentui.telemetry.kv.locate import ModelFolders, find_model_file, model_folders
from tests.unit.telemetry.kv.cases import GEMMA_26B

HEADER = GEMMA_26B.read_bytes()
DIGEST = "ab" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with one model in each program's folder."""
    studio = tmp_path / ".lmstudio" / "models" / "lmstudio-community" / "gemma-4-26B-A4B-it-GGUF"
    studio.mkdir(parents=True)
    (studio / "gemma-4-26B-A4B-it-Q4_K_M.gguf").write_bytes(HEADER)
    (studio / "mmproj-gemma-4-26B-A4B-it-BF16.gguf").write_bytes(b"GGUF")
    snapshot = tmp_path / ".cache/huggingface/hub/models--mlx-community--tiny/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(
        json.dumps({"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 64})
    )
    manifest = tmp_path / ".ollama/models/manifests/registry.ollama.ai/library/gemma4/26b"
    manifest.parent.mkdir(parents=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{'0' * 64}"},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{DIGEST}"},
    ]
    manifest.write_text(json.dumps({"layers": layers}))
    blob = tmp_path / ".ollama/models/blobs" / f"sha256-{DIGEST}"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(HEADER)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "ends_with"),
    [
        (
            "lmstudio-community/gemma-4-26B-A4B-it-GGUF/gemma-4-26B-A4B-it-Q4_K_M.gguf",
            "gemma-4-26B-A4B-it-Q4_K_M.gguf",
        ),
        ("lmstudio-community/gemma-4-26B-A4B-it-GGUF", "gemma-4-26B-A4B-it-GGUF"),
        ("google/gemma-4-26b-a4b", "gemma-4-26B-A4B-it-GGUF"),
        ("google/gemma-4-26b-a4b@q4_k_m", "gemma-4-26B-A4B-it-GGUF"),
        ("mlx-community/tiny", "abc"),
        ("gemma4:26b", f"sha256-{DIGEST}"),
    ],
)
def test_models_are_found_by_path_key_repository_and_tag(home: Path, name: str, ends_with: str) -> None:
    found = find_model_file(name, model_folders(home, {}))
    assert found is not None
    assert found.name == ends_with
    assert shape_from_source(found).layers


def test_a_moved_models_folder_and_environment_variables_are_followed(tmp_path: Path) -> None:
    studio = tmp_path / ".lmstudio"
    studio.mkdir()
    (studio / "settings.json").write_text(json.dumps({"downloadsFolder": "/big/models"}))
    folders = model_folders(tmp_path, {"HF_HOME": "/hf", "OLLAMA_MODELS": "/ollama"})
    assert folders.lmstudio == (Path("/big/models"), studio / "models")
    assert (folders.hugging_face, folders.ollama) == ((Path("/hf/hub"),), (Path("/ollama"),))


def test_of_two_models_that_a_name_could_mean_none_is_taken(home: Path) -> None:
    other = home / ".lmstudio/models/unsloth/gemma-4-26B-A4B-it-GGUF"
    other.mkdir(parents=True)
    (other / "a.gguf").write_bytes(HEADER)
    assert find_model_file("google/gemma-4-26b-a4b", model_folders(home, {})) is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b.gguf", "", "x\0y", "qwen"])
def test_names_that_leave_the_folders_mean_nothing(home: Path, name: str) -> None:
    assert find_model_file(name, model_folders(home, {})) is None


def test_a_manifest_with_a_hostile_digest_is_passed_over(home: Path) -> None:
    manifest = home / ".ollama/models/manifests/registry.ollama.ai/library/evil/latest"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../secret"}
    manifest.write_text(json.dumps({"layers": [layer, 5, None]}))
    assert find_model_file("evil", model_folders(home, {})) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=60), manifest=st.binary(max_size=80))
def test_any_name_finds_something_or_nothing(tmp_path: Path, name: str, manifest: bytes) -> None:
    place = tmp_path / "manifests/registry.ollama.ai/library/any/latest"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(manifest)
    folders = ModelFolders((tmp_path,), (tmp_path,), (tmp_path,))
    assert find_model_file(name, folders) is None
    assert find_model_file("any", folders) is None
