"""Everything that the algorithms of this package ask the outside world to do.

An algorithm is a generator: it yields one of these and is sent the result. It does no I/O itself,
reads no clock and starts no thread, so the same code runs under threads, under asyncio and in a
simulation (design section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union

from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    Lock,
    Locked,
    Mark,
    RemoteOperation,
    Store,
    Unlock,
)

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.flights import Flight

__all__ = [
    "Ask",
    "Bump",
    "Compute",
    "Create",
    "Fetch",
    "Fetched",
    "Load",
    "Loaded",
    "Lock",
    "Locked",
    "Mark",
    "Now",
    "Operation",
    "Sleep",
    "Steps",
    "Store",
    "Unlock",
    "Wait",
]

T = TypeVar("T")


class Load(NamedTuple):
    """Run the loader in the caller's thread or task; returns ``Loaded`` or raises its error.

    Args:
        call: The call to run it for.
        flight: The flight that this load leads, None when nobody can join.
    """

    call: Call
    flight: Flight | None = None


class Loaded(NamedTuple):
    """A loader's value, the monotonic time at its end and the seconds that it took."""

    value: Any
    ended: float
    seconds: float


class Wait(NamedTuple):
    """Wait until *flight* has landed, at most the configured time; returns its outcome or None."""

    flight: Flight


class Ask(NamedTuple):
    """Ask the policy provider about a use case; returns a ``Policy``, a failure or None."""

    use_case: str


class Compute(NamedTuple):
    """Call a function of the user or of an adapter; returns what it returns, awaited where needed.

    Args:
        function: May be a coroutine function only where the caller is one.
        args, kwargs: What it is called with.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class Sleep(NamedTuple):
    """Do nothing for so many *seconds*; returns the monotonic time afterwards."""

    seconds: float


class Now(NamedTuple):
    """Look at the clock; returns the monotonic time in seconds."""


Operation = Union[RemoteOperation, Load, Wait, Ask, Compute, Sleep, Now]
Steps = Generator[Operation, Any, T]
