"""Links: what saving or deleting one model's instances does to the rows of a tracked model.

A row is written through its model, a proxy of it, a multi-table child, or (in part) a parent.
Django's signals come from the class that was saved alone, so each of these has its own link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django_ext.mapping import Mapping, differing

if TYPE_CHECKING:
    from django.db.models import Model

    from django_ext.transactions import Written

_LOADED = "cache_core_loaded"
"""Where an instance keeps the columns it was loaded with: in its state, which is no field."""


def concrete(model: type[Model]) -> type[Model]:
    """The model whose table *model* uses; itself unless it is a proxy."""
    found: type[Model] = model._meta.concrete_model or model
    return found


class Link:
    """How writes through *sender* change the rows of a mapping's model.

    Attributes:
        needs_before: Whether the database must be looked at before the write as well.
        needs_loaded: Whether instances must remember the columns they were loaded with.
        is_quick: Whether the entities of an instance can be told without asking the database.
        is_own_key: Whether the key of an instance is the id of its entity.
    """

    def __init__(self, mapping: Mapping, sender: type[Model]) -> None:
        self.mapping = mapping
        self.model = mapping.model
        self.columns = mapping.columns
        # An instance of a parent is no row of the model; the row has to be found.
        self.is_own = issubclass(concrete(sender), concrete(self.model))
        self._parent_key = concrete(sender)._meta.pk.name
        by_key = mapping.is_by_key and (self.is_own or _keys_are_shared(self.model, sender))
        self.needs_before = not by_key
        self.needs_loaded = self.is_own and not by_key
        self.is_quick = self.is_own and not callable(mapping.id)
        self.is_own_key = self.is_own and by_key

    @classmethod
    def between(cls, mapping: Mapping, sender: type[Model]) -> Link | None:
        """The link, or None when writes through *sender* do not touch the mapping's model."""
        tracked, written = concrete(mapping.model), concrete(sender)
        if issubclass(written, tracked) or issubclass(tracked, written):
            return cls(mapping, sender)
        return None

    def before(self, instance: Model, using: str) -> set[Written]:
        """The entities that the database has the row under, ahead of a write."""
        if not self.needs_before:
            return set()
        return set(self._guarded(self._stored(instance, using)))

    def after(self, instance: Model, using: str) -> set[Written]:
        """The entities that the row is under after a write."""
        if self.is_own:
            return self.mapping.written(instance)
        if not self.needs_before:
            return self.mapping.named(instance.pk)
        return set(self._guarded(self._rows_of_parent(instance, using)))

    def _guarded(self, rows: Iterable[Model]) -> Iterator[Written]:
        try:
            for row in rows:
                yield from self.mapping.written(row)
        except Exception:  # noqa: BLE001  # the user's write goes on whatever happens here
            yield from self.mapping.unknown()

    def _stored(self, instance: Model, using: str) -> Iterator[Model]:
        if not self.is_own:
            yield from self._rows_of_parent(instance, using)
            return
        key = getattr(instance, self.model._meta.pk.attname)
        if key is None:
            return
        loaded = loaded_columns(instance)
        known = not instance._state.adding and all(name in loaded for name in self.columns)
        if known:
            yield self._as_loaded(instance, loaded, using)
        if not known or differing(self.columns, loaded, vars(instance)):
            # What was loaded may be old by now: another process may have moved the row as well.
            yield from self.model._base_manager.using(using).filter(pk=key)

    def _as_loaded(self, instance: Model, loaded: dict[str, Any], using: str) -> Model:
        model = type(instance)
        names = [name for name in self._all_columns(model) if name in loaded]
        row: Model = model.from_db(using, names, [loaded[name] for name in names])
        return row

    @staticmethod
    def _all_columns(model: type[Model]) -> list[str]:
        return [field.attname for field in model._meta.concrete_fields]

    def _rows_of_parent(self, instance: Model, using: str) -> Iterable[Model]:
        if instance.pk is None:
            return ()
        rows: Iterable[Model] = self.model._base_manager.using(using).filter(
            **{self._parent_key: instance.pk}
        )
        return rows


def loaded_columns(instance: Model) -> dict[str, Any]:
    """The columns that *instance* had when it was last in step with the database."""
    found: dict[str, Any] = vars(instance._state).get(_LOADED, {})
    return found


def remember_columns(instance: Model, columns: Iterable[str]) -> None:
    """Keeps the values of *columns*; a deferred one is left out rather than fetched."""
    values = vars(instance)
    vars(instance._state)[_LOADED] = {name: values[name] for name in columns if name in values}


def _keys_are_shared(child: type[Model], parent: type[Model]) -> bool:
    """Whether a row of *child* has the primary key of its row in *parent*'s table."""
    key: Any = concrete(child)._meta.pk
    while key.remote_field is not None and key.remote_field.parent_link:
        if key.remote_field.model._meta.concrete_model is concrete(parent):
            return True
        key = key.remote_field.model._meta.pk
    return False
