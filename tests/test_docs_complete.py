"""The docs do not lag behind: whatever a user can name stands in them, with the default it has."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

import cache_core
import cache_core.testing
import django_ext
import flask_ext
from cache_core import Cache, Policy, Reason, Settings
from cache_core.events import EVENTS
from cache_core.fields import show
from cache_core.layers.memcached import MemcachedOptions
from cache_core.layers.redis.options import COERCE, RedisOptions
from cache_core.testing import FakeClock, FakeStore
from cache_core.testing.contract import Faults
from cache_core.testing.contract.subject import Contract

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TABLE_ROW = re.compile(r"^\|(?P<cells>.*)\|\s*$", re.MULTILINE)
NAME = re.compile(r"`([A-Za-z_][\w.]*)`")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The rows of all tables of a page, each as its cells."""
    cells = [found["cells"].split("|") for found in TABLE_ROW.finditer(page(name))]
    return [[cell.strip() for cell in row] for row in cells]


def first_names(name: str) -> set[str]:
    """What stands as code in the first column of a page's tables."""
    return {word for row in rows(name) for word in NAME.findall(row[0])}


def nowhere(names: Any, text: str) -> list[str]:
    return sorted(word for word in names if not re.search(rf"\b{re.escape(word)}\b", text))


def defaults() -> dict[str, object]:
    plain = {f.name: f.default for f in fields(Settings) if f.default is not MISSING}
    made = {
        f.name: f.default_factory() for f in fields(Settings) if f.default_factory is not MISSING
    }
    return {**plain, **made}


INTERNAL = {"function_type", "perform", "aperform", "describe", "close", "aclose", "wall"}
"""For adapters that bring their own kind of function; and what a store and a clock are by contract."""

SETTINGS = {row[0].strip("`"): row for row in rows("docs/settings.md") if len(row) == 3}


@pytest.mark.parametrize("setting", [name for name in defaults() if name != "path"])
def test_a_setting_is_documented_with_its_default(setting):
    """Each field of Settings is a row of the table, which quotes its default as it is."""
    assert setting in SETTINGS
    assert SETTINGS[setting][1] == f"`{show(defaults()[setting])}`".replace("'", '"')


def test_no_setting_is_documented_that_is_none():
    """The table of settings has no row that is left over."""
    named = {name for name in SETTINGS if re.fullmatch(r"[a-z_]+", name)}
    assert named - defaults().keys() == {"setting"}  # the head of the table


def test_the_path_of_settings_is_documented():
    """The one field of Settings that is no setting is told with its default."""
    assert '`path` (default `"Cache"`)' in page("docs/settings.md")
    assert defaults()["path"] == "Cache"


def test_every_field_of_a_policy_is_documented():
    """All arguments of Policy are named in the table of its fields, or beside it."""
    arguments = set(inspect.signature(Policy).parameters)
    shorthands = {"ttl", "ramp"}
    assert arguments - shorthands <= first_names("docs/policies.md")
    assert "`ttl=` and `ramp=`" in page("docs/policies.md")
    assert nowhere({name.upper() for name in arguments}, page("docs/settings.md")) == []


def test_every_reason_is_documented():
    """The table of reasons has each of them, and no other."""
    documented = {row[0].strip("`") for row in rows("docs/observing.md") if _is_outcome(row[1])}
    assert documented == {reason.value for reason in Reason}


def _is_outcome(cell: str) -> bool:
    return set(cell.split(", ")) <= {"miss", "bypass", "error", "stale"}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_documented_with_its_fields(event):
    """The table of events has each class and, in order, what it carries."""
    table = {row[0].strip("`"): NAME.findall(row[1]) for row in rows("docs/observing.md")}
    assert table.get(event.__name__) == [field.name for field in fields(event)]


def test_every_public_name_is_explained():
    """Whatever the core exports is named as code in the docs."""
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    spoken = set(NAME.findall(text)) | {name.split(".")[-1] for name in NAME.findall(text)}
    words = set(re.findall(r"[A-Za-z_]+", text))
    assert set(cache_core.__all__) - spoken == set()
    for package in (cache_core.testing, django_ext, flask_ext):
        assert set(package.__all__) - words == set(), package.__name__


@pytest.mark.parametrize("kind", [Cache, cache_core.Cached, FakeStore, FakeClock])
def test_every_public_attribute_is_documented(kind):
    """Whatever can be called on the objects that users hold is named as code somewhere."""
    code = " ".join(
        found
        for path in PAGES
        for found in re.findall(
            r"```python.*?```|`[^`\n]+`", path.read_text(encoding="utf-8"), re.DOTALL
        )
    )
    shown = {name for name in dir(kind) if not name.startswith("_")}
    assert nowhere(shown - INTERNAL, code) == []


