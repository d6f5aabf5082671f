"""The bracket around a write, as users hold it."""

from __future__ import annotations

import asyncio

import pytest

from cache_core import Cache, DeclarationError, Delivery, UnkeyableValue
from cache_core.layers.base import Bump
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def store():
    return FakeStore(FakeClock())


@pytest.fixture
def cache(store):
    return Cache(remote=store)


def bumped(store):
    """What was invalidated, operation by operation."""
    return [set(operation.things) for operation in store.log if isinstance(operation, Bump)]


def test_a_block_invalidates_what_it_was_given(cache, store):
    """One entity, and whatever stands for any entity of its type."""
    with cache.writing("user_id", 7):
        assert store.log == []
    assert bumped(store) == [{"{user_id:7}", "{user_id:+}"}]


def test_all_that_is_touched_goes_together(cache, store):
    """Entities and tags of one write are one round trip."""
    with cache.writing() as write:
        write.touch("user_id", 7)
        write.touch_many([("team_id", 3), ("user_id", "7")])
        write.touch_tags("news", "sport")
    assert bumped(store) == [
        {"{user_id:7}", "{user_id:+}", "{team_id:3}", "{team_id:+}", "{t:news}", "{t:sport}"}
    ]


def test_an_id_may_be_false(cache, store):
    """The entity 0 is an entity."""
    with cache.writing("user_id", 0):
        pass
    assert bumped(store) == [{"{user_id:0}", "{user_id:+}"}]


@pytest.mark.parametrize("entity_id", [None, 1.5, object()])
def test_an_id_without_text_is_refused(cache, store, entity_id):
    """At once, before anything was written."""
    with pytest.raises(UnkeyableValue):
        cache.writing("user_id", entity_id)
    write = cache.writing()
    with pytest.raises(UnkeyableValue):
        write.touch("user_id", entity_id)


def test_a_tag_without_a_name_is_refused(cache):
    """As by ``invalidate_tags``."""
    with pytest.raises(DeclarationError):
        cache.writing().touch_tags("")


def test_a_refused_entity_does_not_begin_a_write(cache):
    """The request that asked for it is cached on."""
    with cache.enable():
        with pytest.raises(UnkeyableValue):
            cache.writing("user_id", None)
        assert not cache._current.scope.get().is_writing


def test_the_delivery_is_known_at_the_end(cache, store):
    """None before it, then what became of the invalidation."""
    with cache.writing("user_id", 7) as write:
        assert write.delivery is None
    assert write.delivery is Delivery.OK
    with cache.writing("user_id", 7) as write:
        store.down = True
    assert write.delivery is Delivery.QUEUED


def test_a_block_that_was_ended_inside_ends_once(cache, store):
    """Who knows of the rollback says so, and nothing is invalidated."""
    with cache.writing("user_id", 7) as write:
        write.rolled_back()
    assert store.log == [] and write.delivery is Delivery.OK
    with cache.writing("user_id", 7) as write:
        write.committed()
    assert len(bumped(store)) == 1


def test_a_quarantine_is_for_the_end(cache, store):
    """``committed(buffer_ms)`` is as ``invalidate(buffer_ms=...)``."""
    cache.writing("user_id", 7).committed(250)
    assert [operation.quarantine_ms for operation in store.log] == [250]


def test_an_error_goes_on(cache, store):
    """The block hides nothing."""
    with pytest.raises(ZeroDivisionError), cache.writing("user_id", 7):
        raise ZeroDivisionError
    assert len(bumped(store)) == 1


def test_an_async_block_does_the_same(cache, store):
    """With every way to end it."""

    async def main():
        async with cache.writing("user_id", 7) as write:
            write.touch("team_id", 3)
        assert write.delivery is Delivery.OK
        async with cache.writing("user_id", 8) as write:
            await write.arolled_back()
        assert await cache.writing("user_id", 9).acommitted(250) is Delivery.OK

    asyncio.run(main())
    assert [len(things) for things in bumped(store)] == [4, 2]


def test_writes_may_be_nested(cache, store):
    """The inner one ends first, and the request is writing until both have ended."""
    with cache.enable():
        scope = cache._current.scope.get()
        with cache.writing("user_id", 7):
            with cache.writing("team_id", 3):
                pass
            assert scope.is_writing
        assert not scope.is_writing
    assert bumped(store) == [{"{team_id:3}", "{team_id:+}"}, {"{user_id:7}", "{user_id:+}"}]


def test_nested_writes_outside_of_all_scopes_leave_none_behind(cache):
    """What a block has opened it closes, in the right order."""
    with cache.writing("user_id", 7):
        with cache.writing("team_id", 3):
            pass
        assert cache._current.scope.get().is_writing
    assert cache._current.scope.get() is None
    assert not cache.is_enabled
