"""What every block of a view has."""

from __future__ import annotations

from typing import Protocol


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
