"""The extension object: apps, instances, and what happens where no app is running."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import pytest
from flask import Flask, current_app

from cache_core import ConfigurationError, DeclarationError, Delivery, NotConfigured
from flask_ext import CacheCore


def in_thread(function):
    """Runs *function* in a new thread, which has no context of any kind."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_state_is_kept_per_app_under_a_key_of_its_own(cache, app):
    """The state of an app is in app.extensions under our key, and Flask-Caching's is left alone."""
    assert app.extensions["cache_core"]["default"] is cache.for_app(app)
    assert "cache" not in app.extensions


def test_initialising_twice_changes_nothing(cache, app, users):
    """A second init_app of the same instance is harmless: one scope a request, same state."""
    state, wsgi_app = cache.for_app(app), app.wsgi_app
    cache.init_app(app)
    assert cache.for_app(app) is state
    assert app.wsgi_app is wsgi_app


def test_a_second_instance_of_a_name_is_refused(app):
    """Two objects that claim one name on one app are an error that says what to do."""
    with pytest.raises(ConfigurationError, match=r"another CacheCore object.*Import one CacheCore"):
        CacheCore().init_app(app)


def test_several_instances_live_in_one_app(app, client):
    """A second instance with a name of its own has its own use cases, namespace and figures."""
    reports = CacheCore({"DEFAULT": {"TTL": 60}}, name="reports")
    reports.init_app(app)
    runs = []

    @reports.cached(key_type="user_id", id_arg="id", use_case="GetUser")
    def report(id):
        runs.append(id)
        return "report"

    app.add_url_rule("/report", view_func=lambda: report(7))
    assert [client.get("/report").text for _ in range(2)] == ["report", "report"]
    assert runs == [7]
    assert app.extensions["cache_core"]["reports"].stats()["namespace"] == "app.reports"
    assert app.extensions["cache_core"]["default"].stats()["use_cases"]["GetUser"]["requests"] == 0


def test_two_apps_share_a_declaration_and_nothing_else(cache, make_app, users):
    """Each app serves from its own entries, counts for itself and is invalidated for itself."""
    one, two = make_app("one"), make_app("two")
    assert one.test_client().get("/user/7").text == "Ada"
    users.rows[7] = "Grace"
    assert two.test_client().get("/user/7").text == "Grace"
    assert one.test_client().get("/user/7").text == "Ada"
    cache.for_app(one).invalidate("user_id", 7)
    assert one.test_client().get("/user/7").text == "Grace"
    loads = [cache.for_app(app).stats()["use_cases"]["GetUser"]["loads"] for app in (one, two)]
    assert loads == [2, 1]


def test_the_running_app_is_used(cache, make_app):
    """invalidate() inside an app context is for that app, whichever was initialised last."""
    one, two = make_app("one"), make_app("two")
    with one.app_context():
        assert cache.invalidate("user_id", 7) is Delivery.OK
    numbers = [cache.for_app(app).stats()["invalidations"] for app in (one, two)]
    assert numbers == [1, 0]


def test_a_proxy_of_an_app_will_do(cache, app):
    """for_app(current_app) is for the app behind the proxy."""
    with app.app_context():
        assert cache.for_app(current_app) is cache.for_app(app)


def test_an_app_without_the_extension_names_the_two_usual_causes():
    """In an app that was not initialised, invalidate() raises and says why that may be."""
    cache = CacheCore()
    with Flask("bare").app_context(), pytest.raises(NotConfigured) as caught:
        cache.invalidate("user_id", 7)
    assert "init_app(app) was not called" in str(caught.value)
    assert "another CacheCore object" in str(caught.value)


def test_invalidating_outside_of_every_app_raises_with_advice(cache, app):
    """A lost invalidation would be stale data, so it is an error, although an app exists."""
    with pytest.raises(NotConfigured, match=r"cache\.for_app\(app\)"):
        cache.invalidate("user_id", 7)


def test_reads_outside_of_every_app_run_uncached_with_one_warning(cache, app, users, caplog):
    """Without an app a cached function is itself; one warning for each use case, and a count."""
    with caplog.at_level(logging.WARNING, "cache_core"):
        assert [in_thread(lambda: users.get(7)) for _ in range(3)] == ["Ada"] * 3
    assert users.loads[7] == 3
    assert len(caplog.records) == 1
    assert "'GetUser' runs uncached" in caplog.text
    figures = cache.for_app(app).stats()["use_cases"]["GetUser"]
    assert figures["bypasses"] == {"all": {"no_context": 3}}
    assert figures["calls_while_off"] == 3


def test_enabling_outside_of_every_app_does_not_cache(cache, app, users, caplog):
    """enable() without an app does no harm: the calls in it run uncached, with the warning."""
    with cache.enable():
        assert [users.get(7), users.get(7)] == ["Ada", "Ada"]
    assert users.loads[7] == 2
    assert "runs uncached" in caplog.text


