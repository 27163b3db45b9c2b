"""The checks table: what it may say, and what an error says back."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentui.config import ConfigFiles, Settings, load_settings, trust_project
from agentui.config.check_file import add_check
from agentui.config.checks import (
    CheckLimits,
    ImageRecipe,
    ProjectChecks,
    args_problem,
    checks_of_project,
    checks_of_user,
)
from agentui.config.toml_lines import line_of
from agentui.errors import ConfigError
from agentui.workspace.check_call import with_arguments

FILE = Path("/home/me/.config/agentui/config.toml")


def read(content: str) -> ProjectChecks:
    return checks_of_project(tomllib.loads(content)["checks"], content, FILE)


def problem(content: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(content)
    assert caught.value.hint
    return caught.value.message.removeprefix(f"{FILE}, ")


def test_a_check_is_a_command_and_takes_what_stands_in_the_table() -> None:
    found = read(
        """
        [checks]
        image = "python:3.12-slim"
        lock = "requirements.txt"
        memory = "4g"
        timeout_s = 60
        test = "pytest -q {args}"
        [checks.format]
        run = "ruff format"
        writes = ["**/*.py"]
        cpus = 1
        """
    )
    assert found.names == ("test", "format")
    recipe = ImageRecipe("image", "python:3.12-slim", ("requirements.txt",))
    assert found.recipe == recipe
    test, form = found.checks
    assert (test.run, test.recipe, test.writes) == ("pytest -q {args}", recipe, ())
    assert test.limits == CheckLimits(memory_bytes=4 << 30, timeout_s=60)
    assert form.limits == CheckLimits(memory_bytes=4 << 30, cpus=1, timeout_s=60)
    assert form.writes == ("**/*.py",)


def test_a_check_may_have_an_image_of_its_own() -> None:
    found = read('[checks]\nimage = "a"\ntest = "x"\nlint = { run = "y", dockerfile = "docker/Lint" }\n')
    assert [check.recipe.source for check in found.checks] == ["a", "docker/Lint"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[checks]\ntest = "pytest"\n', "line 2: checks.test has no image"),
        ('[checks]\nimage = "a"\n\ntest = 3\n', "line 4: checks.test must be a command line"),
        ('[checks]\nimage = "a"\n"te st" = "x"\n', "line 3: checks.te st is no name"),
        (
            '[checks]\nimage = "a"\ndockerfile = "b"\ntest = "x"\n',
            "line 3: checks.dockerfile stands beside image",
        ),
        (
            '[checks]\nimage = "a"\nmemory = "lots"\ntest = "x"\n',
            "line 3: checks.memory must be a number of bytes",
        ),
        ('[checks]\nimage = "a"\ntest = "x"\nwrites = "all"\n', "line 4: checks.writes must be a list"),
        (
            '[checks]\ndockerfile = "../Dockerfile"\ntest = "x"\n',
            "line 2: checks.dockerfile points out of the project",
        ),
        (
            '[checks]\nimage = "a"\nlock = "/etc/lock"\ntest = "x"\n',
            "line 3: checks.lock points out of the project",
        ),
        ('[checks]\nimage = "a"\ninstall = "make"\ntest = "x"\n', "line 3: checks.install has no lock file"),
        (
            '[checks]\nimage = "a"\n[checks.test]\nrun = "x"\ncolour = 1\n',
            "line 5: checks.test.colour is not known",
        ),
        ('[checks]\nimage = "a"\n[checks.test]\nruns = "x"\n', "line 4: checks.test.runs is not known"),
        (
            '[checks]\nimage = "a"\ntest = "sh -c \'x {args}\'"\n',
            "line 3: checks.test has {args} inside quotes",
        ),
        ('[checks]\nimage = "a"\ntest = "x --k={args}"\n', "line 3: checks.test has {args} as part of a word"),
        ('[checks]\nlock = "uv.lock"\n', "line 2: checks.lock has no image to go into"),
    ],
)
def test_an_error_names_file_line_and_what_to_write(content: str, says: str) -> None:
    assert problem(content).startswith(says)


def test_in_the_users_file_the_table_is_keyed_by_the_projects_path(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    (tmp_path / "link").symlink_to(mine)
    content = f'''
        [checks."{other}"]
        image = "a"
        test = "other"
        [checks."{tmp_path}/link"]
        image = "b"
        test = "mine"
    '''
    table = tomllib.loads(content)["checks"]
    assert [c.run for c in checks_of_user(table, content, FILE, mine).checks] == ["mine"]
    assert [c.run for c in checks_of_user(table, content, FILE, other).checks] == ["other"]
    assert checks_of_user(table, content, FILE, tmp_path).checks == ()


def test_in_the_users_file_a_check_without_a_path_is_an_error() -> None:
    content = '[checks]\ntest = "pytest"\n'
    with pytest.raises(ConfigError, match=r"line 2: checks\.test 'test' is no path") as caught:
        checks_of_user(tomllib.loads(content)["checks"], content, FILE, Path("/p"))
    assert '[checks."/p"]' in caught.value.hint


def files_of(folder: Path) -> ConfigFiles:
    project = folder / "project"
    (project / ".agentui").mkdir(parents=True)
    return ConfigFiles(
        folder / "user.toml", project, project / ".agentui/config.toml", folder / "trust", folder / "no"
    )


def test_the_projects_own_checks_count_once_it_is_trusted_and_before_the_users(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.user.write_text(f'[checks."{files.project}"]\nimage = "a"\ntest = "mine"\n')
    files.project_file.write_text('[checks]\nimage = "b"\ntest = "its"\n')
    assert [c.run for c in load_settings({}, {}, files).settings.checks.checks] == ["mine"]
    assert trust_project(files)
    loaded = load_settings({}, {}, files)
    assert [c.run for c in loaded.settings.checks.checks] == ["its"]
    assert loaded.warnings == ()


def test_without_a_table_there_is_no_check(tmp_path: Path) -> None:
    assert load_settings({}, {}, files_of(tmp_path)).settings.checks == Settings().checks == ProjectChecks()


def test_adding_a_check_leaves_the_rest_of_the_file_as_it_is(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.user.write_text('# mine\ntheme = "dark"')
    source = {"image": 'with "quotes"'}
    add_check(files.user, files.project, "test", 'pytest -k "a b" {args}', source)
    add_check(files.user, files.project, "lint", "ruff", {"image": "b"})
    assert files.user.read_text().startswith('# mine\ntheme = "dark"\n')
    found = load_settings({}, {}, files).settings.checks
    assert [(c.name, c.run, c.recipe.source) for c in found.checks] == [
        ("test", 'pytest -k "a b" {args}', 'with "quotes"'),
        ("lint", "ruff", "b"),
    ]
    with pytest.raises(ConfigError, match="already"):
        add_check(files.user, files.project, "lint", "ruff", {"image": "b"})


def test_a_check_that_could_not_be_read_again_is_not_added(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    with pytest.raises(ConfigError, match="no image"):
        add_check(files.user, files.project, "test", "pytest", {})
    assert not files.user.exists()


def test_a_check_is_not_added_to_a_file_that_is_nested_too_deeply(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    files.user.write_text(deep := "a = " + "[" * 5000)
    with pytest.raises(ConfigError, match="nested too deeply"):
        add_check(files.user, files.project, "test", "pytest", {"image": "b"})
    assert files.user.read_text() == deep


def test_the_line_of_a_key_is_found_below_quoted_and_nested_tables() -> None:
    content = '# x\n[a."b.c"]\nd.e = 1\n\n[a]\nf = { g = 1 }\n'
    assert line_of(content, ("a", "b.c", "d", "e")) == 3
    assert line_of(content, ("a", "b.c", "missing")) == 2
    assert line_of(content, ("a", "f", "g")) == 6
    assert line_of(content, ("z",)) is None


ARGUMENT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TEMPLATE = st.lists(
    st.sampled_from(
        ["{args}", " ", "'", '"', "\\", "#", ";", "printf '%s\\0' ", "x", "\n", "`", "$(", ")", "<<E"]
    ),
    max_size=10,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(ARGUMENT, max_size=4))
def test_arguments_reach_the_program_as_they_are(arguments: list[str]) -> None:
    line = with_arguments("printf '%s\\0' first {args} ; true", arguments)
    assert line is not None
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == ["first", *arguments]


@settings(max_examples=60, deadline=None)
@given(
    TEMPLATE,
    st.sampled_from(
        ["; touch pwned #", "$(touch pwned)", "'; touch pwned; '", '"; touch pwned; "', "\ntouch pwned\n"]
    ),
)
def test_no_template_that_is_accepted_lets_an_argument_run_anything(
    tmp_path_factory: pytest.TempPathFactory, template: str, argument: str
) -> None:
    if "{args}" not in template or args_problem(template) is not None:
        return
    folder = tmp_path_factory.mktemp("shell")
    line = with_arguments(template, [argument])
    assert line is not None
    subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert not (folder / "pwned").exists()
