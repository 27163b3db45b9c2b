from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentui.sandbox.base import Entry, EntryType
from agentui.workspace.buildfiles import build_reason
from agentui.workspace.folding import fold_path, folder_folds_case, folds_to
from agentui.workspace.hosttree import Node
from agentui.workspace.rules import Delta, judge, mass_deletion, tree_facts


def entry(path: bytes, type: EntryType = "file", mode: int = 0o644, target: bytes | None = None) -> Entry:
    return Entry(path, type, mode, 1, 0, "f", target)


def rule_of(
    path: str | bytes,
    node: Node | None = None,
    before: Node | None = None,
    others: tuple[Entry, ...] = (),
    folds: bool = False,
) -> tuple[str, str]:
    raw = path.encode() if isinstance(path, str) else path
    after = node or Node("file", 0o644, 1)
    own = entry(raw, after.type, after.mode, after.link_target)
    facts = tree_facts({e.path: e for e in (*others, own)}, folds, 1000)
    return judge(Delta(raw, before, after, own), facts)


GIT_NAMES = [
    ".git",
    ".git/hooks/pre-commit",
    "sub/.git/config",
    ".GIT/config",
    ".Git",
    ".git./x",
    ".git /x",
    ".git. . /x",
    "git~1/config",
    "GIT~1",
    ".g\u200cit/x",
    ".\u2060git",
    ".git\ufeff",
    "\uff0egit",
    ".\uff47\uff49\uff54/config",
    ".git::$INDEX_ALLOCATION/x",
    ".g\u0131t",
    ".G\u0130T/x",
    "a/b/c/.giT/d",
    ".git\t",
    ".git\x01/x",
    "\x7f.git",
    ".g\u034fit",
    ".git\u2028",
    ".git\u00a0",
    ".\U0001d5c0it/config",
    ".git\\config",
    "a\\.GIT\\hooks",
]


@pytest.mark.parametrize("path", GIT_NAMES)
def test_whatever_some_file_system_takes_for_git_is_never_applied(path: str) -> None:
    assert rule_of(path)[0] == "never"
    facts = tree_facts({}, False, 1000)
    assert judge(Delta(path.encode(), Node("file", 0o644), None), facts)[0] == "never"


@pytest.mark.parametrize("path", [".agentui/config.toml", "x/.AgentUI/y", ".agentui"])
def test_the_agent_cannot_configure_its_own_sandbox(path: str) -> None:
    assert rule_of(path)[0] == "never"


@pytest.mark.parametrize(
    "path", ["git", "a.git", ".gitignore", "src/.github/x", "dot.git/x", "git~2", "report.py"]
)
def test_names_that_only_look_alike_are_free(path: str) -> None:
    assert rule_of(path) == ("free", "")


NEVER = {
    "fifo": Node("fifo", 0o644),
    "socket": Node("socket", 0o644),
    "device": Node("device", 0o644),
    "setuid": Node("file", 0o4755, 1),
    "setgid": Node("file", 0o2755, 1),
    "huge": Node("file", 0o644, 1001),
}
TOO_FAR = ["d/" * 120 + "f", "/".join(["n" * 200] * 20)]


@pytest.mark.parametrize("path", TOO_FAR, ids=["deep", "long"])
def test_what_lies_too_deep_is_never_applied(path: str) -> None:
    assert rule_of(path)[0] == "never"
    assert rule_of(path, Node("dir", 0o755))[0] == "never"


@pytest.mark.parametrize("case", sorted(NEVER))
def test_special_setuid_and_huge_files_are_never_applied(case: str) -> None:
    assert rule_of("x", NEVER[case])[0] == "never"


