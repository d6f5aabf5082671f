"""What flask_ext.testing gives to the tests of an app."""

from __future__ import annotations

import unittest
from pathlib import Path

import pytest
from flask import Flask

from cache_core import Cache, DeclarationError, NotConfigured, Policy
from cache_core.testing import FakeClock, FakeStore
from flask_ext import CacheCore, testing
from flask_ext.signals import cache_loaded
from flask_ext.testing import (
    assert_invalidates,
    assert_loader_calls,
    cache_off,
    capture_invalidations,
    fresh_cache,
    override_policy,
    override_ramp,
)


def ramps(cache, app, name="GetUser"):
    policy = cache.for_app(app).policy(name)
    return policy.local.ramp, policy.remote.ramp


def passed(kind):
    """Runs the tests of a class as unittest does; fails with what they say."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
    assert not result.errors + result.failures, (result.errors + result.failures)[0][1]
    return result.testsRun


# -- policies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["function", "cache", "app cache", "app"])
def test_a_ramp_holds_for_a_block(cache, app, users, target):
    """Of a use case, a cache, a cache of one app, an app; without an app context."""
    targets = {
        "function": users.get,
        "cache": cache,
        "app cache": cache.for_app(app),
        "app": app,
    }
    with override_ramp(targets[target], 12.5):
        assert ramps(cache, app) == (12.5, 12.5)
    assert ramps(cache, app) == (100, 100)


def test_a_ramp_may_be_for_one_app(cache, make_app, users):
    """The others keep theirs."""
    one, two = make_app("one"), make_app("two")
    with override_ramp(cache.for_app(one), remote=0, use_case="GetUser"):
        assert ramps(cache, one) == (100, 0)
        assert ramps(cache, two) == (100, 100)


def test_an_app_that_is_made_meanwhile_counts(cache, make_app, users):
    """As where a class is decorated, and its setUp calls the factory."""

    @override_ramp(users.get, 50)
    class Tests(unittest.TestCase):
        def setUp(self):
            self.app = make_app()

        def test_it(self):
            assert ramps(cache, self.app) == (50, 50)

    assert passed(Tests) == 1
    assert [ramps(cache, app) for app in (make_app(), *[each.app for each in cache.apps()])] == [
        (100, 100)
    ] * (1 + len(cache.apps()))


def test_a_policy_may_be_given_whole(cache, app, users):
    """Or by its fields, or both; a name of no use case is refused."""
    with override_policy(users.get, Policy(ttl=5), grace=60):
        policy = cache.for_app(app).policy("GetUser")
        assert (policy.local.ttl, policy.grace) == (5, 60)
    with pytest.raises(DeclarationError, match="Did you mean 'GetUser'"):
        override_ramp(cache, 5, use_case="GetUsr").__enter__()
    with pytest.raises(DeclarationError, match="is not a cached function"):
        override_ramp(ramps, 5)


def test_a_ramp_without_a_number_is_refused(cache):
    """It would do nothing."""
    with pytest.raises(TypeError, match="override_ramp"):
        override_ramp(cache)


# -- off and fresh ---------------------------------------------------------------------------------


def test_caching_may_be_off(client, users):
    """Also in requests."""
    with cache_off():
        client.get("/user/7"), client.get("/user/7")
    assert users.loads[7] == 2


def test_a_fresh_cache_finds_nothing_of_before(cache, users, make_app):
    """Not even in a store that stays; afterwards the settings are as they were."""
    app = make_app(config={"REMOTE": FakeStore(FakeClock())})
    client = app.test_client()
    before = cache.for_app(app).runtime.settings.namespace
    for target in (cache, app, cache.for_app(app)):
        with fresh_cache(target), assert_loader_calls(users.get, 1):
            client.get("/user/7"), client.get("/user/7")
            assert cache.for_app(app).runtime.settings.background_workers == 0
    assert cache.for_app(app).runtime.settings.namespace == before


def test_signals_come_once_in_a_fresh_cache(cache, app, client, users):
    """As they do without it."""
    told = []

    def receive(_, event, **__):
        told.append(event.use_case)

    with fresh_cache(app), cache_loaded.connected_to(receive, app):
        client.get("/user/7")
    assert told == ["GetUser"]


# -- invalidations and loads -----------------------------------------------------------------------


def test_invalidations_are_captured_without_an_app_context(cache, make_app):
    """Those of all apps, and of apps that come; those of one where it is named."""
    one = make_app("one")
    with capture_invalidations(cache) as every, capture_invalidations(one) as captured:
        two = make_app("two")
        cache.for_app(one).invalidate("user_id", 7)
        cache.for_app(two).invalidate_tags("news")
    assert every.entities == captured.entities == [("user_id", "7")]
    assert (every.tags, captured.tags) == (["news"], [])


def test_an_invalidation_is_asserted(cache, app):
    """What is missing is named, and what is too much."""
    own = cache.for_app(app)
    with assert_invalidates(cache, ("user_id", 7), tags=["a"], only=True):
        own.invalidate("user_id", 7), own.invalidate_tags("a")
    with (
        pytest.raises(AssertionError, match=r"user_id 8 was to be invalidated.* was \{user_id:7\}"),
        assert_invalidates(cache, ("user_id", 8)),
    ):
        own.invalidate("user_id", 7)
    with (
        pytest.raises(AssertionError, match=r"\{user_id:7\} was not to be invalidated"),
        assert_invalidates(app, only=True),
    ):
        own.invalidate("user_id", 7)


def test_loads_of_all_apps_are_counted(make_app, users):
    """Also of an app that comes in the block."""
    one = make_app("one").test_client()
    with assert_loader_calls(users.get, 2):
        one.get("/user/7"), one.get("/user/7")
        make_app("two").test_client().get("/user/7")
    message = "GetUser was to be loaded 1 times, and there were 0 loads"
    with pytest.raises(AssertionError, match=message), assert_loader_calls(users.get, 1):
        one.get("/user/7")


# -- what is no target -----------------------------------------------------------------------------


def test_an_app_without_a_cache_is_refused():
    """With what to do."""
    with pytest.raises(NotConfigured, match="init_app"), capture_invalidations(Flask("bare")):
        pass


def test_a_cache_of_the_core_is_refused():
    """It has helpers of its own."""
    with pytest.raises(TypeError, match="CacheCore"), fresh_cache(Cache()):
        pass


def test_nothing_is_left_behind(cache, app, users):
    """The declaration is as it was."""
    before = dict(vars(cache))
    with override_ramp(cache, 5), fresh_cache(cache), capture_invalidations(cache):
        pass
    assert vars(cache) == before


def test_all_helpers_are_listed():
    """What is public stands on the page."""
    page = Path(__file__).resolve().parents[2] / "docs" / "flask" / "testing.md"
    text = page.read_text(encoding="utf-8")
    assert CacheCore.__name__ in text
    for name in testing.__all__:
        assert f"`{name}" in text
