"""The pytest plugin, in test suites of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Before any run: pytester forgets the modules that a run in this process is the first to import,
# and there would be two copies of the package, one for the plugin and one for the shop.
from cache_core import Cache  # noqa: F401
from cache_core.testing import FakeStore, chaos  # noqa: F401
from cache_core.testing.isolation import forget  # noqa: F401

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]

CONFTEST = """
import pytest
from shop import cache

@pytest.fixture
def cache_core_caches():
    return [cache]
"""

SHOP = """
from cache_core import Cache
from cache_core.testing import FakeClock, FakeStore

clock = FakeClock()
store = FakeStore(clock)
cache = Cache(clock=clock, remote=store)
runs = []

@cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=300)
def get_user(user_id):
    runs.append(user_id)
    return len(runs)

def request(user_id=7):
    with cache.enable():
        return get_user(user_id)

def figures():
    return cache.stats()["use_cases"]["GetUser"]
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Runs a test module beside a small shop, with this plugin and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    # What was imported by the run before is another shop.
    for module in ("shop", "conftest", "test_shop"):
        monkeypatch.delitem(sys.modules, module, raising=False)

    def run(code, *args, conftest=CONFTEST, ini=""):
        pytester.makepyfile(shop=SHOP, test_shop=f"import pytest\nfrom shop import *\n{code}")
        pytester.makeconftest(conftest)
        pytester.makeini(f"[pytest]\npythonpath = .\n{ini}")
        return pytester.runpytest_inprocess("-p", "cache_core.testing.plugin", *args)

    return run


# -- fixtures --------------------------------------------------------------------------------------


