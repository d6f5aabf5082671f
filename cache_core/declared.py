"""What ``cache.cached`` returns, as type checkers see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from cache_core.protocol.write import Delivery

if TYPE_CHECKING:
    from cache_core.answer import Answer
    from cache_core.keys.key import Key
    from cache_core.keys.usecase import UseCase

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class _Method(Protocol[S_contra, P, R_co]):
    """A cached function whose first parameter is an *S_contra*.

    Told by ``uncached``: mypy compares callables exactly, and ``Cached`` itself only loosely.
    """

    @property
    def uncached(self) -> Callable[Concatenate[S_contra, P], R_co]: ...


class Cached(Protocol[P, R_co]):
    """What ``cache.cached`` returns: the function as it was, with handles for its entries.

    Attributes:
        use_case: The use case that the function was registered as.
    """

    use_case: UseCase

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Returns what the function returns, from the cache where that is allowed."""
        ...

    def uncached(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Runs the function itself; the cache neither serves nor keeps anything."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Key:
        """The key of the entry for these arguments; raises ``UnkeyableValue``."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Delivery:
        """Invalidates the one entry for these arguments, in every layer and process."""
        ...

    def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[Delivery]:
        """As ``invalidate``, for asyncio."""
        ...

    def answer(self, *args: P.args, **kwargs: P.kwargs) -> Answer[R_co]:
        """As a call, and tells where the value came from and how old it is."""
        ...

    def aanswer(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[Answer[Any]]:
        """As ``answer``, for coroutine functions."""
        ...

    def map(self, arguments: Iterable[Any], /, **common: Any) -> Sequence[R_co]:
        """Calls the function for each of *arguments*, after one round trip for all of them.

        Args:
            arguments: A tuple of positional arguments for each call, or the only one.
            common: Keyword arguments of every call.
        """
        ...

    def amap(self, arguments: Iterable[Any], /, **common: Any) -> Awaitable[list[Any]]:
        """As ``map``, for coroutine functions; what is not cached is loaded one after the other."""
        ...

    def get_many(self, ids: Iterable[Any], /, **common: Any) -> Mapping[Any, R_co]:
        """Calls the function with each id as its first argument; returns the results by id."""
        ...

    def aget_many(self, ids: Iterable[Any], /, **common: Any) -> Awaitable[dict[Any, Any]]:
        """As ``get_many``, for coroutine functions."""
        ...

    # As Python binds: a class method to its class, a method to its object, a static method to
    # nothing. What is below @classmethod and @staticmethod is told by its first parameter.
    @overload
    def __get__(
        self: _Method[type[S], Q, R], instance: S | None, owner: type[S], /
    ) -> Callable[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Cached[P, R_co]: ...
    @overload
    def __get__(
        self: _Method[S, Q, R], instance: S, owner: type | None = None, /
    ) -> Callable[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> Cached[P, R_co]: ...
