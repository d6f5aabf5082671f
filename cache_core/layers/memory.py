"""The local layer: values kept in the memory of this process.

Readers look into ``MemoryLayer.entries`` directly, without a lock and without a call; one dict
look-up is atomic in CPython. Writers take a lock. Which entry goes when there is no room is decided
in ``orders``; an entry past its time is refused by its reader, and every write removes a few
such entries, so that they do not linger.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakSet

from cache_core.layers.eviction import Entry, Group
from cache_core.layers.orders import S3Fifo

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from types import TracebackType

    from cache_core.clock import Clock
    from cache_core.layers.eviction import MakeOrder

__all__ = ["Entry", "MemoryLayer", "MemoryReport"]

_LOOKS_PER_PUT = 4  # A write looks at so many entries; n entries are gone through in n/4 writes.


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What a group, or the whole layer, holds and what happened to it since the process began.

    Args:
        entries: How many entries there are now.
        bytes: What they weigh together.
        evictions: Entries that had to make room for others.
        expired: Entries that were removed because their time was over.
        rejected: Values that were not kept because one alone is heavier than the limit.
    """

    entries: int
    bytes: int
    evictions: int
    expired: int
    rejected: int


class MemoryLayer:
    """A bounded store of entries that any number of threads use at once.

    A use case without limits of its own shares one group with the others (the group None); one
    that has limits is a group by itself, and neither pushes out entries of the other.

    A value is freed after the lock was given back. Code that runs inside a write of the same thread
    (a finalizer, a signal handler) may call anything here: what it takes out is gone, and what it
    puts in is not kept. A child process begins with the entries of its parent and a lock of its own.

    Args:
        max_entries: How many entries the shared group keeps at most; at least 1.
        max_bytes: What these weigh together at most, in bytes; None for no such limit.
        clock: Where the layer reads the time that ``Entry.expires`` is compared with.
        order: In which order entries go when there is no room; of each group by itself.

    Attributes:
        entries: Every entry by its key. Always the same dict; read it, never write to it. A reader
            checks ``expires`` itself and sets ``hot`` on an entry that it serves.

    Raises:
        ValueError: A limit is below 1.
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int | None = 64 * 1024 * 1024,
        clock: Clock,
        order: MakeOrder = S3Fifo,
    ) -> None:
        _check_limits(max_entries, max_bytes)
        self.entries: dict[Hashable, Entry] = {}
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._groups: dict[str | None, Group] = {None: Group(max_entries, max_bytes, order)}
        self._order = order
        self._walk: Iterator[Hashable] = iter(())
        self._writing = _Writing(self._repair)
        _layers.add(self)

    def put(self, key: Hashable, entry: Entry, *, group: str | None = None) -> bool:
        """Keeps *entry* under *key* in place of what was there.

        Args:
            key: What readers look up.
            entry: A new entry; it is kept once and under one key.
            group: The use case whose own limits apply; None for the shared ones.

        Returns:
            Whether it is kept; False when it alone is heavier than its group may be.
        """
        with self._writing as freed:
            if freed is None:
                self._discard_inside_a_write(key)
                return False
            self._collect_expired(freed)
            home = self._group(group)
            old = self.entries.get(key)
            if old is entry:
                return True
            if old is not None:
                freed.append(old)
            if entry.weight > home.max_bytes:
                home.rejected += 1
                if old is not None:
                    self._remove(old)
                return False
            entry.key = key
            if old is None or not self._takes_the_place(entry, home, old):
                self._make_room(home, freed, entries=1, weight=entry.weight)
                home.admit(entry)
            self.entries[key] = entry
            return True

    def discard(self, key: Hashable, entry: Entry | None = None) -> bool:
        """Removes what is kept under *key*.

        Args:
            key: What readers look up.
            entry: Remove it only if it is still this one, so that a newer one stays.

        Returns:
            Whether something was removed.
        """
        with self._writing as freed:
            found = self.entries.get(key)
            if found is None or (entry is not None and found is not entry):
                return False
            if freed is None:
                self._discard_inside_a_write(key)
            else:
                freed.append(found)
                self._remove(found)
            return True

    def discard_where(self, condition: Callable[[Hashable, Entry], bool]) -> int:
        """Removes every entry for which *condition* holds, and returns how many those were.

        It looks at all entries and is meant for people, not for requests. Other threads may write
        meanwhile; entries that they put after the call began may be passed over.

        Args:
            condition: Called with key and entry, without the lock.
        """
        # A copy is made in one step; a list of the items could be interrupted by a finalizer.
        entries = self.entries.copy().items()
        return sum(self.discard(key, entry) for key, entry in entries if condition(key, entry))

    def discard_expired(self) -> int:
        """Removes every entry that is past its time, and returns how many those were."""
        with self._writing as freed:
            if freed is None:
                return 0
            now = self._clock.monotonic()
            freed.extend([each for each in self.entries.copy().values() if each.expires <= now])
            for entry in freed:
                entry.queue.group.expired += 1
                self._remove(entry)
            return len(freed)

    def limit(
        self, group: str | None, *, max_entries: int | None = None, max_bytes: int | None = None
    ) -> None:
        """Gives *group* limits of its own, now and for later; it is cut down to them at once.

        Args:
            group: A use case; None for the shared group.
            max_entries: How many entries at most; None for what the layer was made with.
            max_bytes: What they weigh at most, in bytes; None for what the layer was made with.

        Raises:
            ValueError: A limit is below 1.
        """
        max_entries = self._max_entries if max_entries is None else max_entries
        max_bytes = self._max_bytes if max_bytes is None else max_bytes
        _check_limits(max_entries, max_bytes)
        with self._writing as freed:
            home = self._group(group)
            home.limit(max_entries, max_bytes)
            if freed is not None:
                self._make_room(home, freed)

    def clear(self) -> None:
        """Removes every entry. Limits and counters stay."""
        with self._writing as freed:
            if freed is None:
                self._writing.torn = True
                self.entries.clear()
                return
            freed.extend(self.entries.values())
            self.entries.clear()
            for entry in freed:
                entry.queue.remove(entry)

    def reports(self) -> dict[str | None, MemoryReport]:
        """A report for each group; the shared one is None."""
        with self._writing:
            return {name: _report(group) for name, group in self._groups.items()}

    def report(self) -> MemoryReport:
        """A report for the whole layer."""
        reports = self.reports().values()
        return MemoryReport(
            entries=sum(report.entries for report in reports),
            bytes=sum(report.bytes for report in reports),
            evictions=sum(report.evictions for report in reports),
            expired=sum(report.expired for report in reports),
            rejected=sum(report.rejected for report in reports),
        )

    def _group(self, name: str | None) -> Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(self._max_entries, self._max_bytes, self._order)
        return group

    def _takes_the_place(self, entry: Entry, home: Group, old: Entry) -> bool:
        """Takes *old* out of its queue; whether *entry* fits there and stands in its place now."""
        entry.hot = True  # Its key was asked for again.
        queue = old.queue
        if queue.group is home and not home.is_over(weight=entry.weight - old.weight):
            queue.replace(old, entry)
            return True
        queue.remove(old)
        return False

    def _remove(self, entry: Entry) -> None:
        entry.queue.remove(entry)
        # It may be gone already: a finalizer can have run inside this write.
        self.entries.pop(entry.key, None)

    def _make_room(
        self, home: Group, freed: list[Entry], *, entries: int = 0, weight: int = 0
    ) -> None:
        now = self._clock.monotonic()
        while home.is_over(entries=entries, weight=weight):
            victim = home.evict(now)
            freed.append(victim)
            self.entries.pop(victim.key, None)

    def _collect_expired(self, freed: list[Entry]) -> None:
        """Looks at the next few keys of a walk through all entries that never ends."""
        now = self._clock.monotonic()
        keys = list(islice(self._walk, _LOOKS_PER_PUT))
        if len(keys) < _LOOKS_PER_PUT:
            self._walk = iter(list(self.entries))
        for key in keys:
            entry = self.entries.get(key)
            if entry is not None and entry.expires <= now:
                entry.queue.group.expired += 1
                freed.append(entry)
                self._remove(entry)

    def _discard_inside_a_write(self, key: Hashable) -> None:
        """Takes the entry from the readers; the outer write brings the rest in order at its end."""
        self.entries.pop(key, None)
        self._writing.torn = True

    def _repair(self) -> None:
        """Brings the groups in line with ``entries`` after a write that was not finished."""
        for group in self._groups.values():
            group.reset()
        for key, entry in self.entries.copy().items():
            queue = getattr(entry, "queue", None)
            if queue is None:
                del self.entries[key]
            else:
                queue.group.admit(entry)
        for group in self._groups.values():
            self._make_room(group, [])


class _Writing:
    """The lock around a write.

    Entering it gives a list: what is put there lives until after the lock was given back, so that
    no finalizer of a value runs under the lock. Inside another write of the same thread it gives
    None: that write is in the middle of its work, and the inner one must not count on any order.

    Args:
        repair: Called, under the lock, at the end of a write that failed or was ``torn``.
    """

    def __init__(self, repair: Callable[[], None]) -> None:
        self.torn = False
        self._repair = repair
        self._depth = 0
        self._lock = threading.RLock()

    def __enter__(self) -> list[Entry] | None:
        self._lock.acquire()
        self._depth += 1
        return [] if self._depth == 1 else None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.torn = self.torn or kind is not None
            if self.torn and self._depth == 1:
                self.torn = False
                self._repair()
        finally:
            self._depth -= 1
            self._lock.release()

    def start_in_child(self) -> None:
        """Makes a new lock after a fork: the thread that held the old one does not exist here."""
        self._lock = threading.RLock()
        if self._depth:
            self._depth = 0
            self.torn = False
            self._repair()


def _check_limits(max_entries: int, max_bytes: int | None) -> None:
    for name, limit in (("max_entries", max_entries), ("max_bytes", max_bytes)):
        if limit is not None and limit < 1:
            raise ValueError(
                f"{name} of the local layer is {limit!r}; give at least 1, "
                "or switch the layer off for a use case by a ramp of 0"
            )


def _report(group: Group) -> MemoryReport:
    return MemoryReport(
        entries=group.count,
        bytes=group.weight,
        evictions=group.evictions,
        expired=group.expired,
        rejected=group.rejected,
    )


_layers: WeakSet[MemoryLayer] = WeakSet()


def _start_layers_in_child() -> None:
    for layer in list(_layers):
        layer._writing.start_in_child()  # noqa: SLF001


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    os.register_at_fork(after_in_child=_start_layers_in_child)
