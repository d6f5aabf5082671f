"""What one cache wants to know of: its rules, and what follows from a write by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from cache_core.cache import Cache
from cache_core.events import logger
from cache_core.sqlalchemy.batch import Batch, Bucket
from cache_core.sqlalchemy.cascades import causes
from cache_core.sqlalchemy.ledger import OPEN
from cache_core.sqlalchemy.owners import owner_of
from cache_core.sqltext import OTHER

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from cache_core.keys.key import Entity
    from cache_core.sqlalchemy.outbox import Outbox
    from cache_core.sqlalchemy.rules import Rule
    from cache_core.sqlalchemy.statements import Write, Writes

ANY = "*"


class Way(NamedTuple):
    """One way in which a write of *table* changes rows that *rule* is about.

    Args:
        rule: The rule.
        table: The table that is written.
        is_own: Whether it is the model's own; else the database changes the rows by itself.
        is_link: Whether it links the model to others, many to many.
        verb: What must be done to the table, or ``ANY``.
        column: The column that must be changed; None for any.
    """

    rule: Rule
    table: Table
    is_own: bool = False
    is_link: bool = False
    verb: str = ANY
    column: Column[object] | None = None

    def follows(self, write: Write) -> bool:
        """Whether *write* is one of these."""
        if not write.may_be(self.table) or (
            self.verb not in {ANY, write.verb} and write.verb != OTHER
        ):
            return False
        return self.column is None or write.may_set(self.column)

    def entities(self, write: Write) -> list[Entity] | None:
        """The entities of the rows that *write* changes, None where they cannot be told."""
        if self.is_link:
            return self.rule.entities_of_links(write, self.table)
        return self.rule.entities_of(write)


IsTold = Callable[[Way, "Write"], bool]


class Tracker:
    """The rules of one cache.

    Args:
        cache: What is invalidated.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.rules: list[Rule] = []
        self.outbox: Outbox | None = None
        self._by_class: dict[type, list[Rule]] = {}
        self._by_table: dict[str, list[Way]] | None = None
        self._links: set[Table] | None = None

    def add(self, rule: Rule) -> None:
        """Follows one more model; the same rule may come again."""
        if rule not in self.rules:
            self.rules.append(rule)
        self.forget()

    def forget(self) -> None:
        """More models are known than before."""
        self._by_class, self._by_table, self._links = {}, None, None

    def only_links(self, table: Table) -> bool:
        """Whether *table* links rows that are tracked to others, and holds no such rows itself."""
        if self._links is None:
            own = {each for rule in self.rules for each in rule.tables()}
            self._links = {each for rule in self.rules for each in rule.link_tables()} - own
        return table in self._links

    def told_by_object(self, instance: object) -> Bucket:
        """What the change of a mapped object invalidates; never raises."""
        batch = Batch()
        for rule in self._rules_for(type(instance)):
            try:
                batch.entities.update(rule.entities(instance))
            except Exception:  # noqa: BLE001  # the user's transaction must go on
                # Nothing may be lost either: take them all.
                logger.exception(
                    "The %s of a changed %s could not be told; every entity of this key type "
                    "is invalidated instead",
                    rule.key_type,
                    type(instance).__name__,
                )
                batch.key_types.add(rule.key_type)
        return self._of(batch)

    def told_by_statement(
        self,
        writes: Writes,
        is_told: IsTold = lambda *_: False,
        may_hold: Callable[[Rule], bool] = lambda _: True,
    ) -> Bucket:
        """What a statement invalidates; never raises.

        Args:
            writes: What it writes.
            is_told: Whether objects tell of the rows that are changed in some way by a write.
            may_hold: Whether the database that is written has the rows of a model.
        """
        batch = Batch()
        for write in writes.each:
            for way in self._ways_of(write):
                if way.follows(write) and not is_told(way, write):
                    _add(batch, way, write)
        if writes.text.is_unknown:
            batch.key_types.update([rule.key_type for rule in self.rules if may_hold(rule)])
        return self._of(batch)

    def _of(self, batch: Batch) -> Bucket:
        return {(self.cache, owner_of(self.cache)): batch} if batch else {}

    def _rules_for(self, model: type) -> list[Rule]:
        rules = self._by_class.get(model)
        if rules is None:
            rules = [rule for rule in self.rules if issubclass(model, rule.mapper.class_)]
            self._by_class[model] = rules
        return rules

    def _ways_of(self, write: Write) -> Iterable[Way]:
        ways = self._by_table
        if ways is None:
            ways = self._by_table = {}
            for way in _ways(self.rules):
                ways.setdefault(way.table.name.casefold(), []).append(way)
        return ways.get(write.name.rpartition(".")[2], ())


def _ways(rules: Iterable[Rule]) -> Iterable[Way]:
    for rule in rules:
        own = rule.tables()
        yield from [Way(rule, table, is_own=True) for table in own]
        yield from [Way(rule, table, is_link=True) for table in rule.link_tables() - own]
        yield from [Way(rule, table) for table in rule.other_tables()]
        for cause in {cause for table in own for cause in causes(table)}:
            yield Way(rule, cause.table, verb=cause.verb, column=cause.column)


def _add(batch: Batch, way: Way, write: Write) -> None:
    entities = None
    if way.is_own or way.is_link:
        try:
            entities = way.entities(write)
        except Exception:  # noqa: BLE001  # the user's statement must go on
            logger.exception("A statement names no usable %s", way.rule.key_type)
    if entities is None:
        batch.key_types.add(way.rule.key_type)
    else:
        batch.entities.update(entities)


TRACKERS: dict[Cache, Tracker] = {}
"""All there are."""


def trackers() -> tuple[Tracker, ...]:
    """All there are now; another thread may declare one more."""
    return tuple(TRACKERS.values())


def tracker_of(cache: Cache) -> Tracker:
    """The tracker of *cache*, made at first use; from then on it knows of open transactions."""
    tracker = TRACKERS.get(cache)
    if tracker is None:
        if cache not in _WATCHING:
            clock = cache.clock
            cache.watch_transactions(OPEN.has_written, lambda: OPEN.snapshot_since(clock))
            _WATCHING.add(cache)
        tracker = TRACKERS[cache] = Tracker(cache)
    return tracker


_WATCHING: WeakSet[Cache] = WeakSet()
"""The caches that know whom to ask about transactions, for good."""