LEAVING = [
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "sub/../..",
    "",
    "sub/up/../../x",
    ".git/config",
    "sub/.GIT/hooks",
    ".agentui/x",
    "out/x",
    "chain",
    "circle",
]
STAYING = ["a", "./a", "sub/a", "sub//b", ".", "sub/in/x"]
LINKS = (
    entry(b"out", "link", target=b"/mnt/data"),
    entry(b"chain", "link", target=b"sub/out2"),
    entry(b"sub/out2", "link", target=b"../../x"),
    entry(b"sub/in", "link", target=b"../a"),
    entry(b"circle", "link", target=b"circle2"),
    entry(b"circle2", "link", target=b"circle"),
)


@pytest.mark.parametrize("target", LEAVING)
def test_links_that_leave_the_tree_are_never_applied(target: str) -> None:
    assert rule_of("link", Node("link", 0o777, link_target=target.encode()), others=LINKS)[0] == "never"


@pytest.mark.parametrize("target", STAYING)
def test_links_inside_the_tree_are_free(target: str) -> None:
    assert rule_of("link", Node("link", 0o777, link_target=target.encode()), others=LINKS) == ("free", "")


parts = st.lists(st.sampled_from([b"..", b".", b"a", b"b", b"", b"l"]), min_size=1, max_size=6)


@given(st.lists(st.sampled_from([b"a", b"b"]), max_size=3), parts, parts)
def test_a_free_link_never_resolves_outside(
    folder: list[bytes], target: list[bytes], inner: list[bytes]
) -> None:

    with tempfile.TemporaryDirectory() as name:
        base = os.fsencode(os.path.realpath(name))
        root = os.path.join(base, b"1/2/3/4/5/6/7/root")
        for path in (b"a/a/a", b"a/b", b"b/a", b"b/b"):
            os.makedirs(os.path.join(root, path), exist_ok=True)
        where = b"/".join([*folder, b"link"])
        os.makedirs(os.path.join(root, *folder), exist_ok=True)
        inner_target = b"/".join(inner)
        other = entry(b"a/l", "link", target=inner_target)
        if not inner_target or rule_of(b"a/l", Node("link", 0o777, link_target=inner_target))[0] != "free":
            return
        os.symlink(inner_target, os.path.join(root, b"a/l"))
        whole = b"/".join(target)
        if rule_of(where, Node("link", 0o777, link_target=whole), others=(other,))[0] != "free":
            return
        os.symlink(whole, os.path.join(root, where))
        resolved = os.path.realpath(os.path.join(root, where))
        assert resolved == root or resolved.startswith(root + b"/")


ASK = [
    ".gitattributes",
    "sub/.gitmodules",
    ".vscode/tasks.json",
    ".VSCode/tasks.json",
    ".idea/x.xml",
    ".envrc",
    ".husky/pre-push",
    ".pre-commit-config.yaml",
    ".devcontainer/devcontainer.json",
    ".github/workflows/ci.yml",
    ".npmrc",
    ".yarnrc.yml",
    ".pnp.cjs",
    "Makefile",
    "sub/makefile",
    "justfile",
    "Taskfile.yml",
    "setup.py",
    "tests/conftest.py",
    "build.rs",
    ".cargo/config.toml",
    ".bazelrc",
    "gradlew",
    "x.code-workspace",
    ".bashrc",
    ".profile",
    ".mcp.json",
    "AGENTS.md",
    "sub/CLAUDE.md",
    ".claude/settings.json",
    "eslint.config.mjs",
    "x.pth",
    ".env",
    "MAKEFILE ",
    "M\u200bakefile",
    ".\uff45nvrc",
    ".vscode\u200d/tasks.json",
    ".hg/hgrc",
    ".jj/repo/config.toml",
    ".ssh/config",
    "docker-compose.override.yml",
    "Dockerfile.dev",
    "pom.xml",
    "BUILD.bazel",
    "rules.bzl",
    "flake.nix",
    "Gemfile",
    "Package.swift",
    "App.xcodeproj/project.pbxproj",
    "App.xcodeproj/xcshareddata/xcschemes/App.xcscheme",
    "fastlane/Fastfile",
    "package-lock.json",
    "uv.lock",
    "requirements-dev.txt",
    "pytest.ini",
    ".Rprofile",
    ".aider.conf.yml",
    ".forgejo/workflows/ci.yml",
    "site.sublime-project",
    ".devcontainer.json",
    "Taskfile",
    ".lvimrc",
    ".eslintrc.json",
    ".babelrc",
    ".mocharc.yml",
    "karma.conf.js",
    "project/plugins.sbt",
    "Guardfile",
    ".rspec",
    ".pylintrc",
    "mypy.ini",
    ".flake8",
    "rust-toolchain.toml",
    ".ycm_extra_conf.py",
    ".github/copilot-instructions.md",
    ".github/agents/a.md",
    ".config/fish/config.fish",
]


