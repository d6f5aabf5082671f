"""The fixtures of django_ext beside pytest-django, in test suites of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
from cache_core.clock import SystemClock
from cache_core.testing import FakeStore

SECRET_KEY = "s" * 32
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_ext"]
MIDDLEWARE = ["django_ext.middleware.CacheScopeMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
STATIC_URL = "static/"
CACHE_CORE = {"REMOTE": FakeStore(SystemClock())}
"""

URLS = """
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import path
from django_ext import cache, track

track(Group, key_type="group_id")

@cache.cached(key_type="group_id", id_arg="group_id", use_case="GetGroup", ttl=300)
def get_group(group_id):
    return Group.objects.get(pk=group_id).name

urlpatterns = [path("<int:pk>", lambda request, pk: HttpResponse(get_group(pk)))]
"""

CONFTEST = """
pytest_plugins = ["django_ext.testing.plugin"]
"""

HEAD = """
import pytest
from django.contrib.auth.models import Group
from django_ext import cache
from django_ext.testing import assert_loader_calls
from urls import get_group
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Runs a test module of a small project with pytest-django, in a process of its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)

    def run(code, *args, conftest=CONFTEST):
        pytester.makepyfile(settings=SETTINGS, urls=URLS, test_shop=HEAD + code)
        pytester.makeconftest(conftest)
        pytester.makeini("[pytest]\npythonpath = .\nDJANGO_SETTINGS_MODULE = settings\n")
        plugins = ("-p", "cache_core.testing.plugin", "-p", "pytest_django.plugin")
        return pytester.runpytest_subprocess(*plugins, *args)

    return run


def test_with_db_a_test_finds_nothing_of_the_last_one(suite):
    """Its rows are rolled back and their ids come again; the store stays."""
    result = suite(
        """
@pytest.mark.django_db
@pytest.mark.parametrize("name", ["one", "two"])
def test_apart(client, name):
    Group.objects.create(pk=1, name=name)
    with assert_loader_calls(get_group, 1):
        assert client.get("/1").content.decode() == name
        assert client.get("/1").content.decode() == name
"""
    )
    result.assert_outcomes(passed=2)


def test_with_db_a_write_is_seen_at_once(suite):
    """The transaction around the test never commits and does not count; one of the code does."""
    result = suite(
        """
from django.db import transaction

@pytest.mark.parametrize("mark", [
    pytest.param("db", marks=pytest.mark.django_db),
    pytest.param("transactional", marks=pytest.mark.django_db(transaction=True)),
])
def test_writes(client, mark, cache_core_invalidations):
    group = Group.objects.create(pk=1, name="old")
    assert client.get("/1").content == b"old"
    with transaction.atomic():
        group.name = "new"
        group.save()
        before = len(cache_core_invalidations)
    assert len(cache_core_invalidations) == before + 1
    assert ("group_id", 1) in cache_core_invalidations
    assert client.get("/1").content == b"new"
"""
    )
    result.assert_outcomes(passed=2)


def test_the_marker_needs_no_fixture_of_the_project(suite):
    """It is about the project's cache, in its fresh namespace; with faults, too."""
    result = suite(
        """
from cache_core.testing import always_fail

@pytest.mark.django_db
@pytest.mark.cache_core(enabled=True)
def test_on():
    Group.objects.create(pk=1, name="a")
    assert cache.is_enabled
    with assert_loader_calls(get_group, 1):
        get_group(1), get_group(1)

@pytest.mark.django_db
@pytest.mark.cache_core(enabled=True, chaos={"store": always_fail})
def test_chaos():
    Group.objects.create(pk=1, name="a")
    with assert_loader_calls(get_group, 2):
        for _ in range(2):
            with cache.scope():
                get_group(1)

@pytest.mark.cache_core(enabled=False)
def test_off():
    with cache.enable():
        assert not cache.is_enabled
"""
    )
    result.assert_outcomes(passed=3)


def test_a_loader_that_reads_more_than_it_says_fails_its_test(suite):
    """Where the test uses the fixture; it is an error of its end. One that loads nothing passes."""
    result = suite(
        """
@cache.cached(use_case="GetNames", ttl=60)
def get_names():
    return list(Group.objects.values_list("name", flat=True))

@pytest.mark.django_db
@pytest.mark.usefixtures("cache_core_dependencies")
@pytest.mark.parametrize("function", [get_names, lambda: get_group(1), bool], ids=["wrong", "right", "idle"])
def test_reads(function):
    Group.objects.create(pk=1, name="a")
    with cache.enable():
        function()
"""
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*GetNames reads auth_group; have it depend on 'group_id'*"])


def test_a_setting_may_change_in_a_test(suite):
    """pytest-django's fixture; the cache is fresh all the same, and as it was in the next test."""
    result = suite(
        """
def test_changed(settings):
    settings.CACHE_CORE = {"NAMESPACE": "other", "BREAKER_SECONDS": 9}
    assert cache.runtime.settings.breaker_seconds == 9
    assert cache.runtime.settings.namespace.startswith("other.")

def test_next():
    assert cache.runtime.settings.breaker_seconds == 1
    assert cache.runtime.settings.namespace.startswith("app.")
""",
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(passed=2)


def test_a_live_server_is_part_of_the_test(suite):
    """Its requests run in a thread of the process, with the test's cache."""
    result = suite(
        """
from urllib.request import urlopen

@pytest.mark.parametrize("name", ["one", "two"])
def test_served(live_server, name):
    Group.objects.create(pk=1, name=name)
    for _ in range(2):
        assert urlopen(f"{live_server.url}/1").read().decode() == name
    assert cache.stats()["use_cases"]["GetGroup"]["loads"] == 1
"""
    )
    result.assert_outcomes(passed=2)
