"""From settings to a runtime: the one place where the parts of a cache are put together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from cache_core.clock import SystemClock
from cache_core.control.choice import MEMORY, REDIS
from cache_core.counters import RoundTrips
from cache_core.errors import ConfigurationError, MissingExtra, Problem
from cache_core.events import Hooks
from cache_core.layers.breaker import Breaker
from cache_core.layers.guard import guarded
from cache_core.layers.memory import MemoryLayer
from cache_core.layers.orders import order_of
from cache_core.observe.logs import LogHook
from cache_core.protocol.call import Target
from cache_core.protocol.runtime import Runtime
from cache_core.wire.codecs import choose_codec
from cache_core.wire.compression import Zlib
from cache_core.wire.encryption import Cipher
from cache_core.wire.entry import Wire
from cache_core.wire.signing import Signer

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.control.store import OverrideStore
    from cache_core.layers.base import RemoteLayer
    from cache_core.policy.policy import Effective, Policy
    from cache_core.protocol.background import Surroundings
    from cache_core.protocol.scope import Current
    from cache_core.protocol.transactions import Transactions
    from cache_core.settings import Settings


def build_runtime(
    settings: Settings,
    *,
    clock: Clock,
    transactions: Transactions,
    current: Current,
    surroundings: Surroundings,
    targets: Callable[[], Collection[Target]],
) -> Runtime:
    """Puts the parts together; does no I/O.

    Args:
        settings: Validated settings.
        clock: Where time comes from.
        transactions: What adapters tell of the running code's transactions.
        current: Holds the scope of the running code.
        surroundings: What loads need that go on in a thread of their own.
        targets: Gives every function that was declared.

    Raises:
        ConfigurationError: The settings of the store are wrong, or a use case wants encryption and there
            is no secret or no package for it; lists every one.
        MissingExtra: A setting needs a package that is not installed.
    """
    check_encryption(settings, targets())
    hooks = Hooks((LogHook(clock, operation=current.operation), *settings.hooks))
    breaker, round_trips = Breaker(settings.breaker_seconds), RoundTrips()
    remote = _remote(settings, breaker, clock)
    if remote is not None:
        remote = guarded(remote, breaker, clock=clock, hooks=hooks, round_trips=round_trips)
    return Runtime(
        settings,
        local=MemoryLayer(
            max_entries=settings.local_max_entries,
            max_bytes=settings.local_max_bytes,
            clock=clock,
            order=order_of(settings.local_eviction),
        ),
        remote=remote,
        clock=clock,
        hooks=hooks,
        wire_for=_wires(settings),
        provider=settings.provider,
        transactions=transactions,
        current=current,
        surroundings=surroundings,
        targets=targets,
        breaker=None if remote is None else breaker,
        recovers=isinstance(clock, SystemClock),  # a thread cannot wait for another clock
        store=_store(settings),
        round_trips=round_trips,
    )


def _remote(settings: Settings, breaker: Breaker, clock: Clock) -> RemoteLayer | None:
    # Each only where it is wanted, so that the core imports without either's package.
    if settings.redis is not None:
        from cache_core.layers.redis.layer import RedisLayer
        from cache_core.layers.redis.options import RedisOptions

        options = RedisOptions.from_setting(settings.redis, f"{settings.path}['REDIS']")
        return RedisLayer(
            options, namespace=settings.namespace, breaker=breaker, now=clock.monotonic
        )
    if settings.memcached is not None:
        from cache_core.layers.memcached.layer import MemcachedLayer
        from cache_core.layers.memcached.options import MemcachedOptions

        path = f"{settings.path}['MEMCACHED']"
        servers = MemcachedOptions.from_setting(settings.memcached, path)
        return MemcachedLayer(servers, namespace=settings.namespace)
    return settings.remote


def _store(settings: Settings) -> OverrideStore | None:
    """Where overrides are kept; None for the memory of this process.

    Raises:
        ConfigurationError: They are to be kept in a Redis that is not there.
    """
    if settings.overrides != REDIS:
        return None if settings.overrides == MEMORY else settings.overrides
    if settings.redis is None:
        path, expected = f"{settings.path}['OVERRIDES']", "a Redis beside it, in the setting redis"
        raise ConfigurationError([Problem(path, "'redis' without one", expected)])
    from cache_core.layers.redis.options import RedisOptions
    from cache_core.layers.redis.overrides import RedisOverrides

    options = RedisOptions.from_setting(settings.redis, f"{settings.path}['REDIS']")
    return RedisOverrides(options, namespace=settings.namespace)


def check_encryption(settings: Settings, targets: Iterable[Target]) -> None:
    """Refuses encryption that is wished for and cannot be had.

    Args:
        settings: Validated settings.
        targets: Declared functions, each with its own wishes.

    Raises:
        ConfigurationError: There is no secret, or no package; lists every wish.
    """
    if (settings.redis, settings.memcached, settings.remote) == (None, None, None):
        return
    wishes = [path for path, policy in _policies(settings, targets) if policy.encrypt]
    expected = _missing_for_encryption(settings) if wishes else None
    if expected is not None:
        raise ConfigurationError([Problem(path, "True", *expected) for path in wishes])


def _policies(settings: Settings, targets: Iterable[Target]) -> Iterator[tuple[str, Policy]]:
    """Every policy that is known at start-up, and where it stands."""
    yield f"{settings.path}['DEFAULT']['ENCRYPT']", settings.default
    for name, policy in settings.use_cases.items():
        yield f"{settings.path}['USE_CASES'][{name!r}]['ENCRYPT']", policy
    for target in targets:
        own = settings.use_cases.get(target.use_case.name)
        if own is None or own.encrypt is None:
            yield f"Policy(encrypt=...) of {target.use_case.name!r}", target.declared


def _missing_for_encryption(settings: Settings) -> tuple[str, str] | None:
    """What encryption would need besides, and what to do about it."""
    if not settings.secrets:
        return "a secret to derive keys from", "Set secrets."
    try:
        Cipher(settings.secrets)
    except MissingExtra as error:
        return "the extra 'encryption' beside it", f"{error}."
    return None


def _wires(settings: Settings) -> Callable[[Target, Effective], Wire]:
    signer = Signer(settings.secrets) if settings.secrets else None
    compressor = settings.compressor
    if settings.compress_from:
        compressor = Zlib(from_bytes=settings.compress_from)

    @lru_cache(maxsize=1)
    def cipher() -> Cipher:
        expected = _missing_for_encryption(settings)
        if expected is not None:
            raise ConfigurationError([Problem("encrypt", "True", *expected)])
        return Cipher(settings.secrets)

    def wire_for(target: Target, effective: Effective) -> Wire:
        wanted = settings.codec if target.codec is None else target.codec
        return Wire(
            choose_codec(wanted, signer=signer, function=target.function),
            signer=signer,
            cipher=cipher() if effective.encrypt else None,
            compressor=compressor,
            max_bytes=settings.max_value_bytes,
        )

    return wire_for
