"""Where settings come from, which one wins, and how wrong ones are reported."""

from __future__ import annotations

import pytest
from flask import Flask

from cache_core import ConfigurationError, Policy
from cache_core.wire.signing import Signer
from flask_ext import CacheCore
from flask_ext.config import app_secrets


def settings_of(app, cache):
    return cache.for_app(app).runtime.settings


def make(app_config=None, declared=None, given=None, **config):
    app, cache = Flask("shop"), CacheCore(declared)
    app.config.update(config)
    if app_config is not None:
        app.config["CACHE_CORE"] = app_config
    cache.init_app(app, given)
    return app, cache


def test_the_strongest_source_wins_setting_by_setting():
    """init_app(config) beats CacheCore(config) beats app.config beats the defaults."""
    app, cache = make(
        {"NAMESPACE": "one", "LOCAL_MAX_ENTRIES": 1, "REQUEST_MEMO_SECONDS": 1},
        {"namespace": "two", "LOCAL_MAX_ENTRIES": 2},
        {"Namespace": "three"},
    )
    settings = settings_of(app, cache)
    assert settings.namespace == "three"
    assert settings.local_max_entries == 2
    assert settings.request_memo_seconds == 1
    assert settings.max_value_bytes == 1 << 20


def test_policies_are_merged_field_by_field():
    """A stronger source that sets the ramp of a use case leaves its TTL alone."""
    app, cache = make(
        {"USE_CASES": {"A": {"TTL": 5}, "B": {"TTL": 6}}, "DEFAULT": {"TTL": 7}},
        {"USE_CASES": {"A": {"RAMP": 50}}, "DEFAULT": Policy(ramp=25)},
    )
    settings = settings_of(app, cache)
    assert settings.use_cases["A"] == Policy(ttl=5, ramp=50)
    assert settings.use_cases["B"] == Policy(ttl=6)
    assert settings.default == Policy(ttl=7, ramp=25)


def test_the_configuration_is_not_changed():
    """What the user wrote stays as it was written."""
    written = {"USE_CASES": {"A": {"TTL": "5"}}}
    app, cache = make(written, {"USE_CASES": {"A": {"RAMP": 1}}})
    settings_of(app, cache)
    assert app.config["CACHE_CORE"] == {"USE_CASES": {"A": {"TTL": "5"}}}


def test_environment_variables_nest(monkeypatch):
    """Flask's from_prefixed_env sets single fields, whose texts are understood."""
    monkeypatch.setenv("FLASK_CACHE_CORE__USE_CASES__GetUser__TTL", "5")
    monkeypatch.setenv("FLASK_CACHE_CORE__USE_CASES__GetUser__RAMP__LOCAL", "050")
    monkeypatch.setenv("FLASK_CACHE_CORE__ENABLED", "False")
    app, cache = Flask("shop"), CacheCore()
    app.config.from_prefixed_env()
    cache.init_app(app)
    settings = settings_of(app, cache)
    assert settings.use_cases["GetUser"].ttl_local == 5
    assert settings.use_cases["GetUser"].ramp_local == 50
    assert settings.enabled is False


