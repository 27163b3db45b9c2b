"""Bring the agent's commits to the project's repository: as objects below a ref of ours, nothing else.

A bundle is made inside, where the agent's repository may do no harm, and fetched outside, where it is only
data: no hook, no setting and no working file of the copy's repository takes part, and every object is checked.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agentui.errors import WorkspaceError
from agentui.events import CommitsTaken
from agentui.program import run_program
from agentui.workspace.ignore import text_of

BUNDLE = b".git/agentui.bundle"
TIMEOUT_S = 120.0
MAX_COMMITS = 200
"""So many are named; all of them are brought."""
_MAX_KNOWN = 500
_MAX_REFS = 100
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"(?:refs/heads/[A-Za-z0-9._/+@-]+|HEAD)")
_SAFE = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "transfer.fsckObjects=true"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "fetch.writeCommitGraph=false"),
    *("-c", "protocol.allow=never", "-c", "protocol.file.allow=always", "-c", "submodule.recurse=false"),
)
NOTHING_NEW = 3
NO_REPOSITORY = 4
_SCRIPT = """\
cd "$(git rev-parse --show-toplevel 2>/dev/null)" 2>/dev/null && [[ -d .git ]] || exit {no_repository}
rm -f {bundle}
known=()
for commit in {known}; do git cat-file -e "$commit^{{commit}}" 2>/dev/null && known+=("^$commit"); done
[[ -n $(git rev-list -n 1 --branches HEAD "${{known[@]}}" 2>/dev/null) ]] || exit {nothing}
git bundle create -q {bundle} --branches HEAD "${{known[@]}}"
"""


def bundle_script(known: Sequence[str]) -> str:
    """The command that makes the bundle in the copy, without the commits that the project has.

    Its exit code is `NOTHING_NEW` or `NO_REPOSITORY` where there is none to make.
    """
    return _SCRIPT.format(
        bundle=os.fsdecode(BUNDLE),
        known=" ".join(map(shlex.quote, known)),
        nothing=NOTHING_NEW,
        no_repository=NO_REPOSITORY,
    )


@dataclass(frozen=True, slots=True)
class HostRepository:
    """The project's own repository. Runs the user's git, and only on the user's explicit wish. Blocking."""

    project: Path

    def known(self) -> list[str]:
        """The commits that its refs point to.

        Raises:
            WorkspaceError: If there is no git, or no repository.
        """
        found = self._git("for-each-ref", "--format=%(objectname)", f"--count={_MAX_KNOWN}")
        return [line for line in found.split() if _HASH.fullmatch(line)]

    def take(self, bundle: Path, copied: Container[bytes]) -> CommitsTaken:
        """Fetch a bundle below a new ref; no branch, tag or file is touched. The copy was given `copied`.

        Raises:
            WorkspaceError: If git refuses it.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        ref = f"refs/agentui/{stamp}"
        known = self.known()
        specs = [f"{name}:{ref}/{_short(name)}" for name in self._heads(bundle)]
        if not specs:
            raise WorkspaceError("the agent's commits have no branch that could be brought")
        flags = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
        self._git("fetch", "-q", *flags, str(bundle), *specs)
        old = [f"^{commit}" for commit in known]
        form = ("--topo-order", "--format=%h %s", f"--max-count={MAX_COMMITS}", f"--glob={ref}")
        lines = self._git("rev-list", *form, *old).splitlines()
        commits = tuple(line for line in lines if not line.startswith("commit "))
        return CommitsTaken(ref, commits, self._uncopied([f"--glob={ref}", *old], copied))

    def _uncopied(self, commits: Sequence[str], copied: Container[bytes]) -> tuple[str, ...]:
        """Files of the project that commits delete only because they were left out of the copy."""
        form = ("-z", "--format=", "--name-only", "--diff-filter=D", "--no-renames", "--no-show-signature")
        names = {name for name in self._git("log", *form, *commits, "--").split("\0") if name}
        paths = sorted(path for path in map(os.fsencode, names) if path not in copied)
        root = os.fsencode(self.project)
        return tuple(text_of(path) for path in paths if os.path.lexists(os.path.join(root, path)))

    def _heads(self, bundle: Path) -> list[str]:
        """Names in the bundle; a detached HEAD only where no branch has its commit."""
        pairs = [line.partition(" ") for line in self._git("bundle", "list-heads", str(bundle)).splitlines()]
        heads = {name: commit for commit, _, name in pairs if _REF.fullmatch(name) and ".." not in name}
        on_branches = {commit for name, commit in heads.items() if name != "HEAD"}
        if heads.get("HEAD") in on_branches:
            del heads["HEAD"]
        return sorted(heads)[:_MAX_REFS]

    def _git(self, *arguments: str) -> str:
        git = shutil.which("git")
        if git is None:
            raise WorkspaceError("there is no git on this machine", hint="install git")
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            environment.pop(name, None)
        try:
            done = run_program([git, *_SAFE, *arguments], self.project, environment, TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorkspaceError(f"git {arguments[0]} did not run in {self.project}: {error}") from error
        if b"not a git repository" in done.stderr:
            raise WorkspaceError(
                f"{self.project} is in no git repository of yours: there is nothing that commits could go to",
                hint="git init makes one; then /commits again",
            )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-500:]
            raise WorkspaceError(f"git {arguments[0]} refused: {said}", hint="nothing was brought over")
        return done.stdout.decode("utf-8", "surrogateescape")


def _short(name: str) -> str:
    return name.removeprefix("refs/heads/")
