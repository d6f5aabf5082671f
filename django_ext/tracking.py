"""Tracking: models whose saved and deleted rows invalidate entities.

Receivers are connected for each tracked model and its relatives alone. One for all senders would
take away Django's fast deletion from every model of the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models.signals import (
    class_prepared,
    m2m_changed,
    post_delete,
    post_init,
    post_save,
    pre_delete,
    pre_save,
)

from django_ext.default import cache
from django_ext.links import Link, remember_columns
from django_ext.mapping import IdOf, Mapping, logger

if TYPE_CHECKING:
    from django.db.models import Model

    from django_ext.transactions import Transactions, Written

_BEFORE = "cache_core_before"
"""Where an instance keeps what has to be invalidated once the write under way is done."""


class Tracker:
    """The tracked models, and the receivers that watch them.

    Args:
        transactions: Is told what was written.

    Attributes:
        mappings: What was tracked, in the order of the declarations.
    """

    def __init__(self, transactions: Transactions) -> None:
        self.mappings: list[Mapping] = []
        self._transactions = transactions
        self._links: dict[type[Model], list[Link]] = {}
        self._is_connected = False

    def track(self, model: type[Model] | str, *, key_type: str, id: str | IdOf = "pk") -> None:
        """Invalidates entities when rows of *model* are saved or deleted, after COMMIT.

        Writes through proxies, multi-table parents and children of the model count, and changes of
        its many-to-many relations made from its side. Several calls for one model add up.

        Args:
            model: A model class or its label, such as ``"auth.User"``.
            key_type: The kind of entity, as in ``cache.cached(key_type=...)``.
            id: Which entity a row belongs to: ``"pk"``, the name of a field, or a callable that
                takes a row and returns an id, several, or None for none. When the id changes, the
                old and the new entity are invalidated.

        Raises:
            DeclarationError: The key type is empty or reserved. A model or field that does not
                exist is reported by Django's system checks.
        """
        mapping = Mapping(model, key_type, id)
        self.mappings.append(mapping)
        if self._is_connected:
            self._connect(mapping)

    def connect(self) -> None:
        """Connects the receivers; to be called when all models are loaded."""
        self._is_connected = True
        for mapping in self.mappings:
            self._connect(mapping)
        class_prepared.connect(self._prepared)

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
        if link is None:
            return
        self._links.setdefault(sender, []).append(link)
        post_save.connect(self._saved, sender=sender)
        post_delete.connect(self._deleted, sender=sender)
        if link.needs_before:
            pre_save.connect(self._saving, sender=sender)
            pre_delete.connect(self._deleting, sender=sender)
        if link.needs_loaded:
            post_init.connect(self._loaded, sender=sender)
        for through in _many_to_many_tables(sender):
            m2m_changed.connect(self._related, sender=through)

    # -- receivers -------------------------------------------------------------------------------

    def _loaded(self, sender: type[Model], instance: Model, **_: object) -> None:
        remember_columns(instance, self._columns(sender))

    def _saving(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        _keep(instance, (link.before(instance, using) for link in self._links[sender]))

    def _saved(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        links = self._links[sender]
        after = (link.after(instance, using) for link in links)
        self._transactions.wrote(using, _kept(instance).union(*after))
        if any(link.needs_loaded for link in links):
            remember_columns(instance, self._columns(sender))

    def _deleting(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        """While the row is still there: afterwards nothing can be looked up."""
        _keep(
            instance,
            (
                link.before(instance, using) | link.after(instance, using)
                for link in self._links[sender]
                if link.needs_before
            ),
        )

    def _deleted(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        after = (
            link.after(instance, using) for link in self._links[sender] if not link.needs_before
        )
        self._transactions.wrote(using, _kept(instance).union(*after))

    def _related(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        """Before and after the change: a callable may go by what is related."""
        links = self._links.get(type(instance), ())
        self._transactions.wrote(
            using, set[Any]().union(*(link.after(instance, using) for link in links))
        )

    def _columns(self, sender: type[Model]) -> set[str]:
        wanted = (link.columns for link in self._links[sender] if link.needs_loaded)
        return set[str]().union(*wanted)


def _keep(instance: Model, written: Iterable[set[Written]]) -> None:
    vars(instance._state)[_BEFORE] = set[Any]().union(*written)


def _kept(instance: Model) -> set[Written]:
    kept: set[Written] = vars(instance._state).pop(_BEFORE, set())
    return kept


def _many_to_many_tables(model: type[Model]) -> Iterator[type[Model]]:
    """The models of the tables behind the relations of *model*, from either side."""
    for field in model._meta.get_fields(include_hidden=True):
        if field.many_to_many:
            relation: Any = field
            through = getattr(
                relation if field.auto_created else relation.remote_field, "through", None
            )
            if isinstance(through, type):
                yield through


tracker = Tracker(cache.transactions)
track = tracker.track
