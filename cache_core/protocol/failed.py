"""Errors of loaders that are kept in place of values (protocol rule S7).

"There is no such row" is an answer, too, and asking for it again and again costs as much as any
other. The decorator names the errors that are answers. What is kept of one is its class and its
arguments: its traceback would keep the caller's whole stack alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Union

from cache_core.errors import DeclarationError
from cache_core.wire.entry import KeptError

Errors = tuple[type[Exception], ...]
ErrorsOrOne = Union[type[Exception], Iterable[type[Exception]]]

LONGEST = 10.0
"""Seconds that an error is kept at most where no ``negative_ttl`` is set."""


def errors_of(wanted: ErrorsOrOne) -> Errors:
    """The classes that a declaration names.

    Raises:
        DeclarationError: Something is not the class of an error.
    """
    given: object = wanted
    kinds: tuple[Any, ...] = (given,)
    if isinstance(given, Iterable) and not isinstance(given, type):
        kinds = tuple(given)
    for kind in kinds:
        known: object = kind
        if not (isinstance(known, type) and issubclass(known, Exception)):
            raise DeclarationError(
                f"cached() was given {kind!r} in cache_errors=; expected classes of exceptions, "
                "for example cache_errors=(LookupError,)"
            )
    return kinds


class Failed:
    """An error that stands in the place of a value.

    Args:
        kind: Its class.
        args: What it was made with.
    """

    __slots__ = ("args", "kind")

    def __init__(self, kind: type[Exception], args: tuple[Any, ...]) -> None:
        self.kind = kind
        self.args = args

    @classmethod
    def of(cls, error: Exception, wanted: Errors) -> Failed | None:
        """What to keep of *error*; None where it is none of the *wanted*, or cannot be made again."""
        if not isinstance(error, wanted):
            return None
        failed = cls(type(error), error.args)
        try:
            again = failed.error()
        except Exception:  # noqa: BLE001 - a class may want other arguments than it keeps
            return None
        return failed if type(again) is type(error) and again.args == error.args else None

    @classmethod
    def read(cls, kept: KeptError, wanted: Errors) -> Failed | None:
        """What *kept* stands for; None where it is none of the *wanted* errors any more."""
        kinds = [kind for base in wanted for kind in _kinds(base)]
        kind = next((each for each in kinds if _name(each) == kept.name), None)
        return None if kind is None else cls(kind, kept.args)

    @property
    def kept(self) -> KeptError:
        """What other processes read."""
        return KeptError(_name(self.kind), self.args)

    def error(self) -> Exception:
        """A new error like the one that the loader raised."""
        return self.kind(*self.args)


def _kinds(base: type[Exception]) -> Iterator[type[Exception]]:
    """*base* and all that are derived from it."""
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _name(kind: type[Exception]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def given(value: Any) -> Any:
    """*value*, or the error that stands in its place, raised."""
    if type(value) is Failed:
        raise value.error()
    return value
