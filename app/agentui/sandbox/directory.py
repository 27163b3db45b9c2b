"""Where a command ended, as its shell reports it: the agent's word, so it is checked."""

from __future__ import annotations


def cwd_below(reported: str, root: str, unchanged: str) -> str:
    """The reported directory relative to the copy's root; `unchanged` unless it lies below `root`.

    A shell's PWD is an absolute path without dots; anything else is ignored. Whether it still exists is found
    out when the next command starts there.
    """
    if reported == root:
        return ""
    prefix = f"{root}/"
    if not reported.startswith(prefix):
        return unchanged
    parts = reported[len(prefix) :].split("/")
    if any(part in ("", ".", "..") for part in parts):
        return unchanged
    return "/".join(parts)


def gone_message(folder: str) -> str:
    """Why a command did not run whose directory is not there any more."""
    return (
        f"The folder {folder} is not there any more, so the command did not run; "
        "the next one starts in the project's root."
    )


def disk_message(free_bytes: int) -> str:
    """Why a command was ended that filled the disk."""
    return (
        f"Ended: only {free_bytes / 2**30:.2f} GiB are left on the disk that the private copy lies on. "
        "Remove what is not needed there, then try again."
    )
