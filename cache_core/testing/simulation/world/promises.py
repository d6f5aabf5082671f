"""What the cache promises, as properties of a simulated world (P0 to P7 of protocol.md, and more)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cache_core.testing.simulation.properties import Property

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.database import Values
    from cache_core.testing.simulation.world.world import CacheWorld


class Bounds(NamedTuple):
    """How new a value has to be, depending on what is promised.

    Args:
        committed: What had been committed.
        returned: What had been invalidated, and the invalidation had returned.
        overdue: What had been invalidated longer ago than the world's span.
    """

    committed: Values
    returned: Values
    overdue: Values


class Answer(NamedTuple):
    """What a read gave; newer values are larger.

    Args:
        who: The request.
        rows: The rows that the value shows.
        seen: The value of each.
        at_begin, at_read: What had happened when the request, and when this read, began.
        is_excused: Whether the request loaded the value itself, from a database that shows the past.
        is_own: Whether the request has an open transaction of its own.
        written: What the request, or its session before it, had written when the read began.
        before: What the session had been given before.
        others: What the request was given for the same key since it last wrote.
    """

    who: str
    rows: tuple[int, ...]
    seen: Values
    at_begin: Bounds
    at_read: Bounds
    is_excused: bool = False
    is_own: bool = False
    written: Values = ()
    before: Values = ()
    others: tuple[Values, ...] = ()

    def behind(self, least: Values) -> str | None:
        """What is missing in the answer where it has to show *least*; None where nothing is."""
        for row, value in zip(self.rows, self.seen, strict=True):
            if least and value < least[row - 1]:
                return f"{self.who} got {value} of row {row}, and {least[row - 1]}"
        return None


class LastAnswer(NamedTuple):
    """What a process serves when all is quiet.

    Args:
        process: Its name.
        rows: The rows that the value shows.
        seen: The value of each.
        is_repeated: Whether it was asked for the same just before.
        is_loaded: Whether it ran the loader.
    """

    process: str
    rows: tuple[int, ...]
    seen: Values
    is_repeated: bool
    is_loaded: bool

    def __str__(self) -> str:
        values = ", ".join(map(str, self.seen))
        return f"{self.process} {'loads' if self.is_loaded else 'has'} {values}"


class TwoLoads(NamedTuple):
    """A load began while another process had a lock on the same entry, and was loading.

    Args:
        entry: The entry.
        first, second: The processes.
    """

    entry: str
    first: str
    second: str


class LeftMarks(NamedTuple):
    """The versions that are marked when all is quiet."""

    versions: tuple[str, ...]


class NothingBeforeCommit(Property["CacheWorld"]):
    """A request that begins after a COMMIT gets nothing older."""

    name = "P0"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what was committed."""
        for answer in world.answers():
            if not answer.is_excused and (late := answer.behind(answer.at_begin.committed)):
                return f"{late} was committed before it began"
        return None


class NothingOlder(Property["CacheWorld"]):
    """A request gets nothing older than an invalidation that had returned when it began."""

    name = "P1"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what had returned."""
        for answer in world.answers():
            if not answer.is_excused and (late := answer.behind(answer.at_begin.returned)):
                return f"{late} had been invalidated, which had returned before it began"
        return None


class NothingStaleStays(Property["CacheWorld"]):
    """When all is quiet, every process serves what the database holds."""

    name = "P2"

    def check_end(self, world: CacheWorld) -> str | None:
        """Compares the last answers with the database."""
        for last in world.last_answers():
            for row, value in zip(last.rows, last.seen, strict=True):
                held = world.database.committed[row - 1]
                if value != held:
                    return f"{last.process} serves {value} of row {row} in the end, not {held}"
        return None


class ReadsAgree(Property["CacheWorld"]):
    """Two reads of one key in a request agree unless the request wrote in between."""

    name = "P3"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with the others of its request."""
        for answer in world.answers():
            if {answer.seen, *answer.others} != {answer.seen}:
                return f"{answer.who} got {answer.others} and then {answer.seen} for one key"
        return None


class OwnWritesSeen(Property["CacheWorld"]):
    """A request, and the next one of its session, reads its own writes."""

    name = "P4"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what its request or session had written."""
        for answer in world.answers():
            if late := answer.behind(answer.written):
                return f"{late} is what it had written itself"
        return None


class NeverBack(Property["CacheWorld"]):
    """What a session sees never goes back."""

    name = "P5"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what its session had been given."""
        for answer in world.answers():
            if late := answer.behind(answer.before):
                return f"{late} is what its session had seen before"
        return None


