"""The structure is checked, not hoped for: import contracts, sizes of files, and that the checks can fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-P", "-c", program, "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "app"), str(root / "widgets")])},
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in ("app", "widgets"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("app/agentui/harness/base.py", "import textual", "know nothing of the UI"),
        ("app/agentui/backends/base.py", "import agentui.harness.base", "Imports run downwards"),
        ("widgets/agentui_widgets/__init__.py", "import agentui.events", "Widgets know nothing of agentui"),
    ],
)
def test_import_contracts_fail_when_they_are_broken(tree: Path, module: str, line: str, contract: str) -> None:
    path = tree / module
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        done = lint_imports(tree)
    finally:
        path.write_text(before)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [text for text in done.stdout.splitlines() if text.endswith("BROKEN")]
    assert any(contract in text for text in broken), done.stdout


def python_files() -> list[Path]:
    folders = ("app", "widgets", "tests", "benchmarks")
    found = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    return [path for path in found if "__pycache__" not in path.parts and "data" not in path.parts]


def too_long(source: str) -> bool:
    """Over the limit without a docstring that says why it may be longer."""
    if len(source.splitlines()) <= MAX_LINES:
        return False
    return "longer" not in (ast.get_docstring(ast.parse(source)) or "")


def test_no_file_is_over_400_lines_unless_it_says_why() -> None:
    files = python_files()
    assert len(files) > 50
    long = [str(path.relative_to(ROOT)) for path in files if too_long(path.read_text())]
    assert long == []


def test_the_limit_counts_lines_and_reads_the_docstring() -> None:
    assert too_long("x = 1\n" * 401)
    assert not too_long("x = 1\n" * 400)
    assert not too_long('"""May be longer: a table."""\n' + "x = 1\n" * 401)
    assert too_long('"""A table."""\n# longer\n' + "x = 1\n" * 401)


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py") if "data" not in path.parts}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []
