"""Text written in the user's own editor."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from textual.app import App, SuspendNotSupported


class EditorError(Exception):
    """The editor gave no text; this one says why."""


def edited(app: App[None], text: str) -> str:
    """What `text` became in $VISUAL or $EDITOR. Blocks on purpose: the terminal is the editor's until it ends.

    Raises:
        EditorError: If none could be opened, or it ended with an error: then what it wrote does not count.
    """
    import shlex

    wanted = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        command = shlex.split(wanted) or ["vi"]
    except ValueError as error:
        raise EditorError(f"{wanted} is no command: {error}; set EDITOR") from error
    with tempfile.TemporaryDirectory(prefix="agentui-") as folder:
        path = Path(folder) / "prompt.md"
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            with app.suspend():
                done = subprocess.run([*command, str(path)], check=False)
            if done.returncode:
                # What was written may be half of it, or be meant to be dropped: `:cq` is how vi says so.
                code = done.returncode
                raise EditorError(f"{command[0]} ended with code {code}: the prompt stays as it was")
            return path.read_text(encoding="utf-8", errors="replace")
        except SuspendNotSupported:
            raise EditorError("no editor can be opened in this terminal") from None
        except OSError as error:
            raise EditorError(f"{command[0]} gave nothing back: {error.strerror}; set EDITOR") from error
