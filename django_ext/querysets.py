"""Querysets that look up which rows a bulk write is about, so that the rest stays cached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, transaction
from django.db.models import Model, QuerySet

from django_ext.announced import MANY
from django_ext.tables import saves
from django_ext.tracking import tracker

if TYPE_CHECKING:
    from django_ext.links import Link
    from django_ext.transactions import Written

Row = TypeVar("Row", bound=Model)

MOST = 500
"""Rows beyond which it is cheaper to invalidate every entity of the key type."""


class TrackedQuerySet(QuerySet[Row]):
    """Names the rows of ``update``, ``bulk_update`` and ``bulk_create``.

    For models that are tracked with ``bulk="select"``: use ``TrackedQuerySet.as_manager()``, or
    derive your own querysets from it. An ``update`` costs a query more, two when it may move rows
    to other entities, and is restricted to the rows that were found. Beyond 500 rows, and for what
    may change rows that it does not name (``ignore_conflicts``, ``update_conflicts``), every entity
    of the key type is invalidated as for any other queryset.
    """

    def update(self, **kwargs: Any) -> int:
        """As in Django."""
        links = _selecting(self.model)
        if not links or self.query.is_sliced or self.query.combinator or _moves_key(self, kwargs):
            return super().update(**kwargs)
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            keys = list(self.order_by().values_list("pk", flat=True)[: MOST + 1])
            if len(keys) > MOST:
                return super().update(**kwargs)
            return self._update_named(links, keys, kwargs)

    def bulk_create(
        self,
        objs: Iterable[Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> list[Row]:
        """As in Django."""
        links = [] if ignore_conflicts or update_conflicts else _selecting(self.model)
        objs = list(objs)
        options = (batch_size, ignore_conflicts, update_conflicts, *args)
        if not links or len(objs) > MOST:
            return super().bulk_create(objs, *options, **kwargs)
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            with self._naming(set()):
                created = super().bulk_create(objs, *options, **kwargs)
            written = _after(links, created, self.db)
            if any(row.pk is None for row in created):
                written |= {one for link in links for one in link.mapping.all()}
            self._tell(written)
        return created

    def _update_named(self, links: list[Link], keys: list[Any], values: dict[str, Any]) -> int:
        rows = self.model._base_manager.using(self.db).filter(pk__in=keys)
        if connections[self.db].features.has_select_for_update:
            rows = rows.select_for_update()
        written = _after(links, rows, self.db)
        with self._naming(written):
            count = super(TrackedQuerySet, self.filter(pk__in=keys)).update(**values)
        if _may_move(self, links, values):
            written |= _after(links, rows.all(), self.db)
        self._tell(written)
        return count

    def _naming(self, written: set[Written]) -> Any:
        watch = tracker.statements.watch(connections[self.db])
        return watch.announced.during(saves(self.model), written, MANY)

    def _tell(self, written: set[Written]) -> None:
        tracker.statements.transactions.wrote(connections[self.db], written)


def _selecting(model: type[Model]) -> list[Link]:
    """How *model* is tracked; nothing unless every mapping of its rows looks them up."""
    links = tracker.links(model)
    is_selecting = all(link.is_own and link.mapping.bulk != "type" for link in links)
    return [link for link in links if link.mapping.bulk == "select"] if is_selecting else []


def _after(links: list[Link], rows: Iterable[Model], using: str) -> set[Written]:
    """The entities of *rows*, each of which is looked at once."""
    if all(link.is_own_key for link in links) and isinstance(rows, QuerySet):
        rows = rows.only("pk")
    return {one for row in rows for link in links for one in link.after(row, using)}


def _moves_key(rows: QuerySet[Any], values: dict[str, Any]) -> bool:
    meta = rows.model._meta
    return "pk" in values or any(field.name in values for field in meta.pk_fields)


def _may_move(rows: QuerySet[Any], links: list[Link], values: dict[str, Any]) -> bool:
    """Whether the rows may belong to other entities with their new *values*."""
    changed = {rows.model._meta.get_field(name).attname for name in values}
    return any(not changed.isdisjoint(link.columns) for link in links)
