"""Tracking: models whose written rows invalidate entities.

Signals tell which rows a write is about, as far as Django sends any; every statement is seen besides.
Both end in the transaction of their connection, which invalidates when it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from django.apps import apps
from django.db.models.signals import class_prepared

from django_ext.declarations import declared
from django_ext.default import cache
from django_ext.links import Link, concrete
from django_ext.mapping import Bulk, IdOf, Mapping, Mistake, logger
from django_ext.receivers import Receivers
from django_ext.statements import Statements
from django_ext.tables import Tables

if TYPE_CHECKING:
    from django.db.models import Model

    from django_ext.transactions import Transactions

AnyModel = TypeVar("AnyModel", bound="type[Any]")


class Tracker:
    """The tracked models.

    Args:
        transactions: Is told what was written.

    Attributes:
        mappings: What was tracked, in the order of the declarations.
        mistakes: What is wrong with the declarations in the settings.
        statements: Sees every statement of this process.
    """

    def __init__(self, transactions: Transactions) -> None:
        self.mappings: list[Mapping] = []
        self.mistakes: list[Mistake] = []
        self._tables = Tables()
        self.statements = Statements(self._tables, transactions)
        self._receivers = Receivers(self._tables, self.statements, transactions)
        self._is_connected = False

    @overload
    def track(
        self,
        model: type[Model] | str,
        *,
        key_type: str,
        id: str | IdOf = ...,
        bulk: Bulk = ...,
    ) -> None: ...
    @overload
    def track(
        self, *, key_type: str, id: str | IdOf = ..., bulk: Bulk = ...
    ) -> Callable[[AnyModel], AnyModel]: ...
    def track(
        self,
        model: type[Model] | str | None = None,
        *,
        key_type: str,
        id: str | IdOf = "pk",
        bulk: Bulk = "type",
    ) -> Callable[[AnyModel], AnyModel] | None:
        """Invalidates entities when rows of *model* are written, after COMMIT.

        Writes through proxies, multi-table parents and children of the model count, and changes of
        its many-to-many relations from either side. Several calls for one model add up. Without a
        model this is a class decorator.

        Args:
            model: A model class or its label, such as ``"auth.User"``.
            key_type: The kind of entity, as in ``cache.cached(key_type=...)``.
            id: Which entity a row belongs to: ``"pk"``, the name of a field, or a callable that
                takes a row and returns an id, several, ``ALL`` for any, or None for none. When the
                id changes, the old and the new entity are invalidated.
            bulk: What follows from a write of which nobody tells the rows, such as
                ``QuerySet.update`` and raw SQL. "type": every entity of the key type is
                invalidated. "select": the same, but querysets of ``TrackedQuerySet`` look up the
                rows first and invalidate their entities. "ignore": nothing.

        Raises:
            DeclarationError: The key type is empty or reserved, or *bulk* is no such word. A model
                or field that does not exist is reported by Django's system checks.
        """
        if model is None:

            def decorate(decorated: AnyModel) -> AnyModel:
                self.track(decorated, key_type=key_type, id=id, bulk=bulk)
                return decorated

            return decorate
        self._add(Mapping(model, key_type, id, bulk))
        return None

    def track_declared(self, given: object) -> None:
        """Tracks what the settings declare; what is wrong with them goes into ``mistakes``."""
        for one in declared(given):
            if isinstance(one, Mapping):
                self._add(one)
            else:
                logger.error("Not tracked: %s %s", one.text, one.hint)
                self.mistakes.append(one)

    def connect(self) -> None:
        """Connects to signals and connections; to be called when all models are loaded."""
        self._is_connected = True
        for mapping in self.mappings:
            self._connect(mapping)
        class_prepared.connect(self._prepared)
        self.statements.connect()

    def links(self, model: type[Model]) -> tuple[Link, ...]:
        """What writing rows of *model* does to tracked models."""
        return self._receivers.links(model)

    def _add(self, mapping: Mapping) -> None:
        self.mappings.append(mapping)
        if self._is_connected:
            self._connect(mapping)

    def _connect(self, mapping: Mapping) -> None:
        mistake = mapping.mistake()
        if mistake is not None:
            logger.error("Not tracked: %s %s", mistake.text, mistake.hint)
            return
        # A many-to-many table that Django made itself is only in the list when asked for.
        for sender in {*apps.get_models(), mapping.model}:
            self._link(mapping, sender)

    def _prepared(self, sender: type[Model], **_: object) -> None:
        """A model that was made late, such as a proxy in a test, may be a relative."""
        for mapping in self.mappings:
            if mapping.mistake() is None:
                self._link(mapping, sender)

    def _link(self, mapping: Mapping, sender: type[Model]) -> None:
        link = Link.between(mapping, sender)
        if link is not None:
            self._receivers.connect(link, sender)
            self._tables.add(mapping, concrete(sender))


tracker = Tracker(cache.transactions)
track = tracker.track
