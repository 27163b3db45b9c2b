"""The scratch project that the demo and the tests let the simulated model work on."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from agentui.errors import UsageError

_SUFFIX = ".txt"


def make_scratch_project(folder: Path) -> None:
    """Write the scratch project into a folder, which is made if it does not exist.

    The project is a small sales report with tests, a draft of a blog post and a few lines of data. Its
    tests pass: `python3 -m unittest`.

    Raises:
        UsageError: If the folder already holds something, so that nothing of a user's is overwritten.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"The scratch project is not written to {folder}, because that folder is not empty.",
            hint="Choose a new or an empty folder.",
        )
    _copy(resources.files("agentui.simulator") / "scratch_project", folder)


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        if item.is_dir():
            _copy(item, target / item.name)
        elif item.name.endswith(_SUFFIX):
            text = item.read_text(encoding="utf-8")
            (target / item.name.removesuffix(_SUFFIX)).write_text(text, encoding="utf-8")
