from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import pytest

from agentui.sandbox.image import TOOLS_FOLDER, BuildFailed, build_context, build_lines, image_tag


def packages_in(text: str) -> list[str]:
    found = re.search(r'packages="([^"]+)"', text, re.IGNORECASE)
    assert found is not None
    return found.group(1).split()


def test_the_tag_changes_with_every_file_and_with_the_base(tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    shutil.copytree(TOOLS_FOLDER, folder)
    first = image_tag("base", folder)
    assert re.fullmatch(r"agentui-tools:[0-9a-f]{12}", first)
    assert image_tag("base", folder) == first
    assert image_tag("other", folder) != first
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            path.write_bytes(content + b"\n")
            assert image_tag("base", folder) != first, path
            path.write_bytes(content)
    (folder / "bin/edit").rename(folder / "bin/edit2")
    assert image_tag("base", folder) != first


def test_the_build_context_holds_the_files_and_nothing_of_this_machine() -> None:
    with tarfile.open(fileobj=build_context(TOOLS_FOLDER)) as archive:
        members = archive.getmembers()
    tools = {"bin/check", "bin/edit", "lib/bash_env", "lib/copy", "lib/keeper", "lib/report"}
    assert {"Dockerfile", "strip.sh", "gitconfig"} | tools == {member.name for member in members}
    assert {(member.uid, member.uname, member.mtime) for member in members} == {(0, "", 0)}
    assert build_context(TOOLS_FOLDER).getvalue() == build_context(TOOLS_FOLDER).getvalue()


def test_builder_records_become_lines_without_progress_bars() -> None:
    records: list[dict[str, object]] = [
        {"stream": "Step 1/2 : FROM x\n"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "abc"},
        {"status": "Downloading", "progressDetail": {"current": 1}, "id": "abc"},
        {"stream": "\n"},
        {"aux": {"ID": "sha256:1"}},
        {"stream": "two\nlines\n"},
    ]
    assert list(build_lines(iter(records))) == ["Step 1/2 : FROM x", "Pulling fs layer abc", "two", "lines"]


def test_an_error_record_ends_the_build() -> None:
    lines = build_lines(iter([{"stream": "one"}, {"error": "exit code 1\n"}, {"stream": "never"}]))
    assert next(lines) == "one"
    with pytest.raises(BuildFailed, match="exit code 1"):
        next(lines)


def test_the_base_script_installs_what_the_image_needs() -> None:
    script = Path(__file__).parents[3] / "scripts/make-base-image.sh"
    assert packages_in(script.read_text()) == packages_in((TOOLS_FOLDER / "Dockerfile").read_text())


def test_the_dockerfile_asks_nothing_of_newer_builders() -> None:
    text = (TOOLS_FOLDER / "Dockerfile").read_text()
    assert "syntax=" not in text
    assert "--mount" not in text
    assert "<<" not in text
