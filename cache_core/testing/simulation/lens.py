"""What a world tells its fingerprints: which of its parts are names, moments, or of no account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Name(NamedTuple):
    """A text that is compared with others and says nothing else, such as a random token."""

    text: str


class Moment(NamedTuple):
    """A time in *seconds* by the world's clock."""

    seconds: float


class Dated(NamedTuple):
    """A name that tells also when it was given.

    Args:
        label: What else it says.
        name: The name.
        seconds: As for ``Moment``.
    """

    label: str
    name: str
    seconds: float


class Unordered(NamedTuple):
    """A dict whose order nobody looks at."""

    content: Mapping[Any, object]


@dataclass(frozen=True)
class Lens:
    """What the fingerprints of a world leave out; each line needs a reason.

    Args:
        ignored: Class -> attributes of its objects that do not decide how a run goes on.
        unordered: Class -> attributes that are dicts whose order nobody looks at.
        views: Class -> what to look at in place of one of its objects. Which of the objects it is
            counts in any case.
    """

    ignored: Mapping[type, frozenset[str]] = field(default_factory=dict)
    unordered: Mapping[type, frozenset[str]] = field(default_factory=dict)
    views: Mapping[type, Callable[[Any], object]] = field(default_factory=dict)
