from __future__ import annotations

from pathlib import Path

import pytest

from agentui.wire import services
from agentui.wire.services import paths_for


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (
        "src/pkg/parse.py",
        "src/parts/one.py",
        "setup.py",
        "node_modules/parse.js",
        "deep/a/b/parse.md",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "deep/up").symlink_to(root)
    return root


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("s", ["setup.py", "src/"]),
        ("src/p", ["src/parts/", "src/pkg/"]),
        ("par", ["src/parts/", "src/pkg/parse.py", "deep/a/b/parse.md"]),
        ("src/par", ["src/parts/"]),
        ("src/one", []),
        ("nowhere", []),
        ("../project/s", ["../project/setup.py", "../project/src/"]),
        ("../", []),
    ],
)
def test_a_file_is_found_by_its_path_else_by_its_name(project: Path, typed: str, offered: list[str]) -> None:
    assert list(paths_for(project, typed)) == offered


def test_a_search_by_name_ends_in_a_large_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_SEARCHED", 6)
    assert list(paths_for(project, "parse")) == []
