"""What the cases of tests/data/sandbox-cases.json leave in the copy, brought to a project and taken back.

After each one the project holds only what the rules allow, and after undo it is what it was, to the bit.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentui.errors import ApplyConflict, WorkspaceError
from agentui.sandbox.docker import DockerSandbox
from agentui.sandbox.image import ToolsImage
from agentui.workspace.settings import WorkspaceSettings
from agentui.workspace.workspace import Workspace
from tests.contracts.sandboxes import docker_sandbox, play
from tests.unit.workspace.trees import snapshot

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data/sandbox-cases.json").read_bytes())[
    "cases"
]
LEAVING = ("data-loss", "host-pivot", "exec")
PLAYED = [
    case
    for case in CASES
    if case["profile"] == "default"
    and "command" in case
    and (case["category"] in LEAVING or case["id"] == "symlink-out-read")
    and case["id"] != "user-edit-race"
]
# What an apply may leave in the project and what it must not, by case; every other case: no matter.
MAY_NOT_COME = {
    "symlink-out-read": ["leak"],
    "hook-plant": [".git/hooks/pre-commit"],
    "nested-git": ["sub/.git", "sub"],
    "fifo-socket": ["p"],
    "venv-link": [".venv/bin/python"],
}
NEEDS_A_YES = {
    "vscode-task": ".vscode/tasks.json",
    "npm-scripts": "package.json",
    "binary-workspace": "e",
}
FURTHER = [
    ("git in other letters", "mkdir .GIT .Git ; echo x >.GIT/config; echo x >.Git/HEAD", [".GIT", ".Git"], []),
    ("git with an ignorable sign", "mkdir $'.g\\u200cit' '.git ' 'git~1'; for d in .g*it '.git ' 'git~1'; do"
     " [[ $d == .git ]] || echo x >\"$d/config\"; done", [".g\u200cit", ".git ", "git~1"], []),
    ("git as a file or a link", "mkdir s t; echo 'gitdir: ../../x' >s/.git; ln -s ../src t/.git",
     ["s", "t"], []),
    ("a link out by steps", "ln -s .. up; ln -s up/.. upper; ln -s src/../../x y; ln -s /etc/passwd z",
     ["upper", "y", "z", "up"], []),
    ("a link into git", "ln -s .git/hooks hooks; ln -s . here; ln -s here/.git/config c", ["hooks", "c"], []),
    ("a folder swapped for a link", "rm -rf src; ln -s /etc src", ["src/passwd"], []),
    ("special files", "mkfifo q; mkdir f; mkfifo f/r; echo x >f/ok; chmod 6755 f/ok", ["q", "f/r", "f/ok"], []),
    ("our own settings", "mkdir .agentui; echo 'sandbox = \"none\"' >.agentui/config.toml",
     [".agentui"], []),
    ("what tools run", "mkdir -p .husky .github/workflows .idea .devcontainer; for f in .envrc Makefile"
     " conftest.py .husky/pre-commit .github/workflows/ci.yml .idea/x.xml .devcontainer/devcontainer.json"
     " .gitattributes .gitmodules .mcp.json AGENTS.md .npmrc justfile"
     " .pre-commit-config.yaml; do echo x >$f; done", [],
     [".envrc", "Makefile", "conftest.py", ".husky/pre-commit", ".github/workflows/ci.yml", ".idea/x.xml",
      ".devcontainer/devcontainer.json", ".gitattributes", ".gitmodules", ".mcp.json", "AGENTS.md", ".npmrc",
      "justfile", ".pre-commit-config.yaml"]),
    ("the executable bit alone", "chmod +x README.md", [], []),
    ("a huge sparse file", "truncate -s 600M hole", ["hole"], []),
]  # fmt: skip


class Place:
    """The project of the cases, seeded by the rules into a Docker copy."""

    def __init__(self, sandbox: DockerSandbox, root: Path) -> None:
        self.sandbox = sandbox
        self.project = root / "project"
        (self.project / "src/a").mkdir(parents=True)
        for number in range(1, 41):
            (self.project / f"src/a/f{number}").write_text(f"{number}\n")
        (self.project / "README.md").write_text("a project\n")
        (self.project / ".gitignore").write_text(".env\n")
        (self.project / "ls").symlink_to("src")
        (self.project / "empty").mkdir()
        git = ["git", "-C", str(self.project), "-c", "user.name=t", "-c", "user.email=t@t"]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
            subprocess.run([*git, *words], check=True, capture_output=True)
        (self.project / "untracked").write_text("u\n")
        (self.project / ".env").write_text("x=1\n")
        settings = WorkspaceSettings(home=Path("/nowhere"))
        self.workspace = Workspace(self.project, sandbox.copy, root / "state", settings, "volume")

    def snapshot(self) -> dict[bytes, tuple[object, ...]]:
        return snapshot(self.project, with_folder_times=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tools_image: ToolsImage) -> AsyncIterator[DockerSandbox]:
    sandbox = docker_sandbox(tools_image)
    await sandbox.start(lambda _: None)
    yield sandbox
    await sandbox.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def place(running: DockerSandbox, tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(running, tmp_path)
    await place.workspace.prepare(lambda event: None)
    yield place
    await place.workspace.aclose()


async def apply_all(place: Place, include_ask: bool) -> bool:
    """Apply what may be; False if nothing may."""
    changes = await place.workspace.changes()
    wanted = ("free", "ask") if include_ask else ("free",)
    if not any(change.rule in wanted for change in changes):
        with pytest.raises(WorkspaceError):
            await place.workspace.apply(None, include_ask, "user")
        return False
    await place.workspace.apply(None, include_ask, "user")
    return True


@pytest.mark.parametrize("case", PLAYED, ids=[case["id"] for case in PLAYED])
async def test_what_a_case_leaves_is_applied_by_the_rules_and_undone_to_the_bit(
    place: Place, case: dict[str, Any]
) -> None:
    before = place.snapshot()
    await play(place.sandbox, case["command"])
    changes = {change.path: change for change in await place.workspace.changes()}
    asks = NEEDS_A_YES.get(case["id"])
    if asks:
        assert changes[asks].rule == "ask"
        await apply_all(place, include_ask=False)
        assert not (place.project / asks).exists()
    git = snapshot(place.project / ".git")
    was_applied = await apply_all(place, include_ask=True)
    assert snapshot(place.project / ".git") == git
    for path in MAY_NOT_COME.get(case["id"], ()):
        assert not (place.project / path).is_symlink(), path
        assert not (place.project / path).exists(), path
        named = [other for other in changes if path == other or path.startswith(other + "/")]
        assert [changes[other].rule for other in named][:1] in (["never"], []), changes
        assert named or (place.project / ".git").exists()
    if asks:
        assert (place.project / asks).exists()
    if was_applied:
        while (await place.workspace.undo_preview()) is not None:
            await place.workspace.undo()
    assert place.snapshot() == before


@pytest.mark.parametrize(("what", "command", "never", "ask"), FURTHER, ids=[case[0] for case in FURTHER])
async def test_the_whole_class_of_an_attack_is_held(
    place: Place, what: str, command: str, never: list[str], ask: list[str]
) -> None:
    before = place.snapshot()
    ran = await play(place.sandbox, command)
    assert ran.result.outcome == "ok", ran
    changes = {change.path: change for change in await place.workspace.changes()}
    for path in ask:
        assert changes[path].rule == "ask", path
    await apply_all(place, include_ask=False)
    assert not [path for path in ask if (place.project / path).exists()]
    await apply_all(place, include_ask=True)
    assert not [p for p in never if (place.project / p).exists() or (place.project / p).is_symlink()]
    assert not [path for path in ask if not (place.project / path).exists()]
    while (await place.workspace.undo_preview()) is not None:
        await place.workspace.undo()
    assert place.snapshot() == before


@pytest.mark.case("user-edit-race")
async def test_a_file_that_the_user_changed_meanwhile_is_a_conflict_and_another_one_survives(
    place: Place,
) -> None:
    (case,) = [case for case in CASES if case["id"] == "user-edit-race"]
    await play(place.sandbox, case["command"] + "; echo agent >>src/a/f1")
    assert {change.rule for change in await place.workspace.changes()} == {"free"}
    (place.project / "README.md").write_text("the user's\n")
    (place.project / "src/a/f2").write_text("the user's\n")
    with pytest.raises(ApplyConflict) as caught:
        await place.workspace.apply(None, True, "user")
    assert caught.value.paths == ("README.md",)
    assert (place.project / "src/a/f1").read_text() == "1\n"
    await place.workspace.apply(None, True, "user")
    assert (place.project / "README.md").read_text() == "the user's\n"
    assert (place.project / "src/a/f1").read_text() == "1\nagent\n"
    assert (place.project / "src/a/f2").read_text() == "the user's\n"
