"""How an app gets the page: by a call, or by its settings."""

from __future__ import annotations

import pytest
from flask import Flask

from cache_core import ConfigurationError, NotConfigured
from flask_ext import CacheCore


def allow():
    """What a dotted path leads to."""
    return True


HERE = f"{__name__}:allow"


@pytest.fixture
def shop():
    app = Flask("shop")
    app.config.update(TESTING=True, SECRET_KEY="only for tests")
    return app


def status(app, path="/_cache/"):
    return app.test_client().get(path).status_code


def test_by_settings(shop, monkeypatch):
    """Hooks are callables or dotted paths; names are in any case, as those of other settings."""
    monkeypatch.setitem(
        __import__("sys").modules,
        "hooks_of_the_shop",
        __import__("types").SimpleNamespace(allow=allow),
    )
    control = {
        "URL_PREFIX": "/ops/cache/",
        "MAY_VIEW": "hooks_of_the_shop:allow",
        "may_change": allow,
    }
    shop.config["CACHE_CORE"] = {"CONTROL": control}
    CacheCore().init_app(shop)
    assert status(shop, "/ops/cache/") == 200


def test_by_settings_without_hooks_nobody_may(shop):
    """True is enough to have the page, and not to see it."""
    shop.config["CACHE_CORE"] = {"CONTROL": "true"}
    CacheCore().init_app(shop)
    assert status(shop) == 403


def test_by_settings_none(shop):
    """False is what it says, also over True of a weaker source."""
    shop.config["CACHE_CORE"] = {"CONTROL": True}
    CacheCore().init_app(shop, {"CONTROL": False})
    assert status(shop) == 404


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ({"MAY_VEIW": "x:y"}, "Did you mean 'may_view'?"),
        ({"MAY_VIEW": "no_such_module:allow"}, "It cannot be imported: ModuleNotFoundError"),
        ({"MAY_VIEW": "allow"}, "It cannot be imported"),
        ({"MAY_VIEW": 7}, "a callable or its dotted path"),
        ({"URL_PREFIX": "cache"}, "a path like '/_cache'"),
        ({"URL_PREFIX": "/"}, "a path like '/_cache'"),
        ("perhaps", "CACHE_CORE['CONTROL'] is 'perhaps'"),
        ([], "CACHE_CORE['CONTROL']"),
    ],
)
def test_wrong_settings_are_refused_at_once(shop, control, said):
    """With where they stand, and what is expected there."""
    shop.config["CACHE_CORE"] = {"CONTROL": control}
    with pytest.raises(ConfigurationError) as refused:
        CacheCore().init_app(shop)
    assert said in str(refused.value) and "CACHE_CORE['CONTROL']" in str(refused.value)


def test_wrong_arguments_are_refused_at_once(shop):
    """The same for the call."""
    cache = CacheCore()
    cache.init_app(shop)
    with pytest.raises(ConfigurationError, match="may_view"):
        cache.register_control(shop, may_view="nothing like it")


def test_one_page_for_a_cache(shop):
    """A second call says what to do."""
    cache = CacheCore()
    cache.init_app(shop, {"CONTROL": True})
    with pytest.raises(ConfigurationError, match="Register it once"):
        cache.register_control(shop, may_view=allow)


def test_an_app_that_does_not_know_the_cache(shop):
    """It has to be initialised first."""
    with pytest.raises(NotConfigured, match="init_app"):
        CacheCore().register_control(shop, may_view=allow)
