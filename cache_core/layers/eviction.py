"""Entries, and how many of them there may be; which of them goes first is an order's business.

A read only sets a bit (``entry.hot = True``), so it needs no lock; everything here runs under the
lock of the layer. Nothing here knows of keys being looked up or of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Hashable


class _Link:
    """A place in a ring; a queue is the place where its own ring begins and ends."""

    __slots__ = ("after", "before")

    before: _Link
    after: _Link


class Entry(_Link):
    """One value kept in this process.

    Value, stamp and times never change once it is kept, nor does its weight: readers look at it
    without a lock. A new value is a new entry.

    Args:
        value: What to hand out.
        created: When it was computed, in seconds of the monotonic clock.
        expires: When it may no longer be served, in seconds of the monotonic clock.
        sure_until: Until when it may be served without a look at anything but its versions;
            *expires* by default.
        stamp: The versions that it was computed under; opaque here.
        plan: The policy snapshot that it is served under; opaque here.
        weight: Its size in bytes, as far as known (see ``size.weigh``).

    Attributes:
        checked: Opaque token of whoever validated it last.
        hot: Whether it was read since its queue last looked at it.
        key: What it is kept under; set when it is put.
        queue: Where it waits for its eviction; set only while it is kept.
    """

    __slots__ = (
        "checked",
        "created",
        "expires",
        "hot",
        "key",
        "plan",
        "queue",
        "stamp",
        "sure_until",
        "value",
        "weight",
    )

    key: Hashable
    queue: Queue

    def __init__(
        self,
        value: Any,
        *,
        created: float,
        expires: float,
        sure_until: float | None = None,
        stamp: Any = (),
        plan: Any = None,
        weight: int = 0,
    ) -> None:
        self.value = value
        self.created = created
        self.expires = expires
        self.sure_until = expires if sure_until is None else sure_until
        self.stamp = stamp
        self.plan = plan
        self.weight = weight
        self.checked: Any = None
        self.hot = False


class Queue(_Link):
    """Entries in the order of their arrival; any of them can leave in O(1).

    The order is a ring through slots of the entries themselves: 16 bytes for each, and no item is
    left behind by an entry that was taken out of the middle.
    """

    __slots__ = ("count", "group", "weight")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.before = self.after = self
        self.count = 0
        self.weight = 0

    def oldest(self) -> Entry:
        """The entry that came first; the queue must not be empty."""
        return cast("Entry", self.after)

    def append(self, entry: Entry) -> None:
        """Lets *entry* in as the newest."""
        last = self.before
        entry.before, entry.after = last, self
        last.after = self.before = entry
        entry.queue = self
        self._add(1, entry.weight)

    def remove(self, entry: Entry) -> None:
        """Takes *entry* out, wherever it stands."""
        entry.before.after = entry.after
        entry.after.before = entry.before
        # With its links, an entry that a reader still holds would keep its neighbours alive.
        del entry.before, entry.after, entry.queue
        self._add(-1, -entry.weight)

    def replace(self, old: Entry, new: Entry) -> None:
        """Puts *new* where *old* stands."""
        new.before, new.after = old.before, old.after
        new.before.after = new.after.before = new
        del old.before, old.after, old.queue
        new.queue = self
        self._add(0, new.weight - old.weight)

    def _add(self, entries: int, weight: int) -> None:
        self.count += entries
        self.weight += weight
        self.group.count += entries
        self.group.weight += weight


class Order(Protocol):
    """In which order entries go when there is no room; see ``orders`` for those that there are.

    Every entry waits in one of its queues. Anybody may take one out, or put a new one in the place
    of an old one; the order looks at its queues again each time that it is asked.
    """

    def admit(self, entry: Entry) -> None:
        """Puts a new entry into one of the queues."""
        ...

    def next_to_go(self, now: float, *, is_full: bool) -> Entry:
        """The entry that is least worth keeping; there is one. It stays in its queue.

        Args:
            now: Seconds of the monotonic clock.
            is_full: Whether there are too many entries; else they are too heavy.
        """
        ...

    def gone(self, entry: Entry) -> None:
        """*entry* is evicted; it has still its queue."""
        ...


MakeOrder = Callable[["Group"], Order]
"""Makes the order of a group; its queues are made with the group."""


class Group:
    """Entries that share their limits, and counters of what happened.

    Args:
        max_entries: How many entries are kept at most.
        max_bytes: What they weigh together at most; None for no such limit.
        order: Makes the order in which they go.

    Attributes:
        count: How many entries there are.
        weight: What they weigh, in bytes.
        evictions: Entries that had to make room.
        expired: Entries that were found past their time and removed.
        rejected: Values heavier than the whole group may be, which were not kept.
    """

    __slots__ = (
        "_make",
        "_order",
        "count",
        "evictions",
        "expired",
        "max_bytes",
        "max_entries",
        "rejected",
        "weight",
    )

    max_entries: int
    max_bytes: float
    _order: Order

    def __init__(self, max_entries: int, max_bytes: int | None, order: MakeOrder) -> None:
        self._make = order
        self.limit(max_entries, max_bytes)
        self.evictions = self.expired = self.rejected = 0
        self.reset()

    def limit(self, max_entries: int, max_bytes: int | None) -> None:
        """Sets the limits; evicting down to them is up to the caller."""
        self.max_entries = max_entries
        self.max_bytes = inf if max_bytes is None else max_bytes

    def is_over(self, *, entries: int = 0, weight: int = 0) -> bool:
        """Whether there is too much here once so many *entries* and bytes (*weight*) come on top."""
        return self.count + entries > self.max_entries or self.weight + weight > self.max_bytes

    def admit(self, entry: Entry) -> None:
        """Lets a new entry in; its place has been made."""
        self._order.admit(entry)

    def evict(self, now: float) -> Entry:
        """Takes out the entry that is least worth keeping; there must be one.

        Args:
            now: Seconds of the monotonic clock.
        """
        entry = self._order.next_to_go(now, is_full=self.count >= self.max_entries)
        self._order.gone(entry)
        entry.queue.remove(entry)
        if entry.expires <= now:
            self.expired += 1
        else:
            self.evictions += 1
        return entry

    def reset(self) -> None:
        """Begins again without entries and what was remembered of others; the counters go on."""
        self.count = self.weight = 0
        self._order = self._make(self)
