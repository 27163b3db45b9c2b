from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agentui.errors import WorkspaceError
from agentui.workspace.fitness import refuse_unfit
from agentui.workspace.hosttree import HostTree
from agentui.workspace.secrecy import git_config_has_secret
from agentui.workspace.select import ask_about_size, select
from agentui.workspace.settings import SeedTooLarge, WorkspaceSettings
from agentui.workspace.user_ignore import user_ignore_file
from tests.unit.workspace.trees import Place, write


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.email=a@example.org", "-c", "user.name=a", "-c", "protocol.file.allow=always"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def chosen(folder: Path, settings: WorkspaceSettings | None = None, known: tuple[bytes, ...] = ()) -> set[str]:
    with HostTree(folder) as tree:
        selection = select(tree, settings or WorkspaceSettings(with_git=False), known)
    return {os.fsdecode(path) for path in selection.entries}


def left_out(folder: Path, settings: WorkspaceSettings | None = None) -> tuple[str, ...]:
    with HostTree(folder) as tree:
        return select(tree, settings or WorkspaceSettings(with_git=False)).left_out


def test_tracked_and_new_files_are_seeded_and_ignored_ones_are_not(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(
        tmp_path,
        {
            ".gitignore": "*.log\nbuild/\n",
            "a.py": "a",
            "kept.log": "tracked although ignored",
            "new.py": "untracked",
            "noise.log": "x",
            "build/out.o": "x",
            "build/forced.txt": "tracked below an ignored folder",
            "build/other.txt": "x",
            "empty": None,
        },
    )
    git(tmp_path, "add", "a.py", ".gitignore")
    git(tmp_path, "add", "-f", "kept.log", "build/forced.txt")
    assert chosen(tmp_path) == {
        *(".gitignore", "a.py", "kept.log", "new.py", "build", "build/forced.txt", "empty"),
    }


def test_what_git_would_add_is_what_is_seeded(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(
        tmp_path,
        {
            ".gitignore": "/top\n*.tmp\n!keep.tmp\ndocs/*\n!docs/index\n",
            ".git/info/exclude": "private/\n",
            "top": "1",
            "sub/top": "1",
            "x.tmp": "1",
            "sub/keep.tmp": "1",
            "docs/index": "1",
            "docs/other": "1",
            "private/p": "1",
            "sub/.gitignore": "inner\n!x.tmp\n",
            "sub/inner/f": "1",
            "sub/x.tmp": "1",
            "inner": "1",
            "sub/deep/er/f": "1",
            "marked/.gitignore": b"\xef\xbb\xbffirst\r\nsecond\r\nthird\x0cpage\n",
            "marked/first": "1",
            "marked/second": "1",
            "marked/page": "1",
            "marked/third\x0cpage": "1",
            "theirs.user": "1",
            "sub/kept.user": "1",
            "sub/deep/.gitignore": "!kept.user\n",
            "sub/deep/kept.user": "1",
            ".gitconfig": "[core]\n\tpager = x\n\texcludesFile = ~/mine # ours\n[user]\n\tname = x\n",
            "mine": "*.user\nmine\n",
        },
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    wanted = {name.decode() for name in listed.stdout.split(b"\0") if name}
    ignore = user_ignore_file(tmp_path, tmp_path / ".config/git")
    found = chosen(tmp_path, WorkspaceSettings(with_git=False, global_ignore=ignore))
    assert {name for name in found if not (tmp_path / name).is_dir()} == wanted
    assert not {"mine", "theirs.user", "marked/first"} & wanted


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, "git/ignore"),
        ({"git/config": '[core]\nexcludesfile="~/a b"\n'}, "home/a b"),
        ({"git/config": "[core]\nexcludesfile = x\n", "home/.gitconfig": "[CORE]\nexcludesFile=/y\n"}, "/y"),
        ({"home/.gitconfig": "[core]\n[color]\n\texcludesfile = no\n"}, "git/ignore"),
    ],
)
def test_the_users_own_ignore_file_is_the_one_that_git_heeds(
    settings: dict[str, str], wanted: str, tmp_path: Path
) -> None:
    write(tmp_path, {"home": None, **settings})
    assert user_ignore_file(tmp_path / "home", tmp_path / "git") == tmp_path / wanted


SECRETS = [
    ".env",
    ".env.local",
    "prod.env",
    "id_rsa",
    "server.pem",
    ".netrc",
    "credentials.json",
    ".ENV",
    "a/.aws/x",
]
NO_SECRETS = [".env.example", "environment.py", "credentials.py", "id_rsa.pub", "key.txt"]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_never_seeded_and_the_reason_is_told(name: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {name: "SECRET", "other": "x"})
    git(tmp_path, "add", "-f", ".")
    assert name not in chosen(tmp_path)
    assert any("secret" in line for line in left_out(tmp_path))
    assert name in chosen(tmp_path, WorkspaceSettings(with_git=False, include=(name, "a/.aws/")))


@pytest.mark.parametrize("name", NO_SECRETS)
def test_examples_and_code_are_no_secrets(name: str, tmp_path: Path) -> None:
    write(tmp_path, {name: "x"})
    assert name in chosen(tmp_path)


async def test_the_copy_has_no_env_file(tmp_path: Path) -> None:
    p = Place(tmp_path)
    write(p.project, {".env": "KEY=1", "sub/.env.production": "KEY=2", "a": "a"})
    await p.prepared()
    assert sorted(os.listdir(p.folder)) == ["a"]


