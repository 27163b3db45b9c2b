"""Pi's own record of a conversation (JSONL, one entry a line, each below its parent), cut for a branch."""

from __future__ import annotations

import json
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from agentui.errors import SessionError


def cut_session(file: Path, until: datetime) -> Path:
    """A new session of Pi's beside `file`, which ends where the model's words and commands ended by `until`.

    A text of the user's after those is left out too: it belongs to the next turn. `file` stays as it is.
    Blocks; O(size).

    Raises:
        SessionError: If `file` cannot be read, holds nothing of the model's by then, or cannot be copied.
    """
    entries: list[dict[str, Any]] = []
    length = 0
    try:
        # Only LF ends a line: other separators of Unicode's stand unescaped inside of texts.
        for line in file.read_text("utf-8").rstrip("\n").split("\n"):
            entry = json.loads(line)
            if entries and datetime.fromisoformat(entry["timestamp"]) > until:
                break
            entries.append(entry)
            if entry.get("type") == "message" and entry["message"]["role"] in ("assistant", "toolResult"):
                length = len(entries)
        if length == 0:
            raise SessionError(f"Pi's record of this conversation, {file}, holds nothing up to that turn")
        identity = secrets.token_hex(8)
        copy = file.with_name(f"{file.stem}-{identity}.jsonl")
        header = entries[0] | {"id": identity}
        lines = [json.dumps(entry, ensure_ascii=False) for entry in (header, *entries[1:length])]
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as target:
            target.write("\n".join(lines) + "\n")
    except OSError as error:
        raise SessionError(
            f"Pi's record of this conversation cannot be copied: {file}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SessionError(f"Pi's record of this conversation, {file}, cannot be understood") from error
    return copy
