"""What all backend objects of one alias share in a process.

Under ASGI Django makes a new backend object for each request. Connections, breaker, local tier and
figures belong to the process; an object only knows where to find them.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cache_core.clock import SystemClock
from cache_core.errors import ConfigurationError, RemoteError
from cache_core.events import Hooks, Layer, LayerFailed
from cache_core.layers.breaker import Breaker
from cache_core.layers.guard import Guard
from cache_core.layers.redis.plain import Clear, Owing, PlainRedis, Remove, Write, as_client_error
from cache_core.observe.logs import LogHook
from cache_core.wire.signing import Signer
from django_ext.backend.local import LocalTier
from django_ext.backend.memory import MemoryStore
from django_ext.backend.options import BackendOptions
from django_ext.backend.owed import Owed
from django_ext.backend.values import Values
from django_ext.conf import WATCHED, read_settings

if TYPE_CHECKING:
    from cache_core.layers.redis.options import RedisOptions
    from cache_core.layers.redis.plain import Plain

_CLOCK = SystemClock()


class Store(Protocol):
    """Where the values of an alias are."""

    def perform(self, operation: Plain) -> Any:
        """Executes *operation* in this thread; raises ``RemoteError``."""
        ...

    async def aperform(self, operation: Plain) -> Any:
        """As ``perform``, on the running event loop."""
        ...

    def describe(self) -> dict[str, Any]:
        """Where it is and how it is, as plain data; never with a password."""
        ...

    def close(self) -> None:
        """Closes the connections of this process; they are opened again when needed."""
        ...

    def after_fork(self) -> None:
        """Makes it usable in a child process."""
        ...


class RedisStore:
    """Values in Redis, behind a circuit breaker.

    A write that Redis does not acknowledge leaves what it was to replace, or nobody knows what. Such
    keys are removed together with the next operation that Redis takes: what is lost is a miss.

    A ``Clear`` may take many round trips and longer than any deadline, so it goes past the breaker.

    Args:
        options: How to reach Redis.
        breaker_seconds: How long it is left alone at first after it has failed too often.
        hooks: Are told when the breaker opens and closes.
    """

    def __init__(self, options: RedisOptions, breaker_seconds: float, hooks: Hooks) -> None:
        self._redis = PlainRedis(options)
        self._breaker = Breaker(breaker_seconds)
        # Any: to its types a guard stands before versions and entries, but it does not look at them.
        self._guard: Any = Guard(self._redis, self._breaker, clock=_CLOCK, hooks=hooks)
        self._owed = Owed()

    def perform(self, operation: Plain) -> Any:
        """As of ``Store``."""
        if isinstance(operation, Clear):
            return self._redis.perform(operation)
        owed = self._owed.all()
        carried_out = Owing(tuple(owed), operation) if owed else operation
        try:
            result = self._guard.perform(carried_out)
        except BaseException:
            self._note(operation)
            raise
        self._owed.paid(owed)
        return result

    async def aperform(self, operation: Plain) -> Any:
        """As of ``Store``."""
        if isinstance(operation, Clear):
            return await self._redis.aperform(operation)
        owed = self._owed.all()
        carried_out = Owing(tuple(owed), operation) if owed else operation
        try:
            result = await self._guard.aperform(carried_out)
        except BaseException:  # who is cancelled does not know either what Redis did
            self._note(operation)
            raise
        self._owed.paid(owed)
        return result

    def describe(self) -> dict[str, Any]:
        """As of ``Store``."""
        report = self._breaker.report(_CLOCK.monotonic())
        return {
            "store": self._redis.describe(),
            "breaker": report.state,
            "breaker_opened": report.opened,
            "owed": len(self._owed),
        }

    def close(self) -> None:
        """As of ``Store``."""
        self._redis.close()

    def after_fork(self) -> None:
        """As of ``Store``."""
        self._breaker.after_fork()
        self._owed = Owed()  # the parent pays its own

    def _note(self, operation: Plain) -> None:
        if isinstance(operation, Remove) or (isinstance(operation, Write) and not operation.absent):
            self._owed.add(operation.keys)


class Figures:
    """What happened to an alias in this process since it started."""

    def __init__(self) -> None:
        self.hits = self.misses = self.local_hits = self.unreadable = 0
        self.failures = 0


class Shared:
    """What the backend objects of one alias share.

    Args:
        options: What the alias asks for.

    Attributes:
        options: The same.
        store: Where the values are.
        local: What this process has read lately; None where it does not keep that.
        figures: What happened.

    Raises:
        MissingExtra: The package ``redis`` is not installed.
    """

    def __init__(self, options: BackendOptions) -> None:
        self.options = options
        self.figures = Figures()
        self.local: LocalTier | None = None
        self.store: Store
        self._hooks = Hooks([LogHook(_CLOCK)])
        self._values: Values | None = None
        if options.redis is None:
            made = MemoryStore(options.max_entries, _CLOCK)
            self.store = _memories.setdefault(options.name, made)
            return
        self.store = RedisStore(options.redis, options.breaker_seconds, self._hooks)
        if options.local_seconds:
            self.local = LocalTier(options.local_seconds, options.max_entries, _CLOCK)

    @property
    def values(self) -> Values:
        """How values become bytes.

        Raises:
            ImproperlyConfigured: They are to be signed, and there is no secret.
        """
        if self._values is None:
            self._values = _values(self.options)
        return self._values

    def failed(self, operation: str, error: RemoteError) -> None:
        """A read or write goes on without Redis, where the alias is "open".

        Raises:
            Exception: It is "closed": the client's error.
        """
        if self.options.on_failure == "closed":
            self.refuse(error)
        self.figures.failures += 1
        self._hooks.send(LayerFailed(None, Layer.REMOTE, f"{operation} of a cache", error))

    def refuse(self, error: RemoteError) -> NoReturn:
        """Raises the client's error: there is no answer that would do no harm."""
        self.figures.failures += 1
        raise as_client_error(error) from error.__cause__

    def stats(self) -> dict[str, Any]:
        """The figures and the state of the store, as plain data."""
        return {**vars(self.figures), **self.store.describe()}


