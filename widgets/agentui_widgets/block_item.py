"""What every block of a view has, and the names of the styles that blocks are drawn in."""

from __future__ import annotations

from typing import Protocol

PLAIN_STYLES = ("text", "dim", "accent", "good", "warning", "error", "strong", "code")
MARKDOWN_STYLES = (
    "user",
    "agent",
    "heading",
    "subheading",
    "em",
    "s",
    "quote",
    "link",
    "code-comment",
    "code-keyword",
    "code-string",
    "code-number",
    "code-name",
)


class BlockItem(Protocol):
    """What every block has: `key` is unique in the view, `version` grows with every change."""

    @property
    def key(self) -> str:
        """Unique in the view."""
        ...

    @property
    def version(self) -> int:
        """Grows with every change."""
        ...

    @property
    def is_folded(self) -> bool:
        """Whether the block is folded unless the user says otherwise."""
        ...
