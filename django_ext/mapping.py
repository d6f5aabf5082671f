"""Mappings: from a row of a model to the entities that a change of it invalidates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ValidationError

from cache_core.errors import DeclarationError, UnkeyableValue, did_you_mean
from cache_core.keys.key import Entity, check_key_type
from django_ext.transactions import ALL, Written

if TYPE_CHECKING:
    from django.db.models import Field, Model

logger = logging.getLogger("cache_core.django")

IdOf = Callable[[Any], object]
"""Takes a row; returns one id, an iterable of ids, ``ALL`` for any, or None for no entity."""

Bulk = Literal["type", "select", "ignore"]
"""What follows from a write of rows that nobody names; see ``track``."""


class Mistake(Exception):
    """A mapping does not fit its model.

    Args:
        number: Of the system check that reports it.
        text: What is wrong.
        hint: What to do about it.
    """

    def __init__(self, number: str, text: str, hint: str) -> None:
        super().__init__(text)
        self.number = number
        self.text = text
        self.hint = hint


class Mapping:
    """Says that a change of a row of *model* is a change of one or more entities of *key_type*.

    Args:
        model: A model class or its label, such as ``"auth.User"``.
        key_type: The kind of entity, as in ``cache.cached(key_type=...)``.
        id: ``"pk"``, the name of a field, or a callable that takes a row.
        bulk: What follows from a write of rows that nobody names.

    Raises:
        DeclarationError: The key type is empty or reserved, or *bulk* is no such word.
    """

    def __init__(
        self, model: type[Model] | str, key_type: str, id: str | IdOf = "pk", bulk: Bulk = "type"
    ) -> None:
        check_key_type(key_type)
        if bulk not in get_args(Bulk):
            wanted = ", ".join(map(repr, get_args(Bulk)))
            raise DeclarationError(f"track() was given bulk={bulk!r}; give one of {wanted}.")
        self.bulk = bulk
        self.wanted = model
        self.key_type = key_type
        self.id = id
        self.label = model if isinstance(model, str) else model._meta.label

    def __repr__(self) -> str:
        told = getattr(self.id, "__qualname__", None) or repr(self.id)
        return f"track({self.label}, key_type={self.key_type!r}, id={told})"

    @property
    def model(self) -> type[Model]:
        """The model class; needs all models to be loaded."""
        return apps.get_model(self.wanted) if isinstance(self.wanted, str) else self.wanted

    @property
    def column(self) -> Field[Any, Any] | None:
        """The field that holds the id; None when a callable says it."""
        if callable(self.id):
            return None
        meta = self.model._meta
        if self.id == "pk":
            return meta.pk  # type: ignore[no-any-return]  # the stubs do not tell
        return meta.get_field(self.id)  # type: ignore[return-value]  # checked by mistake()

    @property
    def is_by_key(self) -> bool:
        """Whether the id is the primary key, which a row keeps as long as it lives."""
        return self.column is not None and self.column is self.model._meta.pk

    @property
    def columns(self) -> tuple[str, ...]:
        """The attributes of a row that its ids are made of, as far as that is known."""
        column = self.column
        if column is not None:
            return (column.attname,)
        return tuple(field.attname for field in self.model._meta.concrete_fields)

    def written(self, row: Model) -> set[Written]:
        """The entities that *row* belongs to; ``ALL`` one where that cannot be found out."""
        try:
            column = self.column
            found = self.id(row) if callable(self.id) else _canonical(column, row)
        except Exception:  # noqa: BLE001  # whatever a callable of the project raises
            return self.unknown()
        return self.named(found)

    def named(self, found: object) -> set[Written]:
        """The entities with the id, or the several ids, *found*; None names none."""
        if found is ALL:
            return self.all()
        several = isinstance(found, Iterable) and not isinstance(found, (str, bytes))
        try:
            ids: Iterable[Any] = found if several else (found,)  # type: ignore[assignment]
            named = {one for one in ids if one is not None}
            if ALL in named:
                return self.all()
            return {Entity.of(self.key_type, one) for one in named}
        except Exception:  # noqa: BLE001  # a lazy iterable may raise anything too
            return self.unknown()

    def all(self) -> set[Written]:
        """Every entity of the key type."""
        return {(self.key_type, ALL)}

    def unknown(self) -> set[Written]:
        """Logs the error that is being handled; every entity of the key type is to be invalidated."""
        logger.exception(  # noqa: LOG004  # called where the error is handled
            "%r cannot tell which entity was written; every entity of this key type is invalidated",
            self,
        )
        return self.all()

    def mistake(self) -> Mistake | None:
        """What is wrong with the mapping, or None; needs all models to be loaded."""
        try:
            self._check_model()
            self._check_column()
        except Mistake as mistake:
            return mistake
        return None

    def _check_model(self) -> None:
        try:
            meta = self.model._meta
        except (LookupError, ValueError) as error:
            hint = "Give a model class, or its label as in 'app.Model'."
            raise Mistake("E002", f"{self!r}: {error}", hint) from error
        if meta.abstract:
            hint = "Track the models that inherit from it."
            raise Mistake("E002", f"{self!r}: the model is abstract and has no rows.", hint)
        if meta.swapped:
            hint = f"Track {meta.swapped!r}."
            raise Mistake("E002", f"{self!r}: the model is swapped out and has no rows.", hint)

    def _check_column(self) -> None:
        if callable(self.id):
            return
        meta = self.model._meta
        try:
            column: Any = self.column
        except FieldDoesNotExist as error:
            names = [field.attname for field in meta.concrete_fields]
            hint = did_you_mean(str(self.id), names) or f"Give one of: {', '.join(names)}."
            text = f"{self!r}: the model has no field {self.id!r}."
            raise Mistake("E003", text, hint) from error
        if column not in meta.concrete_fields:
            hint = "Give a field that is one column, or a callable that returns the ids."
            raise Mistake("E003", f"{self!r}: {column.name!r} is no single column.", hint)


def _canonical(column: Any, row: Model) -> object:
    """The id as the database gives it back: a row may still hold what somebody assigned."""
    value = getattr(row, column.attname)
    try:
        return target_of(column).to_python(value)
    except ValidationError as error:
        raise UnkeyableValue(f"{value!r} is no value of {column}") from error


def target_of(column: Any) -> Any:
    """The field whose values *column* has: over any number of relations, what they refer to."""
    while column.remote_field:
        column = column.target_field
    return column


def differing(columns: Collection[str], one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether any of *columns* that both have differs."""
    return any(one[name] != other[name] for name in columns if name in one and name in other)
