"""Receivers: what Django's signals tell of the rows that are saved, deleted and related."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_init,
    post_save,
    pre_delete,
    pre_save,
)

from cache_core.sqltext import DELETE, INSERT, Write, table_key
from django_ext.announced import MANY
from django_ext.links import Link, remember_columns
from django_ext.relations import Change
from django_ext.tables import Tables, deletes, relation_models, saves

if TYPE_CHECKING:
    from django.db.models import Model

    from django_ext.statements import Statements, Watch
    from django_ext.transactions import Transactions, Written


class Plan:
    """What follows from writes through one class.

    Args:
        links: What they do to tracked models.
        sender: The class.

    Attributes:
        quick: The links that tell entities without asking the database.
        needs_loaded: Whether instances must remember columns.
        columns: Which ones.
        saves: What saving an instance writes.
        deletes: What deleting one deletes.
    """

    def __init__(self, links: Iterable[Link], sender: type[Model]) -> None:
        self.links = tuple(links)
        self.quick = tuple([link for link in self.links if link.is_quick])
        loaded = [link for link in self.links if link.needs_loaded]
        self.needs_loaded = bool(loaded)
        self.columns = frozenset[str]().union(*[link.columns for link in loaded])
        self.saves, self.deletes = saves(sender), deletes(sender)

    def before(self, instance: Model, using: str) -> set[Written]:
        """The entities that the database has *instance* under."""
        return _union([link.before(instance, using) for link in self.links if link.needs_before])

    def after(self, instance: Model, using: str) -> set[Written]:
        """The entities that *instance* is under after the write."""
        return _union([link.after(instance, using) for link in self.links])


_BEFORE = "cache_core_before"
"""Where an instance keeps what has to be invalidated once the write under way is done."""


class Receivers:
    """Receives the signals of tracked models and their relatives.

    They are connected for each of these senders alone. One for all senders would take away Django's
    fast deletion from every model of the project.

    Args:
        tables: Which mapping is about which table.
        statements: Are told which writes are announced.
        transactions: Are told what was written.
    """

    def __init__(self, tables: Tables, statements: Statements, transactions: Transactions) -> None:
        self._tables = tables
        self._statements = statements
        self._transactions = transactions
        self._plans: dict[type[Model], Plan] = {}

    def connect(self, link: Link, sender: type[Model]) -> None:
        """Follows the writes through *sender* as *link* says."""
        self._plans[sender] = Plan([*self.links(sender), link], sender)
        pre_save.connect(self._saving, sender=sender)
        post_save.connect(self._saved, sender=sender)
        pre_delete.connect(self._deleting, sender=sender)
        post_delete.connect(self._deleted, sender=sender)
        if link.needs_loaded:
            post_init.connect(self._loaded, sender=sender)
        for through in relation_models(sender):
            m2m_changed.connect(self._related, sender=through)

    def links(self, sender: type[Model]) -> tuple[Link, ...]:
        """What writes through *sender* do to tracked models."""
        plan = self._plans.get(sender)
        return () if plan is None else plan.links

    # -- saving and deleting ---------------------------------------------------------------------

    def _loaded(self, sender: type[Model], instance: Model, **_: object) -> None:
        remember_columns(instance, self._plans[sender].columns)

    def _saving(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        plan = self._plans[sender]
        before = plan.before(instance, using)
        _keep(instance, "save", before)
        told = plan.links if self._transactions.marks else plan.quick
        ahead = _union([link.after(instance, using) for link in told])
        self._watch(using).announced.open(plan.saves, before | ahead)

    def _saved(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        plan = self._plans[sender]
        self._told(using, _kept(instance, "save") | plan.after(instance, using))
        if plan.needs_loaded:
            remember_columns(instance, plan.columns)

    def _deleting(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        """While the row is still there: afterwards nothing can be looked up."""
        plan = self._plans[sender]
        before = plan.before(instance, using) | plan.after(instance, using)
        _keep(instance, "delete", before)
        self._watch(using).announced.open(plan.deletes, before)

    def _deleted(self, sender: type[Model], instance: Model, using: str, **_: object) -> None:
        self._told(using, _kept(instance, "delete"))

    # -- relations -------------------------------------------------------------------------------

    def _related(
        self,
        sender: type[Model],
        instance: Model,
        action: str,
        model: type[Model],
        pk_set: Collection[Any] | None,
        using: str,
        **_: object,
    ) -> None:
        """Before and after the change: a callable may go by what is related."""
        change = Change(sender, action, instance, model, pk_set, using)
        written = self._of_instance(change)
        if not change.is_ahead:
            written |= _kept(instance, action[5:]) | self._of_others(change, pk_set or ())
            self._told(using, written)
            return
        keys = change.other_keys()
        if keys is not None:
            written |= self._of_others(change, keys)
        _keep(instance, action[4:], written)
        if keys is not None and sender._meta.auto_created and not self._tables.is_tracked(sender):
            table = table_key(sender._meta.db_table)
            writes = [Write(INSERT, table), Write(DELETE, table)]
            self._watch(using).announced.open(writes, written, MANY)

    def _of_instance(self, change: Change) -> set[Written]:
        links = self.links(type(change.instance))
        return _union(link.after(change.instance, change.using) for link in links)

    def _of_others(self, change: Change, keys: Collection[Any]) -> set[Written]:
        links = self.links(change.model)
        if not links or not keys:
            return set()
        written = _union(link.mapping.named(list(keys)) for link in links if link.is_own_key)
        rest = [link for link in links if not link.is_own_key]
        if rest:
            others = change.model._base_manager.using(change.using).filter(pk__in=keys)
            written |= _union(link.after(row, change.using) for row in others for link in rest)
        return written

    # -- telling ---------------------------------------------------------------------------------

    def _told(self, using: str, written: set[Written]) -> None:
        announcement = self._watch(using).announced.close()
        if announcement is not None:
            written = written - announcement.delivered
        self._transactions.wrote(connections[using], written)

    def _watch(self, using: str) -> Watch:
        return self._statements.watch(connections[using])


def _union(written: Iterable[set[Written]]) -> set[Written]:
    return set[Any]().union(*written)


def _keep(instance: Model, kind: str, written: set[Written]) -> None:
    vars(instance._state).setdefault(_BEFORE, {})[kind] = written


def _kept(instance: Model, kind: str) -> set[Written]:
    kept: set[Written] = vars(instance._state).get(_BEFORE, {}).pop(kind, set())
    return kept
