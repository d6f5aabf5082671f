"""From settings to a runtime: the one place where the parts of a cache are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cache_core.events import Hooks
from cache_core.layers.memory import MemoryLayer
from cache_core.observe.logs import LogHook
from cache_core.protocol.call import Target
from cache_core.protocol.runtime import Runtime
from cache_core.wire.codecs import choose_codec
from cache_core.wire.compression import Zlib
from cache_core.wire.entry import Wire
from cache_core.wire.signing import Signer

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.layers.base import RemoteLayer
    from cache_core.protocol.scope import Current
    from cache_core.protocol.transactions import Transactions
    from cache_core.settings import Settings


def build_runtime(
    settings: Settings,
    *,
    clock: Clock,
    transactions: Transactions,
    current: Current,
    targets: Callable[[], Iterable[Target]],
) -> Runtime:
    """Puts the parts together; does no I/O.

    Args:
        settings: Validated settings.
        clock: Where time comes from.
        transactions: What adapters tell of the running code's transactions.
        current: Holds the scope of the running code.
        targets: Gives every function that was declared.

    Raises:
        ConfigurationError: The Redis settings are wrong, or a codec cannot work.
        MissingExtra: A setting needs a package that is not installed.
    """
    return Runtime(
        settings,
        local=MemoryLayer(
            max_entries=settings.local_max_entries,
            max_bytes=settings.local_max_bytes,
            clock=clock,
        ),
        remote=_remote(settings),
        clock=clock,
        hooks=Hooks((LogHook(clock), *settings.hooks)),
        wire_for=_wires(settings),
        provider=settings.provider,
        transactions=transactions,
        current=current,
        targets=targets,
    )


def _remote(settings: Settings) -> RemoteLayer | None:
    if settings.redis is None:
        return settings.remote
    # Only here, so that the core imports without the redis package.
    from cache_core.layers.redis.layer import RedisLayer
    from cache_core.layers.redis.options import RedisOptions

    options = RedisOptions.from_setting(settings.redis, f"{settings.path}['REDIS']")
    return RedisLayer(options, namespace=settings.namespace)


def _wires(settings: Settings) -> Callable[[Target], Wire]:
    signer = Signer(settings.secrets) if settings.secrets else None
    compressor = Zlib(from_bytes=settings.compress_from) if settings.compress_from else None

    def wire_for(target: Target) -> Wire:
        wanted = settings.codec if target.codec is None else target.codec
        codec = choose_codec(wanted, signer=signer, function=target.function)
        return Wire(codec, signer=signer, compressor=compressor, max_bytes=settings.max_value_bytes)

    return wire_for
