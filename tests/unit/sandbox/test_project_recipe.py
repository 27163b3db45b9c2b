"""What a project's image is made from, read from its own files."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.config.checks import ImageRecipe
from agentui.errors import ConfigError
from agentui.sandbox.project_image import build_context
from agentui.sandbox.project_recipe import ImageSource, found_recipe, read_source, without_comments


def dockerfile_of(source: ImageSource, environment: dict[str, str]) -> tuple[list[str], list[str]]:
    with tarfile.open(fileobj=build_context("base:1", source, environment)) as archive:
        file = archive.extractfile("Dockerfile")
        assert file is not None
        return file.read().decode().splitlines(), archive.getnames()


def test_an_image_by_name_gets_our_files_and_keeps_its_path() -> None:
    steps, names = dockerfile_of(ImageSource("x", base="base:1"), {"PATH": "/own/bin:/bin"})
    assert steps[0] == "FROM base:1"
    assert not any(step.startswith("RUN") for step in steps)
    assert "/own/bin:/bin" in next(step for step in steps if step.startswith("ENV"))
    assert "ENTRYPOINT []" in steps
    assert {"lib/keeper", "lib/report", "bin/check", "bin/edit"} <= set(names)


@pytest.mark.parametrize(
    ("files", "lock", "command", "where"),
    [
        (
            ["requirements-dev.txt"],
            "requirements-dev.txt",
            "python3 -m pip install -r requirements-dev.txt",
            "/opt/agentui",
        ),
        (["uv.lock", "pyproject.toml"], "uv.lock", "uv sync --frozen --no-install-project", "/opt/agentui"),
        (["web/package-lock.json", "web/package.json"], "web/package-lock.json", "npm ci", "/"),
    ],
)
def test_how_to_install_follows_from_the_lock_files_name(
    tmp_path: Path, files: list[str], lock: str, command: str, where: str
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(file)
    source = read_source(ImageRecipe("image", "x", (lock,)), tmp_path)
    assert (source.install, source.workdir) == (command, where)
    assert sorted(source.files) == sorted(Path(file).name for file in files)
    steps, names = dockerfile_of(source, {})
    assert any(step.startswith("RUN") and step.endswith(command) for step in steps)
    assert {f"dependencies/{Path(file).name}" for file in files} <= set(names)


def test_a_lock_file_that_is_not_known_needs_a_command(tmp_path: Path) -> None:
    (tmp_path / "my.lock").write_text("x")
    with pytest.raises(ConfigError, match="how to install") as caught:
        read_source(ImageRecipe("image", "x", ("my.lock",)), tmp_path)
    assert "install =" in caught.value.hint
    assert read_source(ImageRecipe("image", "x", ("my.lock",), "make deps"), tmp_path).install == "make deps"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Dockerfile, which an image .* cannot be read"):
        read_source(ImageRecipe("dockerfile", "Dockerfile"), tmp_path)


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "secret").write_text("FROM x\n")
    (project / "Dockerfile").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError, match="leads out of the project"):
        read_source(ImageRecipe("dockerfile", "Dockerfile"), project)


def test_a_devcontainer_may_not_build_outside_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".devcontainer").mkdir(parents=True)
    (project / "Dockerfile").write_text("FROM x\n")
    config = {"build": {"dockerfile": "../Dockerfile", "context": "../.."}}
    (project / ".devcontainer/devcontainer.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="built in a folder"):
        read_source(ImageRecipe("devcontainer", ".devcontainer/devcontainer.json"), project)


def test_a_devcontainer_with_an_image_is_that_image_and_says_what_is_left_out(tmp_path: Path) -> None:
    text = '{ "image": "mcr/x:1", /* later */ "postCreateCommand": "curl // evil", }'
    (tmp_path / ".devcontainer.json").write_text(text)
    source = read_source(ImageRecipe("devcontainer", ".devcontainer.json"), tmp_path)
    assert (source.base, source.install) == ("mcr/x:1", "")
    assert "postCreateCommand not used" in source.notes[0]


def test_a_devcontainer_without_an_image_says_what_to_write(tmp_path: Path) -> None:
    for text in ("{}", "[]", "{", '{"build": 3}', "[" * 100_000):
        (tmp_path / ".devcontainer.json").write_text(text)
        with pytest.raises(ConfigError, match=r"\.devcontainer\.json"):
            read_source(ImageRecipe("devcontainer", ".devcontainer.json"), tmp_path)


def test_a_project_that_names_no_image_has_its_devcontainer_or_dockerfile(tmp_path: Path) -> None:
    assert found_recipe(tmp_path) is None
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    assert found_recipe(tmp_path) == ImageRecipe("dockerfile", "Dockerfile")
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / ".devcontainer/devcontainer.json").write_text("{}")
    assert found_recipe(tmp_path) == ImageRecipe("devcontainer", ".devcontainer/devcontainer.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_plain_json_is_not_changed_by_taking_out_comments(value: object) -> None:
    assert json.loads(without_comments(json.dumps(value))) == value
    assert json.loads(without_comments(json.dumps(value, ensure_ascii=False, indent=1))) == value


def test_comments_and_trailing_commas_go_and_strings_stay() -> None:
    text = '// a\n{ "a": "// no, ]", /* b\n */ "c": [1, 2, ], "d": {"e": "/*", } , }\n'
    assert json.loads(without_comments(text)) == {"a": "// no, ]", "c": [1, 2], "d": {"e": "/*"}}
