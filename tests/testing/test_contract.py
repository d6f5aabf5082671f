"""The contract finds layers that break a promise: each of these stores has one defect."""

from __future__ import annotations

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Fetch, Fetched, Locked, Unlock
from cache_core.testing import FakeClock, FakeStore
from cache_core.testing.contract import Faults, RemoteLayerContract, Subject

CONTRACT = RemoteLayerContract()


class Counting(FakeStore):
    """Versions are numbers of changes: after a loss they come back."""

    def _fresh(self):
        return f"{self._now}.{len(self.versions):012}"


class Recreating(FakeStore):
    """Create takes no notice of what stands."""

    def _create(self, operation):
        for thing in operation.things:
            self.versions.pop(thing, None)
        return super()._create(operation)


class Forgetful(FakeStore):
    """A bump clears everybody's marks."""

    def _marks(self, thing):
        return {}


class Shortening(FakeStore):
    """A shorter quarantine replaces a longer one."""

    def _marks(self, thing):
        return {t: m for t, m in super()._marks(thing).items() if t != "hold"}


class Immortal(FakeStore):
    """Nothing ever expires."""

    def _live(self, kept, key):
        return kept.get(key, (None, 0))[0]


class Mortal(FakeStore):
    """Also versions of coarse things expire."""

    def _end(self, thing, ttl_ms):
        return self._now + ttl_ms


class Careless(FakeStore):
    """Anybody may give back a lock."""

    def _unlock(self, operation):
        self.locks.pop(operation.entry, None)


class Generous(FakeStore):
    """Everybody gets the lock."""

    def _lock(self, operation):
        return Locked(True, *super()._lock(operation)[1:])


class Trusting(FakeStore):
    """The pulse is always well."""

    def perform(self, operation):
        answer = super().perform(operation)
        if isinstance(answer, Fetched) and answer.pulse:
            return answer._replace(pulse=answer.pulse._replace(refusal=None))
        return answer


class Swallowing(FakeStore):
    """What is refused is not told."""

    def perform(self, operation):
        try:
            return super().perform(operation)
        except RemoteError:
            return ()


class Unordered(FakeStore):
    """Entries come in the order of their keys."""

    def _fetch(self, operation):
        return super()._fetch(operation._replace(entries=tuple(sorted(operation.entries))))


class Truncating(FakeStore):
    """Keys are cut at 250 characters."""

    def _store(self, operation):
        super()._store(operation._replace(entry=operation.entry[:250]))

    def _fetch(self, operation):
        return super()._fetch(operation._replace(entries=tuple(e[:250] for e in operation.entries)))


class Epochless(FakeStore):
    """After a failover everything is as it was before."""

    def fail_over(self):
        epoch = self.epoch
        super().fail_over()
        self.epoch = epoch


class ThroughFake(Faults):
    """Time, and what a FakeStore can be told to do."""

    def __init__(self, store, clock):
        self._clock = clock
        self._store = store
        self.lag, self.fail_over = store.snapshot, store.fail_over

    def pass_time(self, ms):
        self._clock.advance(ms / 1000)

    def lose(self, things):
        self._store.lose_versions()

    def refuse_writes(self):
        self._store.refuses_writes = "full"


DEFECTS = [
    (Counting, "test_no_version_comes_back", ()),
    (Recreating, "test_create_leaves_a_version_that_stands", ()),
    (Forgetful, "test_marks_of_several_writers_live_side_by_side", ()),
    (Forgetful, "test_a_bump_keeps_the_marks_of_others", ()),
    (Shortening, "test_a_bump_never_shortens_a_quarantine", (0,)),
    (Immortal, "test_an_entry_is_stored_for_its_time", ()),
    (Immortal, "test_a_lock_ends_with_its_life", ()),
    (Immortal, "test_a_quarantine_ends_by_itself", ("{user_id:42}",)),
    (Mortal, "test_versions_of_coarse_things_do_not_expire", (Bump,)),
    (Careless, "test_giving_back_twice_is_as_once", ()),
    (Careless, "test_a_late_unlock_takes_the_lock_from_nobody", (Unlock("{user_id:42}?lang=en#GetUser", "slow"),)),
    (Generous, "test_one_gets_the_lock", ()),
    (Trusting, "test_a_store_that_refuses_writes_is_found_out", ()),
    (Swallowing, "test_a_refused_bump_is_an_error", ()),
    (Unordered, "test_several_entries_are_fetched_in_order", ()),
    (Truncating, "test_any_text_names_an_entry", ("{a:" + "x" * 300 + "}?#A",)),
    (Epochless, "test_a_failover_changes_the_epoch_of_every_version", ()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "arguments"), DEFECTS)
def test_a_defect_is_found(kind, name, arguments, monkeypatch):
    """The test fails over the store with the defect, and passes over the one without it."""
    monkeypatch.setattr(RemoteLayerContract, "has_epochs", True)

    def run(store_kind):
        clock = FakeClock()
        store = store_kind(clock)
        getattr(CONTRACT, name)(Subject(store, ThroughFake(store, clock), "threads"), *arguments)

    with pytest.raises((AssertionError, TypeError, pytest.fail.Exception)):
        run(kind)
    if name != "test_a_store_that_refuses_writes_is_found_out":  # it also wants writes back
        run(FakeStore)


def test_what_faults_cannot_do_is_skipped():
    """A store that a test cannot harm is not said to have stood it."""
    store = FakeStore(FakeClock())
    with pytest.raises(pytest.skip.Exception, match="cannot refuse writes"):
        CONTRACT.test_a_refused_bump_is_an_error(Subject(store, Faults(), "threads"))


def test_a_contract_without_a_layer_says_what_is_missing():
    """Whoever forgets the fixture is told its name."""
    with pytest.raises(NotImplementedError, match="fixture 'layer'"):
        RemoteLayerContract.layer.__wrapped__(CONTRACT)


def test_asyncio_is_carried_out_on_a_loop():
    """A subject of that style asks ``aperform``."""
    store = FakeStore(FakeClock())

    async def answer(operation):
        return Fetched(("n",))

    store.perform, store.aperform = None, answer
    assert Subject(store, Faults(), "asyncio")(Fetch(("{a:1}",))) == Fetched(("n",))
