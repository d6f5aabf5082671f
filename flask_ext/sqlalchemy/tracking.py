"""Listening to sessions: collect at the flush, publish after the commit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Union

from sqlalchemy import event
from sqlalchemy.orm import (
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
    scoped_session,
    sessionmaker,
)
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import TextClause

from cache_core.cache import Cache
from cache_core.errors import NotConfigured
from cache_core.events import logger
from flask_ext.extension import CacheCore
from flask_ext.sqlalchemy.ledger import Batch, Ledger, OpenSessions, Owner, innermost
from flask_ext.sqlalchemy.rules import IdChoice, Rule

if TYPE_CHECKING:
    from sqlalchemy.sql.selectable import FromClause

SessionTarget = Union[type[Session], "sessionmaker[Any]", "scoped_session[Any]", Session]
"""What listeners can be put on; the class ``sqlalchemy.orm.Session`` stands for every session."""

# The insert of a dialect may change rows that are there already, whatever their id; so may a
# prefix such as OR REPLACE.
_UPSERTS = ("on_conflict_do_update", "on_duplicate_key_update")
_SELECT = re.compile(r"\s*select\b", re.IGNORECASE)


def track(
    cache: Cache,
    model: type,
    *,
    key_type: str,
    id: IdChoice = None,
    sessions: SessionTarget = Session,
) -> None:
    """Invalidates entities whenever a transaction that changed rows of *model* was committed.

    Rows that are added, changed or deleted through a session invalidate the entity that they belong
    to, and the one that they belonged to before. Statements for many rows (``update(Model)``,
    ``delete(Model)``, ``query.update()``, also of Core) invalidate by the ids in their parameters;
    where these do not tell, every entity of this key type. From the first write of a transaction
    until its end, the code that writes goes past the cache.

    Not noticed: ``bulk_save_objects`` and its kin, ``session.connection().execute()``, rows that the
    database deletes by itself (``ON DELETE CASCADE``), and everything that uses no session.

    Args:
        cache: A ``CacheCore`` or any other cache.
        model: A mapped class; subclasses are included.
        key_type: The kind of entity, as in ``cached(key_type=...)``.
        id: Where a row's entity id is: a column attribute (its name or itself), or a callable that
            takes the object and returns an id, a list of ids, or None. By default the primary key.
            What a callable needs for a row that moves from one owner to another, it must return.
        sessions: The sessions to listen to: a class, a ``sessionmaker`` or a ``scoped_session``; by
            default all of them.

    Raises:
        DeclarationError: *model* is not mapped, or *id* is nothing that it has.
    """
    rule = Rule.of(model, key_type, id)
    key = (cache, sessions)
    tracker = _trackers.get(key)
    if tracker is None:
        tracker = _trackers[key] = Tracker(cache, sessions)
    tracker.add(rule)


def untrack(cache: Cache) -> None:
    """Ends all tracking for *cache*, as a test or a reload may want."""
    for key in [key for key in _trackers if key[0] is cache]:
        _trackers.pop(key).stop()


class Tracker:
    """Invalidates in one cache what some sessions commit.

    Args:
        cache: The cache.
        sessions: What to listen to.
    """

    def __init__(self, cache: Cache, sessions: SessionTarget) -> None:
        self._cache = cache
        self._sessions = sessions
        self._rules: list[Rule] = []
        self._by_class: dict[type, list[Rule]] = {}
        self._open = OpenSessions(self._has_written)
        cache.watch_transactions(self._open.any)
        self._listeners: dict[str, Callable[..., Any]] = {
            "before_flush": self._before_flush,
            "after_flush": self._after_flush,
            "do_orm_execute": self._on_execute,
            "after_commit": self._after_commit,
            "after_transaction_end": self._after_transaction_end,
        }
        for name, listener in self._listeners.items():
            event.listen(sessions, name, listener)

    def add(self, rule: Rule) -> None:
        """Follows one more model; the same rule may come again."""
        if rule not in self._rules:
            self._rules.append(rule)
            self._by_class = {}

    def stop(self) -> None:
        """Listens no more."""
        for name, listener in self._listeners.items():
            event.remove(self._sessions, name, listener)

    # -- collecting ------------------------------------------------------------------------------

    def _before_flush(self, session: Session, _: UOWTransaction, __: object) -> None:
        # The last moment in which the rows are as they were: old keys, and owners of deleted rows.
        self._wrote(session, self._collected(chain(session.dirty, session.deleted)))

    def _after_flush(self, session: Session, _: UOWTransaction) -> None:
        # Only now new rows have keys, and foreign keys follow the relationships.
        changed = chain(session.new, session.dirty, session.deleted)
        self._wrote(session, self._collected(changed))

    def _collected(self, instances: Iterable[object]) -> Batch:
        batch = Batch()
        for instance in instances:
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
        return batch

    def _rules_for(self, model: type) -> list[Rule]:
        rules = self._by_class.get(model)
        if rules is None:
            rules = [rule for rule in self._rules if issubclass(model, rule.mapper.class_)]
            self._by_class[model] = rules
        return rules

    def _on_execute(self, state: ORMExecuteState) -> None:
        if state.is_select:
            return
        statement = state.statement
        if isinstance(statement, UpdateBase):
            self._wrote(state.session, self._told_by(statement, state))
        elif not (isinstance(statement, TextClause) and _SELECT.match(statement.text)):
            # A text may have written anything: nothing to invalidate, but not to be cached either.
            self._wrote(state.session, Batch())

    def _told_by(self, statement: UpdateBase, state: ORMExecuteState) -> Batch:
        batch = Batch()
        table: FromClause = getattr(statement.table, "element", statement.table)
        for rule in self._rules:
            if rule.covers(table):
                entities = _named(rule, statement, state)
                if entities is None:
                    batch.key_types.add(rule.key_type)
                else:
                    batch.entities.update(entities)
        return batch

    def _wrote(self, session: Session, batch: Batch) -> None:
        ledger: Ledger = session.info.setdefault(self, Ledger())
        ledger.write(innermost(session), self._owner(), batch)
        self._open.add(session)
        self._cache.distrust_scope()

    def _owner(self) -> Owner:
        """The cache of the app that is running now; the commit may come when none is."""
        if not isinstance(self._cache, CacheCore):
            return self._cache
        try:
            return self._cache.app_cache
        except NotConfigured:
            return None

    def _has_written(self, session: Session) -> bool:
        return bool(session.info.get(self)) and session.in_transaction()

    # -- ends of transactions --------------------------------------------------------------------

    def _after_commit(self, session: Session) -> None:
        ledger: Ledger | None = session.info.get(self)
        if not ledger:
            return
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            ledger.release(savepoint)
            return
        for owner, batch in ledger.take().items():
            self._publish(owner, batch)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        # Comes after every rollback, and alone when a session is closed with writes in it.
        ledger: Ledger | None = session.info.get(self)
        if ledger:
            ledger.drop(transaction)

    # -- publishing ------------------------------------------------------------------------------

    def _publish(self, owner: Owner, batch: Batch) -> None:
        """Invalidates; never raises, since the data is committed and the commit must say so."""
        for cache in self._told(owner):
            try:
                _invalidate(cache, batch)
            except Exception:  # noqa: BLE001  # see above
                logger.exception(
                    "%d entities and %d key types were committed and could not be invalidated; "
                    "their entries may be stale until their TTL",
                    len(batch.entities),
                    len(batch.key_types),
                )

    def _told(self, owner: Owner) -> tuple[Cache, ...]:
        """Who is told: where no app is running, all apps, as a needless miss is better than a lie."""
        known = owner or self._owner()
        if known is not None:
            return (known,)
        assert isinstance(self._cache, CacheCore)  # every other cache is its own owner
        return self._cache.apps()


_trackers: dict[tuple[Cache, SessionTarget], Tracker] = {}


def _named(rule: Rule, statement: UpdateBase, state: ORMExecuteState) -> list[Any] | None:
    """The entities that the parameters of a statement for many rows name, or None."""
    rows = state.parameters
    if not isinstance(rows, list) or not state.is_orm_statement:
        return None
    if any(hasattr(statement, name) for name in _UPSERTS) or getattr(statement, "_prefixes", None):
        return None
    try:
        return rule.entities_of_rows(rows, inserted=state.is_insert)
    except Exception:  # noqa: BLE001  # the user's statement must go on
        logger.exception("The parameters of a statement name no usable %s", rule.key_type)
        return None


def _invalidate(cache: Cache, batch: Batch) -> None:
    cache.after_commit(sorted(batch.entities), sorted(batch.key_types))
