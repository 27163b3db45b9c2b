"""What a stranger gets: the wheel is built, installed, and started in a folder made to get in its way.

Needs no network: hatchling and all dependencies are taken from the environment that runs the tests.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

from agentui import __version__

pytestmark = pytest.mark.packaging

PROJECT = Path(__file__).resolve().parents[2]
# Where each folder of the checkout lies in the wheel.
PLACES = {
    "app/agentui": "agentui",
    "widgets/agentui_widgets": "agentui_widgets",
    "styles": "agentui/styles",
}
RAISE = 'raise RuntimeError("HOSTILE {name} was imported")\n'
# Each would win over a package of ours that is not called agentui, or stop a stylesheet from loading.
HOSTILE = {
    "app/__init__.py": RAISE.format(name="app"),
    "widgets/__init__.py": RAISE.format(name="widgets"),
    "tests/__init__.py": RAISE.format(name="tests"),
    "styles/__init__.py": RAISE.format(name="styles"),
    "styles/base.tcss": "* { this is no stylesheet",
    "conftest.py": RAISE.format(name="conftest"),
}
SIGHT = """
import json, agentui, agentui_widgets, agentui.paths as paths
print(json.dumps([agentui.__file__, agentui_widgets.__file__, str(paths.STYLES), str(paths.SANDBOX_IMAGES)]))
"""
PYTHONPATHS = pytest.mark.parametrize("pythonpath", [None, "."], ids=["plain", "pythonpath-here"])


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that holds the wheel; all else comes from the environment of the tests."""

    folder: Path

    @property
    def program(self) -> list[str]:
        """The command that the wheel installed."""
        return [str(self.folder / "bin" / "agentui")]

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")


def environment(pythonpath: str | None = None) -> dict[str, str]:
    """Ours without what steers Python, and with no Docker engine to be found."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    return env if pythonpath is None else {**env, "PYTHONPATH": pythonpath}


def called(
    command: list[str], folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def made(command: list[str], folder: Path) -> None:
    """Run a command that must succeed."""
    done = called(command, folder)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def pip_wheel(source: Path, into: Path) -> Path:
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(into)]
    made([sys.executable, "-P", "-m", "pip", "wheel", *flags, str(source)], into.parent)
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once from this checkout."""
    for tool in ("pip", "hatchling"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"{tool} is not installed beside pytest; `make venv` installs it")
    return pip_wheel(PROJECT, tmp_path_factory.mktemp("packaging") / "wheel")


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed once into an environment of its own."""
    folder = tmp_path_factory.mktemp("packaging") / "venv"
    if importlib.util.find_spec("venv") is None:
        pytest.skip("this Python has no venv module (Debian: apt-get install python3-venv)")
    made([sys.executable, "-P", "-m", "venv", "--without-pip", str(folder)], folder.parent)
    installed = Installed(folder)
    pip = [sys.executable, "-P", "-m", "pip", "--python", installed.python]
    made([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], folder.parent)
    # Only after the install: else pip would see the checkout's own agentui over there and leave it at that.
    # A .pth file names folders, and .pth files in those are not read: an editable agentui stays invisible.
    ours = called(
        [installed.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder.parent
    )
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(ours.stdout.strip()) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n", "utf-8")
    return installed


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose packages raise when they are imported."""
    folder = tmp_path / "project"
    for name, text in HOSTILE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def files_below(folder: Path) -> dict[str, Path]:
    """Every file that counts, by its path relative to `folder`."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


@functools.cache
def wheel_files(wheel: Path) -> dict[str, tuple[bytes, bool]]:
    """Content of each file of a wheel, and whether it is executable."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            info.filename: (archive.read(info), bool(info.external_attr >> 16 & 0o100))
            for info in archive.infolist()
        }


def test_the_wheel_has_two_names_at_top_level_and_its_metadata(wheel: Path) -> None:
    assert {name.partition("/")[0] for name in wheel_files(wheel)} == {
        "agentui",
        "agentui_widgets",
        f"agentui-{__version__}.dist-info",
    }


