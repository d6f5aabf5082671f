"""What the callables of a chain say and hear."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from cache_core.events import Outcome


class NotFound(Enum):
    """The type of ``NOT_FOUND``."""

    NOT_FOUND = "not found"

    def __repr__(self) -> str:
        return "NOT_FOUND"

    __str__ = __repr__

    def __bool__(self) -> Literal[False]:
        return False


NOT_FOUND: Final = NotFound.NOT_FOUND
"""There is no such value. It is no value itself: no layer keeps it, and ``None`` is another thing."""


class Asked(NamedTuple):
    """A link was asked.

    Args:
        link: The link's name.
        key: What it was asked for, as this link calls it.
        outcome: ``HIT`` where a layer of the link had it, ``MISS`` where its source is asked now.
    """

    link: Any
    key: Any
    outcome: Outcome
