"""`agentui sandbox` as scripts use it; commands run on this machine, in the private copy (`--sandbox none`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentui.cli import main
from agentui.cli.sandbox import ACTIONS
from agentui.errors import SandboxUnavailable
from agentui.sandbox.none import NoSandbox
from agentui.workspace.lock import ProjectLock
from tests.unit.workspace.trees import snapshot, write

NONE = ("--sandbox", "none")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    write(folder, {"README.md": "one\n", "src/a": "1\n", "src/b": "2\n"})
    monkeypatch.chdir(folder)
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the object of a command with ``--json``, and standard error."""
    capsys.readouterr()
    code = main(["sandbox", *words])
    out, err = capsys.readouterr()
    assert out.count("\n") == 1, out
    return code, json.loads(out), err


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """As `said`, without standard error."""
    code, found, _ = said(capsys, *words)
    return code, found


def keep(capsys: pytest.CaptureFixture[str], command: str) -> str:
    code, found = ran(capsys, "run", *NONE, "--keep", "--json", "--", command)
    assert (code, found["outcome"]) == (0, "ok"), found
    return str(found["workspace"])


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_tells_its_exit_codes_in_its_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", action, "--help"]) == 0
    assert "exit codes: " in capsys.readouterr().out


def test_run_prints_the_bytes_as_they_are_and_exits_with_the_commands_code(
    project: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    before = snapshot(project, with_folder_times=True)
    code = main(["sandbox", "run", *NONE, "--", r"printf 'a\377\033]52;x\007\0'; echo e >&2; rm -rf *; exit 7"])
    out, err = capfdbinary.readouterr()
    assert (code, out, err) == (7, b"a\xff\x1b]52;x\x07\0", b"e\n")
    assert snapshot(project, with_folder_times=True) == before


def test_json_is_one_object_with_exactly_its_keys(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ran(capsys, "run", *NONE, "--json", "--", r"printf 'x\n\377'; printf é >&2; false")
    assert code == 1
    assert (found["exit_code"], found["outcome"]) == (1, "error")
    assert (found["stdout"], found["stdout_bytes"]) == ("x\n�", 3)
    assert (found["stderr"], found["stderr_bytes"]) == ("é", 2)
    assert found["wall_s"] >= 0
    assert found["workspace"].startswith("shop-")
    texts = {"stdout", "stderr", "stdout_bytes", "stderr_bytes"}
    assert found.keys() == texts | {"exit_code", "outcome", "wall_s", "workspace"}


def test_one_word_is_a_command_line_and_several_are_words(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, line = ran(capsys, "run", *NONE, "--json", "--", "echo a  b | tr a c")
    assert line["stdout"] == "c b\n"
    _, words = ran(capsys, "run", *NONE, "--json", "--", "printf", "%s|", "a  b", "$HOME", "--", "'")
    assert words["stdout"] == "a  b|$HOME|--|'|"


@pytest.mark.parametrize(
    ("command", "code", "outcome", "exit_code"),
    [
        ("sleep 60", 124, "timeout", 124),
        ("kill -9 $$", 137, "killed", 137),
        ("exit 137", 137, "error", 137),
        (f": {'x' * 131_072}", 75, "refused", None),
    ],
)
def test_how_a_command_was_ended_has_a_code_of_its_own(
    command: str,
    code: int,
    outcome: str,
    exit_code: int | None,
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found_code, found = ran(capsys, "run", *NONE, "--timeout", "1", "--json", "--", command)
    assert (found_code, found["outcome"], found["exit_code"]) == (code, outcome, exit_code)


@pytest.mark.case("engine-absent")
def test_without_an_engine_a_command_is_refused_and_nothing_runs(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    code, found, err = said(capsys, "run", "--sandbox", "docker", "--json", "--", f"touch {project}/RAN")
    assert (code, found["outcome"], found["exit_code"]) == (75, "refused", None)
    assert "No container engine" in err
    assert main(["sandbox", "run", "--sandbox", "docker", "--", f"touch {project}/RAN"]) == 75
    assert not (project / "RAN").exists()


def test_a_project_above_the_limit_is_refused_with_the_flag_to_pass(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "big").write_bytes(bytes(3_000_000))
    code, found, err = said(capsys, "run", *NONE, "--seed-limit", "2m", "--json", "--", "true")
    assert (code, found["outcome"]) == (75, "refused")
    flag = err.split("--seed-limit ")[1].split()[0]
    code, found = ran(capsys, "run", *NONE, "--seed-limit", flag, "--json", "--", "wc -c <big")
    assert (code, found["stdout"].strip()) == (0, "3000000")


def test_ignored_files_and_secrets_come_along_only_with_all(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, {".gitignore": "dist/\n", "dist/x": "x", ".env": "KEY=1\n"})
    (project / ".git").mkdir()
    _, plain = ran(capsys, "run", *NONE, "--json", "--", "cat dist/x .env")
    assert plain["stdout"] == ""
    _, everything = ran(capsys, "run", *NONE, "--all", "--json", "--", "cat dist/x .env")
    assert everything["stdout"] == "xKEY=1\n"


def test_a_gigabyte_of_output_is_counted_and_kept_within_bounds(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = ran(capsys, "run", *NONE, "--json", "--", "echo first; yes | head -c 30000000; echo last")
    assert found["stdout_bytes"] == 30_000_011
    assert "of 30,000,011 bytes left out ...]" in found["stdout"]
    assert found["stdout"].startswith("first\n")
    assert found["stdout"].endswith("last\n")
    assert len(found["stdout"]) < 9_000_000


def test_changes_go_to_the_project_and_back_to_the_bit(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project, with_folder_times=True)
    name = keep(capsys, "echo x >>README.md; rm src/a; mkdir n; echo n >n/f; mkfifo p; echo {} >package.json")
    assert snapshot(project, with_folder_times=True) == before
    _, shown = ran(capsys, "diff", "--json")
    rules = {change["path"]: change["rule"] for change in shown["changes"]}
    assert shown["workspace"] == name
    assert rules == {
        "README.md": "free", "n/f": "free", "p": "never", "package.json": "ask", "src/a": "free"
    }  # fmt: skip
    code, applied = ran(capsys, "apply", "--workspace", name, "--json")
    assert (code, applied["outcome"]) == (0, "applied")
    assert {change["path"] for change in applied["left"]} == {"p", "package.json"}
    after, plain_after = snapshot(project, with_folder_times=True), snapshot(project)
    assert (project / "n/f").read_text() == "n\n"
    assert not (project / "src/a").exists()
    code, preview = ran(capsys, "undo", "--dry-run", "--json")
    assert (code, sorted(preview["restores"]), sorted(preview["removes"])) == (
        0,
        ["README.md", "src/a"],
        ["n", "n/f"],
    )
    assert snapshot(project, with_folder_times=True) == after
    assert ran(capsys, "undo", "--json")[1]["outcome"] == "undone"
    assert snapshot(project, with_folder_times=True) == before
    assert ran(capsys, "undo", "--json")[0] == 1
    assert ran(capsys, "redo", "--json")[1]["outcome"] == "redone"
    assert snapshot(project) == plain_after


def test_what_needs_a_yes_waits_and_what_is_never_applied_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project)
    keep(capsys, "mkdir .vscode; echo {} >.vscode/tasks.json; mkdir -p s/.git/hooks; echo x >s/.git/hooks/h")
    code, waits = ran(capsys, "apply", "--json")
    assert (code, waits["outcome"]) == (1, "waits")
    assert snapshot(project) == before
    code, applied = ran(capsys, "apply", "--include-ask", "--json")
    assert code == 0
    assert (project / ".vscode/tasks.json").exists()
    assert not list(project.rglob(".git"))
    assert any(".git" in change["path"] for change in applied["left"])


def test_an_apply_of_nothing_is_no_failure(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(capsys, "true")
    assert ran(capsys, "apply", "--json")[1]["outcome"] == "nothing"
    assert main(["sandbox", "apply"]) == 0
    assert ran(capsys, "discard", "--json")[1]["outcome"] == "nothing"
    keep(capsys, "mkfifo pipe")
    code, told = ran(capsys, "apply", "--include-ask", "--json")
    assert (code, told["outcome"], [change["path"] for change in told["left"]]) == (0, "nothing", ["pipe"])


def test_a_file_changed_on_both_sides_is_a_conflict_and_the_rest_can_be_applied(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(capsys, "echo agent >>README.md; echo agent >>src/a")
    (project / "README.md").write_text("the user's\n")
    (project / "src/b").write_text("the user's\n")
    code, found = ran(capsys, "apply", "--json")
    assert (code, found["outcome"], found["paths"]) == (1, "conflict", ["README.md"])
    assert (project / "src/a").read_text() == "1\n"
    code, found = ran(capsys, "apply", "--leave-conflicts", "--json")
    assert (code, found["outcome"]) == (0, "applied")
    assert (project / "README.md").read_text() == "the user's\n"
    assert (project / "src/a").read_text() == "1\nagent\n"
    assert (project / "src/b").read_text() == "the user's\n"
    assert ran(capsys, "discard", "README.md", "--json")[1]["paths"] == ["README.md"]
    _, again = ran(capsys, "run", *NONE, "--keep", "--json", "--", "cat README.md src/b")
    assert again["stdout"] == "the user's\nthe user's\n"


def test_copies_are_listed_and_removed_and_undo_outlives_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project)
    name = keep(capsys, "echo x >>README.md")
    ran(capsys, "apply", "--json")
    _, listed = ran(capsys, "list", "--json")
    (one,) = listed["workspaces"]
    assert (one["id"], one["project"], one["applies"]) == (name, str(project), 1)
    assert ran(capsys, "remove", name, "--json")[1] == {"outcome": "removed", "removed": [name]}
    assert ran(capsys, "undo", "--workspace", name, "--json")[0] == 0
    assert snapshot(project) == before
    _, trash = ran(capsys, "trash", "--json")
    assert [apply["paths"] for apply in trash["applies"]] == [["README.md"]]
    assert ran(capsys, "trash", "--empty", "--json")[1]["applies"] == []
    assert main(["sandbox", "remove"]) == 0
    assert ran(capsys, "list", "--json")[1] == {"workspaces": []}


def test_an_unknown_copy_is_a_usage_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("diff", "apply", "discard", "undo", "redo", "remove", "trash"):
        assert main(["sandbox", action]) == 2
        assert main(["sandbox", action, "--workspace", "nowhere"]) == 2
    assert main(["sandbox", "run", *NONE, "--workspace", "nowhere", "--", "true"]) == 2
    assert main(["sandbox", "run", *NONE]) == 2


def test_a_reader_that_goes_ends_the_command(project: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agentui", "sandbox", "run", *NONE, "--", "yes; touch RAN"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.read(4) == b"y\ny\n"
    child.stdout.close()
    assert child.wait(30) == 1
    assert b"Traceback" not in child.stderr.read()
    child.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_full_disk_under_the_output_is_told_in_words(flags: tuple[str, ...], project: Path) -> None:
    words = [sys.executable, "-m", "agentui", "sandbox", "run", *NONE, *flags, "--", "echo x"]
    with open("/dev/full", "wb") as full:
        child = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (child.returncode, child.stderr) == (
        1,
        b"agentui: nothing more can be written: No space left on device\n",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_all_it_started(number: int, project: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agentui", "sandbox", "run", *NONE, "--", "sleep 500 & echo $!; wait"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    pid = int(child.stdout.readline())
    child.send_signal(number)
    assert child.wait(30) == 130
    assert b"Traceback" not in child.stderr.read()
    # Where nothing reaps orphans, it stays as a name.
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    child.stdout.close()
    child.stderr.close()


def test_a_copy_that_another_process_works_on_is_refused_before_anything_starts(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = keep(capsys, "true")
    state = next(Path(os.environ["AGENTUI_HOME"]).rglob(f"{name}/lock"))
    other = ProjectLock(state)
    other.take()

    async def start(self: NoSandbox, note: object) -> None:
        raise SandboxUnavailable("it was started")

    monkeypatch.setattr(NoSandbox, "start", start)
    code, found, err = said(capsys, "run", *NONE, "--keep", "--json", "--", "true")
    assert (code, found["outcome"]) == (75, "refused")
    assert f"another agentui (process {os.getpid()}) works on this project" in err
    other.free()
    _, _, err = said(capsys, "run", *NONE, "--keep", "--json", "--", "true")
    assert "it was started" in err


@pytest.mark.parametrize("profile", ["project", "research"])
@pytest.mark.parametrize("kind", ["none", "bubblewrap"])
def test_a_profile_that_only_docker_has_is_refused_elsewhere(
    project: Path, capsys: pytest.CaptureFixture[str], profile: str, kind: str
) -> None:
    code, found, err = said(capsys, "run", "--sandbox", kind, "--profile", profile, "--json", "--", "echo ran")
    assert (code, found["outcome"], found["stdout"]) == (75, "refused", "")
    assert f"--profile {profile} needs the Docker sandbox, not {kind}" in err
