"""What is invalidated in a block of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeAlias
from unittest.mock import patch

from cache_core.events import Event, Hooks, Invalidated
from cache_core.keys.key import Entity, tag_thing, type_thing
from cache_core.keys.text import unescape

if TYPE_CHECKING:
    from cache_core.cache import Cache

_TAG, _USE_CASE = "{t:", "{uc:"


class Invalidations:
    """What was invalidated, in order; also what the store has not acknowledged.

    Args:
        settle: Called before anything is looked at: has adapters deliver what a transaction has
            written that is over.
    """

    def __init__(self, settle: Callable[[], object]) -> None:
        self._things: list[str] = []
        self._settle = settle

    def note(self, things: Iterable[str]) -> None:
        """Adds what was invalidated."""
        self._things.extend(things)

    @property
    def things(self) -> list[str]:
        """Everything, as the protocol calls it."""
        self._settle()
        return self._things

    @property
    def entities(self) -> list[tuple[str, str]]:
        """The entities, as pairs of key type and the text of the id; each once."""
        found = [_named(thing) for thing in self._plain() if not thing.endswith(("*}", "+}"))]
        return list(dict.fromkeys(found))

    @property
    def key_types(self) -> list[str]:
        """The types of which every entity was invalidated."""
        found = [thing for thing in self._plain() if thing.endswith(":*}")]
        return [unescape(thing[1:-3]) for thing in found]

    @property
    def tags(self) -> list[str]:
        """The tags."""
        return [_named(thing)[1] for thing in self._once() if thing.startswith(_TAG)]

    @property
    def use_cases(self) -> list[str]:
        """The use cases that were invalidated as a whole."""
        found = [thing for thing in self._once() if thing.startswith(_USE_CASE)]
        return [_named(thing)[1] for thing in found if thing.endswith("}")]

    @property
    def flushed(self) -> bool:
        """Whether everything was invalidated."""
        return "{*}" in self.things

    def __contains__(self, entity: tuple[str, object]) -> bool:
        """Whether an entity was invalidated, by itself or together with others."""
        own, kind = Entity.of(*entity).thing, type_thing(entity[0])
        return self.flushed or own in self.things or kind in self.things

    def __len__(self) -> int:
        return len([thing for thing in self.things if not thing.endswith("+}")])

    def __str__(self) -> str:
        names = [thing for thing in self._once() if not thing.endswith("+}")]
        return ", ".join(names) or "nothing"

    __repr__ = __str__

    def _once(self) -> list[str]:
        return list(dict.fromkeys(self.things))

    def _plain(self) -> list[str]:
        """Entities and types, and nothing else that has a version."""
        marked = (_TAG, _USE_CASE, "{*}")
        return [each for each in self._once() if not each.startswith(marked) and each[-1] == "}"]


Caches: TypeAlias = "Callable[[], Iterable[Cache]]"
"""Returns the caches that are meant; asked again, since there may be more of them by then."""


def capture_invalidations(cache: Cache) -> AbstractContextManager[Invalidations]:
    """Notes what is invalidated in the block, in any thread or task.

    Args:
        cache: Whose invalidations. It may be configured anew in the block.
    """
    return captured_of(lambda: (cache,))


@contextmanager
def captured_of(caches: Caches) -> Iterator[Invalidations]:
    """As ``capture_invalidations``, for several caches."""

    def settle() -> None:
        for cache in caches():
            cache.runtime.uncommitted()

    send = Hooks.send
    captured = Invalidations(settle)
    settle()

    def noted(self: Hooks, event: Event) -> None:
        if isinstance(event, Invalidated) and _is_of(self, caches()):
            captured.note(event.things)
        send(self, event)

    with patch.object(Hooks, "send", noted):
        yield captured
        settle()


def _is_of(hooks: Hooks, caches: Iterable[Cache]) -> bool:
    # Asked for, a runtime might be made.
    runtimes = [cache._runtime for cache in caches]  # noqa: SLF001 - of one package
    # An adapter may have put hooks of its own in front.
    return any(each and hooks is getattr(each.hooks, "_hooks", each.hooks) for each in runtimes)


def assert_invalidates(
    cache: Cache, *entities: tuple[str, object], tags: Iterable[str] = (), only: bool = False
) -> AbstractContextManager[Invalidations]:
    """Each of *entities* and *tags* is invalidated in the block.

    Args:
        cache: Whose invalidations.
        entities: Pairs of key type and id. One counts as invalidated when all of its type are, or
            everything is.
        tags: Names of tags.
        only: Whether nothing else may be invalidated; with nothing named, nothing at all.

    Raises:
        AssertionError: Something is missing, or too much; tells what was invalidated.
    """
    return invalidated_of(lambda: (cache,), entities, tags=tags, only=only)


@contextmanager
def invalidated_of(
    caches: Caches, entities: Iterable[tuple[str, object]], *, tags: Iterable[str], only: bool
) -> Iterator[Invalidations]:
    """As ``assert_invalidates``, for several caches: one of them is to invalidate each."""
    with captured_of(caches) as captured:
        yield captured
    entities, tags = list(entities), list(tags)
    missing = [f"{each[0]} {each[1]}" for each in entities if each not in captured]
    missing += [f"tag {tag}" for tag in tags if tag not in captured.tags and not captured.flushed]
    if missing:
        raise AssertionError(
            f"{', '.join(missing)} was to be invalidated, and is not; invalidated was {captured}"
        )
    named = {Entity.of(*entity).thing for entity in entities} | {tag_thing(tag) for tag in tags}
    others = {each for each in captured.things if not each.endswith("+}")} - named
    if only and others:
        raise AssertionError(f"{', '.join(sorted(others))} was not to be invalidated, and is")


def _named(thing: str) -> tuple[str, str]:
    """The two parts of ``{user_id:42}``."""
    key_type, _, rest = thing[1:-1].partition(":")
    return unescape(key_type), unescape(rest)