def shared(location: object, options: object) -> Shared:
    """What the aliases with this ``LOCATION`` and these ``OPTIONS`` share in this process.

    Raises:
        ImproperlyConfigured: Something is wrong with them; lists all of it.
        MissingExtra: The package ``redis`` is not installed.
    """
    name = repr((location, options))
    found = _shared.get(name)
    return found if found is not None else _made(name, location, options)


def close_connections() -> None:
    """Closes the connections of this process's threads, of all aliases; they are opened when needed.

    Those of an event loop are closed together with the loop.
    """
    for each in tuple(_shared.values()):
        each.store.close()


def _made(name: str, location: object, options: object) -> Shared:
    try:
        read = BackendOptions.read(location, options)
    except ConfigurationError as error:
        raise ImproperlyConfigured(f"A cache of CACHES: {error}") from error
    with _lock:
        if name not in _shared:
            _shared[name] = Shared(read)
        return _shared[name]


def _values(options: BackendOptions) -> Values:
    if options.redis is None:
        return Values(None, signs=False, trusts_all=True)
    secrets = read_settings().secrets
    if not secrets:
        raise ImproperlyConfigured(
            "A cache of CACHES signs what it writes into Redis, and there is no secret: set "
            "SECRET_KEY, or CACHE_CORE['SECRETS']."
        )
    return Values(
        Signer(secrets, purpose="cache"),
        signs=options.compat != "django",
        trusts_all=options.compat != "",
    )


def _forget(*, setting: str, **_: object) -> None:
    """Receiver: tests have changed settings. What is in memory stays, as in Django's own backend."""
    if setting not in WATCHED and setting != "CACHES":
        return
    with _lock:
        close_connections()
        _shared.clear()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - the parent's could be held by a thread that does not exist here
    _lock = threading.Lock()
    for store in {*_memories.values(), *[each.store for each in _shared.values()]}:
        store.after_fork()


_shared: dict[str, Shared] = {}
_memories: dict[str, MemoryStore] = {}
_lock = threading.Lock()
setting_changed.connect(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
