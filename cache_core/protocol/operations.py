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
    from cache_core.protocol.scope import Scope

__all__ = [
    "Ask",
    "Bump",
    "Compute",
    "Convert",
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
    "Spawn",
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
    """Wait until *flight* has landed; returns its outcome, or None when it has not.

    Args:
        flight: What to wait for.
        seconds: How long at most; None for the configured time.
    """

    flight: Flight
    seconds: float | None = None


class Spawn(NamedTuple):
    """Run *steps* beside the caller; returns whether somebody does, or is going to.

    Args:
        call: The call to run them for.
        steps: What to run; it raises nothing that anybody needs.
        later: The scope whose end it may wait for, because nobody waits for its result; None to
            begin at once.
        dropped: Called when they are never begun though somebody was to run them, as when the
            event loop ends before.
    """

    call: Call
    steps: Steps[Any]
    later: Scope | None = None
    dropped: Callable[[], object] | None = None


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


class Convert(NamedTuple):
    """Turn a large value into bytes, or back; where there is an event loop, in another thread.

    Args:
        function: Does not wait for anything.
        args: What it is called with.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()


class Sleep(NamedTuple):
    """Do nothing for so many *seconds*; returns the monotonic time afterwards."""

    seconds: float


class Now(NamedTuple):
    """Look at the clock; returns the monotonic time in seconds."""


Operation = Union[RemoteOperation, Load, Wait, Spawn, Ask, Compute, Convert, Sleep, Now]
Steps = Generator[Operation, Any, T]
