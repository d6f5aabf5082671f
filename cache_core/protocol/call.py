"""A call of a cached function on its way through the layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cache_core.events import Layer, LayerFailed, Outcome, Reason
from cache_core.keys.identity import Identity

if TYPE_CHECKING:
    from cache_core.keys.usecase import UseCase
    from cache_core.policy.policy import Policy
    from cache_core.protocol.plan import Kept, Plan
    from cache_core.protocol.scope import Scope
    from cache_core.wire.codecs import CodecChoice


_UNKNOWN = Identity("", (), "")


class Target(Protocol):
    """A cached function, as far as the protocol knows it."""

    @property
    def use_case(self) -> UseCase:
        """What the function is called in policies and statistics."""
        ...

    @property
    def function(self) -> Callable[..., Any]:
        """The loader."""
        ...

    @property
    def declared(self) -> Policy:
        """The decorator's tier of the policy."""
        ...

    @property
    def codec(self) -> CodecChoice | None:
        """What the decorator wants its values turned into bytes by; None for the cache's choice."""
        ...

    def identify(self, key: tuple[Hashable, ...]) -> Identity:
        """What the entry behind a local key is called and depends on; raises ``UnkeyableValue``."""
        ...


class Call:
    """One call: what is asked for, in which scope, under which plan, since when.

    Args:
        target: The cached function.
        key: The local key.
        scope: The scope that the call happens in, open and fresh.
        plan: The plan of the use case.
        args, kwargs: What the loader is called with.
        started: Monotonic seconds at the beginning of the call.
        wall: Seconds since 1970 at the beginning of the call.
    """

    __slots__ = (
        "args",
        "data",
        "identity",
        "kept",
        "key",
        "kwargs",
        "layer",
        "local_off",
        "memo",
        "plan",
        "remote_off",
        "runtime",
        "scope",
        "stamp",
        "started",
        "storage",
        "target",
        "things",
        "token",
        "versions",
        "wall",
    )

    def __init__(
        self,
        target: Target,
        key: tuple[Hashable, ...],
        scope: Scope,
        plan: Plan,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        started: float,
        wall: float,
    ) -> None:
        self.target = target
        self.key = key
        self.scope = scope
        self.runtime = scope.runtime
        # The scope may replace them while the loader runs; a call goes by what it began with. In
        # this order: who has the new memo has the new versions too (see Scope).
        self.memo = scope.memo
        self.versions = scope.versions
        self.plan = plan
        self.args = args
        self.kwargs = kwargs
        self.started = started
        self.wall = wall
        self.identity = _UNKNOWN
        self.storage = ""
        self.things: tuple[str, ...] = ()
        self.stamp: tuple[str, ...] = ()
        self.local_off: Reason | None = None
        self.remote_off: Reason | None = None
        self.token: object = None
        self.kept: Kept | None = None
        self.data: bytes | None = None
        self.layer = Layer.REQUEST

    def identify(self) -> None:
        """Works out the entry's key, what it depends on, and which layers take part.

        Raises:
            UnkeyableValue: The id or an argument has no stable text.
        """
        scope, key = self.scope, self.key
        entry = self.memo.get(key) or scope.entries.get(key)
        # The texts of a key cost more than the rest of a local hit, so an entry keeps its own.
        identity = entry.identity if entry is not None else self.target.identify(key)
        self.identity = identity
        self.storage, self.things, unit = identity
        plan, random = self.plan, self.runtime.random
        self.local_off = plan.local.verdict(unit, random)
        self.remote_off = plan.remote.verdict(unit, random)

    def remember(self, entry: Kept) -> None:
        """Keeps *entry* for later reads of the scope.

        In the memo that the call began with: a write of the scope replaces it, and what was on its
        way then must not come after the write (rule M3).
        """
        if len(self.memo) < self.runtime.memo_entries:
            self.memo[self.key] = entry

    def failed(self, operation: str, error: Exception) -> None:
        """Counts and reports that the remote layer failed at *operation*."""
        self.plan.tally.count(Outcome.ERROR, Layer.REMOTE, Reason.REMOTE_ERROR)
        self.runtime.hooks.send(LayerFailed(self.plan.use_case, Layer.REMOTE, operation, error))
