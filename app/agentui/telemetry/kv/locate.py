"""Where the file of a model lies on this machine: LM Studio's folder, a Hugging Face or an Ollama cache.

Names come from a server or a user and are never trusted as paths: what is found must lie below the folder that
was searched. Only names and small manifests are read here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from agentui.frozen import frozen
from agentui.paths import lmstudio_home

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_ENTRIES = 20_000
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_OLLAMA_REGISTRY = "registry.ollama.ai"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


@frozen
class ModelFolders:
    """Folders that programs keep models in; they need not exist."""

    lmstudio: tuple[Path, ...] = ()
    hugging_face: tuple[Path, ...] = ()
    ollama: tuple[Path, ...] = ()


def model_folders(home: Path, environ: Mapping[str, str] | None = None) -> ModelFolders:
    """The folders of this user. Reads LM Studio's settings, which may name another models folder."""
    env = os.environ if environ is None else environ
    studio = lmstudio_home(home)
    moved = _moved_models_folder(studio / "settings.json")
    hub = env.get("HF_HUB_CACHE") or (f"{env['HF_HOME']}/hub" if env.get("HF_HOME") else "")
    ollama = env.get("OLLAMA_MODELS", "")
    return ModelFolders(
        lmstudio=tuple(dict.fromkeys([*moved, studio / "models"])),
        hugging_face=(Path(hub).expanduser() if hub else home / ".cache" / "huggingface" / "hub",),
        ollama=(
            (Path(ollama).expanduser(),)
            if ollama
            else (home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models"))
        ),
    )


def find_model_file(name: str, folders: ModelFolders) -> Path | None:
    """The `.gguf` file, or the folder of an MLX model, that `name` means; ``None`` if none is clear.

    Takes a path relative to LM Studio's models folder (as its WebSocket and ``lms ls --json`` give it), a
    repository (``publisher/model``) and an Ollama name (``model:tag``). Blocks for a few directory listings.
    """
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    for root in folders.lmstudio:
        if found := _below(root, name):
            return found
    for root in folders.hugging_face:
        if found := _in_hugging_face(root, name):
            return found
    for root in folders.ollama:
        if found := _in_ollama(root, name):
            return found
    for root in folders.lmstudio:
        if found := _by_last_part(root, name):
            return found
    return None


def _moved_models_folder(settings: Path) -> list[Path]:
    """LM Studio's models folder where the user moved it."""
    named = _small_json(settings).get("downloadsFolder")
    return [Path(named)] if isinstance(named, str) and Path(named).is_absolute() else []


def _below(root: Path, name: str) -> Path | None:
    """What lies at `name` below `root`, if it is a model. Links may lead out: users link models in."""
    try:
        place = root / name
        return place if _is_model(place) else None
    except (OSError, ValueError):
        return None


def _is_model(place: Path) -> bool:
    if place.is_file():
        return place.suffix.lower() == ".gguf" or place.name == "config.json"
    return place.is_dir() and ((place / "config.json").is_file() or len(_ggufs(place)) == 1)


def _ggufs(folder: Path) -> list[Path]:
    return [
        entry
        for entry in _entries(folder)
        if entry.suffix.lower() == ".gguf"
        and "mmproj" not in entry.name.lower()
        and not _LATER_PART.search(entry.name)
    ]


def _entries(folder: Path) -> Iterator[Path]:
    try:
        for count, entry in enumerate(os.scandir(folder)):
            if count >= _MAX_ENTRIES:
                return
            yield Path(entry.path)
    except OSError:
        return


def _by_last_part(root: Path, name: str) -> Path | None:
    """A model whose folder or file is named like the last part of `name`, where exactly one is.

    LM Studio's keys (``google/gemma-4-26b-a4b``) are not its folders (``lmstudio-community/gemma-4-…``).
    """
    wanted = _plain(name.partition("@")[0].rpartition("/")[2])
    if len(wanted) < 4:
        return None
    found: list[Path] = []
    for publisher in _entries(root):
        for model in _entries(publisher):
            if wanted in _plain(model.name) and _is_model(model):
                found.append(model)
    exact = [model for model in found if _plain(model.name) == wanted]
    candidates = exact or found
    return candidates[0] if len(candidates) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _in_hugging_face(root: Path, name: str) -> Path | None:
    """The newest snapshot of a repository ``owner/name``; of several GGUF files none is chosen."""
    if name.count("/") != 1:
        return None
    repository = root / f"models--{name.replace('/', '--')}"
    snapshots = sorted((entry for entry in _entries(repository / "snapshots")), key=_changed_s)
    for snapshot in reversed(snapshots):
        if _below(snapshot.parent, snapshot.name):
            return snapshot
    return None


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _in_ollama(root: Path, name: str) -> Path | None:
    """The blob of an Ollama model, by its manifest; names without an owner are the library's."""
    model, _, tag = name.partition(":")
    parts = model.split("/")
    owner = parts if len(parts) > 1 else ["library", *parts]
    registry = owner if len(owner) > 2 else [_OLLAMA_REGISTRY, *owner]
    manifest = _small_json(root.joinpath("manifests", *registry, tag or "latest"))
    layers = manifest.get("layers")
    for layer in layers if isinstance(layers, list) else ():
        if not isinstance(layer, dict) or layer.get("mediaType") != _OLLAMA_MODEL:
            continue
        digest = _DIGEST.fullmatch(str(layer.get("digest")))
        blob = root / "blobs" / f"sha256-{digest.group(1)}" if digest else None
        if blob is not None and blob.is_file():
            return blob
    return None


def _small_json(path: Path) -> Mapping[str, object]:
    """A small JSON object from a file; empty for anything else."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_MANIFEST_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
