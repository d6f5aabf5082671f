"""Keys: what a cached result is about, and the texts that name it outside of the process.

::

    Redis, entry      <namespace>:e:{user_id:42}?lang=en&page=2#GetUser
    Redis, version    <namespace>:v:{user_id:42}
    people            urn:<namespace>:user_id:42?lang=en&page=2#GetUser

Every component is percent-escaped, so none can be taken for two, and no two keys share a text. The
braces are a hash tag of Redis Cluster: an entry lies beside the version of its entity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from cache_core.errors import DeclarationError
from cache_core.keys.text import escape, id_text, unescape

ROOT = "{*}"
"""The thing that everything depends on."""

SLOTS = 4096
"""Into how many slots the entries of one use case fall; a single entry is invalidated by its slot.

A neighbour in the slot is recomputed too, once in a few thousand entries; in return there is a
bounded number of versions, whatever the number of entries.
"""

LONGEST = 200
"""Characters of a storage text beyond which its arguments are replaced by their digest."""

USE_CASE_TYPE = "uc"
RESERVED_KEY_TYPES = {
    USE_CASE_TYPE: "the versions of use cases are kept under it",
    "t": "the versions of tags are kept under it",
}

# The names in a program are few, and escaping looks at each character.
name_text = lru_cache(maxsize=4096)(escape)


def check_key_type(key_type: object) -> None:
    """Refuses what cannot be the type of an entity.

    Raises:
        DeclarationError: *key_type* is not a text, is empty, or is reserved.
    """
    if not isinstance(key_type, str) or not key_type:
        raise DeclarationError(
            f"key_type is {key_type!r}; give a text that says what the id is of, for example 'user_id'."
        )
    if key_type in RESERVED_KEY_TYPES:
        raise DeclarationError(
            f"key_type {key_type!r} is reserved: {RESERVED_KEY_TYPES[key_type]}. "
            f"Choose another word, for example '{key_type}_id'."
        )


class Entity(NamedTuple):
    """What a cached result is about, for example user 42.

    Args:
        key_type: The kind of entity, for example ``"user_id"``.
        id: Its canonical text; see ``of`` for ids of other types.
    """

    key_type: str
    id: str

    @classmethod
    def of(cls, key_type: str, id: object) -> Entity:
        """The entity with an id of any type that an id may have; ``7`` and ``"7"`` are the same.

        Raises:
            DeclarationError: The key type is empty or reserved.
            UnkeyableValue: The id has no canonical text.
        """
        check_key_type(key_type)
        return cls(key_type, id_text(id))

    @property
    def thing(self) -> str:
        """The tail of its version key: ``{user_id:42}``."""
        return f"{{{name_text(self.key_type)}:{escape(self.id)}}}"


def use_case_thing(name: str) -> str:
    """The tail of the version key of the use case *name*: ``{uc:GetUser}``."""
    return f"{{{USE_CASE_TYPE}:{name_text(name)}}}"


def slot_thing(name: str, slot: int) -> str:
    """The tail of the version key of one slot (0 to 4095) of the use case *name*."""
    return f"{use_case_thing(name)}/s:{slot}"


def type_thing(key_type: str) -> str:
    """The tail of the version key of all entities of a type: ``{user_id:*}``.

    No entity is called so: a star in an id is escaped.

    Raises:
        DeclarationError: The key type is empty or reserved.
    """
    check_key_type(key_type)
    return f"{{{name_text(key_type)}:*}}"


def is_coarse(thing: str) -> bool:
    """Whether *thing* is the root, a whole use case or a whole type of entity.

    Its version does not expire: that would empty a whole use case at once.
    """
    if thing.endswith("*}"):
        return True
    return thing.startswith(f"{{{USE_CASE_TYPE}:") and thing.endswith("}")


@dataclass(frozen=True, slots=True)
class Key:
    """The full key of one cached result.

    Args:
        use_case: The name of the use case.
        entity: What the result is about; None for a use case without an entity.
        args: The other arguments as pairs of name and text, sorted by name.

    Attributes:
        storage: The tail of its entry key: ``{user_id:42}?lang=en#GetUser``. Beyond 200 characters
            the arguments are replaced by ``~`` and their 128 bit BLAKE2b digest.
    """

    use_case: str
    entity: Entity | None
    args: tuple[tuple[str, str], ...] = ()
    storage: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", self._storage())

    def _storage(self) -> str:
        thing, query, name = self._thing, self._query, name_text(self.use_case)
        text = f"{thing}{query}#{name}"
        if len(text) <= LONGEST or not query:
            return text
        return f"{thing}?~{blake2b(query.encode(), digest_size=16).hexdigest()}#{name}"

    @property
    def _thing(self) -> str:
        return self.entity.thing if self.entity else use_case_thing(self.use_case)

    @property
    def _query(self) -> str:
        if not self.args:
            return ""
        return "?" + "&".join([f"{name_text(name)}={escape(text)}" for name, text in self.args])

    @property
    def slot(self) -> int:
        """The slot (0 to 4095) that this entry falls into; the same in every process."""
        return crc32(self.storage.encode()) % SLOTS

    @property
    def urn(self) -> str:
        """For people and logs, never shortened: ``urn:user_id:42?lang=en#GetUser``."""
        return f"urn:{self._thing[1:-1]}{self._query}#{name_text(self.use_case)}"

    def urn_in(self, namespace: str) -> str:
        """As ``urn``, with the namespace of a cache: ``urn:shop:user_id:42?lang=en#GetUser``."""
        return f"urn:{name_text(namespace)}{self.urn[3:]}"

    @classmethod
    def parse_urn(cls, text: str) -> Key:
        """The key that a URN names, with or without a namespace.

        Raises:
            ValueError: *text* is not a URN of a cached result.
        """
        match = _URN.fullmatch(text)
        try:
            if match is not None:
                return _parsed(*match.groups())
        except (ValueError, DeclarationError):
            pass
        raise ValueError(
            f"{text!r} is not the URN of a cached result; "
            "it looks like urn:<namespace>:<key type>:<id>?<name>=<argument>&...#<use case>."
        )

    def __str__(self) -> str:
        return self.urn


_URN = re.compile(r"urn:(?:[^:?#]*:)?([^:?#]*):([^:?#]*)(?:\?([^?#]+))?#([^#]*)")


def _parsed(key_type: str, id: str, query: str | None, name: str) -> Key:
    use_case = unescape(name)
    entity = Entity(unescape(key_type), unescape(id))
    args = tuple([_parsed_argument(part) for part in query.split("&")]) if query else ()
    if entity == (USE_CASE_TYPE, use_case):
        return Key(use_case, None, args)
    check_key_type(entity.key_type)
    return Key(use_case, entity, args)


def _parsed_argument(part: str) -> tuple[str, str]:
    name, equals, text = part.partition("=")
    if not equals:
        raise ValueError(f"{part!r} is not an argument.")
    return unescape(name), unescape(text)