class NothingUncommitted(Property["CacheWorld"]):
    """Nobody is served what is not committed, but for the transaction that wrote it."""

    name = "P6"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what is committed."""
        for answer in world.answers():
            for row, value in zip(answer.rows, answer.seen, strict=True):
                if value > world.database.committed[row - 1] and not answer.is_own:
                    return f"{answer.who} got {value} of row {row}, which is not committed"
        return None


class NotOlderThanSpan(Property["CacheWorld"]):
    """A request gets nothing older than what was invalidated longer than the world's span ago.

    Attributes:
        by_read: Whether the time of each read counts, and not that of its request.
    """

    by_read = False

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what was overdue."""
        for answer in world.answers():
            bounds = answer.at_read if self.by_read else answer.at_begin
            if not answer.is_excused and (late := answer.behind(bounds.overdue)):
                return f"{late} had been invalidated more than {world.history.span:g} s before"
        return None


class NotOlderThanLease(NotOlderThanSpan):
    """A request gets nothing that was invalidated longer than a lease ago."""

    name = "P7"


class NotOlderThanPulse(NotOlderThanSpan):
    """A request gets nothing that was invalidated longer than a pulse ago, taken or not."""

    name = "H2"


class NotOlderThanMemo(NotOlderThanSpan):
    """A read gets nothing that was invalidated longer ago than a memo is believed."""

    name = "M5"
    by_read = True


class CachedAgain(Property["CacheWorld"]):
    """When all is quiet, what was read once is served without loading it again."""

    name = "LIVE"

    def check_end(self, world: CacheWorld) -> str | None:
        """Looks whether a second last answer was loaded."""
        for last in world.last_answers():
            if last.is_repeated and last.is_loaded:
                return f"{last.process} loads in the end what it has loaded just before"
        return None


class OneLoad(Property["CacheWorld"]):
    """While a process holds the lock on an entry, no other one loads it."""

    name = "LK"

    def check(self, world: CacheWorld) -> str | None:
        """Looks whether two loads ran at once."""
        for fact in world.observed:
            if isinstance(fact, TwoLoads):
                return f"{fact.second} loads {fact.entry} while {fact.first} has the lock"
        return None


class NoMarkLeft(Property["CacheWorld"]):
    """When all is quiet, no mark keeps readers from the cache."""

    name = "LEFT"

    def check_end(self, world: CacheWorld) -> str | None:
        """Looks for marks."""
        for fact in world.observed:
            if isinstance(fact, LeftMarks) and fact.versions:
                return f"marks are left of writers that are done: {', '.join(fact.versions)}"
        return None


class TablesRight(Property["CacheWorld"]):
    """What a trusted feed's table says of a thing is what the store says, once it heard of all."""

    name = "P2f"

    def check(self, world: CacheWorld) -> str | None:
        """Compares the tables of feeds that have nothing left to take in."""
        for feed in world.feeds:
            if (wrong := feed.wrong_thing()) is not None:
                return f"{feed.process.name} heard of all changes and has {wrong} wrong"
        return None


class NobodyAccused(Property["CacheWorld"]):
    """No entry is said to be wrong where every write is marked and invalidated."""

    name = "RIGHT"

    def check(self, world: CacheWorld) -> str | None:
        """Looks at the scores of the shadow reads."""
        for process in world.living():
            for name, tally in process.runtime.tallies().items():
                if tally.checks.score().mismatches:
                    return f"{process.name} says that an entry of {name} was wrong"
        return None


PROMISES: dict[str, Property[CacheWorld]] = {
    each.name: each
    for each in (
        NothingBeforeCommit(),
        NothingOlder(),
        NothingStaleStays(),
        ReadsAgree(),
        OwnWritesSeen(),
        NeverBack(),
        NothingUncommitted(),
        NotOlderThanLease(),
        NotOlderThanPulse(),
        NotOlderThanMemo(),
        CachedAgain(),
        OneLoad(),
        NoMarkLeft(),
        TablesRight(),
        NobodyAccused(),
    )
}

PROMISED = {
    "request": "P1 P2 P3 P4 P6 LIVE",
    "feed": "P2 P3 P4 P6 P7 P2f LIVE",
    "feed_wait": "P1 P2 P3 P4 P6 P7 P2f LIVE",
    "strict": "P0 P1 P2 P3 P4 P5 P6 LIVE",
}
"""What each consistency promises in every run without a fault that it excludes."""
