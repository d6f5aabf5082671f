"""What the cache promises, as properties of a simulated world (P1 to P4 of the protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cache_core.testing.simulation.properties import Property

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld


class Answer(NamedTuple):
    """What a read gave; values grow with each commit.

    Args:
        who: The request.
        value: What it got.
        returned: The newest value whose invalidation had returned when the request began.
        written: The newest value that the request itself had written when the read began.
        others: What the request got for the same key since it last wrote.
    """

    who: str
    value: int
    returned: int = 0
    written: int = 0
    others: tuple[int, ...] = ()


class LastAnswer(NamedTuple):
    """What a process serves when all is quiet."""

    process: str
    value: int


class NothingOlder(Property["CacheWorld"]):
    """A request gets nothing older than an invalidation that had returned when it began."""

    name = "P1"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what had returned."""
        for answer in world.answers():
            if answer.value < answer.returned:
                return (
                    f"{answer.who} got {answer.value} though the invalidation for "
                    f"{answer.returned} had returned before it began"
                )
        return None


class NothingStaleStays(Property["CacheWorld"]):
    """When all is quiet, every process serves what the database holds."""

    name = "P2"

    def check_end(self, world: CacheWorld) -> str | None:
        """Compares the last answers with the database."""
        for fact in world.observed:
            if isinstance(fact, LastAnswer) and fact.value != world.value:
                return f"{fact.process} serves {fact.value} in the end, not {world.value}"
        return None


class ReadsAgree(Property["CacheWorld"]):
    """Two reads of one key in a request agree unless the request wrote in between."""

    name = "P3"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with the others of its request."""
        for answer in world.answers():
            if {answer.value, *answer.others} != {answer.value}:
                return f"{answer.who} got {answer.others} and then {answer.value} for one key"
        return None


class OwnWritesSeen(Property["CacheWorld"]):
    """A request reads its own writes."""

    name = "P4"

    def check(self, world: CacheWorld) -> str | None:
        """Compares each answer with what its request had written."""
        for answer in world.answers():
            if answer.value < answer.written:
                return f"{answer.who} got {answer.value} after writing {answer.written}"
        return None


PROMISES = (NothingOlder(), NothingStaleStays(), ReadsAgree(), OwnWritesSeen())
