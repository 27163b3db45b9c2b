"""Which of the host's paths are copied for the agent.

By default what git tracks and what it would offer to track: untracked files that no ``.gitignore`` leaves out.
Secrets never, unless a ``[seed] include`` pattern names them. A repository's ``.git`` is copied too, so that
the agent can use git in its copy, but nothing below any ``.git`` ever comes back. A ``.git`` *file* (worktree,
submodule) is copied only if it points into the tree. Paths left out are *unknown*: their absence from the copy
says nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

from agentui.workspace import gitindex
from agentui.workspace.folding import folds_to
from agentui.workspace.hosttree import HostChanged, HostTree, NotPlain, entry_type
from agentui.workspace.ignore import MAX_IGNORE_BYTES, IgnoreRules, bytes_of, parse, patterns, text_of
from agentui.workspace.secrecy import git_config_has_secret, secret_reason
from agentui.workspace.settings import MAX_DEPTH, FolderSize, SeedQuestion, SeedTooLarge, WorkspaceSettings
from agentui.workspace.sources import source_mark

_MAX_LEFT_OUT = 200
# Left out of folders without a repository, where no .gitignore says so.
_CACHES = patterns(
    (
        *("node_modules/", ".venv/", "venv/", "__pycache__/", ".mypy_cache/", ".ruff_cache/"),
        *(".pytest_cache/", ".tox/", ".DS_Store"),
    )
)


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a repository tracks, relative to its working tree, which lies at `prefix` (empty, or ends in /)."""

    repository: gitindex.Repository
    prefix: bytes
    paths: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Selection:
    """What the host has for the copy: stat results by path, and what was left out, in words.

    `seen` is every name of every folder that was looked into, `sources` marks of the files that rules came from
    and that lie elsewhere. `indexes` are what each repository whose own files lie in the tree tracks, by the
    path of its index. `is_whole` says that no folder went away or changed its kind meanwhile.
    """

    entries: Mapping[bytes, os.stat_result]
    left_out: tuple[str, ...]
    seen: Mapping[bytes, Mapping[bytes, os.stat_result]]
    sources: Mapping[str, str]
    indexes: Mapping[bytes, Tracked]
    is_whole: bool
    began_ns: int

    @property
    def size_bytes(self) -> int:
        """Apparent size of all selected files. O(entries)."""
        return sum(st.st_size for st in self.entries.values() if entry_type(st.st_mode) == "file")


def select(tree: HostTree, settings: WorkspaceSettings, known: Collection[bytes] = ()) -> Selection:
    """Look through the project. Blocking; O(entries), about one stat walk.

    `known` paths were copied before: like tracked ones they stay, whatever the ignore files say by now.

    Raises:
        OSError: If the project itself cannot be read.
    """
    began_ns = time.time_ns()
    walk = _Walk(tree, settings, known)
    walk.start()
    left_out = tuple(walk.left_out)
    seen, indexes = walk.seen, walk.indexes
    return Selection(walk.entries, left_out, seen, walk.sources, indexes, walk.is_whole, began_ns)


def ignored_prefixes(
    tree: HostTree, settings: WorkspaceSettings, paths: Collection[bytes]
) -> dict[bytes, bytes]:
    """Which paths the host's ignore files leave out, and the outermost folder (or the path) that they name.

    The paths need not exist on the host. Blocking.
    """
    walk = _Walk(tree, settings, ())
    rules: dict[bytes, IgnoreRules] = {b"": walk.rules_in(b"", walk.outer_rules())}
    verdicts: dict[tuple[bytes, bool], bool] = {}
    found: dict[bytes, bytes] = {}
    for path in paths:
        parts = path.split(b"/")
        for depth in range(1, len(parts) + 1):
            prefix, folder = b"/".join(parts[:depth]), b"/".join(parts[: depth - 1])
            if folder not in rules:
                rules[folder] = walk.rules_in(folder, rules[folder.rpartition(b"/")[0]])
            key = (prefix, depth < len(parts))
            if key not in verdicts:
                verdicts[key] = rules[folder].ignores(*key)
            if verdicts[key]:
                found[path] = prefix
                break
    return found