def test_all_problems_of_all_sources_are_reported_at_once():
    """Each problem says in which source it stands; unknown names get a suggestion."""
    with pytest.raises(ConfigurationError) as caught:
        make(
            {"ENABLED": "maybe", "USE_CASES": {"GetUser": {"ttl": "soon"}}},
            {"NAMESPCE": "x"},
            ["not a mapping"],
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "CACHE_CORE['ENABLED'] is 'maybe'" in text
    assert "CACHE_CORE['USE_CASES']['GetUser']['ttl'] is 'soon'" in text
    assert "CacheCore(config)['NAMESPCE'] is unknown" in text
    assert "Did you mean 'namespace'" in text
    assert "init_app(config) is of type list" in text


def test_nothing_is_registered_when_the_configuration_is_wrong():
    """After a failed init_app the app is as it was."""
    app, cache = Flask("shop"), CacheCore({"ENABLED": "maybe"})
    before = app.wsgi_app
    with pytest.raises(ConfigurationError):
        cache.init_app(app)
    assert app.wsgi_app == before
    assert "cache_core" not in app.extensions
    assert not app.after_request_funcs


def test_wrong_redis_options_are_found_at_start_up():
    """What only the Redis layer can judge is judged by init_app, without a connection."""
    with pytest.raises(ConfigurationError, match="REDIS"):
        make({"REDIS": {"hots": "localhost"}})


def test_a_named_cache_reads_a_key_of_its_own():
    """The cache "reports" is configured by CACHE_CORE_REPORTS and has its own namespace."""
    app, cache = Flask("shop"), CacheCore(name="reports")
    app.config["CACHE_CORE"] = {"LOCAL_MAX_ENTRIES": 1}
    app.config["CACHE_CORE_REPORTS"] = {"LOCAL_MAX_ENTRIES": 2}
    cache.init_app(app)
    settings = settings_of(app, cache)
    assert (settings.local_max_entries, settings.namespace) == (2, "app.reports")


def test_disabled_means_off_for_every_request():
    """ENABLED=False leaves every call uncached, also in enable()."""
    app, cache = make({"ENABLED": False, "DEFAULT": {"TTL": 60}})
    runs = []

    @cache.cached(key_type="id", id_arg="id", use_case="Off")
    def off(id):
        runs.append(id)

    def view():
        off(1)
        with cache.enable():
            off(1)
        return ""

    app.add_url_rule("/", view_func=view)
    app.test_client().get("/")
    assert runs == [1, 1]


def test_secrets_come_from_the_secret_key_at_first_use():
    """A secret key that is set after init_app signs, and its fallbacks verify."""
    app, cache = make()
    app.secret_key = "new"
    app.config["SECRET_KEY_FALLBACKS"] = ["old"]
    assert settings_of(app, cache).secrets == app_secrets(app)
    assert len(app_secrets(app)) == 2


def test_the_secret_key_itself_is_not_used():
    """An entry's signature is made with a key that says nothing about the session's."""
    app, _ = make(SECRET_KEY="only for tests")
    (secret,) = app_secrets(app)
    assert b"only for tests" not in secret
    assert len(secret) == 32


def test_a_rotated_secret_key_still_verifies():
    """After a rotation entries signed with the former secret key are accepted."""
    old, _ = make(SECRET_KEY="old")
    new, _ = make(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
    seal = Signer(app_secrets(old)).make(b"key", b"body")
    assert Signer(app_secrets(new)).holds(b"key", b"body", seal)


def test_given_secrets_win_over_the_secret_key():
    """Secrets in the settings are used as they are; an empty list signs nothing."""
    app, cache = make({"SECRETS": ["0123456789abcdef"]}, SECRET_KEY="only for tests")
    assert settings_of(app, cache).secrets == (b"0123456789abcdef",)
    app, cache = make({"SECRETS": []}, SECRET_KEY="only for tests")
    assert settings_of(app, cache).secrets == ()


def test_an_app_without_a_secret_key_signs_nothing():
    """Without any secret the codec is one that cannot execute anything."""
    app, cache = make()
    assert settings_of(app, cache).secrets == ()


@pytest.mark.parametrize("text", ["False", "false", "0", "no"])
def test_a_text_that_says_no_switches_off(monkeypatch, text):
    """Flask reads the variable as JSON, so "False" comes as a text, which Python takes for true."""
    monkeypatch.setenv("FLASK_CACHE_CORE__ENABLED", text)
    app, cache = Flask("shop"), CacheCore()
    app.config.from_prefixed_env()
    cache.init_app(app)
    assert settings_of(app, cache).enabled is False


def test_environment_variables_are_laid_over_what_a_file_says(monkeypatch):
    """One field of a policy is set from outside; the rest of the mapping stays."""
    monkeypatch.setenv("FLASK_CACHE_CORE__USE_CASES__GetUser__RAMP", "10")
    app, cache = Flask("shop"), CacheCore()
    app.config["CACHE_CORE"] = {"USE_CASES": {"GetUser": {"TTL": 5}}, "NAMESPACE": "shop"}
    app.config.from_prefixed_env()
    cache.init_app(app)
    assert settings_of(app, cache).use_cases["GetUser"] == Policy(ttl=5, ramp=10)
    assert settings_of(app, cache).namespace == "shop"


def test_wrong_environment_variables_are_named(monkeypatch):
    """An unknown name gets a suggestion, broken JSON is a text like any other; both at once."""
    monkeypatch.setenv("FLASK_CACHE_CORE__LOCAL_MAX_ENTRY", "5")
    monkeypatch.setenv("FLASK_CACHE_CORE__REQUEST_MEMO_SECONDS", "{5")
    app, cache = Flask("shop"), CacheCore()
    app.config.from_prefixed_env()
    with pytest.raises(ConfigurationError) as caught:
        cache.init_app(app)
    assert len(caught.value.problems) == 2
    assert "Did you mean 'local_max_entries'" in str(caught.value)
    assert "REQUEST_MEMO_SECONDS" in str(caught.value)
