"""What django_ext.testing gives to the tests of a project."""

from __future__ import annotations

import asyncio
import unittest
from functools import partial
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client, SimpleTestCase, TestCase, override_settings

from cache_core import ConfigurationError, DeclarationError, Policy
from cache_core.testing import FakeClock, FakeStore, frozen
from django_ext import cache, testing
from django_ext.testing import (
    CacheTestMixin,
    assert_invalidates,
    assert_loader_calls,
    cache_off,
    capture_invalidations,
    fresh_cache,
    override_policy,
    override_ramp,
)
from tests.django.library.caching import get_author
from tests.django.library.models import Author


def ramps(name="GetAuthor"):
    policy = cache.policy(name)
    return policy.local.ramp, policy.remote.ramp


def passed(kind):
    """Runs the tests of a class as unittest does; fails with what they say."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]
    return result.testsRun


@pytest.fixture
def ada():
    return Author.objects.create(name="Ada")


# -- policies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_case", ["GetAuthor", get_author, "*"])
def test_a_ramp_holds_for_a_block(use_case):
    """Of a use case by its name or its function, or of all; afterwards it is as it was."""
    before = ramps()
    with override_ramp(use_case, 12.5):
        assert ramps() == (12.5, 12.5)
    assert ramps() == before


def test_one_layer_may_be_ramped():
    """The other one stays as it is."""
    with override_ramp("GetAuthor", remote=0):
        assert ramps() == (100, 0)


@pytest.mark.parametrize("ramps", [{}, {"ramp": 5, "local": 5}])
def test_a_ramp_without_a_number_is_refused(ramps):
    """It would do nothing, or nobody knows what."""
    with pytest.raises(TypeError, match="override_ramp"):
        override_ramp("GetAuthor", **ramps)


def test_overrides_nest():
    """An outer one shines through where the inner one says nothing."""
    with override_policy("GetAuthor", ttl=5), override_ramp("GetAuthor", 50):
        assert cache.policy("GetAuthor").local.ttl == 5
        assert ramps() == (50, 50)
    assert not cache.runtime.overrides.snapshot


def test_a_policy_may_be_given_whole():
    """Or by its fields, or both."""
    with override_policy("GetAuthor", Policy(ttl=5), grace=60):
        policy = cache.policy("GetAuthor")
        assert (policy.local.ttl, policy.grace) == (5, 60)


def test_an_override_outlives_a_change_of_settings():
    """The cache is another one then, and so it is when they change back; nothing of it stays."""
    with override_ramp("GetAuthor", 50), override_policy("GetAuthor", ttl=5):
        with override_settings(CACHE_CORE={"NAMESPACE": "other"}):
            assert ramps() == (50, 50)
            assert cache.policy("GetAuthor").local.ttl == 5
        assert ramps() == (50, 50)
    assert not cache.runtime.overrides.snapshot


def test_a_block_that_raises_leaves_the_policy_as_it_was():
    """Whatever happens in it."""
    with pytest.raises(ZeroDivisionError), override_ramp("GetAuthor", 50):
        1 / 0  # noqa: B018
    assert ramps() == (100, 100)


def test_wrong_policies_are_refused():
    """A field at once, a name when the block begins."""
    with pytest.raises(ConfigurationError, match="ramp"):
        override_ramp("GetAuthor", 101)
    with pytest.raises(DeclarationError, match="Did you mean 'GetAuthor'"):
        override_ramp("GetAutor", 5).__enter__()


def test_they_decorate_tests():
    """Functions and coroutine functions, each call anew; their names stay."""

    @override_ramp("GetAuthor", 50)
    def test_it():
        return ramps()

    @override_ramp("GetAuthor", 50)
    async def test_that():
        await asyncio.sleep(0)
        return ramps()

    for _ in range(2):
        assert test_it() == asyncio.run(test_that()) == (50, 50)
    assert ramps() == (100, 100)
    assert test_it.__name__ == "test_it"


def test_they_decorate_classes():
    """Each test of a TestCase, with its setUp; and of a plain class."""

    @override_ramp("GetAuthor", 50)
    class Ramped(SimpleTestCase):
        def setUp(self):
            self.ramps = ramps()

        def test_it(self):
            assert self.ramps == ramps() == (50, 50)

    @override_ramp("GetAuthor", 50)
    class Plain:
        def test_it(self):
            return ramps()

        def other(self):
            return ramps()

    @override_ramp("GetAuthor", 50)
    class Fresh(CacheTestMixin, SimpleTestCase):
        def test_it(self):
            assert ramps() == (50, 50)

    assert passed(Ramped) == 1
    assert passed(Fresh) == 1
    assert not cache.runtime.overrides.snapshot
    assert (Plain().test_it(), Plain().other()) == ((50, 50), (100, 100))


# -- off -------------------------------------------------------------------------------------------


def test_caching_may_be_off(ada):
    """Also where the code, or the middleware, switches it on."""
    with cache_off(), assert_loader_calls(get_author, 0), cache.enable():
        assert get_author(ada.pk) == "Ada"
        assert not cache.is_enabled

    @cache_off()
    async def test_it():
        with cache.enable():
            return cache.is_enabled

    assert asyncio.run(test_it()) is False


# -- invalidations ---------------------------------------------------------------------------------


def test_invalidations_are_captured(ada):
    """Entities by type and id, tags, types, use cases; in order and once."""
    with capture_invalidations() as captured:
        cache.invalidate_many([("user_id", 7), ("a:b", "x y")])
        cache.invalidate("user_id", "7")
        cache.invalidate_tags("profile")
        cache.invalidate_type("org_id")
        cache.invalidate_use_case("GetAuthor")
    cache.invalidate("user_id", 8)
    assert captured.entities == [("user_id", "7"), ("a:b", "x y")]
    assert captured.tags == ["profile"]
    assert captured.key_types == ["org_id"]
    assert captured.use_cases == ["GetAuthor"]
    assert not captured.flushed
    assert ("user_id", 7) in captured
    assert ("org_id", 1) in captured  # with all of its type
    assert ("user_id", 8) not in captured
    assert len(captured) == 6


def test_a_flush_invalidates_everything():
    """So each entity is among it."""
    with capture_invalidations() as captured:
        cache.flush()
    assert captured.flushed
    assert ("user_id", 8) in captured
    assert captured.entities == []


def test_writes_of_tracked_models_are_captured(ada):
    """After the COMMIT, from any thread."""
    with capture_invalidations() as captured:
        with transaction.atomic():
            ada.save()
            assert captured.things == []
        assert captured.entities == [("author_id", str(ada.pk))]


def test_in_a_test_case_the_end_of_a_block_is_its_commit(ada):
    """Nobody tells of it there, so what is captured is looked for."""

    class Tests(TestCase):
        def test_it(self):
            author = Author.objects.create(name="Ada")
            with assert_invalidates(("author_id", author.pk), only=True), transaction.atomic():
                author.save()
            with transaction.atomic():
                author.save()
            with capture_invalidations() as captured:
                assert captured.things == []  # that one came before

    assert passed(Tests) == 1


def test_settings_may_change_meanwhile(ada):
    """The cache is another one then, and its invalidations are captured as well."""
    with capture_invalidations() as captured, override_settings(CACHE_CORE={"NAMESPACE": "other"}):
        ada.save()
    assert ("author_id", ada.pk) in captured


def test_other_caches_do_not_count():
    """Each has its own."""
    from cache_core import Cache

    with capture_invalidations() as captured:
        Cache().invalidate("user_id", 7)
    assert captured.things == []


def test_an_invalidation_is_asserted(ada):
    """What is missing is named, with what there was instead."""
    with assert_invalidates(("author_id", ada.pk)):
        ada.save()
    with assert_invalidates(tags=["profile"]):
        cache.invalidate_tags("profile")
    message = r"author_id 0, tag profile was to be invalidated, and is not; .* was {user_id:7}$"
    with (
        pytest.raises(AssertionError, match=message),
        assert_invalidates(("author_id", 0), tags=["profile"]),
    ):
        cache.invalidate("user_id", 7)


def test_more_than_expected_may_be_an_error():
    """Nothing at all may be expected, too."""
    with assert_invalidates(("user_id", 7), tags=["a"], only=True):
        cache.invalidate("user_id", 7)
        cache.invalidate_tags("a")
    for expected in ([("user_id", 7)], []):
        with (
            pytest.raises(AssertionError, match=r"\{user_id:8\} was not to be invalidated"),
            assert_invalidates(*expected, only=True),
        ):
            cache.invalidate_many([*expected, ("user_id", 8)])


def test_an_error_of_the_block_is_not_hidden():
    """It says more than what did not happen because of it."""
    with pytest.raises(ZeroDivisionError), assert_invalidates(("user_id", 7)):
        1 / 0  # noqa: B018


# -- loads -----------------------------------------------------------------------------------------


def test_loads_are_counted(ada):
    """Of the cache, and not calls while it is off."""
    with assert_loader_calls(get_author, 1), cache.enable():
        get_author(ada.pk)
        get_author(ada.pk)
    message = "was to be loaded 1 times, and there were 0"
    with (
        pytest.raises(AssertionError, match=message),
        assert_loader_calls(get_author, 1),
        cache.enable(),
    ):
        get_author(ada.pk)


# -- fresh caches ----------------------------------------------------------------------------------


@pytest.fixture
def shared():
    """A store that stays from test to test, as a Redis does."""
    store = FakeStore(FakeClock())
    with override_settings(CACHE_CORE={"REMOTE": store, "NAMESPACE": "x" * 64}):
        yield store


def test_a_fresh_cache_finds_nothing_of_before(ada, shared):
    """Neither in this process nor in the store; and leaves nothing to find."""
    for _ in range(2):
        with fresh_cache(), assert_loader_calls(get_author, 1), cache.enable():
            get_author(ada.pk)
            assert cache.runtime.settings.background_workers == 0
    assert cache.runtime.settings.namespace == "x" * 64
    assert cache.runtime.settings.background_workers == 4


def test_a_fresh_cache_stays_one_when_settings_change(ada, shared):
    """In a namespace of its own again."""
    with fresh_cache(consistency="ttl"):
        own = cache.runtime.settings.namespace
        with override_settings(CACHE_CORE={"NAMESPACE": "other", "BREAKER_SECONDS": 9}):
            settings = cache.runtime.settings
            assert settings.namespace.startswith("other.")
            assert (settings.breaker_seconds, settings.consistency) == (9, "ttl")
        assert cache.runtime.settings.namespace not in {own, "x" * 64}


def test_wrong_settings_in_a_fresh_cache_are_told_to_who_uses_it():
    """As without it."""
    with fresh_cache():
        with override_settings(CACHE_CORE={"NAMESPASE": "x"}), pytest.raises(ConfigurationError):
            cache.runtime  # noqa: B018
        cache.stats()


def test_what_was_configured_by_hand_comes_back(ada):
    """Not only what Django's settings say."""
    cache.configure(namespace="by-hand")
    with fresh_cache():
        assert cache.runtime.settings.namespace.startswith("by-hand.")
    assert cache.runtime.settings.namespace == "by-hand"
    cache.reload()


def test_the_mixin_gives_each_test_a_fresh_cache(shared):
    """In a TestCase, whose rows are gone afterwards while their ids come again."""

    class Tests(CacheTestMixin, TestCase):
        def setUp(self):
            super().setUp()
            self.author = Author.objects.create(pk=1, name=self.id()[-1])

        def test_a(self):
            with self.assertLoaderCalls(get_author, 1), cache.enable():
                assert get_author(1) == self.author.name == self.id()[-1]

        test_b = test_a

        def test_invalidation(self):
            with self.assertInvalidates(("author_id", 1), only=True):
                self.author.save()

        def test_pages(self):
            assert Client().get("/admin/login/").status_code == 200

    assert passed(Tests) == 4


def test_all_helpers_are_listed():
    """What is public stands on the page."""
    page = Path(__file__).resolve().parents[2] / "docs" / "django" / "testing.md"
    text = page.read_text(encoding="utf-8")
    for name in testing.__all__:
        assert f"`{name}" in text


def test_time_may_stand_still_in_a_fresh_cache(ada):
    """The other helpers go together with it."""
    with fresh_cache(), frozen(cache) as clock, cache.enable():
        get_author(ada.pk)
        clock.advance(3600)
    assert partial(ramps)() == (100, 100)
