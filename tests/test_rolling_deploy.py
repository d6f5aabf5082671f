"""Old and new code side by side: each has entries of its own, and an invalidation reaches both."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from cache_core import Cache
from cache_core.keys.key import Key
from cache_core.testing import FakeClock, FakeStore

SECRET = "a secret of 16 bytes"
CODE = """
from dataclasses import dataclass

@dataclass
class User:
    id: int
{fields}

def get(user_id: int) -> {returns}:
    loads.append(user_id)
    return User(user_id, *values)
"""


class Release:
    """A process that runs one release of the code.

    Args:
        remote: The store that all processes share, as settings of ``Cache``.
        fields: The fields that its class has beside the id, with the value of each.
        returns: The return annotation.
        options: More arguments of ``cached``.
    """

    def __init__(self, remote, fields, *, returns="User", key_type="user_id", **options):
        lines = "\n".join(f"    {name}: {type(value).__name__}" for name, value in fields.items())
        self.module = ModuleType("shop")
        self.loads = []
        vars(self.module).update(values=list(fields.values()), loads=self.loads)
        self.run(exec, CODE.format(fields=lines, returns=returns), vars(self.module))
        self.cache = Cache(**remote, secrets=(SECRET,), namespace="rolling")
        self.get = self.cache.cached(
            key_type=key_type,
            id_arg=key_type and "user_id",
            use_case="Get",
            ttl={"remote": 300},
            **options,
        )(self.module.get)

    def run(self, function, *args):
        """Runs *function* while ``shop`` is the module of this release."""
        sys.modules["shop"] = self.module
        try:
            return function(*args)
        finally:
            del sys.modules["shop"]

    def read(self, user_id=1):
        """What one request gets, as a mapping; its class is checked."""

        def request():
            with self.cache.enable():
                user = self.get(user_id)
            assert type(user) is self.module.User
            return vars(user)

        return self.run(request)


@pytest.fixture(params=["fake", pytest.param("redis", marks=pytest.mark.redis)])
def remote(request):
    """A store that several caches share."""
    if request.param == "fake":
        clock = FakeClock()
        yield {"clock": clock, "remote": FakeStore(clock)}
        return
    server = request.getfixturevalue("redis_server")
    server.flush()
    yield {"redis": server.patient_url}


@pytest.fixture
def deploy(remote):
    """Starts processes, each of some release."""
    started = []

    def start(fields, **options):
        started.append(Release(remote, fields, **options))
        return started[-1]

    yield start
    for release in started:
        release.cache.close()


OLD, NEW = {"name": "Ada"}, {"name": "Ada", "email": "ada@example.com"}


def pair(deploy, **options):
    return deploy(OLD, **options), deploy(NEW, **options)


def test_new_code_misses_where_old_code_still_hits(deploy):
    """In any order and as often as they like: neither reads nor overwrites the other's entry."""
    old, new = pair(deploy)
    for _ in range(3):
        assert old.read() == {"id": 1, "name": "Ada"}
        assert new.read() == {"id": 1, "name": "Ada", "email": "ada@example.com"}
    assert (len(old.loads), len(new.loads)) == (1, 1)


def test_processes_of_one_release_share_their_entries(deploy):
    """The shape is the same in each of them."""
    one, other = deploy(NEW), deploy(NEW)
    assert one.read() == other.read()
    assert (len(one.loads), len(other.loads)) == (1, 0)


INVALIDATIONS = {
    "entity": lambda release: release.cache.invalidate("user_id", 1),
    "use case": lambda release: release.cache.invalidate_use_case("Get"),
    "entry": lambda release: release.get.invalidate(1),
    "urn": lambda release: release.cache.invalidate_key(
        Key.parse_urn(release.get.key(1).urn_in("rolling"))
    ),
    "everything": lambda release: release.cache.flush(),
}


@pytest.mark.parametrize(
    ("what", "key_type"),
    [("entity", "user_id"), *[(what, None) for what in INVALIDATIONS if what != "entity"]],
)
@pytest.mark.parametrize("by_old", [True, False], ids=["by old code", "by new code"])
def test_an_invalidation_reaches_every_release(deploy, what, by_old, key_type):
    """Versions belong to what entries are about, and have no schema."""
    old, new = pair(deploy, key_type=key_type)
    old.read(), new.read()
    INVALIDATIONS[what](old if by_old else new)
    old.read(), new.read()
    assert (len(old.loads), len(new.loads)) == (2, 2)


def test_a_schema_of_ones_own_says_when_entries_no_longer_fit(deploy):
    """The same shape under another name, and another shape under the same name."""
    first, second = deploy(OLD, schema="v1"), deploy(OLD, schema="v2")
    first.read(), second.read()
    assert (len(first.loads), len(second.loads)) == (1, 1)
    assert first.get.key(1).storage.endswith("#Get@v1")
    renamed = deploy(OLD, schema="v2", returns="object")
    renamed.read()
    assert len(renamed.loads) == 0


@pytest.mark.parametrize("options", [{"schema": None}, {"returns": "object"}], ids=str)
def test_without_a_schema_entries_are_called_as_ever(deploy, options):
    """Switched off, or nothing to tell it from: all releases share one entry."""
    old, new = pair(deploy, **options)
    assert old.get.key(1).storage == "{user_id:1}#Get"
    old.read(), new.read()
    assert (len(old.loads), len(new.loads)) == (1, 0)


def test_the_members_of_a_ramp_stay_the_same(deploy):
    """A deploy does not draw anew who is cached, also where the unit is the whole key."""
    old, new = pair(deploy, key_type=None, ramp={"remote": 50})
    for user_id in range(40):
        old.read(user_id), new.read(user_id)
    once = [loads[:] for loads in (old.loads, new.loads)]
    for user_id in range(40):
        old.read(user_id), new.read(user_id)
    again = [loads[40:] for loads in (old.loads, new.loads)]
    assert once[0] == once[1] == list(range(40))
    assert again[0] == again[1]
    assert 0 < len(again[0]) < 40
