from __future__ import annotations

from pathlib import Path

from agentui.backends.lmstudio.start import find_lms, start_command, start_offer


def install(folder: Path, *, executable: bool = True) -> Path:
    folder.mkdir(parents=True)
    lms = folder / "lms"
    lms.write_text(f"#!/bin/sh\ntouch {folder}/was-run\n", encoding="utf-8")
    lms.chmod(0o755 if executable else 0o644)
    return lms


def test_the_command_in_lm_studios_own_folder_is_found_first(tmp_path: Path) -> None:
    own = install(tmp_path / ".lmstudio" / "bin")
    install(tmp_path / "elsewhere")
    assert find_lms(tmp_path, str(tmp_path / "elsewhere")) == own
    assert start_command(tmp_path, 4321) == [str(own), "server", "start", "--port", "4321"]


def test_the_search_path_is_second(tmp_path: Path) -> None:
    install(tmp_path / ".lmstudio" / "bin", executable=False)
    found = install(tmp_path / "elsewhere")
    assert start_command(tmp_path, search_path=str(tmp_path / "elsewhere")) == [str(found), "server", "start"]


def test_without_lm_studio_there_is_nothing_to_offer(tmp_path: Path) -> None:
    assert start_command(tmp_path, search_path=str(tmp_path)) is None
    assert start_offer(tmp_path, search_path=str(tmp_path)) is None


def test_the_offer_shows_the_command_and_runs_nothing(tmp_path: Path) -> None:
    own = install(tmp_path / ".lmstudio" / "bin")
    offer = start_offer(tmp_path, 1234)
    assert offer is not None
    assert " ".join(offer.argv) in offer.text
    assert not (own.parent / "was-run").exists()
