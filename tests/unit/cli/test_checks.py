"""`agentui checks` without an engine: what it says, writes and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentui.cli import main

NO_ENGINE = "unix:///nonexistent/docker.sock"


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)


def test_without_a_check_the_list_says_how_to_add_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks", "list"]) == 0
    assert "agentui checks add test" in capsys.readouterr().out


def test_a_check_that_was_added_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks", "add", "--image", "python:3", "test", "pytest -q {args}"]) == 0
    capsys.readouterr()
    assert main(["checks", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    (row,) = listed["checks"]
    assert (row["name"], row["run"], row["image"], row["writes"]) == (
        "test",
        "pytest -q {args}",
        "image python:3",
        [],
    )
    assert row["state"].startswith("unknown: No container engine")
    assert listed["where"].endswith("config.toml")


def test_a_check_of_another_project_is_none_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["checks", "add", "-C", str(tmp_path), "--image", "x", "test", "y"]) == 0
    assert main(["checks", "list", "-C", "/"]) == 0
    assert "no check is configured" in capsys.readouterr().out


def test_a_check_that_is_not_there_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    main(["checks", "add", "--image", "x", "test", "y"])
    assert main(["checks", "run", "nope"]) == 2
    assert "the checks are: test" in capsys.readouterr().err


def test_an_error_in_the_file_is_told_with_its_line(
    capsys: pytest.CaptureFixture[str], own_place: Path
) -> None:
    file = own_place / "agentui/config/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('theme = "x"\n[checks]\ntest = "pytest"\n')
    assert main(["checks", "list"]) == 2
    assert "config.toml, line 3: checks.test" in capsys.readouterr().err


def test_without_an_engine_a_check_cannot_run_or_be_built(capsys: pytest.CaptureFixture[str]) -> None:
    main(["checks", "add", "--image", "x", "test", "y"])
    assert main(["checks", "build", "--yes"]) == 75
    assert main(["checks", "run", "--json", "test"]) == 75
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["outcome"], result["exit_code"]) == ("refused", None)
    assert "No container engine" in result["message"]


def test_there_is_nothing_to_build_without_a_check() -> None:
    assert main(["checks", "build"]) == 2


def test_the_project_profile_needs_an_image_that_somebody_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks", "build", "--profile", "project"]) == 2
    assert "Dockerfile" in capsys.readouterr().err
