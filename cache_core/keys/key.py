"""Keys: what a cached result is about, and the texts that name it outside of the process.

::

    Redis, entry      <namespace>:e:{user_id:42}?lang=en&page=2#GetUser@5f0c12ab
    Redis, version    <namespace>:v:{user_id:42}
    people            urn:<namespace>:user_id:42?lang=en&page=2#GetUser

Every component is percent-escaped, so none can be taken for two, and no two keys share a text. The
braces are a hash tag of Redis Cluster: an entry lies beside the version of its entity.

A *thing* is whatever has a version, written as the text that its version key ends in::

    {*}                     everything
    {uc:GetUser}            a use case
    {uc:GetUser}/s:12       a slot of it
    {user_id:42}            an entity
    {user_id:*}             every entity of a type, at once
    {user_id:+}             some entity of a type, whichever it is
    {t:profile}             a tag
    {org:1}/  {org:1}/user:2/   a tenant path, by each of its prefixes
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
TAG_TYPE = "t"
RESERVED_KEY_TYPES = {
    USE_CASE_TYPE: "the versions of use cases are kept under it",
    TAG_TYPE: "the versions of tags are kept under it",
}


@lru_cache(maxsize=4096)
def name_text(name: str) -> str:
    """``escape(name)``, remembered: the names in a program are few.

    A member of an enum of texts is the plain text, which is equal to it.
    """
    return escape(str.__str__(name))


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
    """The thing of all entities of a type at once: ``{user_id:*}``.

    Its version is replaced when all of them are invalidated. No entity is called so: a star in an
    id is escaped.

    Raises:
        DeclarationError: The key type is empty or reserved.
    """
    check_key_type(key_type)
    return f"{{{name_text(key_type)}:*}}"


def any_thing(key_type: str) -> str:
    """The thing that stands for some entity of a type, whichever it is: ``{user_id:+}``.

    Its version is replaced whenever one of them is invalidated, and when all are. What depends on
    it needs no other thing of the type.

    Raises:
        DeclarationError: The key type is empty or reserved.
    """
    check_key_type(key_type)
    return f"{{{name_text(key_type)}:+}}"


def entity_things(entities: Iterable[tuple[str, object]]) -> list[str]:
    """What to invalidate of entities: their things, and those for any of their types; each once.

    Args:
        entities: Pairs of key type and id.

    Raises:
        DeclarationError: A key type is empty or reserved.
        UnkeyableValue: An id has no stable text.
    """
    found = [Entity.of(key_type, entity_id) for key_type, entity_id in entities]
    things = [entity.thing for entity in found]
    return list(dict.fromkeys([*things, *[any_thing(entity.key_type) for entity in found]]))


def number_of(things: Iterable[str]) -> int:
    """How many things people would count: what stands for any entity goes along with each one."""
    return sum([not thing.endswith("+}") for thing in things])


def tag_thing(name: object) -> str:
    """The tail of the version key of the tag *name*: ``{t:profile}``.

    Raises:
        DeclarationError: *name* is not a text, or is empty.
    """
    if not isinstance(name, str) or not name:
        found = "empty" if isinstance(name, str) else f"of type {type(name).__name__}"
        raise DeclarationError(f"A tag is {found}; give a text, for example 'profile'.")
    return f"{{{TAG_TYPE}:{escape(str.__str__(name))}}}"


def tenant_things(path: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The things of a tenant path, from its first level down: ``{org:1}/``, ``{org:1}/user:2/``.

    All of them lie in one slot of Redis Cluster. No entity is called so: it ends in a brace.

    Args:
        path: Pairs of level and canonical text of the id, the outermost first.
    """
    things: list[str] = []
    for level, text in path:
        step = f"{name_text(level)}:{escape(text)}"
        things.append(f"{things[-1]}{step}/" if things else f"{{{step}}}/")
    return tuple(things)


def is_coarse(thing: str) -> bool:
    """Whether *thing* is everything, a use case, a type of entity or a first tenant level.

    Its version does not expire: that would empty a whole use case at once.
    """
    return thing.endswith(_COARSE_ENDS) or (thing.startswith(_USE_CASE) and thing.endswith("}"))


_COARSE_ENDS = ("*}", "+}", "}/")
_USE_CASE = f"{{{USE_CASE_TYPE}:"


@dataclass(frozen=True, slots=True)
class Key:
    """The full key of one cached result.

    Args:
        use_case: The name of the use case.
        entity: What the result is about; None for a use case without an entity.
        args: The other arguments as pairs of name and text, sorted by name.
        schema: What entries of this shape are stored under besides, ``@5f0c12ab``; see ``Schema``.

    Attributes:
        storage: The tail of its entry key: ``{user_id:42}?lang=en#GetUser@5f0c12ab``. Beyond 200
            characters without the schema, the arguments are replaced by ``~`` and their 128 bit
            BLAKE2b digest.
    """

    use_case: str
    entity: Entity | None
    args: tuple[tuple[str, str], ...] = ()
    schema: str = field(default="", repr=False, compare=False)
    storage: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage", self._plain + self.schema)

    @property
    def _plain(self) -> str:
        """The storage text without the schema."""
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
        """The slot (0 to 4095) that this entry falls into; the same in every process and schema."""
        return crc32(self._plain.encode()) % SLOTS

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
