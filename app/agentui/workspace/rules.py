"""What an apply takes freely, what it asks for, and what it never takes.

*Never* is what could run code on the host without anybody looking, or could reach beyond the project: anything
that is ``.git`` to some file system, agentui's own settings, special files, setuid bits, links that leave the
tree. *Ask* is what tools run by themselves when the user opens, builds or tests the project. Names are compared
as the most forgiving file system would (`folding`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentui.events import ChangeRule
from agentui.sandbox.base import Entry
from agentui.workspace.copystate import host_can_hold
from agentui.workspace.folding import fold_name, fold_path, folds_to
from agentui.workspace.hosttree import Node
from agentui.workspace.ignore import text_of
from agentui.workspace.secrecy import secret_reason

MASS_FILES = 10
MASS_SHARE = 10
"""An automatic apply asks above so many files, or above one in so many of the tree."""

_EDITOR, _HOOK, _SHELL = "an editor runs what it says", "git hooks run it", "a shell or its tools run it"
_BUILD, _SERVICE, _TOOL = "the build runs it", "the build service runs it", "a tool obeys it"
_PACKAGES, _PYTHON, _AGENT = "a package manager obeys it", "Python tools run it", "agents obey it"

_ASK_FOLDERS: dict[str, str] = {
    **dict.fromkeys((".vscode", ".idea", ".zed", ".fleet", ".vim", ".nvim"), _EDITOR),
    **dict.fromkeys((".husky", ".githooks", ".lefthook"), _HOOK),
    **dict.fromkeys((".devcontainer", ".direnv", ".cargo", ".mvn", ".yarn", ".bundle"), _TOOL),
    **dict.fromkeys((".circleci", ".buildkite", ".gitlab", ".woodpecker"), _SERVICE),
    **dict.fromkeys((".claude", ".codex", ".gemini", ".cursor", ".pi", ".windsurf", ".aider"), _AGENT),
    **dict.fromkeys((".continue", ".roo", ".kiro", ".clinerules"), _AGENT),
}
_ASK_PAIRS: dict[tuple[str, str], str] = {
    (".github", "workflows"): _SERVICE,
    (".github", "actions"): _SERVICE,
    (".github", "copilot-instructions.md"): _AGENT,
    ("gradle", "wrapper"): _BUILD,
}
_ASK_NAMES: tuple[tuple[str, str], ...] = (
    (r"\.gitattributes|\.gitmodules|\.gitconfig", "git obeys it"),
    (r"\.pre-commit-config\.ya?ml|\.?lefthook.*\.(ya?ml|toml|json)|\.(lintstaged|husky)rc.*", _HOOK),
    (r"\.envrc|\.tool-versions|\.?mise\.toml|\.?justfile", _SHELL),
    (r"\.(bash|zsh|k?sh|csh)(rc|env)|\.profile|\.(bash_|z)(profile|login|logout)|\.login|\.inputrc", _SHELL),
    (r"\.npmrc|\.yarnrc.*|\.pnp\..*|\.pnpmfile\.c?js|\.?bunfig\.toml", _PACKAGES),
    (r"(gnu)?makefile|.*\.mk|taskfile\.ya?ml|rakefile|cmakelists\.txt|.*\.cmake", _BUILD),
    (r"build\.rs|\.bazelrc|workspace(\.bazel)?|gradlew(\.bat)?|mvnw(\.cmd)?|.*\.gradle(\.kts)?", _BUILD),
    (r"setup\.py|setup\.cfg|conftest\.py|tox\.ini|noxfile\.py|(site|user)customize\.py|.*\.pth", _PYTHON),
    (r".*\.config\.[cm]?[jt]s|\.(eslint|prettier|stylelint|babel)rc\.[cm]?js", _BUILD),
    (r".*\.code-workspace|\.exrc|\.n?vimrc|\.nvim\.lua|\.dir-locals\.el|\.lldbinit|\.gdbinit", _EDITOR),
    (r"\.pdbrc|\.pythonrc(\.py)?|\.irbrc|\.pryrc|\.ripgreprc|\.curlrc|\.wgetrc|vagrantfile", _TOOL),
    (r"\.gitlab-ci\.ya?ml|jenkinsfile|azure-pipelines\.ya?ml|\.travis\.ya?ml", _SERVICE),
    (r"\.mcp\.json|agents\.md|claude\.md|gemini\.md|\.(cursor|windsurf|cline)rules", _AGENT),
)
_ASK_NAME = tuple((re.compile(pattern), why) for pattern, why in _ASK_NAMES)
_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Delta:
    """One path on which copy and base differ. `before` is the base, `after` and `entry` the copy now.

    `after.sha256` is empty where the content was not needed to see the difference.
    """

    path: bytes
    before: Node | None
    after: Node | None
    entry: Entry | None = None

    @property
    def removes_file(self) -> bool:
        """Whether content goes: a file deleted, replaced by something else, or emptied."""
        if self.before is None or self.before.type != "file":
            return False
        if self.after is None or self.after.type != "file":
            return True
        return self.after.size_bytes == 0 and self.before.size_bytes > 0


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """What a rule must know of the whole copy. `twins` maps a folded path to the names that fall onto it."""

    entries: Mapping[bytes, Entry]
    folds_case: bool = False
    max_file_bytes: int = 1 << 40
    twins: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)


def tree_facts(entries: Mapping[bytes, Entry], folds_case: bool, max_file_bytes: int) -> TreeFacts:
    """Prepare for judging; O(entries) where names can fall together, else O(1)."""
    twins: dict[str, tuple[bytes, ...]] = {}
    if folds_case:
        for path in entries:
            key = fold_path(path)
            twins[key] = (*twins.get(key, ()), path)
    return TreeFacts(entries, folds_case, max_file_bytes, twins)


def judge(delta: Delta, facts: TreeFacts) -> tuple[ChangeRule, str]:
    """Free, ask or never, and the reason in words. Knows names, types and modes; contents: `buildfiles`."""
    if why := _never(delta, facts):
        return "never", why
    if why := _asks(delta):
        return "ask", why
    return "free", ""


def _never(delta: Delta, facts: TreeFacts) -> str | None:
    parts = delta.path.split(b"/")
    if any(folds_to(part, ".git") for part in parts):
        return "git's own files stay in the copy"
    if any(folds_to(part, ".agentui") for part in parts):
        return "the agent may not configure its own sandbox"
    after = delta.after
    if after is None:
        return None
    if after.type not in ("file", "dir", "link"):
        return f"special file ({after.type})"
    if after.type == "file" and after.mode & 0o6000:
        return "setuid or setgid bit"
    if after.type == "file" and after.size_bytes > facts.max_file_bytes:
        return f"larger than {facts.max_file_bytes / 2**20:.0f} MiB"
    if not host_can_hold(delta.path):
        return "this computer cannot hold such a name"
    if twin := _twin(delta.path, facts):
        return f"the same name as {text_of(twin)} on this computer"
    if after.type == "link":
        return _link_leaves(delta.path, after.link_target or b"", facts)
    return None


def _twin(path: bytes, facts: TreeFacts) -> bytes | None:
    if not facts.folds_case:
        return None
    prefix = path
    while prefix:
        for twin in facts.twins.get(fold_path(prefix), ()):
            if twin != prefix:
                return twin
        prefix = prefix.rpartition(b"/")[0]
    return None


def _link_leaves(path: bytes, target: bytes, facts: TreeFacts) -> str | None:
    """Why a link may not come to the host: it, or a link it leads through, points out of the tree."""
    seen = 0
    while True:
        if not target or target.startswith(b"/") or b"\0" in target:
            return "a link that leaves the project"
        parts = [part for part in target.split(b"/") if part not in (b"", b".")]
        ups = next((i for i, part in enumerate(parts) if part != b".."), len(parts))
        above = path.split(b"/")[:-1]
        # Only leading ".." are certain: after a name that may be a link, ".." can lead anywhere.
        if ups > len(above) or b".." in parts[ups:]:
            return "a link that leaves the project"
        resolved = above[: len(above) - ups] + parts[ups:]
        if any(folds_to(part, ".git") or folds_to(part, ".agentui") for part in resolved):
            return "a link into files that are never applied"
        through = _first_link(resolved, facts)
        if through is None:
            return None
        depth, entry = through
        seen += 1
        if seen > _MAX_LINKS:
            return "a link that leads in a circle"
        path = entry.path
        rest = resolved[depth:]
        target = b"/".join([entry.link_target or b"", *rest])


def _first_link(parts: Sequence[bytes], facts: TreeFacts) -> tuple[int, Entry] | None:
    for depth in range(1, len(parts) + 1):
        entry = facts.entries.get(b"/".join(parts[:depth]))
        if entry is not None and entry.type == "link":
            return depth, entry
    return None


def _asks(delta: Delta) -> str | None:
    folded = [fold_name(part) for part in delta.path.split(b"/")]
    for part in folded:
        if part in _ASK_FOLDERS:
            return _ASK_FOLDERS[part]
    for pair in itertools.pairwise(folded):
        if pair in _ASK_PAIRS:
            return _ASK_PAIRS[pair]
    for pattern, why in _ASK_NAME:
        if pattern.fullmatch(folded[-1]):
            return why
    secret = secret_reason(delta.path.rpartition(b"/")[2], is_dir=False)
    if secret:
        return f"named like a secret ({secret})"
    return "becomes executable" if _gets_x(delta) else None


def _gets_x(delta: Delta) -> bool:
    after = delta.after
    if after is None or after.type != "file":
        return False
    before = delta.before
    had = before.mode if before is not None and before.type == "file" else 0
    return bool(after.mode & 0o111 & ~had)


def mass_deletion(deltas: Sequence[Delta], base_files: int) -> str | None:
    """Why so many removed or emptied files need a yes; `base_files` is the size of the tree."""
    removed = sum(delta.removes_file for delta in deltas)
    if removed > MASS_FILES or (removed and removed * MASS_SHARE > base_files):
        return f"{removed} of {base_files} files would be removed or emptied"
    return None