def test_every_figure_is_documented():
    """Each key of stats() and of a use case's figures is a row of its tables."""
    clock = FakeClock()
    cache = Cache(clock=clock, remote=FakeStore(clock))

    @cache.cached(use_case="GetMenu", ttl=60)
    def get_menu():
        return []

    with cache.enable():
        get_menu()
    stats = cache.stats()
    documented = first_names("docs/observing.md")
    assert set(stats) <= documented
    assert set(stats["use_cases"]["GetMenu"]) <= documented
    assert nowhere(stats["local"], page("docs/observing.md")) == []


def test_every_redis_option_is_documented():
    """The table of the Redis layer has each option, and quotes the defaults of its timeouts."""
    assert {*COERCE, "url"} <= first_names("docs/layers.md")
    table = {row[0]: row[1] for row in rows("docs/layers.md")}
    for name in ("connect_timeout", "read_timeout", "write_timeout"):
        assert table[f"`{name}`"] == f"{getattr(RedisOptions, name)} s"
    assert table["`max_connections`"] == str(RedisOptions.max_connections)
    place = f"`{RedisOptions.host}`, {RedisOptions.port}, {RedisOptions.db}"
    assert table["`host`, `port`, `db`"] == place


def test_every_memcached_option_is_documented():
    """The table of the memcached layer has each option, and quotes the defaults."""
    table = {row[0].strip("`"): row[1] for row in rows("docs/memcached.md") if len(row) == 3}
    options = {field.name: field.default for field in fields(MemcachedOptions)}
    assert options.keys() == table.keys() - {"option", "---"}
    for name in ("connect_timeout", "read_timeout", "write_timeout"):
        assert table[name] == f"{options[name]} s"
    assert table["max_connections"] == str(options["max_connections"])


def test_what_a_layer_can_say_of_itself_is_documented():
    """The table of the contract has each attribute with its default, and names each fault."""
    table = {row[0].strip("`"): row[1] for row in rows("docs/testing.md") if len(row) == 3}
    said = {
        name: value for name, value in vars(Contract).items() if isinstance(value, (bool, int, str))
    }
    said = {name: value for name, value in said.items() if not name.startswith("__")}
    assert {name: table[name].strip("`").replace('""', "") for name in said} == {
        name: str(value) for name, value in said.items()
    }
    shown = {name for name in vars(Faults) if not name.startswith("_")}
    assert nowhere(shown, page("docs/testing.md")) == []


def test_every_extra_is_documented():
    """The table of extras has those of the package, and no other."""
    project = page("pyproject.toml").partition("[project.optional-dependencies]")[2]
    extras = set(re.findall(r"^(\w+) = \[", project.partition("\n[tool.")[0], re.MULTILINE))
    listed = page("docs/settings.md").partition("## Extras")[2]
    documented = {
        name
        for row in re.findall(r"^\| (`.*?) \|", listed, re.MULTILINE)
        for name in NAME.findall(row)
    }
    assert documented == extras


def test_every_make_target_in_the_readme_exists():
    """A newcomer types what the README says."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", page("Makefile"), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", page("README.md"))) - {"are"}
    assert named <= targets
    assert {"demo", "demo-flask", "test", "bench"} <= named


PROMISES = [
    (path, test)
    for row in rows("README.md")
    if len(row) == 2
    for tests, path in re.findall(r"((?:`test_\w+`,? ?)+)\(\[[^\]]+\]\(([^)]+)\)\)", row[1])
    for test in re.findall(r"test_\w+", tests)
]


def test_promises_name_their_tests():
    """The table of promises was understood: each row names at least one test."""
    rows_with_tests = [row for row in rows("README.md") if len(row) == 2 and "`test_" in row[1]]
    named = sum(row[1].count("`test_") for row in rows_with_tests)
    assert len(rows_with_tests) >= 10
    assert len(PROMISES) == named


@pytest.mark.parametrize(("path", "test"), PROMISES, ids=[test for _, test in PROMISES])
def test_the_test_of_a_promise_exists(path, test):
    """Each test that the table of promises names stands in the file that it links."""
    assert f"def {test}(" in page(path)


@pytest.mark.parametrize("path", PAGES[1:], ids=lambda path: path.stem)
def test_a_page_opens_with_a_summary(path):
    """Who reads three lines of a page knows what is in it."""
    if path.name in {"README.md", "django.md", "flask.md"}:
        return
    opening = path.read_text(encoding="utf-8").split("\n\n")[1]
    assert opening.startswith("**TL;DR** ")
    assert len(opening.splitlines()) <= 4


def test_the_version_is_told_once():
    """The package, its metadata and the changelog agree on the version."""
    version = re.search(r'^version = "(.+)"', page("pyproject.toml"), re.MULTILINE)
    assert version is not None
    assert version[1] == cache_core.__version__
    assert f"## [{version[1]}]" in page("CHANGELOG.md")
