"""The push feed over Redis: a thread of its own that keeps a table of versions right.

Whatever goes wrong, the table is distrusted first; then there is a new connection.
"""

from __future__ import annotations

import os
import threading
from random import uniform
from typing import ClassVar
from weakref import WeakSet

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from cache_core.clock import Clock
from cache_core.errors import RemoteError
from cache_core.events import logger
from cache_core.layers.redis.links import Distrust, Link, PubSub, Table, Tracking
from cache_core.layers.redis.options import RedisOptions

DISCONNECTED = "disconnected"
FAILED = "failed"
NO_THREAD = "no_thread"
STOPPED = "stopped"

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_JOIN_SECONDS = 5.0


class FeedConnection:
    """Keeps *table* right while it runs: the feed of one process.

    Nothing happens before ``start``. A child process begins with nothing running and an empty
    table; the next ``start`` in it connects anew.

    Args:
        options: How to reach Redis; one server, or one name of a master.
        namespace: What every key of ours begins with.
        table: What to keep right; its lease says when to send what.
        clock: Where time comes from.
        transport: ``"tracking"`` or ``"pubsub"``.
        pulse_seconds: Seconds between two looks at the node's role and epoch.
    """

    TRANSPORTS: ClassVar[dict[str, type[Link]]] = {"tracking": Tracking, "pubsub": PubSub}

    def __init__(
        self,
        options: RedisOptions,
        namespace: str,
        table: Table,
        clock: Clock,
        *,
        transport: str = "tracking",
        pulse_seconds: float = 1.0,
    ) -> None:
        self._options = options
        self._namespace = namespace
        self._table = table
        self._clock = clock
        self._transport = self.TRANSPORTS[transport]
        self._pulse_seconds = pulse_seconds
        self._rest()
        _feeds.add(self)

    def _rest(self) -> None:
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._link: Link | None = None
        self._is_trusted = self._has_warned = False
        self._pulse = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the thread lives, in this process."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> None:
        """Starts the thread unless it runs; cheap then, never waits and never raises."""
        if not self._starting.acquire(blocking=False):
            return
        try:
            if not self.is_running:
                self._begin()
        finally:
            self._starting.release()

    def stop(self) -> None:
        """Ends the thread, and the connection with it; ``start`` begins anew."""
        thread, link = self._thread, self._link
        self._stopping.set()
        if link is not None:
            link.interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def after_fork(self) -> None:
        """Leaves everything to the parent; closes this process's copy of its connection."""
        link = self._link
        self._rest()
        self._table.after_fork()
        if link is not None:
            link.close()

    def _begin(self) -> None:
        self._stopping = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(self._stopping,), name="cache_core feed", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter is about to end
            self._table.lost(NO_THREAD)
        else:
            self._thread = thread

    def _run(self, stopping: threading.Event) -> None:
        delay = _FIRST_DELAY
        while not stopping.is_set():
            if self._live(stopping):
                delay = _FIRST_DELAY
            stopping.wait(delay * uniform(0.5, 1.0))  # noqa: S311 - not all at once
            delay = min(2 * delay, _LONGEST_DELAY)

    def _live(self, stopping: threading.Event) -> bool:
        """Follows one connection to its end; returns whether it was ever trusted."""
        link, why = None, FAILED
        self._is_trusted = False
        try:
            link = self._link = self._transport(
                self._options, self._namespace, self._table, self._clock
            )
            self._follow(link, stopping)
            why = STOPPED
        except Exception as error:  # noqa: BLE001  # Whatever it was, nothing can be trusted.
            why = STOPPED if stopping.is_set() else self._failed(error)
        finally:
            self._table.lost(why)
            if link is not None:
                link.close()
        return self._is_trusted

    def _follow(self, link: Link, stopping: threading.Event) -> None:
        table, now = self._table, self._clock.monotonic()
        self._pulse = now + self._pulse_seconds
        if not stopping.is_set():
            table.connected(link.epoch, now)
        while not stopping.is_set():
            now = self._clock.monotonic()
            self._send_due(link, now)
            link.listen(table.lease.pause(now))
            # At a time from before listening: what had arrived by then has been taken in.
            if why := table.fault(now):
                raise Distrust(why)
            if not self._is_trusted and table.usable(now):
                self._is_trusted, self._has_warned = True, False
                logger.info("The feed is trusted: current versions are known without asking.")

    def _send_due(self, link: Link, now: float) -> None:
        lease = self._table.lease
        if lease.canary_due(now):
            lease.canary_sent(now)
            link.canary()
        if now >= self._pulse:
            self._pulse = now + self._pulse_seconds
            link.identify()
        if lease.beat_due(now):
            lease.beat_sent(now)
            link.beat()

    def _failed(self, error: Exception) -> str:
        why, detail = _reason(error)
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The feed is not trusted (%s%s): versions are fetched until it is.", why, detail
            )
        return why


_feeds: WeakSet[FeedConnection] = WeakSet()


def _after_fork_in_child() -> None:
    for feed in list(_feeds):
        feed.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _reason(error: Exception) -> tuple[str, str]:
    """The label of *error*, and what to tell of it where no password can be in it."""
    if isinstance(error, Distrust):
        return error.reason, error.detail and f": {error.detail}"
    if isinstance(error, RemoteError):
        return FAILED, f": {error}"
    label = DISCONNECTED if isinstance(error, (OSError, Disconnected, TimedOut)) else FAILED
    return label, f": {type(error).__name__}"