@pytest.mark.parametrize("path", ASK)
def test_what_tools_run_by_themselves_needs_a_yes(path: str) -> None:
    rule, why = rule_of(path)
    assert rule == "ask"
    assert why


@pytest.mark.parametrize("path", ["build", "configure", "workspace", "Gemfile"])
def test_a_folder_is_no_build_file(path: str) -> None:
    assert rule_of(path, Node("dir", 0o755)) == ("free", "")


def test_what_a_link_of_the_ask_list_leads_to_needs_a_yes_too() -> None:
    links = (
        entry(b".vscode", "link", target=b"config/editor"),
        entry(b"config/editor", "link", target=b"shared"),
        entry(b"Makefile", "link", target=b"build/rules.txt"),
        entry(b"docs", "link", target=b"text"),
    )
    for path in ("config/shared/tasks.json", "config/editor", "build/rules.txt"):
        assert rule_of(path, others=links)[0] == "ask", path
    for path in ("config/other", "build/rules", "text/a"):
        assert rule_of(path, others=links) == ("free", ""), path


REPOSITORIES = {
    "bare": (entry(b"x/HEAD"), entry(b"x/objects", "dir"), entry(b"x/refs", "dir")),
    "linked": (entry(b"x/HEAD", "link", target=b"y"), entry(b"x/commondir")),
    "other case": (entry(b"x/head"), entry(b"x/Objects", "dir"), entry(b"x/REFS", "dir")),
}


@pytest.mark.parametrize("form", sorted(REPOSITORIES))
def test_a_repository_of_another_name_is_never_applied(form: str) -> None:
    others = REPOSITORIES[form]
    for path in ("x/config", "x/hooks/pre-commit", "x/HEAD"):
        assert rule_of(path, others=others)[0] == "never", path
    assert rule_of("y/config", others=others) == ("free", "")
    assert rule_of("x/config", others=others[:1]) == ("free", "")


def test_the_project_itself_does_not_become_a_repository() -> None:
    others = (entry(b"HEAD"), entry(b"objects", "dir"), entry(b"refs", "dir"))
    for path in ("HEAD", "config", "hooks/post-checkout", "objects/ab"):
        assert rule_of(path, others=others)[0] == "never", path
    assert rule_of("report.py", others=others) == ("free", "")


def test_a_file_that_becomes_executable_needs_a_yes_but_not_one_that_was() -> None:
    assert rule_of("run.sh", Node("file", 0o755, 1))[0] == "ask"
    assert rule_of("run.sh", Node("file", 0o755, 1), Node("file", 0o644, 1))[0] == "ask"
    assert rule_of("run.sh", Node("file", 0o755, 2), Node("file", 0o755, 1))[0] == "free"
    assert rule_of("folder", Node("dir", 0o755))[0] == "free"


def test_two_names_for_one_are_refused_only_where_the_host_folds_them() -> None:
    others = (entry(b"Read.me"), entry(b"Dir", "dir"))
    assert rule_of("read.me", others=others)[0] == "free"
    assert rule_of("read.me", others=others, folds=True)[0] == "never"
    assert rule_of("dir/x", others=(*others, entry(b"dir", "dir")), folds=True)[0] == "never"
    composed = (entry("caf\u00e9".encode()),)
    assert rule_of("cafe\u0301".encode(), others=composed, folds=True)[0] == "never"


