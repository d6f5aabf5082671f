"""Many-to-many relations: which rows a change of one is a change of.

Django tells of the instance that a relation was changed from, and of the keys on its other side.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from django.db.models import Model


class Change(NamedTuple):
    """What one signal ``m2m_changed`` tells.

    Args:
        through: The model of the table that holds the relation.
        action: Such as ``"pre_add"``.
        instance: What the relation was changed from.
        model: The class on its other side.
        keys: The keys on the other side; None for all that there are.
        using: The database.
    """

    through: type[Model]
    action: str
    instance: Model
    model: type[Model]
    keys: Collection[Any] | None
    using: str

    @property
    def is_ahead(self) -> bool:
        """Whether the change is yet to come."""
        return self.action.startswith("pre_")

    @property
    def is_within(self) -> bool:
        """Whether both sides are rows of the same table, where Django tells of one direction only."""
        own, other = self.instance._meta.concrete_model, self.model._meta.concrete_model
        return own is other

    def other_keys(self) -> Collection[Any] | None:
        """The keys on the other side; None where they cannot be told."""
        if self.keys is not None:
            return self.keys
        sides = self._sides()
        if self.action != "pre_clear" or sides is None:
            return None
        own, other = sides
        rows = self.through._base_manager.using(self.using)
        return list(rows.filter(**{own: self.instance}).values_list(other, flat=True))

    def _sides(self) -> tuple[str, str] | None:
        """The fields of the table that lead to the instance and to the other side."""
        if not self.through._meta.auto_created or self.is_within:
            return None
        names: dict[Any, str] = {
            field.remote_field.model._meta.concrete_model: field.name
            for field in self.through._meta.concrete_fields
            if field.remote_field is not None
        }
        own = names.get(self.instance._meta.concrete_model)
        other = names.get(self.model._meta.concrete_model)
        return None if own is None or other is None else (own, other)