@pytest.mark.parametrize("source", PLACES)
def test_the_wheel_holds_every_file_of_the_checkout_with_its_mode(wheel: Path, source: str) -> None:
    expected = {
        f"{PLACES[source]}/{name}": (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for name, path in files_below(PROJECT / source).items()
    }
    assert expected
    found = wheel_files(wheel)
    assert sorted(expected.keys() - found.keys()) == []
    assert [name for name, file in expected.items() if found[name] != file] == []


@pytest.mark.parametrize(
    ("name", "is_executable"),
    [
        ("agentui/py.typed", False),
        ("agentui_widgets/py.typed", False),
        ("agentui/styles/base.tcss", False),
        ("agentui/sandbox/images/tools/Dockerfile", False),
        ("agentui/sandbox/images/tools/bin/edit", True),
        ("agentui/sandbox/images/tools/lib/bash_env", False),
        ("agentui/simulator/scripts/split/script.toml", False),
        ("agentui/simulator/scripts/split/files/report/parse.py.txt", False),
        ("agentui/simulator/scratch_project/report.py.txt", False),
    ],
)
def test_package_data_that_the_program_reads_is_in_the_wheel(
    wheel: Path, name: str, is_executable: bool
) -> None:
    assert wheel_files(wheel)[name][1] is is_executable


def test_the_version_stands_in_the_package_alone(wheel: Path) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    metadata, _ = wheel_files(wheel)[f"agentui-{__version__}.dist-info/METADATA"]
    assert Parser().parsestr(metadata.decode())["Version"] == __version__


def test_a_wheel_made_from_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    sdists = tmp_path / "sdist"
    made([sys.executable, "-P", "-m", "hatchling", "build", "-t", "sdist", "-d", str(sdists)], PROJECT)
    (sdist,) = sdists.glob("*.tar.gz")
    rebuilt = pip_wheel(sdist, tmp_path / "wheel")
    assert rebuilt.name == wheel.name
    assert wheel_files(rebuilt) == wheel_files(wheel)


def test_the_hostile_folder_is_hostile(installed: Installed, hostile: Path) -> None:
    done = called([installed.python, "-P", "-c", "import widgets"], hostile, environment("."))
    assert done.returncode == 1
    assert "HOSTILE widgets" in done.stderr


@PYTHONPATHS
def test_the_installed_program_uses_its_own_files(
    installed: Installed, hostile: Path, pythonpath: str | None
) -> None:
    done = called([installed.python, "-c", SIGHT], hostile, environment(pythonpath))
    assert done.returncode == 0, done.stderr
    places = [Path(place) for place in json.loads(done.stdout)]
    assert len(places) == 4
    assert all(place.is_relative_to(installed.folder) and place.exists() for place in places), places


@PYTHONPATHS
@pytest.mark.parametrize("way", ["agentui", "python -m agentui"])
def test_the_version_is_told_in_a_hostile_folder(
    installed: Installed, hostile: Path, way: str, pythonpath: str | None
) -> None:
    command = installed.program if way == "agentui" else [installed.python, "-m", "agentui"]
    done = called([*command, "--version"], hostile, environment(pythonpath))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"agentui {__version__}\n", "")


@PYTHONPATHS
def test_a_demo_task_runs_to_its_end_in_a_hostile_folder(
    installed: Installed, hostile: Path, pythonpath: str | None
) -> None:
    if pythonpath is None:
        # Only `python -m` without -P would see it, as the simulator's own start could.
        (hostile / "agentui").mkdir()
        (hostile / "agentui" / "__init__.py").write_text(RAISE.format(name="agentui"), encoding="utf-8")
    before = {name: path.read_bytes() for name, path in files_below(hostile).items()}
    command = [*installed.program, "-p", "--demo", "--mode", "json", "say hello"]
    done = called(command, hostile, environment(pythonpath))
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["sandbox"]["kind"] for e in events if e["type"] == "SandboxStarted"] == ["scripted"]
    assert {e["outcome"] for e in events if e["type"] == "ToolEnded"} == {"ok"}
    assert (events[-1]["type"], events[-1]["reason"]) == ("RunEnded", "done")
    assert {name: path.read_bytes() for name, path in files_below(hostile).items()} == before
    # Python writes one before it runs a module: no hostile module was even tried.
    assert list(hostile.rglob("__pycache__")) == []
