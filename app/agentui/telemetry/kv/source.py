"""From something on disk to a model's shape: a GGUF file, a folder, a `config.json`, GGUF keys as JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from agentui.errors import ModelFileError
from agentui.telemetry.kv.gguf import is_gguf, read_gguf_metadata
from agentui.telemetry.kv.gguf_shape import shape_from_gguf
from agentui.telemetry.kv.hf_config import shape_from_config
from agentui.telemetry.kv.shape import ModelShape

_MAX_JSON_BYTES = 8 << 20
_MAX_FOLDER_ENTRIES = 10_000
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_HINT = "pass a .gguf file, a model folder, a config.json, or a JSON file of GGUF keys"


def shape_from_source(path: str | os.PathLike[str]) -> ModelShape:
    """Build a shape from a `.gguf` file, a folder, a `config.json` or a JSON file of GGUF keys.

    A folder with GGUF files counts as those unless it holds safetensors; of a split file the first part is
    read, whichever part is named. Blocks while reading.

    Raises:
        ModelFileError: Nothing there can be read as a model.
    """
    location = _model_file(Path(path))
    if location.suffix.lower() == ".gguf" or is_gguf(location):
        return shape_from_gguf(read_gguf_metadata(_first_part(location)))
    return shape_from_mapping(_read_json(location))


def shape_from_mapping(content: Mapping[str, object]) -> ModelShape:
    """Build a shape from parsed JSON: GGUF keys, an object that has them as `metadata`, or a `config.json`.

    Raises:
        ModelFileError: It is none of these.
    """
    inner = content.get("metadata")
    if isinstance(inner, Mapping) and "general.architecture" in inner:
        return shape_from_gguf(inner)
    if "general.architecture" in content:
        return shape_from_gguf(content)
    return shape_from_config(content)


def weights_bytes(path: str | os.PathLike[str]) -> int | None:
    """Bytes of a model's weights on disk, all parts of it; None if the source is only a description.

    Raises:
        ModelFileError: The path cannot be read.
    """
    try:
        location = Path(path)
        if location.is_dir() or location.name == "config.json":
            folder = location if location.is_dir() else location.parent
            sizes = [file.stat().st_size for file in _entries(folder) if file.suffix == ".safetensors"]
            if sizes:
                return sum(sizes)
        location = _model_file(location)
        if not is_gguf(location):
            return None
        return sum(part.stat().st_size for part in _parts(location))
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"cannot read {path}: {error}", hint="check the path and its permissions"
        ) from error


def _model_file(path: Path) -> Path:
    """The file to read for a path."""
    try:
        if not path.exists():
            raise ModelFileError(f"there is no file or folder {path}", hint=_HINT)
        if not path.is_dir():
            return path
        entries = _entries(path)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {str(path)!r}: {error}", hint=_HINT) from error
    ggufs = [
        entry
        for entry in entries
        if entry.suffix.lower() == ".gguf" and "mmproj" not in entry.name.lower() and not _is_later_part(entry)
    ]
    has_safetensors = any(entry.suffix == ".safetensors" for entry in entries)
    if ggufs and not has_safetensors:
        return ggufs[0]
    if (path / "config.json").is_file():
        return path / "config.json"
    raise ModelFileError(f"the folder {path} holds neither a .gguf file nor a config.json", hint=_HINT)


def _entries(folder: Path) -> list[Path]:
    entries = []
    for entry in folder.iterdir():
        entries.append(entry)
        if len(entries) > _MAX_FOLDER_ENTRIES:
            raise ModelFileError(f"the folder {folder} has too many files to be a model's", hint=_HINT)
    return sorted(entries)


def _is_later_part(path: Path) -> bool:
    match = _SPLIT.search(path.name)
    return match is not None and match.group(1) != "00001"


def _first_part(path: Path) -> Path:
    """The part of a split file that holds the metadata."""
    if not _is_later_part(path):
        return path
    first = path.with_name(_SPLIT.sub(r"-00001-of-\2.gguf", path.name))
    if not first.is_file():
        raise ModelFileError(
            f"{path.name} is a later part of a split file, and {first.name} is not beside it",
            hint="download the first part too; it holds the metadata",
        )
    return first


def _parts(path: Path) -> list[Path]:
    match = _SPLIT.search(path.name)
    if match is None:
        return [path]
    stem, count = path.name[: match.start()], match.group(2)
    pattern = re.compile(re.escape(stem) + rf"-\d{{5}}-of-{count}\.gguf$", re.IGNORECASE)
    return [entry for entry in _entries(path.parent) if pattern.match(entry.name)]


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        if not path.is_file():
            raise ModelFileError(f"{path} is not a regular file", hint=_HINT)
        with path.open("rb") as file:
            data = file.read(_MAX_JSON_BYTES + 1)
        if len(data) > _MAX_JSON_BYTES:
            raise ModelFileError(f"{path} is too large for a model's description", hint=_HINT)
        content = json.loads(data)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is neither GGUF nor JSON", hint=_HINT) from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} holds JSON, but no object of keys", hint=_HINT)
    return content
