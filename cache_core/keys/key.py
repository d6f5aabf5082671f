"""Keys: what an entry is called, and what the things are called that it depends on.

For people, and as documented, an entry has a URN:
``urn:<namespace>:<key type>:<id>?<arguments>#<use case>``. In a store it is
``{<key type>:<id>}?<arguments>#<use case>``: the braces put it into the same slot of a Redis Cluster
as its entity's version. Every component is percent-escaped, so none can be mistaken for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from cache_core.keys.text import escape, id_text, unescape

ROOT = "{*}"
SLOTS = 4096
LONG = 200
USE_CASE = "uc"
RESERVED_KEY_TYPES = frozenset({USE_CASE, "t"})


def use_case_thing(name: str) -> str:
    """The thing that all entries of a use case depend on."""
    return f"{{{USE_CASE}:{escape(name)}}}"


def slot_thing(name: str, slot: int) -> str:
    """The thing that one entry of a use case, and one in ``SLOTS`` others, depend on.

    A version for each entry would double what the store has to keep. A use case has a fixed number
    of slots instead; invalidating one entry costs one in ``SLOTS`` of the others a miss.
    """
    return f"{use_case_thing(name)}/s:{slot}"


def is_coarse(thing: str) -> bool:
    """Whether a thing is everything or a whole use case, whose version must not expire (K6)."""
    return thing == ROOT or (thing.startswith("{" + USE_CASE + ":") and thing.endswith("}"))


class Entity(NamedTuple):
    """What is cached is about: a kind of thing and the text of its id."""

    key_type: str
    id: str

    @classmethod
    def of(cls, key_type: str, value: object) -> Entity:
        """The entity whose id is *value*; raises ``UnkeyableValue``."""
        return cls(key_type, id_text(value))

    @property
    def thing(self) -> str:
        """The thing that entries about this entity depend on."""
        return f"{{{escape(self.key_type)}:{escape(self.id)}}}"


@dataclass(frozen=True, slots=True)
class Key:
    """The full identity of one entry.

    Args:
        use_case: Name of the use case.
        entity: What the entry is about; None where the use case is about nothing in particular.
        args: (name, canonical text) of each argument that is part of the key, sorted by name.
    """

    use_case: str
    entity: Entity | None
    args: tuple[tuple[str, str], ...] = ()

    @property
    def storage(self) -> str:
        """What the entry is called in a store, after the namespace; long arguments as a digest."""
        owner = self.entity.thing if self.entity else use_case_thing(self.use_case)
        text = f"{owner}?{self._query()}#{escape(self.use_case)}"
        if len(text) <= LONG:
            return text
        digest = blake2b(self._query().encode(), digest_size=16).hexdigest()
        return f"{owner}?~{digest}#{escape(self.use_case)}"

    @property
    def slot(self) -> int:
        """The slot of this entry within its use case; the same in every process."""
        return crc32(self.storage.encode()) % SLOTS

    def urn(self, namespace: str) -> str:
        """What the entry is called for people.

        Args:
            namespace: The cache's namespace.
        """
        key_type, id_ = self.entity or (USE_CASE, self.use_case)
        owner = f"{escape(namespace)}:{escape(key_type)}:{escape(id_)}"
        return f"urn:{owner}?{self._query()}#{escape(self.use_case)}"

    @classmethod
    def parse(cls, urn: str) -> Key:
        """The key that ``urn`` was made from.

        Raises:
            ValueError: *urn* is not such a text.
        """
        head, found, use_case = urn.rpartition("#")
        owner, asked, query = head.partition("?")
        parts = owner.split(":")
        if not found or not asked or len(parts) != 4 or parts[0] != "urn":
            raise ValueError(f"{urn!r} is not of the form urn:<namespace>:<type>:<id>?<args>#<use case>")
        key_type, id_ = unescape(parts[2]), unescape(parts[3])
        args = [item.partition("=") for item in query.split("&")] if query else []
        entity = None if key_type == USE_CASE else Entity(key_type, id_)
        return cls(
            unescape(use_case), entity, tuple([(unescape(name), text) for name, _, text in args])
        )

    def _query(self) -> str:
        # The texts are canonical: whatever could end them early is escaped inside already.
        return "&".join([f"{escape(name)}={text}" for name, text in self.args])