def test_reads_in_an_app_without_the_extension_warn(users, caplog):
    """Where init_app was forgotten the pages work, and the log says why nothing is cached."""
    with Flask("bare").app_context():
        assert users.get(7) == "Ada"
    assert "does not know this cache" in caplog.text


def test_calls_in_a_running_app_do_not_warn(app, client, users, caplog):
    """Caching that is off on purpose, as in a POST or a command, is no reason for a warning."""
    client.post("/user/7")
    with app.app_context():
        users.get(7)
    assert not caplog.records
    assert users.loads[7] == 2


def test_a_handle_is_a_scope_for_threads(cache, app, users):
    """In ``with cache.for_app(app)`` caching is on, and the declaration works for that app."""

    def work():
        with cache.for_app(app):
            first = users.get(7)
            users.rows[7] = "Grace"
            second = users.get(7)
            cache.invalidate("user_id", 7)
            return first, second, users.get(7)

    assert in_thread(work) == ("Ada", "Ada", "Grace")


def test_a_handle_wins_over_the_running_app(cache, make_app):
    """Inside a handle's block calls are for its app, also when another one is pushed."""
    one, two = make_app("one"), make_app("two")
    with cache.for_app(one) as handle, two.app_context():
        cache.invalidate("user_id", 7)
        assert cache.app_cache is handle
    assert cache.for_app(two).stats()["invalidations"] == 0


def test_a_request_inside_a_handles_block_is_for_its_own_app(cache, make_app, users):
    """A test client used inside a handle's block gets the entries of the app that it calls."""
    one, two = make_app("one"), make_app("two")
    two.add_url_rule("/change", view_func=lambda: cache.invalidate("user_id", 7).value)
    with cache.for_app(one):
        assert users.get(7) == "Ada"
        users.rows[7] = "Grace"
        assert two.test_client().get("/user/7").text == "Grace"
        assert two.test_client().get("/change").text == "ok"
        assert users.get(7) == "Ada"
    numbers = [cache.for_app(app).stats()["invalidations"] for app in (one, two)]
    assert numbers == [0, 1]


def test_a_handle_may_be_entered_by_several_threads_and_twice(cache, app, users):
    """Entering is kept by the running code, not by the handle that everybody shares."""
    handle = cache.for_app(app)
    with handle, handle:
        assert in_thread(lambda: cache.is_enabled) is False
        assert cache.is_enabled
    assert not cache.is_enabled


def test_a_handle_declares_nothing(cache, app):
    """Use cases belong to the declaration; a handle says so."""
    with pytest.raises(DeclarationError, match="declare use cases on the CacheCore object"):
        cache.for_app(app).cached(key_type="user_id")


def test_the_declaration_is_not_configured_by_hand(cache):
    """configure() would be for all apps and is refused with advice."""
    with pytest.raises(DeclarationError, match=r"init_app\(app, config\)"):
        cache.configure(namespace="other")


def test_an_app_may_be_initialised_before_the_use_cases_are_declared(cache):
    """Use cases that are declared after init_app are cached too."""
    app = Flask("shop")
    cache.init_app(app)
    runs = []

    @cache.cached(key_type="late", id_arg="id", use_case="Late")
    def late(id):
        runs.append(id)
        return id

    app.add_url_rule("/late", view_func=lambda: str(late(1) + late(1)))
    assert app.test_client().get("/late").text == "2"
    assert runs == [1]


def test_an_app_that_serves_already_is_refused(cache):
    """Flask's own error, before anything was changed: the app goes on without the extension."""
    app = Flask("shop")
    app.test_client().get("/")
    before = app.wsgi_app
    with pytest.raises(AssertionError, match="setup method"):
        cache.init_app(app)
    assert app.wsgi_app == before
    assert "cache_core" not in app.extensions


def test_quart_is_refused_by_name(cache):
    """Something that looks like an app and is none is a TypeError that names its class."""
    quart = type("Quart", (), {"__module__": "quart.app", "extensions": {}, "config": {}})()
    with pytest.raises(TypeError, match=r"quart\.app\.Quart; Quart is not supported"):
        cache.init_app(quart)
    with pytest.raises(TypeError, match=r"not with types\.SimpleNamespace"):
        cache.for_app(SimpleNamespace())


@pytest.mark.parametrize("name", ["", "Reports", "my-cache", "1st"])
def test_a_bad_name_is_refused(name):
    """A name becomes part of a config key and is checked at once."""
    with pytest.raises(DeclarationError, match="a name is made of"):
        CacheCore(name=name)


def test_closing_the_declaration_closes_every_app(cache, make_app, users):
    """close() needs no app, and the caches work on afterwards."""
    one = make_app("one")
    one.test_client().get("/user/7")
    cache.close()
    assert one.test_client().get("/user/7").text == "Ada"


def test_the_state_shows_no_secrets(cache, app):
    """What debug pages print of our objects names the app and nothing else."""
    assert repr(cache.for_app(app)) == "<cache 'default' of app 'shop'>"
    assert repr(cache) == "<CacheCore 'default'>"
