"""What is known of a model from its own file on this machine, else from the built-in table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from agentui.errors import ModelFileError
from agentui.frozen import frozen
from agentui.telemetry.kv.gemma4 import builtin_shape
from agentui.telemetry.kv.locate import ModelFolders, find_model_file
from agentui.telemetry.kv.shape import ModelShape
from agentui.telemetry.kv.source import shape_from_source, weights_bytes


@frozen
class KnownModel:
    """A model's shape, the size of its weights on disk, and the file it was read from (``None``: the table)."""

    shape: ModelShape
    weights_bytes: int | None
    path: Path | None


def known_model(
    names: Sequence[str], folders: ModelFolders, *, architecture: str | None = None, path: Path | None = None
) -> KnownModel | None:
    """The model that `path` or one of `names` means; ``None`` if no file and no table knows it.

    A file whose architecture is not that of the server's model is another model with a similar name. Blocks for
    some directory listings and the reading of one header.
    """
    located = (find_model_file(name, folders) for name in names)
    for place in (path, *located):
        if place is None:
            continue
        try:
            shape = shape_from_source(place)
            if _agree(shape.architecture, architecture):
                return KnownModel(shape, weights_bytes(place), place)
        except ModelFileError:
            continue  # half downloaded, or not for us to read: the next name, or the table
    tables = (builtin_shape(name) for name in names)
    shape_known = next((shape for shape in tables if shape is not None), None)
    return None if shape_known is None else KnownModel(shape_known, None, None)


def _agree(found: str, told: str | None) -> bool:
    """Whether two spellings of an architecture mean the same: ``qwen3_moe`` and ``qwen3moe``."""
    if told is None:
        return True
    one, other = (re.sub(r"[^a-z0-9]", "", name.lower()) for name in (found, told))
    return one.startswith(other) or other.startswith(one)
