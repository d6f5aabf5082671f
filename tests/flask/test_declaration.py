"""A declaration is made once, at import time, and stays as it was made."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from flask import Flask

import flask_ext
from cache_core import DeclarationError, NotConfigured, UseCaseExists
from flask_ext import CacheCore


def test_a_declaration_needs_no_app_and_does_nothing():
    """Made and declared on without any app; whoever asks for one is told that there is none."""
    cache = CacheCore()

    @cache.cached(use_case="GetMenu", ttl=60)
    def get_menu():
        return "soup"

    assert get_menu() == "soup"
    assert cache.apps() == ()
    with pytest.raises(NotConfigured):
        cache.runtime  # noqa: B018


def test_the_name_is_fixed():
    """Config keys and namespaces are made of it."""
    with pytest.raises(AttributeError):
        CacheCore(name="reports").name = "other"


def test_the_configuration_is_taken_as_it_was_given():
    """What is changed in the mapping afterwards holds for no app."""
    config = {"LOCAL_MAX_ENTRIES": 1}
    cache, app = CacheCore(config), Flask("shop")
    config["LOCAL_MAX_ENTRIES"] = 2
    cache.init_app(app)
    assert cache.for_app(app).runtime.settings.local_max_entries == 1


def test_two_functions_of_one_use_case_are_refused(cache):
    """At import time, and not when one has been given the other's values."""
    cache.cached(use_case="GetMenu", ttl=60)(len)
    with pytest.raises(UseCaseExists, match="GetMenu"):
        cache.cached(use_case="GetMenu", ttl=60)(sum)


def test_a_coroutine_function_stays_one(cache):
    """Flask looks at views with this; so do others."""

    @cache.cached(use_case="GetMenu", ttl=60)
    async def get_menu():
        return "soup"

    assert inspect.iscoroutinefunction(get_menu)


def test_a_class_method_is_refused_when_it_is_declared(cache):
    """With advice, and not with a TypeError in each call."""
    with pytest.raises(DeclarationError, match="below @classmethod"):
        cache.cached(use_case="GetMenu", ttl=60)(classmethod(lambda cls: cls))


def test_a_declaration_does_not_follow_the_last_app(make_app, cache, users):
    """Two apps, and no context: neither of them is guessed."""
    make_app("one")
    make_app("two")
    with pytest.raises(NotConfigured):
        cache.invalidate("user_id", 7)
    assert users.get.cached_function.calls_without_app == 0
    users.get(7)
    assert users.get.cached_function.calls_without_app == 1


LEAVING = {"RequestContext", "request_ctx", "_request_ctx_stack", "_app_ctx_stack", "_request_ctx"}
"""Names that Flask 3.2 deprecates, or that are gone already."""


def test_nothing_is_used_that_leaves_flask():
    """Flask 3.2 merges its two contexts; only the proxies and has_..._context() stay."""
    used = {
        (path.name, name)
        for path in Path(flask_ext.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in [getattr(node, "id", None), getattr(node, "attr", None)]
        if name in LEAVING
    }
    assert used == set()
