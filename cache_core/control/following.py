"""Following: how a process comes to know what was set by hand, and when.

A process holds a snapshot that never changes, and replaces it as a whole. Three things have it loaded
anew: a change that this process made; another version of the thing that every change bumps, which
is read on the way with other versions, or told by a push feed; and the time since the last look. What
was loaded last holds for as long as nothing newer can be had.

No thread runs all the time: whoever opens a scope looks at the clock, and a load goes on in a thread
of its own, so that no request waits for it and no transaction is touched by it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING

from cache_core.control.records import Snapshot
from cache_core.errors import OverridesUnavailable
from cache_core.events import logger
from cache_core.keys.key import any_thing

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.control.store import OverrideStore
    from cache_core.policy.overrides import Overrides

KEY_TYPE = "cache_core_override"
"""Overrides are entities like others: who writes one invalidates it."""

THING = any_thing(KEY_TYPE)
"""The thing whose version is another one after any change of an override."""

POLL_SECONDS = 5.0
"""How often a process that is not told of changes looks for them, give or take a fifth."""

TOLD_SECONDS = 30.0
"""How often one looks that is told of them."""

PAUSE_SECONDS = 0.1
"""Between two loads that versions ask for."""

FIRST_WAIT = 0.25
"""Seconds that the first scope of a process waits for the first load."""

HANGS_SECONDS = 30.0
"""A load that takes longer hangs: another one may begin beside it. Each that hangs doubles the time for
the next, so that a store which never answers does not gather threads."""

_END_SECONDS = 1.0
_random = SystemRandom().random  # forks of one process do not look together

Work = Callable[[], object]
_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class FollowingReport:
    """How current the overrides of a process are.

    Args:
        store: Where they are kept.
        shared: Whether other processes see them.
        revision: That of the snapshot that holds; empty where none was loaded.
        number: Of overrides in it.
        age: Seconds since it was known to be current; None where none was ever loaded.
        error: Why the last load failed; empty where it did not.
        malformed: Use case -> what is wrong with its record.
    """

    store: str
    shared: bool
    revision: str
    number: int
    age: float | None
    error: str
    malformed: dict[str, str]


def in_thread(work: Work) -> threading.Thread:
    """Begins *work* in a daemon thread of its own.

    Not in the threads of other loads: all of these may hang, and then a kill switch is needed most.
    """
    thread = threading.Thread(target=work, name="cache-core-overrides", daemon=True)
    thread.start()
    return thread


class Following:
    """Keeps the overrides of one runtime up to date with a store.

    Args:
        store: Where they are kept.
        overrides: What is told of them.
        clock: Where time comes from.
        version: Reads the version of ``THING`` from the shared store of versions; None where there is
            none. Called in the thread of a load, before it.
        begin: Begins a load; returns its thread, or None where it was done at once.

    Attributes:
        asks: Whether the version of ``THING`` is worth reading.
        due: Monotonic seconds from which on ``look`` has something to do.
        snapshot: What was loaded last.
    """

    def __init__(
        self,
        store: OverrideStore,
        overrides: Overrides,
        *,
        clock: Clock,
        version: Callable[[], str | None] | None = None,
        begin: Callable[[Work], threading.Thread | None] = in_thread,
    ) -> None:
        self.store = store
        self.asks = store.shared and version is not None
        self.snapshot = Snapshot()
        self._overrides = overrides
        self._clock = clock
        self._version = version if self.asks else None
        self._begin = begin
        self._error = ""
        self._loaded_at = -inf
        self._loaded_under: object = _UNKNOWN
        self._start()

    def _start(self) -> None:
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._has_looked = False
        self._loading: object | None = None  # what stands for the load that is waited for
        self._waits_until = -inf
        self._hanging = 0
        self._ticket = self._applied = 0
        self._looked_at = self._told_at = self._again_from = -inf
        # What is not shared has nobody else who changes it.
        self.due = -inf if self.store.shared else inf

    # -- what has it look ------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """To be called by whoever opens a scope at *now*, in monotonic seconds, once ``due``."""
        thread = None
        with self._lock:
            changed = self._hold(self.snapshot)
            patience = TOLD_SECONDS if now - self._told_at < POLL_SECONDS / 2 else 0.0
            if self.store.shared and now >= self._looked_at + patience:
                self._looked_at = now
                thread = self._load_beside()
            self._plan(now)
            is_first, self._has_looked = not self._has_looked, True
        self._overrides.tell(changed)
        if is_first and thread is not None and not _in_event_loop():
            thread.join(FIRST_WAIT)

    def saw(self, version: str | None, now: float) -> None:
        """The version of ``THING`` at *now*, in monotonic seconds, as the store has it."""
        self._told_at = now
        if version == self._loaded_under or now < self._again_from:
            return
        with self._lock:
            self._again_from = now + PAUSE_SECONDS
            self._load_beside()

    def hurry(self) -> None:
        """This process has changed something: the next scope loads anew."""
        if self.store.shared:
            self._loaded_under = _UNKNOWN
            self._again_from = self._looked_at = self.due = -inf

    def beside(self, work: Work) -> None:
        """Does *work*, which writes to the store, beside the caller where that takes time."""
        if self.store.shared:
            self._begin(work)
        else:
            work()

    def reload(self) -> bool:
        """Loads now, in this thread; whether that was possible. Not inside of a transaction."""
        with self._lock:
            self._ticket += 1
            ticket = self._ticket
        try:
            version = self._version() if self._version is not None else None
        except Exception:  # noqa: BLE001 - versions are one way of being told, and there is another
            version = "unknown"
        try:
            snapshot = self._loaded()
            changed = self._take(snapshot, version, ticket)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was loaded before holds
            self._failed(error)
            return False
        # Hooks of the application hear of it: a slow one must keep no request waiting for the lock.
        self._overrides.tell(changed)
        return True

    # -- what it knows ---------------------------------------------------------------------------

    def report(self) -> FollowingReport:
        """How current this process is."""
        snapshot, loaded = self.snapshot, self._loaded_at
        return FollowingReport(
            store=self.store.describe(),
            shared=self.store.shared,
            revision=snapshot.revision,
            number=len(snapshot.overrides),
            age=None if loaded == -inf else max(0.0, self._clock.monotonic() - loaded),
            error=self._error,
            malformed=dict(snapshot.malformed),
        )

    def after_fork(self) -> None:
        """A child process has no thread of its parent's, and looks anew."""
        self._start()
        reset: Callable[[], None] | None = getattr(self.store, "after_fork", None)
        if reset is not None:
            reset()

    def close(self) -> None:
        """Waits for a load that is under way, and closes the store."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_SECONDS)
        self.store.close()

    # -- behind it -------------------------------------------------------------------------------

    def _plan(self, now: float) -> None:
        """Sets when to look again: about every ``POLL_SECONDS``, and when something turns."""
        wall = self._clock.wall()
        turn = self.snapshot.next_turn(wall)
        # The two clocks may drift apart, so a turn far away is looked at again before.
        waits = [] if turn is None else [min(turn - wall, POLL_SECONDS)]
        if self.store.shared:
            waits.append(POLL_SECONDS * (0.8 + 0.4 * _random()))
        self.due = now + min(waits, default=inf)

    def _load_beside(self) -> threading.Thread | None:
        now = self._clock.monotonic()
        hangs = self._loading is not None
        if hangs and now < self._waits_until:
            return None
        self._hanging += hangs
        self._waits_until = now + HANGS_SECONDS * 2**self._hanging
        self._loading = own = object()
        try:
            self._thread = self._begin(partial(self._load, own, after_one_that_hangs=hangs))
        except RuntimeError:  # no thread can be had: what was loaded before holds
            self._loading = None
        return self._thread

    def _load(self, own: object, *, after_one_that_hangs: bool) -> None:
        if after_one_that_hangs:
            self._failed(OverridesUnavailable("it has not answered for a long time; asking anew"))
        try:
            self.reload()
        finally:
            with self._lock:
                if self._loading is own:
                    self._loading = None
                else:
                    self._hanging -= 1

    def _loaded(self) -> Snapshot:
        """What is in the store; what is known already where that is the same.

        Raises:
            OverridesUnavailable: The store cannot be read, or has lost what was in it.
        """
        known = self.snapshot
        if self.store.revision() == known.revision:
            return known
        snapshot = self.store.load()
        if known.revision and not snapshot.revision:
            raise OverridesUnavailable(
                "it is empty, as if nobody had ever written to it; set the overrides anew"
            )
        return snapshot

    def _take(self, snapshot: Snapshot, version: object, ticket: int) -> frozenset[str]:
        """Goes by *snapshot* from now on; returns the names whose policy changes by that."""
        error, malformed = self._error, self.snapshot.malformed
        with self._lock:
            if ticket <= self._applied:  # one that began later has overtaken this one
                return frozenset()
            changed = self._hold(snapshot)  # first: what does not fit is not gone by
            self._applied, self._loaded_under = ticket, version
            self._error, self._loaded_at = "", self._clock.monotonic()
            self.snapshot = snapshot
            self._plan(self._loaded_at)
        if error:
            logger.info("The overrides can be read again from %s", self.store.describe())
        if snapshot.malformed != malformed:
            for problem in snapshot.malformed.values():
                logger.error("An override was passed over: %s", problem)
        return changed

    def _hold(self, snapshot: Snapshot) -> frozenset[str]:
        """Has hold what *snapshot* wishes by now; the names whose policy changes by that."""
        return self._overrides.follow(snapshot.policies_at(self._clock.wall()))

    def _failed(self, error: Exception) -> None:
        if not self._error:
            logger.warning(
                "The overrides cannot be read from %s (%s); what was loaded last holds",
                self.store.describe(),
                error,
            )
        self._error = f"{type(error).__name__}: {error}"


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
