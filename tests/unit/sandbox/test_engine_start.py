from __future__ import annotations

from pathlib import Path

import pytest

from agentui.sandbox.engine_start import engine_start


def test_the_application_that_is_installed_is_offered(tmp_path: Path) -> None:
    (tmp_path / "OrbStack.app").mkdir()
    offer = engine_start({}, tmp_path / "home", "darwin", tmp_path)
    assert offer is not None
    assert offer.argv == ("open", "-a", "OrbStack")
    assert "open -a OrbStack" in offer.text
    (tmp_path / "Docker.app").mkdir()
    offer = engine_start({}, tmp_path / "home", "darwin", tmp_path)
    assert offer is not None
    assert offer.argv == ("open", "-a", "Docker")


def test_colima_is_offered_where_there_is_no_application(tmp_path: Path) -> None:
    colima = tmp_path / "colima"
    colima.write_text("#!/bin/sh\n")
    colima.chmod(0o755)
    offer = engine_start({"PATH": str(tmp_path)}, tmp_path, "darwin", tmp_path / "none")
    assert offer is not None
    assert offer.argv == (str(colima), "start")


def test_docker_desktop_on_linux_needs_no_password(tmp_path: Path) -> None:
    assert engine_start({}, tmp_path, "linux") is None
    (tmp_path / ".docker/desktop").mkdir(parents=True)
    offer = engine_start({}, tmp_path, "linux")
    assert offer is not None
    assert offer.argv == ("systemctl", "--user", "start", "docker-desktop")


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_an_engine_named_by_the_environment_is_not_ours_to_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "Docker.app").mkdir()
    assert engine_start({name: "unix:///x"}, tmp_path, "darwin", tmp_path) is None