def ask_about_size(selection: Selection, settings: WorkspaceSettings) -> None:
    """Refuse a selection above the size that is copied unasked.

    Raises:
        SeedTooLarge: With the question to ask.
    """
    limit = settings.max_seed_bytes
    size = selection.size_bytes
    if limit is None or size <= limit:
        return
    totals: dict[bytes, tuple[int, int]] = {}
    files = 0
    for path, st in selection.entries.items():
        if entry_type(st.st_mode) != "file":
            continue
        files += 1
        parts = path.split(b"/")[:-1]
        for depth in {min(len(parts), 1), min(len(parts), 2)}:
            folder = b"/".join(parts[:depth]) or b"."
            count, total = totals.get(folder, (0, 0))
            totals[folder] = (count + 1, total + st.st_size)
    largest = sorted(totals.items(), key=lambda item: -item[1][1])[:20]
    folders = tuple(FolderSize(text_of(folder), count, total) for folder, (count, total) in largest)
    raise SeedTooLarge(SeedQuestion(files, size, limit, folders))


@dataclass(slots=True)
class _Stays:
    """Paths that are in whatever the rules say, and all folders above them."""

    paths: set[bytes] = field(default_factory=set)
    folders: set[bytes] = field(default_factory=set)

    def add(self, paths: Collection[bytes], prefix: bytes = b"") -> None:
        for path in paths:
            whole = prefix + path
            self.paths.add(whole)
            head = whole.rpartition(b"/")[0]
            while head and head not in self.folders:
                self.folders.add(head)
                head = head.rpartition(b"/")[0]


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the way down: the rules that hold in it, and whether a rule has left it out already."""

    path: bytes
    rules: IgnoreRules
    is_ignored: bool
    depth: int = 0


class _Walk:
    def __init__(self, tree: HostTree, settings: WorkspaceSettings, known: Collection[bytes]) -> None:
        self._tree = tree
        self._settings = settings
        self._include = patterns(settings.include) if settings.include else None
        self._exclude = patterns(settings.exclude) if settings.exclude else None
        self._tracked = _Stays()
        self._tracked.add(known)
        self.entries: dict[bytes, os.stat_result] = {}
        self.left_out: list[str] = []
        self.seen: dict[bytes, dict[bytes, os.stat_result]] = {}
        self.sources: dict[str, str] = {}
        self.indexes: dict[bytes, Tracked] = {}
        self.is_whole = True
        self._unnamed = 0

    def start(self) -> None:
        self._folder(_Folder(b"", self.outer_rules(), is_ignored=False))
        if self._unnamed:
            self.left_out.append(f"and {self._unnamed} more")

    def outer_rules(self) -> IgnoreRules:
        rules = IgnoreRules()
        user = self._settings.global_ignore
        if user is not None and self._source(user).is_file():
            rules = rules.above("", parse(user.read_bytes()))
        repository = gitindex.find_repository(self._tree.root)
        if repository is None:
            return rules.within(b"", _CACHES)
        here = os.fsencode(self._tree.root.relative_to(repository.worktree))
        prefix = b"" if here == b"." else here + b"/"
        self._track(repository, prefix)
        rules = self._excludes(repository, rules, text_of(prefix))
        # Rules of the folders between the repository and the project.
        for folder in reversed(self._tree.root.parents):
            if folder != repository.worktree and repository.worktree not in folder.parents:
                continue
            file = self._source(folder / ".gitignore")
            if file.is_file():
                outer = text_of(os.fsencode(self._tree.root.relative_to(folder))) + "/"
                rules = IgnoreRules((("", outer, parse(file.read_bytes())), *rules.levels))
        return rules

    def _track(self, repository: gitindex.Repository, inside: bytes, at: bytes = b"") -> None:
        self._source(repository.git_dir / "index")
        try:
            tracked = gitindex.tracked_paths(repository)
        except gitindex.IndexUnreadable as error:
            self._leave(os.fsencode(repository.git_dir) + b"/index", f"not understood: {error}")
            return
        self._tracked.add([p[len(inside) :] for p in tracked if p.startswith(inside)], at)
        if not inside and repository.git_dir.is_relative_to(self._tree.root):
            index = os.fsencode(repository.git_dir.relative_to(self._tree.root)) + b"/index"
            self.indexes[index] = Tracked(repository, at, tracked)

    def _excludes(self, repository: gitindex.Repository, rules: IgnoreRules, outer: str) -> IgnoreRules:
        try:
            spec = parse(self._source(repository.exclude_file).read_bytes())
        except OSError:
            return rules
        return IgnoreRules((("", outer, spec), *rules.levels))

    def _source(self, file: Path) -> Path:
        """Note what a file of rules is before it is read."""
        self.sources[os.fspath(file)] = source_mark(file)
        return file

    def _leave(self, path: bytes, why: str, is_dir: bool = False) -> None:
        if len(self.left_out) >= _MAX_LEFT_OUT:
            self._unnamed += 1
            return
        self.left_out.append(f"{text_of(path)}{'/' if is_dir else ''} ({why})")

    def _folder(self, folder: _Folder) -> bool:
        """Select what lies in a folder; whether it is worth keeping: something was taken, or it is empty."""
        names = self._look_into(folder.path)
        if names is None:
            return False
        rules = self._inner_rules(folder, names)
        folder = _Folder(folder.path, rules, folder.is_ignored, folder.depth)
        prefix = folder.path + b"/" if folder.path else b""
        taken = [self._entry(prefix + name, name, st, folder) for name, st in names.items()]
        return any(taken) or (not names and not folder.is_ignored)

    def _look_into(self, path: bytes) -> dict[bytes, os.stat_result] | None:
        """What lies in a folder; ``None`` if that cannot be read."""
        try:
            with self._tree.folder(path) as fd:
                names = self.seen[path] = self._names(fd)
        except (PermissionError, NotPlain, FileNotFoundError) as error:
            self._leave(path, "unreadable", is_dir=True)
            self.is_whole = self.is_whole and isinstance(error, PermissionError)
            return None
        return names

    @staticmethod
    def _names(fd: int) -> dict[bytes, os.stat_result]:
        real = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            with os.scandir(real) as found:
                return {os.fsencode(entry.name): entry.stat(follow_symlinks=False) for entry in found}
        finally:
            os.close(real)

    def rules_in(self, path: bytes, outer: IgnoreRules) -> IgnoreRules:
        """The rules that hold in a folder, which need not exist; `outer` are those of the folder above."""
        try:
            with self._tree.folder(path) as fd:
                names = self._names(fd)
        except (NotPlain, OSError):
            return outer
        return self._inner_rules(_Folder(path, outer, is_ignored=False), names)

    def _inner_rules(self, folder: _Folder, names: Mapping[bytes, os.stat_result]) -> IgnoreRules:
        rules = folder.rules
        if folder.path and b".git" in names:
            # A nested repository has rules of its own, and only those.
            repository = gitindex.repository_at(self._tree.root / os.fsdecode(folder.path))
            if repository is not None:
                self._track(repository, b"", folder.path + b"/")
                inner = self._excludes(repository, IgnoreRules(), "")
                prefix = text_of(folder.path) + "/"
                rules = IgnoreRules(tuple((prefix, outer, spec) for _, outer, spec in inner.levels))
        found = names.get(b".gitignore")
        if found is not None and entry_type(found.st_mode) == "file" and found.st_size <= MAX_IGNORE_BYTES:
            path = folder.path + b"/.gitignore" if folder.path else b".gitignore"
            try:
                rules = rules.within(folder.path, parse(self._tree.read(path, found)))
            except (OSError, NotPlain, HostChanged) as error:
                self.is_whole = False
                self._leave(path, f"not read: {error}")
        return rules

    def _entry(self, path: bytes, name: bytes, st: os.stat_result, folder: _Folder) -> bool:
        kind = entry_type(st.st_mode)
        if kind not in ("file", "dir", "link"):
            self._leave(path, "special file")
            return False
        if folds_to(name, ".git"):
            return self._git(path, name, st)
        if folds_to(name, ".agentui"):
            return False
        is_dir = kind == "dir"
        if self._excluded(path, is_dir):
            self._leave(path, "excluded", is_dir)
            return False
        included = self._included(path, is_dir)
        why = None if included or self._settings.everything else secret_reason(name, is_dir)
        if why:
            self._leave(path, f"secret: {why}", is_dir)
            return False
        return self._dir(path, st, folder, included) if is_dir else self._leaf(path, st, folder, included)

    def _leaf(self, path: bytes, st: os.stat_result, folder: _Folder, included: bool) -> bool:
        if not included and path not in self._tracked.paths and self._ignored(path, folder, is_dir=False):
            self._leave(path, "ignored")
            return False
        self.entries[path] = st
        return True

    def _dir(self, path: bytes, st: os.stat_result, folder: _Folder, included: bool) -> bool:
        if folder.depth >= MAX_DEPTH:
            self._leave(path, "too deep", is_dir=True)
            return False
        is_tracked = path in self._tracked.paths or path in self._tracked.folders
        ignored = not included and self._ignored(path, folder, is_dir=True)
        if ignored and not is_tracked and not self._may_include_below(path):
            self._leave(path, "ignored", is_dir=True)
            return False
        kept = self._folder(_Folder(path, folder.rules, ignored, folder.depth + 1))
        if kept or path in self._tracked.paths or path in self._tracked.folders:
            self.entries[path] = st
            return True
        return False

    def _ignored(self, path: bytes, folder: _Folder, is_dir: bool) -> bool:
        if self._settings.everything:
            return False
        return folder.is_ignored or folder.rules.ignores(path, is_dir)

    def _excluded(self, path: bytes, is_dir: bool) -> bool:
        return self._exclude is not None and _matches(self._exclude, path, is_dir)

    def _included(self, path: bytes, is_dir: bool) -> bool:
        return self._include is not None and _matches(self._include, path, is_dir)

    def _may_include_below(self, path: bytes) -> bool:
        folder = text_of(path) + "/"
        for pattern in self._settings.include:
            head = pattern.lstrip("/").split("*")[0].split("?")[0].split("[")[0]
            is_anchored = "/" in pattern.rstrip("/")
            if not is_anchored or head.startswith(folder) or folder.startswith(head):
                return True
        return False

    def _git(self, path: bytes, name: bytes, st: os.stat_result) -> bool:
        if not self._settings.with_git or name != b".git":
            self._leave(path, "git's own", is_dir=entry_type(st.st_mode) == "dir")
            return False
        match entry_type(st.st_mode):
            case "dir":
                return self._git_folder(path, st, path)
            case "file":
                return self._git_file(path, st)
        return False

    def _git_file(self, path: bytes, st: os.stat_result) -> bool:
        target = gitindex.git_file_target(self._tree.read(path, st)) if st.st_size < 4096 else None
        inside = os.path.normpath(os.path.join(os.path.dirname(path), bytes_of(target))) if target else b"/"
        if os.path.isabs(inside) or inside.split(b"/")[0] == b"..":
            self._leave(path, "points to a repository outside of the project")
            return False
        self.entries[path] = st
        return True

    def _git_folder(self, path: bytes, st: os.stat_result, git_dir: bytes) -> bool:
        self.entries[path] = st
        names = self._look_into(path)
        if names is None:
            return True
        for name, below in names.items():
            inner = path + b"/" + name
            match entry_type(below.st_mode):
                case "dir":
                    self._git_folder(inner, below, git_dir)
                case "file" if name.endswith(b".lock"):
                    continue
                case "file" if name == b"config" and git_config_has_secret(self._tree.read(inner, below)):
                    self._leave(inner, "secret: token or password in an address")
                case "file" | "link":
                    self.entries[inner] = below
        return True


def _matches(spec: pathspec.GitIgnoreSpec, path: bytes, is_dir: bool) -> bool:
    return bool(spec.check_file(text_of(path) + ("/" if is_dir else "")).include)