def test_patterns_of_the_user_win(tmp_path: Path) -> None:
    write(
        tmp_path, {".gitignore": "data/\n", "data/small/x": "1", "data/large/y": "1", "docs/a": "1", "b": "1"}
    )
    settings = WorkspaceSettings(include=("data/small/",), exclude=("docs/",), with_git=False)
    assert chosen(tmp_path, settings) == {".gitignore", "data", "data/small", "data/small/x", "b"}
    everything = WorkspaceSettings(everything=True, with_git=False)
    assert "data/large/y" in chosen(tmp_path, everything)


def test_without_a_repository_caches_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"node_modules/m/i.js": "1", "src/__pycache__/x.pyc": "1", "src/a.py": "1"})
    assert chosen(tmp_path) == {"src", "src/a.py"}


def test_known_paths_stay_although_an_ignore_file_now_names_them(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "out/\n", "out/seen": "1", "out/new": "1"})
    assert chosen(tmp_path, known=(b"out/seen",)) == {".gitignore", "out", "out/seen"}


def test_special_files_are_left_out_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, {"a": "1"})
    assert chosen(tmp_path) == {"a"}
    assert left_out(tmp_path) == ("pipe (special file)",)


def test_the_repository_itself_is_seeded_but_not_a_token_in_its_settings(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, {"a": "1"})
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "first")
    with_git = WorkspaceSettings()
    assert {".git/HEAD", ".git/config", ".git/index"} <= chosen(tmp_path, with_git)
    git(tmp_path, "remote", "add", "origin", "https://user:token@example.org/x.git")
    assert ".git/config" not in chosen(tmp_path, with_git)
    assert ".git/HEAD" in chosen(tmp_path, with_git)


@pytest.mark.parametrize(
    ("config", "is_secret"),
    [
        (b"[http]\n\textraheader = AUTHORIZATION: basic eA==\n", True),
        (b'[http "https://example.org/"] ExtraHeader=AUTHORIZATION: basic eA==\n', True),
        (b'[remote "origin"]\n\turl = https://user:token@example.org/x.git\n', True),
        (b'[remote "origin"]\n\turl = ssh://git@example.org/x.git\n', False),
        (b"\n" * 200_000, False),  # what is quadratic here takes minutes
    ],
)
def test_a_token_in_a_repositorys_settings_is_seen(config: bytes, is_secret: bool) -> None:
    assert git_config_has_secret(config) == is_secret


def test_a_worktree_is_read_through_its_git_file_which_stays_at_home(tmp_path: Path) -> None:
    main = tmp_path / "main"
    write(main, {"a": "1", ".gitignore": "*.log\n"})
    git(main, "init", "-q")
    git(main, "add", ".")
    git(main, "commit", "-qm", "first")
    write(main, {".git/info/exclude": "secret-notes\n"})
    git(main, "worktree", "add", "-q", str(tmp_path / "tree"))
    write(tmp_path / "tree", {"b": "1", "c.log": "1", "secret-notes": "1"})
    assert chosen(tmp_path / "tree", WorkspaceSettings()) == {"a", "b", ".gitignore"}


def test_submodules_and_nested_repositories_follow_their_own_rules(tmp_path: Path) -> None:
    library = tmp_path / "library"
    write(library, {"lib.c": "1", ".gitignore": "*.o\n"})
    git(library, "init", "-q")
    git(library, "add", ".")
    git(library, "commit", "-qm", "first")
    main = tmp_path / "main"
    write(main, {"a": "1", ".gitignore": "*.c\n"})
    git(main, "init", "-q")
    git(main, "submodule", "add", "-q", str(library), "sub")
    git(main, "commit", "-qam", "first")
    write(main, {"sub/x.o": "1", "sub/new.c": "1", "nested/n.c": "1", "outer.c": "1"})
    git(main / "nested", "init", "-q")
    found = chosen(main, WorkspaceSettings())
    assert {"sub/lib.c", "sub/new.c", "sub/.git", "nested/n.c", ".git/modules/sub/HEAD"} <= found
    assert not {"sub/x.o", "outer.c"} & found


def test_a_project_below_the_repository_root_obeys_the_rules_above(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\n/app/dist\n", "app/a": "1", "app/x.log": "1", "app/dist/d": "1"})
    write(tmp_path, {"app/forced.log": "1", "app/.gitignore": "!y.log\n", "app/y.log": "1"})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "app/forced.log")
    assert chosen(tmp_path / "app") == {"a", "forced.log", ".gitignore", "y.log"}


def test_a_large_project_is_a_question_with_its_largest_folders(tmp_path: Path) -> None:
    write(tmp_path, {"data/raw/big": "x" * 5000, "data/small": "x" * 10, "src/a": "x" * 100})
    with HostTree(tmp_path) as tree:
        selection = select(tree, WorkspaceSettings())
    ask_about_size(selection, WorkspaceSettings(max_seed_bytes=None))
    with pytest.raises(SeedTooLarge) as caught:
        ask_about_size(selection, WorkspaceSettings(max_seed_bytes=1000))
    question = caught.value.question
    assert (question.files, question.size_bytes) == (3, 5110)
    assert [(f.path, f.size_bytes) for f in question.folders[:2]] == [("data", 5010), ("data/raw", 5000)]


def test_whole_machines_and_our_own_state_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    state = tmp_path / "state"
    for folder in (Path("/"), home, home.parent, tmp_path / "missing", state, state / "inner"):
        with pytest.raises(WorkspaceError):
            refuse_unfit(folder, state / "inner", home)
    (home / "project").mkdir()
    refuse_unfit(home / "project", state, home)
