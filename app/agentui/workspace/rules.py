"""What an apply takes freely, what it asks for, and what it never takes.

*Never* is what could run code on the host without anybody looking, or could reach beyond the project: anything
that is ``.git`` to some file system, agentui's own settings, special files, setuid bits, links that leave the
tree, folders whose settings git would run. *Ask* is what tools run by themselves (`asklist`), also where a link
of such a name leads, and what becomes executable. Names are compared as the most forgiving file system would
(`folding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentui.events import ChangeRule
from agentui.sandbox.base import Entry
from agentui.workspace.asklist import name_asks
from agentui.workspace.copystate import host_can_hold
from agentui.workspace.folding import fold_name, fold_path, folds_to
from agentui.workspace.hosttree import Node
from agentui.workspace.ignore import text_of
from agentui.workspace.links import MAX_HOPS, hops
from agentui.workspace.settings import MAX_DEPTH

MASS_FILES = 10
MASS_SHARE = 10
"""An automatic apply asks above so many files, or above one in so many of the tree."""

# What makes git take a folder for a repository without a ``.git``, and what it then obeys there.
_GIT_FOLDER_NAMES = frozenset(
    ("head", "config", "config.worktree", "commondir", "gitdir", "hooks", "objects", "refs", "info", "modules")
)
_GIT_FOLDER = "git would take the folder for a repository and run what its settings say"


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
        """Whether content goes: a file deleted, replaced by something else, or cut to less than a tenth."""
        if self.before is None or self.before.type != "file":
            return False
        if self.after is None or self.after.type != "file":
            return True
        return self.after.size_bytes * 10 < self.before.size_bytes


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """What a rule must know of the whole copy.

    `twins` maps a folded path to the names that fall onto it. `aliases` are the places that links with a name
    of the ask list lead to, with the reason of that name. `repositories` are folders that git would take for a
    repository although they are not called ``.git``.
    """

    entries: Mapping[bytes, Entry]
    folds_case: bool = False
    max_file_bytes: int = 1 << 40
    twins: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    aliases: Mapping[bytes, str] = field(default_factory=dict)
    repositories: frozenset[bytes] = frozenset()


def tree_facts(entries: Mapping[bytes, Entry], folds_case: bool, max_file_bytes: int) -> TreeFacts:
    """Prepare for judging; O(entries)."""
    twins: dict[str, tuple[bytes, ...]] = {}
    aliases: dict[bytes, str] = {}
    heads: list[bytes] = []
    for path, entry in entries.items():
        if folds_case:
            key = fold_path(path)
            twins[key] = (*twins.get(key, ()), path)
        if entry.type == "link" and (why := name_asks(path, is_dir=False)):
            places = hops(path, entry.link_target or b"", entries)
            aliases.update((b"/".join(place), why) for place in places if place)
        if path[-4:].lower() == b"head":
            heads.append(path.rpartition(b"/")[0])
    repositories = frozenset(folder for folder in heads if _is_git_folder(folder, entries))
    return TreeFacts(entries, folds_case, max_file_bytes, twins, aliases, repositories)


def _is_git_folder(folder: bytes, entries: Mapping[bytes, Entry]) -> bool:
    """Whether what lies beside a HEAD makes it a repository to git, on whatever file system."""
    prefix = folder + b"/" if folder else b""

    def has(name: bytes) -> bool:
        return any(prefix + form in entries for form in (name, name.upper(), name.capitalize()))

    return has(b"commondir") or (has(b"objects") and has(b"refs"))


def judge(delta: Delta, facts: TreeFacts) -> tuple[ChangeRule, str]:
    """Free, ask or never, and the reason in words. Knows names, types and modes; contents: `buildfiles`."""
    if why := _never(delta, facts):
        return "never", why
    if why := _asks(delta, facts):
        return "ask", why
    return "free", ""


def _never(delta: Delta, facts: TreeFacts) -> str | None:
    parts = delta.path.split(b"/")
    if any(folds_to(part, ".git") for part in parts):
        return "git's own files stay in the copy"
    if any(folds_to(part, ".agentui") for part in parts):
        return "the agent may not configure its own sandbox"
    if facts.repositories and _makes_repository(parts, facts):
        return _GIT_FOLDER
    after = delta.after
    if after is None:
        return None
    if after.type not in ("file", "dir", "link"):
        return f"special file ({after.type})"
    if after.type == "file" and after.mode & 0o6000:
        return "setuid or setgid bit"
    if after.type == "file" and after.size_bytes > facts.max_file_bytes:
        return f"larger than {facts.max_file_bytes / 2**20:.0f} MiB"
    if len(parts) > MAX_DEPTH:
        return f"more than {MAX_DEPTH} folders deep"
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


def _makes_repository(parts: Sequence[bytes], facts: TreeFacts) -> bool:
    if any(b"/".join(parts[:depth]) in facts.repositories for depth in range(1, len(parts))):
        return True
    # The project itself holds other things too: there it is what git looks for, and obeys, that stays away.
    return b"" in facts.repositories and fold_name(parts[0]) in _GIT_FOLDER_NAMES


def _link_leaves(path: bytes, target: bytes, facts: TreeFacts) -> str | None:
    """Why a link may not come to the host: it, or a link it leads through, points out of the tree."""
    for seen, place in enumerate(hops(path, target, facts.entries)):
        if place is None:
            return "a link that leaves the project"
        if any(folds_to(part, ".git") or folds_to(part, ".agentui") for part in place):
            return "a link into files that are never applied"
        if seen == MAX_HOPS:
            return "a link that leads in a circle"
    return None


def _asks(delta: Delta, facts: TreeFacts) -> str | None:
    is_dir = delta.after is not None and delta.after.type == "dir"
    if why := name_asks(delta.path, is_dir):
        return why
    if facts.aliases:
        parts = delta.path.split(b"/")
        for depth in range(1, len(parts) + 1):
            if why := facts.aliases.get(b"/".join(parts[:depth])):
                return f"a link leads here: {why}"
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
