"""Bytes in the store that are not ours: each kind is a miss with its reason, and is overwritten."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from itertools import pairwise

import pytest

from cache_core import Cache, Policy
from cache_core.errors import ConfigurationError
from cache_core.testing import FakeClock, FakeStore

SECRET, OTHER_SECRET = "a secret of 16 bytes", "a guess of 16 bytes."
needs_package = pytest.mark.skipif(
    find_spec("cryptography") is None, reason="needs the extra 'encryption'"
)


class Site:
    """A process with one cached function, over a store that it may share with others."""

    def __init__(self, store=None, clock=None, *, policy=None, schema=None, **settings):
        self.clock = clock or FakeClock()
        self.store = store or FakeStore(self.clock)
        settings.setdefault("secrets", (SECRET,))
        self.cache = Cache(clock=self.clock, remote=self.store, **settings)
        self.loads = 0
        policy = policy or Policy(ttl={"remote": 300})

        @self.cache.cached(
            key_type="user_id", id_arg="user_id", use_case="Get", policy=policy, schema=schema
        )
        def get(user_id):
            self.loads += 1
            return ["user", user_id]

        self.get = get

    def beside(self, **options):
        """Another process over the same store."""
        return Site(self.store, self.clock, **options)

    def read(self, user_id=1):
        """What one request gets."""
        with self.cache.enable():
            return self.get(user_id)

    def entry(self, user_id=1):
        """The bytes in the store."""
        return self.store.entries[self.get.key(user_id).storage][0]

    def plant(self, data, user_id=1):
        """Puts *data* into the store."""
        self.store.entries[self.get.key(user_id).storage] = (data, 1e18)

    def misses(self):
        """How often the store had nothing to serve, by reason."""
        return self.cache.stats()["use_cases"]["Get"]["misses"].get("remote", {})


def changed(data, at, byte):
    return data[:at] + bytes([byte]) + data[at + 1 :]


def of_another_process(**options):
    """What a process that is configured otherwise leaves under the same key."""

    def forge(site):
        other = site.beside(**options)
        other.read()
        return other.entry()

    return forge


def of_another_key(site):
    site.read(2)
    return site.entry(2)


def from_before_an_invalidation(site):
    site.read()
    old = site.entry()
    site.cache.invalidate("user_id", 1)
    return old


def from_before_its_expiry(site):
    site.read()
    old = site.entry()
    site.clock.advance(301)
    return old


def genuine(site):
    site.read()
    return site.entry()


FORGERIES = {
    "foreign bytes": (lambda _: b"12", "malformed"),
    "a bare pickle": (lambda _: pickle.dumps(["mine"]), "malformed"),
    "truncated": (lambda site: genuine(site)[:-1], "malformed"),
    "header only": (lambda site: genuine(site)[:40], "malformed"),
    "extended": (lambda site: genuine(site) + b"0", "malformed"),
    "altered": (lambda site: changed(genuine(site), -33, 0), "bad_signature"),
    "signed with a guess": (of_another_process(secrets=(OTHER_SECRET,)), "bad_signature"),
    "moved here from another key": (of_another_key, "other_key"),
    "from before an invalidation": (from_before_an_invalidation, "invalidated"),
    "kept beyond its life": (from_before_its_expiry, "expired"),
    "of a newer format": (lambda site: changed(genuine(site), 3, 2), "unknown_format"),
    "of a newer compression": (lambda site: changed(genuine(site), 5, 0x41), "unknown_format"),
    "of another codec": (of_another_process(codec="json"), "other_codec"),
    "larger than allowed": (lambda _: bytes(2 << 20), "too_large"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_a_counted_miss_and_is_overwritten(name):
    """The caller gets what the loader returns; the next one hits, in this process or another."""
    forge, reason = FORGERIES[name]
    site = Site()
    site.plant(forge(site))
    before, loads = dict(site.misses()), site.loads
    assert site.read() == ["user", 1]
    after = site.misses()
    assert site.loads == loads + 1
    assert after[reason] == before.get(reason, 0) + 1
    assert sum(after.values()) == sum(before.values()) + 1
    other = site.beside()
    assert site.read() == other.read() == ["user", 1]
    assert (site.loads, other.loads) == (loads + 1, 0)


DOWNGRADES = {
    "unsigned": ({"codec": "json"}, {"codec": "json", "secrets": ()}, "downgraded"),
    "signed where there is no secret": (
        {"codec": "json", "secrets": ()},
        {"codec": "json"},
        "other_seal",
    ),
}
ENCRYPTING = {"policy": Policy(ttl={"remote": 300}, encrypt=True)}
ENCRYPTED = {
    "plain where it should be encrypted": (ENCRYPTING, {}, "downgraded"),
    "encrypted where it should be plain": ({}, ENCRYPTING, "other_seal"),
    "encrypted with a guess": (
        ENCRYPTING,
        {**ENCRYPTING, "secrets": (OTHER_SECRET,)},
        "bad_signature",
    ),
}


@pytest.mark.parametrize(
    "case",
    [
        *DOWNGRADES.values(),
        *[pytest.param(case, marks=needs_package) for case in ENCRYPTED.values()],
    ],
    ids=[*DOWNGRADES, *ENCRYPTED],
)
def test_another_protection_is_a_counted_miss_and_is_overwritten(case):
    """The configuration decides how entries are sealed; an entry cannot choose less."""
    own, others, reason = case
    site = Site(**own)
    other = site.beside(**others)
    other.read()
    assert site.read() == site.read() == ["user", 1]
    assert site.misses() == {reason: 1}
    assert site.loads == 1


def test_secrets_are_replaced_while_processes_run_side_by_side():
    """Told to all first, used next, dropped last: no process ever misses for want of a secret."""
    old, new = SECRET, OTHER_SECRET
    site = Site()
    steps = [(old,), (old, new), (new, old), (new,)]
    for step, following in pairwise(steps):
        for ours, theirs in ((step, following), (following, step)):
            site.store.lose_entries()
            writer, reader = site.beside(secrets=ours), site.beside(secrets=theirs)
            assert writer.read() == reader.read() == ["user", 1]
            assert (writer.loads, reader.loads) == (1, 0)


def test_a_dropped_secret_opens_nothing():
    """After the last step the old secret is worth nothing, and its entries are overwritten."""
    before = Site(secrets=(SECRET,))
    before.read()
    after = before.beside(secrets=(OTHER_SECRET,))
    assert after.read() == after.read() == ["user", 1]
    assert (after.misses(), after.loads) == ({"bad_signature": 1}, 1)


@needs_package
class TestEncryption:
    def test_a_use_case_is_encrypted_by_its_policy(self):
        """By the decorator, the settings or an override; other use cases stay as they are."""
        by_code = Site(**ENCRYPTING)
        by_default = Site(default=Policy(encrypt=True))
        by_settings = Site(use_cases={"Get": {"encrypt": "true"}})
        overridden, plain = Site(), Site()
        overridden.cache.override("Get", Policy(encrypt=True))
        for site in (by_code, by_default, by_settings, overridden, plain):
            assert site.read() == site.read() == ["user", 1]
            assert (b"user" in site.entry()[72:]) is (site is plain)
            assert site.loads == 1

    def test_secrets_of_encryption_are_replaced_side_by_side(self):
        """The first encrypts, all decrypt, as for signatures."""
        old = Site(secrets=(SECRET,), **ENCRYPTING)
        old.read()
        new = old.beside(secrets=(OTHER_SECRET, SECRET), **ENCRYPTING)
        assert (new.read(), new.loads) == (["user", 1], 0)


def test_encryption_without_a_secret_is_refused_at_start_up():
    """Every place that asks for it is named at once."""
    asked = Policy(encrypt=True)
    with pytest.raises(ConfigurationError) as caught:
        Cache(remote=FakeStore(FakeClock()), default=asked, use_cases={"A": asked, "B": Policy()})
    assert [problem.path for problem in caught.value.problems] == [
        "Cache['DEFAULT']['ENCRYPT']",
        "Cache['USE_CASES']['A']['ENCRYPT']",
    ]
    assert "Set secrets" in str(caught.value)


def test_encryption_without_the_package_is_refused_at_start_up(monkeypatch):
    """The message has the line that installs it."""
    monkeypatch.setattr("cache_core.build.Cipher", _without_package)
    with pytest.raises(ConfigurationError, match=r"pip install 'cache-core\[encryption\]'"):
        Site(default=Policy(encrypt=True))


def _without_package(_):
    from cache_core.errors import MissingExtra

    raise MissingExtra("Encryption", package="cryptography", extra="encryption")


def declared(cache):
    @cache.cached(use_case="Get", policy=Policy(ttl=60, encrypt=True))
    def get():
        return 1


REFUSED = r"Policy\(encrypt=...\) of 'Get' is True; expected a secret"


def test_a_decorator_that_asks_for_the_impossible_is_refused():
    """At the declaration, where the settings are known."""
    cache = Cache(remote=FakeStore(FakeClock()))
    with pytest.raises(ConfigurationError, match=REFUSED):
        declared(cache)


def test_a_decorator_that_asked_for_the_impossible_is_refused_by_the_settings():
    """At the start, where they come later."""
    cache = Cache()
    declared(cache)
    with pytest.raises(ConfigurationError, match=REFUSED):
        cache.configure(remote=FakeStore(FakeClock()))


def test_settings_can_switch_off_what_the_code_asks_for():
    """Where there is no secret, as in development, the settings win over the decorator."""
    site = Site(secrets=(), use_cases={"Get": Policy(encrypt=False)}, **ENCRYPTING)
    assert site.read() == site.read() == ["user", 1]
    assert site.loads == 1


def test_without_a_store_nothing_needs_to_be_encrypted():
    """What stays in this process is not encrypted, so nothing is missing."""
    cache = Cache(default=Policy(ttl=60, encrypt=True))
    loads = []

    @cache.cached(use_case="Get")
    def get():
        loads.append(1)

    for _ in range(2):
        with cache.enable():
            get()
    assert len(loads) == 1


def test_what_cannot_be_encrypted_later_is_not_written_at_all():
    """An override that asks for the impossible costs the remote layer and never a plain entry."""
    site = Site(secrets=(), codec="json")
    site.cache.override("Get", Policy(encrypt=True))
    assert site.read() == ["user", 1]
    assert not site.store.entries
