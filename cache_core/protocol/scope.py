"""A scope: one request or task, and what it remembers.

It keeps the versions that it read and the values that it got, so that a request asks the store once
for each thing and two reads of one key in it agree (protocol rules M1 to M5, property P3). It dies
with the request; a task that outlives the request finds it closed and remembers nothing more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextvars import ContextVar
from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, Union, cast

from cache_core.events import is_listened_to, logger
from cache_core.protocol.found import Found
from cache_core.protocol.versions import PENDING, Versions

if TYPE_CHECKING:
    from cache_core.protocol.flights import Flight
    from cache_core.protocol.plan import Kept
    from cache_core.protocol.runtime import Runtime

NEVER = float("-inf")

MOST_AFTERWARDS = 10
"""A request does so much at most when it is answered: its worker is wanted for the next one."""


class Scope:
    """What one request or task remembers.

    The hot path reads the attributes directly. An entry in ``memo`` may be served without a further
    check while ``expires`` is in the future; never, while somebody listens to what the scope does.

    Args:
        runtime: The configured cache that this scope reads from.
        now: Monotonic seconds.
        parent: The scope around this one; a write in here must be seen there too.
        exact: Whether nothing of the push feed is believed, as after a write of the same session
            (rule Z9).

    Attributes:
        memo: Local key -> entry for every value that this scope was given.
        entries: The entries of the local layer, those of all scopes.
        versions: The versions that this scope goes by.
        computed: What version functions answered in this scope.
        fetched: Key of an entry in the store -> its bytes, fetched ahead and not asked for yet.
        expires: Monotonic seconds after which the hot path may not go by the memo.
        closed: Whether the request is over.
        wrote_at: When the scope last invalidated something, in monotonic seconds; None for never.
        queued: Whether the store did not acknowledge an invalidation of this scope at once.
        began: When the outermost of the scopes began, in monotonic seconds.
        afterwards: What to do when the request is answered; None where nobody would do it.
    """

    __slots__ = (
        "_ends",
        "_exact",
        "_operation",
        "_writes",
        "afterwards",
        "began",
        "closed",
        "computed",
        "entries",
        "expires",
        "fetched",
        "memo",
        "parent",
        "queued",
        "runtime",
        "versions",
        "wrote_at",
    )

    versions: Versions
    computed: dict[Hashable, str]
    expires: float
    fetched: dict[str, bytes | None]
    memo: dict[Hashable, Kept]
    _ends: float

    def __init__(
        self, runtime: Runtime, now: float, parent: Scope | None = None, *, exact: bool = False
    ) -> None:
        self.runtime = runtime
        self.parent = parent
        # Whatever the local layer holds, the read path put there.
        self.entries = cast("dict[Hashable, Kept]", runtime.local.entries)
        self.closed = False
        self.began: float = now if parent is None else parent.began
        self.wrote_at: float | None = None
        self.queued = False
        self.afterwards: deque[Callable[[], object]] | None = None
        self._exact = exact
        self._writes = 0
        self._start(now)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Scope {state}, {len(self.memo)} values remembered>"

    @property
    def real(self) -> Scope:
        """Itself; see ``LoadingScope``."""
        return self

    @property
    def operation(self) -> str:
        """Random text that stands for the outermost of the scopes in logs; made when asked for."""
        if self.parent is not None:
            return self.parent.operation
        try:
            return self._operation
        except AttributeError:
            self._operation: str = token_hex(8)
            return self._operation

    def at(self, now: float) -> Scope:
        """The scope to use at *now*: this one, its memo renewed when too old, or a passing one.

        A closed scope belongs to a request that is over. Work that still runs in its context gets a
        scope for one call, so that it always sees the present.
        """
        if self.closed:
            return Scope(self.runtime, now, exact=self._exact)
        if now >= self._ends:
            self._start(now)
        return self

    @property
    def is_writing(self) -> bool:
        """Whether the running code has a write under way that is not committed (rules T1, T2)."""
        return any(scope._writes for scope in self._chain())  # noqa: SLF001 - of its own kind

    @property
    def last_write(self) -> float:
        """When this scope, or one around it, last invalidated something; in monotonic seconds.

        Minus infinity for never. A session that has just written counts as writing all the time.
        """
        writes = [scope.wrote_at for scope in self._chain() if scope.wrote_at is not None]
        return inf if self._exact else max(writes, default=NEVER)

    def begin_write(self) -> None:
        """From here to ``end_write`` nothing is served to this scope or kept from it."""
        self._writes += 1
        self.distrust()

    def end_write(self) -> None:
        """The write is over; its things are told of by ``wrote``."""
        self._writes -= 1
        self.distrust()

    def wrote(self, things: Sequence[str], versions: Sequence[str] | None, now: float) -> None:
        """Makes a write of this scope visible in it and in the scopes around it (M3).

        Args:
            things: What was invalidated.
            versions: Their new versions; None when the store has not acknowledged them yet.
                Then this scope goes past the cache for them from here on.
            now: Monotonic seconds.
        """
        for scope in self._chain():
            scope.versions.replace(things, versions or [PENDING] * len(things))
            scope.memo = {}
            scope.fetched = {}
            scope.computed = {}
            scope.wrote_at = now
            scope.queued = scope.queued or versions is None

    def put_off(self, work: Callable[[], object]) -> bool:
        """Has *work* done when the request is answered; whether somebody is going to."""
        waiting = next((s.afterwards for s in self._chain() if s.afterwards is not None), None)
        if waiting is None or len(waiting) >= MOST_AFTERWARDS:
            return False
        waiting.append(work)
        return True

    def do_afterwards(self) -> None:
        """Does what was put off; to be called once the request is answered."""
        waiting, self.afterwards = self.afterwards, None
        while waiting:
            try:
                waiting.popleft()()
            except Exception:  # noqa: BLE001 - counted and told of where it happened; the request is over
                logger.debug("A load after the response failed", exc_info=True)

    def distrust(self) -> None:
        """Sends every read of this scope and those around it past its memo, to be judged anew."""
        for scope in self._chain():
            scope.memo = {}
            scope._ends = scope.expires = NEVER  # noqa: SLF001 - of its own kind

    def note_listeners(self) -> None:
        """Sends every read past the hot path while somebody listens, and only then."""
        self.expires = NEVER if is_listened_to() else self._ends

    def close(self) -> None:
        """Ends the scope; harmless when done twice."""
        self.closed = True
        self._ends = self.expires = NEVER
        self.memo = {}
        self.fetched = {}

    def _chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            if scope.runtime is self.runtime:
                yield scope
            scope = scope.parent

    def _start(self, now: float) -> None:
        # Versions first, the memo after them: see Call.
        self.versions = self.runtime.versions_of_a_scope(now, exact=self._exact)
        self.computed = {}
        self.fetched = {}
        self.memo = {}
        self._ends = self._lifetime(now)
        self.expires = NEVER if is_listened_to() else self._ends

    def _lifetime(self, now: float) -> float:
        runtime = self.runtime
        if runtime.uncommitted() or self.is_writing or runtime.snapshot_since() is not None:
            return NEVER
        return now + runtime.memo_seconds


_NOTHING: dict[Hashable, Kept] = {}


class LoadingScope:
    """What the code of a loader finds in place of its scope.

    It serves nothing by itself, so that each cached call in there takes the read path, which notes
    for the outer entry what the inner one depends on (rule D2).

    Args:
        real: The scope that the load happens in.
        found: What the load was found to depend on.
        flight: The flight that it leads, None when nobody can join it.
        outer: The load around this one, if any.
    """

    __slots__ = ("flight", "found", "outer", "real")

    memo = entries = _NOTHING
    expires = NEVER

    def __init__(
        self, real: Scope, found: Found, flight: Flight | None, outer: LoadingScope | None
    ) -> None:
        self.real = real
        self.found = found
        self.flight = flight
        self.outer = outer

    @property
    def runtime(self) -> Runtime:
        """The configured cache that is read from."""
        return self.real.runtime

    @property
    def closed(self) -> bool:
        """Whether the request is over."""
        return self.real.closed

    def silenced(self) -> LoadingScope:
        """The same load, for a part of it that goes on by itself and tells it nothing."""
        return LoadingScope(self.real, Found(), self.flight, self.outer)

    def around(self, real: Scope) -> LoadingScope:
        """The same load, continued in the scope *real* that was opened inside of it."""
        return LoadingScope(real, self.found, self.flight, self.outer)

    def at(self, now: float) -> Scope:
        """The scope to use at *now*; as ``Scope.at``."""
        return self.real.at(now)

    def leads(self, flight: Flight) -> bool:
        """Whether the running code is part of *flight*'s load, so that waiting would never end."""
        loading: LoadingScope | None = self
        while loading is not None:
            if loading.flight is flight:
                return True
            loading = loading.outer
        return False


AnyScope = Union[Scope, LoadingScope]
Holder = ContextVar["AnyScope | None"]


class Current:
    """The scope of the running code; one for each cache, they know nothing of each other.

    Attributes:
        scope: Holds it.
        active: Holds the same while caching is on, else None.
    """

    __slots__ = ("active", "scope")

    def __init__(self) -> None:
        self.active: Holder = ContextVar("cache_core_active", default=None)
        self.scope: Holder = ContextVar("cache_core_scope", default=None)

    def operation(self) -> str:
        """What stands for the running scope in logs; a text of its own where none is running."""
        scope = self.scope.get()
        return token_hex(8) if scope is None else scope.real.operation

    def loading(self) -> LoadingScope | None:
        """The load that the running code is part of, if any."""
        scope = self.scope.get()
        return scope if isinstance(scope, LoadingScope) else None
