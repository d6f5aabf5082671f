"""Any sequence of operations has the same outcome in Redis and in the store that stands for it."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache_core.layers.base import Bump, Create, Fetch, Lock, Mark, Store, Unlock
from cache_core.testing import FakeClock, FakeStore

LIFE = 60_000
ENTRIES, TOKENS = ("{id:1}#Get", "{id:2}#Get"), ("one", "two")

things = st.lists(st.sampled_from(("{id:1}", "{id:2}", "{*}")), unique=True).map(tuple)
entry, token = st.sampled_from(ENTRIES), st.sampled_from(TOKENS)
no_token = st.sampled_from(("", *TOKENS))
operations = st.one_of(
    st.builds(Fetch, things, st.lists(entry).map(tuple), st.just(False), st.just(False)),
    st.builds(Create, things, st.just(LIFE)),
    st.builds(Bump, things, st.just(LIFE), st.sampled_from((0, 0, LIFE)), no_token),
    st.builds(Mark, things, st.just(LIFE), token, st.sampled_from((LIFE, 2 * LIFE))),
    st.builds(Lock, entry, token, st.just(LIFE), things, st.just(LIFE)),
    st.builds(Unlock, entry, token),
    st.builds(Store, entry, st.sampled_from((b"", b"data")), st.just(LIFE), no_token),
)


class Outcome:
    """Results without what chance and time decide: versions get numbers in the order of their birth."""

    def __init__(self):
        self._numbers = {}

    def of(self, value):
        if isinstance(value, str):
            kind, nonce, marks = re.fullmatch(r"\w{16}([n!])\d+\.([\w-]+)(.*)", value).groups()
            number = self._numbers.setdefault(nonce, len(self._numbers))
            return (kind, number, re.findall(r"([\w-]+)@", marks))
        return [self.of(part) for part in value] if isinstance(value, tuple) else value


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(operations, max_size=25))
def test_redis_and_its_fake_agree(layer, redis_server, sequence):
    """The same versions change, the same marks stand, the same locks are held."""
    redis_server.flush()
    stores = (layer, FakeStore(FakeClock()))
    outcomes = (Outcome(), Outcome())
    for operation in sequence:
        real, fake = (o.of(store.perform(operation)) for o, store in zip(outcomes, stores))
        assert real == fake, operation
