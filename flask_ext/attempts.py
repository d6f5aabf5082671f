"""An attempt to make something that others may be shown, too.

It is handed to the cached function, whose loader runs it, and afterwards tells whether that was so.
What may not be shared is given to who made it and to nobody else: not to the next request, nor to
one that waited for the same load, which then makes its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from flask import g, has_app_context

if TYPE_CHECKING:
    from flask_ext.extension import CacheCore
    from flask_ext.pages import Refusal


class Attempt(ABC):
    """One caller's attempt.

    Args:
        cache: The declaration.
        use_case: The name of the use case, for figures.

    Attributes:
        is_begun: Whether it was this caller's turn to make the value.
    """

    def __init__(self, cache: CacheCore, use_case: str) -> None:
        self.is_begun = False
        self.cache = cache
        self._use_case = use_case
        self._home = _g()

    def load(self) -> Any:
        """What is to be kept, None where nothing is; called by the loader.

        Raises:
            LoaderFailed: Only an old value would do.
        """
        if _g() is not self._home:
            # A load beside its caller has a context of its own, without what the hooks left in g.
            self.cache.loading().fail(f"{self._use_case} can be made in its request only")
        self.is_begun = True
        return self.make()

    @abstractmethod
    def make(self) -> Any:
        """Makes the value."""

    def refuse(self, why: Refusal) -> None:
        """Says that what was made is not kept."""
        self.count(why)
        self.cache.loading().skip()

    def fail(self, what: str) -> NoReturn:
        """Ends the load without a value."""
        self.cache.loading().fail(what)

    def count(self, why: Refusal) -> None:
        """Counts a refusal, where an app is found to count it for."""
        if self.cache.why_off() is None:
            self.cache.app_cache.pages.refused(self._use_case, why)


def shared(call: Callable[[], Any], attempt: Attempt) -> Any:
    """What *call* returns, None where *attempt*'s caller has to use what it has made, or make it.

    Args:
        call: Calls the cached function with *attempt*.
        attempt: The caller's.

    Raises:
        Exception: Whatever making the value has raised in this caller's turn.
    """
    try:
        return call()
    except Exception:
        if attempt.is_begun:
            raise
        return None  # it was somebody else's turn, or nobody's


def _g() -> object:
    return g._get_current_object() if has_app_context() else None  # noqa: SLF001 - of the proxy
