"""What users say: which models to follow, and what else to invalidate with a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Union

from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, scoped_session

from cache_core.cache import Cache
from cache_core.keys.key import Entity
from cache_core.sqlalchemy.batch import Batch
from cache_core.sqlalchemy.listening import listen, stop_listening
from cache_core.sqlalchemy.noting import note
from cache_core.sqlalchemy.owners import owner_of
from cache_core.sqlalchemy.rules import IdChoice, Rule, Source
from cache_core.sqlalchemy.trackers import TRACKERS, tracker_of

Place = Union[Session, "scoped_session[Any]", Connection]
"""What a transaction is on."""


def track(
    cache: Cache,
    model: type,
    *,
    key_type: str,
    id: IdChoice = None,
    changed_by: Iterable[Source] = (),
) -> None:
    """Invalidates entities whenever a transaction that changed rows of *model* was committed.

    Rows that the unit of work adds, changes or deletes invalidate the entity that they belong to,
    and the one that they belonged to before. Statements (``update(Model)``, ``query.delete()``, the
    ``bulk_`` methods, Core on a session or a connection) invalidate the ids that their criteria or
    parameters name; where these do not tell, every entity of this key type. So do texts of SQL that
    name the table, rows that the database changes along by its foreign keys, and texts of which
    nobody knows what they write. From the first write of a transaction until its end, the code that
    writes goes past the cache.

    Not noticed: what triggers write, unless *changed_by* tells, and other programs.

    Args:
        cache: A ``Cache``, or the ``CacheCore`` of Flask.
        model: A mapped class; subclasses are included.
        key_type: The kind of entity, as in ``cached(key_type=...)``.
        id: Where a row's entity id is: a column attribute (its name or itself), or a callable that
            takes the object and returns an id, a list of ids, or None. By default the primary key.
            What a callable needs for a row that moves from one owner to another, it must return.
        changed_by: Other models and tables whose writes change rows of *model* in the database, as
            by a trigger.

    Raises:
        DeclarationError: *model* is not mapped, or *id* is nothing that it has.
    """
    rule = Rule.of(model, key_type, id, changed_by)
    tracker_of(cache).add(rule)
    cache.hears_of(key_type)
    listen()


def untrack(cache: Cache) -> None:
    """Ends all tracking for *cache*, as a test or a reload may want."""
    TRACKERS.pop(cache, None)
    if not TRACKERS:
        stop_listening()


def invalidate_on_commit(
    cache: Cache,
    place: Place,
    key_type: str,
    id: object,
    *,
    bind_arguments: Mapping[str, Any] | None = None,
) -> None:
    """Invalidates an entity when the running transaction is committed, and not if it is rolled back.

    A savepoint counts: what is said inside of one that is rolled back is forgotten.

    Args:
        cache: A ``Cache``, or the ``CacheCore`` of Flask.
        place: The session or connection. Those of asyncio run it on their own:
            ``await session.run_sync(lambda s: invalidate_on_commit(cache, s, "user_id", 7))``.
        key_type: The kind of entity.
        id: Its id.
        bind_arguments: Says which of several databases is meant, as for ``Session.connection``.

    Raises:
        TypeError: *place* is neither session nor connection.
        UnkeyableValue: The id has no stable text.
    """
    batch = Batch({Entity.of(key_type, id)})
    tracker_of(cache)
    listen()
    note(_connection_of(place, bind_arguments), {(cache, owner_of(cache)): batch})


def _connection_of(place: Place, bind_arguments: Mapping[str, Any] | None) -> Connection:
    if isinstance(place, Connection):
        return place
    if isinstance(place, (Session, scoped_session)):
        return place.connection(bind_arguments=dict(bind_arguments or {}))
    raise TypeError(
        f"invalidate_on_commit() needs a session or a connection, not {type(place).__name__}; with "
        "asyncio call it by run_sync(): "
        "await session.run_sync(lambda s: invalidate_on_commit(cache, s, key_type, id))"
    )