@given(st.text(min_size=1, max_size=12))
def test_folding_is_stable_and_ignores_case(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    key = fold_path(raw)
    assert fold_path(key.encode("utf-8", "surrogatepass")) == key
    assert folds_to(raw, ".git") == folds_to(raw + b". ", ".git") or b":" in raw


def test_case_folding_of_the_host_is_found_without_writing(tmp_path: Path) -> None:
    folder = tmp_path / "Project"
    folder.mkdir()
    before = sorted(os.listdir(tmp_path))
    assert folder_folds_case(folder) == (tmp_path / "pROJECT").exists()
    assert sorted(os.listdir(tmp_path)) == before


def _removed(count: int) -> list[Delta]:
    return [Delta(b"%d" % n, Node("file", 0o644, 5), None) for n in range(count)]


def test_mass_deletion_counts_removed_emptied_and_replaced_files() -> None:
    assert mass_deletion(_removed(10), 1000) is None
    assert mass_deletion(_removed(11), 1000) is not None
    assert mass_deletion(_removed(2), 20) is None
    assert mass_deletion(_removed(3), 20) is not None
    emptied = [Delta(b"%d" % n, Node("file", 0o644, 5), Node("file", 0o644, 0)) for n in range(11)]
    assert mass_deletion(emptied, 1000) is not None
    linked = [Delta(b"%d" % n, Node("file", 0o644, 5), Node("link", 0o777)) for n in range(11)]
    assert mass_deletion(linked, 1000) is not None
    changed = [Delta(b"%d" % n, Node("file", 0o644, 5), Node("file", 0o644, 4)) for n in range(11)]
    assert mass_deletion(changed, 1000) is None
    cut = [Delta(b"%d" % n, Node("file", 0o644, 500), Node("file", 0o644, 1)) for n in range(11)]
    assert mass_deletion(cut, 1000) is not None
    folders = [Delta(b"%d" % n, Node("dir", 0o755), None) for n in range(11)]
    assert mass_deletion(folders, 1000) is None


def test_build_files_ask_only_for_what_tools_run() -> None:
    base = b'{"name": "x", "version": "1", "scripts": {"test": "t"}}'
    version = base.replace(b'"1"', b'"2"')
    script = base.replace(b'"t"', b'"evil"')
    assert build_reason(b"package.json", base, version) is None
    assert build_reason(b"package.json", base, script) is not None
    assert build_reason(b"sub/Package.json", None, base) is not None
    assert build_reason(b"package.json", base, b"{") is not None
    project = b'[project]\nname = "x"\ndependencies = []\n[tool.ruff]\nline-length = 88\n'
    assert build_reason(b"pyproject.toml", project, project.replace(b"88", b"99")) is None
    assert build_reason(b"pyproject.toml", project, project.replace(b"[]", b'["evil"]')) is not None
    assert build_reason(b"pyproject.toml", project, project + b'[build-system]\nrequires = ["x"]\n') is not None
    crate = b'[package]\nname = "x"\nversion = "1"\n[dependencies]\n'
    assert build_reason(b"Cargo.toml", crate, crate.replace(b'"1"', b'"2"')) is None
    assert build_reason(b"Cargo.toml", crate, crate.replace(b'"x"', b'"x"\nbuild = "evil.rs"')) is not None
    assert build_reason(b"other.json", None, None) is None


def test_an_ignore_file_asks_only_where_less_is_ignored() -> None:
    before = b"dist/\n# notes\nlocal.txt\n"
    assert build_reason(b".gitignore", before, b"dist/\r\n\nbuild/\nlocal.txt\nmore\n") is None
    assert build_reason(b"sub/.gitignore", None, b"x\n") is None
    for after in (b"dist/\n", b"", None, before + b"!local.txt\n", b"local.txt\ndist/\n"):
        assert build_reason(b".gitignore", before, after) is not None, after
    assert build_reason(b"sub/.GITIGNORE", None, b"!secret\n") is not None
