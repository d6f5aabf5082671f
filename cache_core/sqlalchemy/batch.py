"""What is going to be invalidated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from cache_core.keys.key import Entity, any_thing, entity_things, type_thing

if TYPE_CHECKING:
    from cache_core.cache import Cache

Owner = tuple["Cache", Union["Cache", None]]
"""What models are tracked for, and the cache to tell; None where no app ran and it is not known."""


@dataclass
class Batch:
    """Single entities, and key types of which no entity is known."""

    entities: set[Entity] = field(default_factory=set)
    key_types: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.entities or self.key_types)

    def add(self, other: Batch) -> None:
        """Takes over what *other* has."""
        self.entities |= other.entities
        self.key_types |= other.key_types

    def things(self) -> tuple[str, ...]:
        """The things to give fresh versions to; an entity is left out where its whole type is in."""
        known = [entity for entity in sorted(self.entities) if entity[0] not in self.key_types]
        whole = [kind(each) for each in sorted(self.key_types) for kind in (type_thing, any_thing)]
        return tuple(dict.fromkeys([*entity_things(known), *whole]))


Bucket = dict[Owner, Batch]
"""What is to be told, by whom it is told."""


def add_to(bucket: Bucket, other: Bucket) -> None:
    """Takes over into *bucket* what *other* has."""
    for owner, batch in other.items():
        bucket.setdefault(owner, Batch()).add(batch)


def united(buckets: Iterable[Bucket]) -> Bucket:
    """All *buckets* in one."""
    whole: Bucket = {}
    for bucket in buckets:
        add_to(whole, bucket)
    return whole
