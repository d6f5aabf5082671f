"""Settings: one dict, read late, replaced when tests replace it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings

from cache_core import ConfigurationError
from django_ext import cache
from django_ext.conf import read_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_dict_is_read_when_it_is_needed():
    """override_settings replaces what the cache runs with, and puts it back."""
    with override_settings(CACHE_CORE={"NAMESPACE": "inside"}):
        assert cache.stats()["namespace"] == "inside"
    assert cache.stats()["namespace"] == "app"


def test_a_project_needs_no_dict():
    """Without CACHE_CORE the defaults hold."""
    with override_settings():
        from django.conf import settings

        del settings.CACHE_CORE
        assert read_settings().namespace == "app"


def test_a_change_forgets_what_was_cached():
    """New settings begin with an empty local layer."""
    calls = []

    @cache.cached(key_type="thing", id_arg="key", use_case="Conf.change", ttl=300)
    def function(key):
        calls.append(key)

    with cache.enable():
        function(1)
    with override_settings(CACHE_CORE={"LOCAL_MAX_ENTRIES": 10}), cache.enable():
        function(1)
    assert len(calls) == 2


def test_other_settings_change_nothing():
    """A test that overrides something else keeps its cache."""
    runtime = cache.runtime
    with override_settings(USE_TZ=True):
        assert cache.runtime is runtime


def test_environment_variables_win():
    """CACHE_CORE__... in the environment wins over the dict."""
    with override_settings(CACHE_CORE={"USE_CASES": {"GetAuthor": {"ttl": 60}}}):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CACHE_CORE__USE_CASES__GetAuthor__TTL", "120")
            cache.reload()
            assert cache.policy("GetAuthor").local.ttl == 120
        cache.reload()
        assert cache.policy("GetAuthor").local.ttl == 60


def test_wrong_settings_name_their_place():
    """Every problem is listed with its path in the dict."""
    wrong = {"NAMESPASE": "x", "USE_CASES": {"GetAuthor": {"ramp": 120}}}
    with override_settings(CACHE_CORE=wrong), pytest.raises(ConfigurationError) as raised:
        cache.runtime  # noqa: B018
    assert [problem.path for problem in raised.value.problems] == [
        "CACHE_CORE['NAMESPASE']",
        "CACHE_CORE['USE_CASES']['GetAuthor']['ramp']",
    ]


def test_it_need_not_be_a_dict_to_be_refused_well():
    """Anything but a dict is a problem like others."""
    with override_settings(CACHE_CORE="redis://localhost"), pytest.raises(ConfigurationError):
        read_settings()


# Secrets.


def test_secrets_come_from_the_secret_key():
    """Without SECRETS, entries are signed with what is derived from SECRET_KEY, not with itself."""
    with override_settings(SECRET_KEY="one", SECRET_KEY_FALLBACKS=[]):
        (secret,) = read_settings().secrets
        assert len(secret) == 32
        assert b"one" not in secret


def test_a_rotated_key_keeps_verifying():
    """The new key signs; the one among the fallbacks still verifies."""
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
        (old,) = read_settings().secrets
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        new, fallback = read_settings().secrets
    assert fallback == old
    assert new != old


def test_own_secrets_win():
    """SECRETS in the dict, in any case, keep SECRET_KEY out of it."""
    with override_settings(CACHE_CORE={"secrets": ["x" * 16]}):
        assert read_settings().secrets == (b"x" * 16,)
    with override_settings(CACHE_CORE={"SECRETS": []}):
        assert read_settings().secrets == ()


def test_a_project_without_a_key_has_no_secrets():
    """Some commands run without a SECRET_KEY; caching then does without signatures."""
    with override_settings(SECRET_KEY=""):
        assert read_settings().secrets == ()


def test_own_configuration_wins():
    """cache.configure(...) replaces the settings until they are read again."""
    cache.configure(namespace="mine")
    assert cache.stats()["namespace"] == "mine"
    cache.reload()
    assert cache.stats()["namespace"] == "app"


def run(code):
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_needs_no_settings():
    """Use cases and tracked models may be declared before any setting can be read."""
    code = """
import os
os.environ.pop("DJANGO_SETTINGS_MODULE", None)
from django_ext import cache, cache_disabled, cache_enabled, track
cache.cached(key_type="k", id_arg="a", use_case="U", ttl=1)(lambda a: a)
track("nowhere.Model", key_type="k")
from django.conf import settings
assert not settings.configured
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_it_works_alone_and_in_any_order(order, tmp_path):
    """No contrib app is needed, and django_ext may stand before or behind the apps that it serves."""
    code = f"""
import sys
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["django.contrib.contenttypes", "tests.django.library", "django_ext"][::{order}],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(tmp_path / "db")!r}}}}},
    MIDDLEWARE=["django_ext.middleware.CacheScopeMiddleware"],
)
import django
django.setup()
from django.apps import apps
from django.core.management import call_command
from django_ext import cache
call_command("check", "--fail-level", "WARNING", "--tag", "caches", verbosity=0)
call_command("migrate", run_syncdb=True, verbosity=0)
from tests.django.library.caching import get_author
from tests.django.library.models import Author
assert apps.get_app_config("cache_core_django").verbose_name == "Cache"
author = Author.objects.create(name="Ada")
with cache.enable():
    assert get_author(author.pk) == "Ada"
    author.name = "Ada L."
    author.save()
    assert get_author(author.pk) == "Ada L."
assert "django.contrib.admin" not in sys.modules and "django.contrib.auth" not in sys.modules
from django.db import connections
connections.close_all()
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")