def test_a_clock_and_a_store_are_there(suite):
    """The store lives on the clock; each test has its own."""
    result = suite(
        """
@pytest.mark.parametrize("turn", [1, 2])
def test_fixtures(cache_core_clock, cache_core_store, turn):
    assert cache_core_store.clock is cache_core_clock
    assert cache_core_clock.now == 1_000_000
    assert not cache_core_store.log
    cache_core_clock.advance(1)
    cache_core_store.log.append(1)
"""
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("fixture", ["cache_off", "no_caching"])
def test_caching_may_be_off(suite, fixture):
    """Also where the code switches it on, and only for the test."""
    result = suite(
        f"""
def test_off({fixture}):
    assert request() < request()
    with cache.scope(True):
        assert not cache.is_enabled
    assert figures()["requests"] == 0

def test_on():
    assert request() == request()
"""
    )
    result.assert_outcomes(passed=2)


# -- the marker ------------------------------------------------------------------------------------


def test_the_marker_begins_with_empty_caches(suite):
    """Neither values nor figures are left of the test before; a store is nobody's business."""
    result = suite(
        """
@pytest.mark.cache_core
@pytest.mark.parametrize("turn", [1, 2])
def test_apart(turn):
    get_user(7)
    assert not cache.runtime.local.entries
    assert figures()["calls_while_off"] == 1
    assert figures()["requests"] == 0
    assert cache.stats()["invalidations"] == 0
    assert len(cache.runtime.flights) == 0
    request()
    cache.invalidate("user_id", 7)
    cache.runtime.flights.enter("a load that nobody ends")
"""
    )
    result.assert_outcomes(passed=2)


def test_the_marker_begins_with_nothing_of_unmarked_tests(suite):
    """Whatever ran before."""
    result = suite(
        """
def test_before():
    get_user(7), request()

@pytest.mark.cache_core
def test_apart():
    assert not cache.runtime.local.entries
    assert figures()["calls_while_off"] == 0
"""
    )
    result.assert_outcomes(passed=2)


def test_without_the_marker_caches_stay_as_they_are(suite):
    """Who installs the package does not want other tests than before."""
    result = suite(
        """
@pytest.mark.parametrize("turn", [1, 2])
def test_together(turn, request):
    assert "cache_core_isolation" not in request.fixturenames
    with cache.enable():
        assert get_user(7) == 1
"""
    )
    result.assert_outcomes(passed=2)


def test_the_marker_switches_caching_on(suite):
    """For the caches that the suite names, in one scope for the test and its fixtures."""
    result = suite(
        """
@pytest.fixture
def user():
    return get_user(7)

@pytest.mark.cache_core(enabled=True)
def test_on(user):
    assert cache.is_enabled
    assert get_user(7) == user == 1

def test_off():
    assert not cache.is_enabled
"""
    )
    result.assert_outcomes(passed=2)


def test_the_marker_switches_caching_off(suite):
    """As the fixture does."""
    result = suite(
        """
@pytest.mark.cache_core(enabled=False)
def test_off():
    assert request() < request()
"""
    )
    result.assert_outcomes(passed=1)


def test_the_closest_marker_counts(suite):
    """What it leaves open is said by the one around it."""
    result = suite(
        """
from cache_core.testing import always_fail

@pytest.mark.cache_core(enabled=True, chaos={"loader": always_fail})
class TestShop:
    @pytest.mark.cache_core(chaos=None)
    def test_calm(self):
        assert cache.is_enabled
        get_user(7)

    def test_chaos(self):
        with pytest.raises(Exception, match="chaos"):
            get_user(8)  # another one: the store has the first
"""
    )
    result.assert_outcomes(passed=2)


def test_the_marker_makes_chaos(suite):
    """For the time of the test; the seed is shown when it fails."""
    result = suite(
        """
from cache_core.testing import always_fail

@pytest.mark.cache_core(enabled=True, chaos={"store": always_fail, "seed": 42})
def test_chaos():
    get_user(7)
    assert store.log == []
    assert False

def test_calm():
    request()
    assert store.log
"""
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*chaos(store=fail(1.0), seed=42)*"])


def test_without_caches_the_marker_says_what_to_do(suite):
    """It cannot know which ones are meant."""
    result = suite(
        """
@pytest.mark.cache_core(enabled=True)
def test_on():
    pass
""",
        conftest="",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*define a fixture cache_core_caches*"])


@pytest.mark.parametrize("arguments", ["enable=True", "True"])
def test_a_marker_that_is_misspelt_is_an_error(suite, arguments):
    """It would do nothing, and nobody would see it."""
    result = suite(
        f"""
@pytest.mark.cache_core({arguments})
def test_on():
    pass
"""
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes enabled and chaos by name*"])


def test_the_marker_is_known(suite):
    """Suites that check markers accept it."""
    suite("def test(): pass", "--markers").stdout.fnmatch_lines(["@pytest.mark.cache_core(*"])
    result = suite("@pytest.mark.cache_core\ndef test(): pass", "--strict-markers")
    result.assert_outcomes(passed=1)


# -- between tests ---------------------------------------------------------------------------------


def test_the_ini_option_keeps_all_tests_apart(suite):
    """Without any marker."""
    result = suite(
        """
@pytest.mark.parametrize("turn", [1, 2])
def test_apart(turn):
    assert not cache.runtime.local.entries
    request()
""",
        ini="cache_core_reset = true",
    )
    result.assert_outcomes(passed=2)


def test_a_scope_that_is_left_open_is_an_error(suite):
    """It says where the scope began; the next test begins without it."""
    result = suite(
        """
def test_open():
    block = cache.scope()
    block.__enter__()  # here

def test_next():
    assert not cache.is_enabled
    with cache.enable():
        get_user(7)
""",
        ini="cache_core_reset = true",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left open*began at:", "*- test_shop.py:6 in MainThread*"])


def test_a_scope_of_a_thread_is_seen(suite):
    """A scope that is open in a thread is an error, too."""
    result = suite(
        """
import threading

@pytest.mark.cache_core
def test_open():
    thread = threading.Thread(target=cache.scope().__enter__, name="worker")
    thread.start()
    thread.join()
"""
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["* in worker*"])


def test_classes_of_unittest_are_kept_apart(suite):
    """They are tests like others."""
    result = suite(
        """
import unittest

@pytest.mark.cache_core(enabled=True)
class TestShop(unittest.TestCase):
    def test_one(self):
        assert not cache.runtime.local.entries
        get_user(7)
        assert cache.runtime.local.entries
    test_two = test_one
"""
    )
    result.assert_outcomes(passed=2)


# -- beside other plugins --------------------------------------------------------------------------


def test_loading_the_plugin_imports_nothing_of_the_cache():
    """Suites that never use a cache must not wait for it."""
    code = (
        "import sys, pytest; before = set(sys.modules); import cache_core.testing.plugin; "
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('cache_core')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (
        done.stdout.strip() == "['cache_core', 'cache_core.testing', 'cache_core.testing.plugin']"
    )


def test_the_package_names_its_plugin():
    """So that pytest finds it wherever the package is installed."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\ncache_core = "cache_core.testing.plugin"' in project


def beside(pytester, monkeypatch, code, *args, conftest=CONFTEST, ini=""):
    """Runs a suite with other plugins, in a process of its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makepyfile(shop=SHOP, test_shop=f"import pytest\nfrom shop import *\n{code}")
    pytester.makeconftest(conftest)
    pytester.makeini(f"[pytest]\npythonpath = .\n{ini}")
    return pytester.runpytest_subprocess("-p", "cache_core.testing.plugin", *args)


def test_with_asyncio_tests_caching_is_on_in_the_task(pytester, monkeypatch):
    """pytest-asyncio runs a test in a task of a loop that was made before."""
    result = beside(
        pytester,
        monkeypatch,
        """
@cache.cached(use_case="GetMenu", ttl=300)
async def get_menu():
    runs.append("menu")
    return len(runs)

@pytest.mark.cache_core(enabled=True)
async def test_on():
    assert cache.is_enabled
    assert await get_menu() == await get_menu()

@pytest.mark.cache_core(enabled=False)
async def test_off():
    with cache.enable():
        assert await get_menu() < await get_menu()
""",
        "-p",
        "pytest_asyncio.plugin",
        ini="asyncio_mode = auto",
    )
    result.assert_outcomes(passed=2)


def test_with_xdist_each_worker_has_its_own(pytester, monkeypatch):
    """Markers and reports go through processes."""
    result = beside(
        pytester,
        monkeypatch,
        """
from cache_core.testing import always_fail

@pytest.mark.cache_core(enabled=True, chaos={"store": always_fail, "seed": 42})
@pytest.mark.parametrize("turn", range(4))
def test_chaos(turn):
    get_user(7)
    assert turn < 3
""",
        "-p",
        "xdist.plugin",
        "-n2",
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*seed=42*"])


def test_with_django_requests_are_kept_apart(pytester, monkeypatch):
    """The middleware's scope is one like any other; a test may switch all of them off."""
    pytester.makepyfile(
        settings="""
SECRET_KEY = "s" * 32
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django_ext"]
MIDDLEWARE = ["django_ext.middleware.CacheScopeMiddleware"]
CACHE_CORE = {}
""",
        urls="""
from django.http import HttpResponse
from django.urls import path
from django_ext import cache

runs = []

@cache.cached(use_case="GetMenu", ttl=300)
def get_menu():
    runs.append(1)
    return len(runs)

urlpatterns = [path("", lambda request: HttpResponse(str(get_menu())))]
""",
    )
    result = beside(
        pytester,
        monkeypatch,
        """
def page(client):
    return client.get("/").content

@pytest.mark.cache_core
def test_cached(client):
    assert page(client) == page(client) == b"1"

@pytest.mark.cache_core
def test_apart(client):
    assert page(client) == page(client) == b"2"

@pytest.mark.cache_core(enabled=False)
def test_off(client):
    assert page(client) != page(client)
""",
        "-p",
        "pytest_django.plugin",
        ini="DJANGO_SETTINGS_MODULE = settings",
    )
    result.assert_outcomes(passed=3)
