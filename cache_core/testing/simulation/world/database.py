"""The database of a simulated run: rows whose values count their commits, and what one sees of them.

A newer value is a larger one, so whether an answer is too old is a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cache_core.protocol.outbox import OutboxRow

if TYPE_CHECKING:
    from cache_core.clock import Clock

Values = tuple[int, ...]
"""A value for each row, in order; 0 is what was there at the beginning."""


def newest(*each: Values) -> Values:
    """The newest value of each row."""
    return tuple(map(max, zip(*each, strict=True)))


class Transaction:
    """What the running code is in between BEGIN and its end.

    Attributes:
        written: Row -> value, for what it has written and nobody else may see.
        snapshot: What it sees of all rows; None where each statement sees the newest.
        since: When the snapshot was taken, in monotonic seconds.
    """

    def __init__(self, snapshot: Values | None = None, since: float | None = None) -> None:
        self.written: dict[int, int] = {}
        self.snapshot = snapshot
        self.since = since


class Database:
    """Rows, a replica of them that may be behind, and the outbox beside them.

    Args:
        clock: Of the run.
        rows: How many there are; they are called 1, 2 and so on.
        lag: Seconds that the replica may be behind; None where loaders read the primary.

    Attributes:
        committed: The values that everybody may see.
        replica: The values that the replica shows.
        outbox: Id of a row -> the things in it, for those that were not delivered yet.
    """

    def __init__(self, clock: Clock, rows: int, lag: float | None) -> None:
        self.committed: Values = (0,) * rows
        self.replica = self.committed
        self.outbox: dict[int, tuple[str, ...]] = {}
        self._delivered: dict[int, tuple[str, ...]] = {}
        self.lag = lag
        self._clock = clock
        self._catches_up_by: float | None = None

    @property
    def nothing(self) -> Values:
        """What is older than any write."""
        return (0,) * len(self.committed)

    def snapshot(self) -> Transaction:
        """A transaction that sees the rows as they are now, whatever is committed meanwhile."""
        return Transaction(self.committed, self._clock.monotonic())

    def read(self, row: int, transaction: Transaction | None) -> int:
        """The value of *row* as a loader sees it."""
        if transaction is not None and row in transaction.written:
            return transaction.written[row]
        if transaction is not None and transaction.snapshot is not None:
            return transaction.snapshot[row - 1]
        return (self.committed if self.lag is None else self.replica)[row - 1]

    def update(self, row: int, transaction: Transaction) -> None:
        """Writes *row*, for *transaction* alone."""
        transaction.written[row] = self.committed[row - 1] + 1

    def commit(self, rows: Iterable[int], outbox: Sequence[str] = ()) -> Values:
        """New values of *rows* can be seen by everybody.

        Args:
            rows: What was written.
            outbox: What the transaction's row in the outbox holds; nothing for no such row.

        Returns:
            The new values; 0 for what was not written.
        """
        values = list(self.committed)
        for row in rows:
            values[row - 1] += 1
        self.committed = tuple(values)
        if outbox:
            self.outbox[1 + max((*self.outbox, *self._delivered), default=0)] = tuple(outbox)
        if self.lag is not None and self._catches_up_by is None:
            self._catches_up_by = self._clock.monotonic() + self.lag
        return tuple([value if row in rows else 0 for row, value in enumerate(values, 1)])

    @property
    def is_replicated(self) -> bool:
        """Whether the replica shows what is committed."""
        return self.replica == self.committed

    def replicate(self) -> None:
        """The replica has caught up."""
        self.replica = self.committed
        self._catches_up_by = None

    @property
    def deadline(self) -> float:
        """The time that cannot come before the replica has caught up."""
        return float("inf") if self._catches_up_by is None else self._catches_up_by

    # -- the outbox, as ``cache_core.protocol.outbox`` wants it ------------------------------------

    def take(self, limit: int) -> list[OutboxRow]:
        """The rows that were not delivered yet, oldest first."""
        return [OutboxRow(*row) for row in list(self.outbox.items())[:limit]]

    def done(self, ids: Sequence[object]) -> None:
        """The rows were delivered."""
        for number in set(self.outbox).intersection(ids):
            self._delivered[number] = self.outbox.pop(number)

    def add(self, things: Sequence[str], not_before: float = 0.0) -> object:
        """Not asked for by a relay; ``commit`` inserts rows."""
        raise NotImplementedError

    def recent(self) -> list[OutboxRow]:
        """The rows that were delivered; a run is short."""
        return [OutboxRow(*row) for row in self._delivered.items()]
