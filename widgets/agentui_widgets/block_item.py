"""What every block of a view has."""

from __future__ import annotations

from typing import Protocol

from textual.message import Message
from textual.widget import Widget


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


class BlockChosen(Message):
    """The cursor of a view went to the block `key`."""

    def __init__(self, view: Widget, key: str) -> None:
        super().__init__()
        self.view = view
        self.key = key
