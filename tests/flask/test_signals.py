"""Signals: who is told of what, and what that costs who does not listen."""

from __future__ import annotations

import gc
from dataclasses import is_dataclass

import pytest

from cache_core.events import EVENTS, Called, Hit, Invalidated, Loaded, RoundTrip
from flask_ext import CacheCore, signals
from flask_ext.signals import SIGNALS, cache_hit, cache_invalidated, cache_loaded, cache_missed


class Receiver:
    """Notes what it is sent."""

    def __init__(self):
        self.got = []

    def __call__(self, sender, *, cache, event):
        self.got.append((sender, cache, event))

    @property
    def events(self):
        return [event for _, _, event in self.got]


@pytest.fixture
def receiver():
    return Receiver()


def plan_of(cache, app, users):
    return cache.for_app(app).runtime.plan(users.get.cached_function)


def test_every_event_has_a_signal_of_its_own():
    """No event is without, none shares one, and each is a name of the module."""
    assert set(SIGNALS) == set(EVENTS) - {Called, RoundTrip}
    assert len({id(signal) for signal in SIGNALS.values()}) == len(SIGNALS)
    named = [value for name, value in vars(signals).items() if name.startswith("cache_")]
    assert {id(signal) for signal in SIGNALS.values()} == {id(signal) for signal in named}


def test_a_receiver_is_told_of_an_event(app, client, cache, receiver):
    """With the app's cache and the event, by the app as the sender."""
    with cache_loaded.connected_to(receiver):
        client.get("/user/7")
    ((sender, told, event),) = receiver.got
    assert sender is app
    assert told is cache.for_app(app)
    assert isinstance(event, Loaded) and is_dataclass(event)
    assert event.use_case == "GetUser"


def test_a_receiver_of_one_app_hears_nothing_of_another(make_app, receiver):
    """The sender is the app itself and no proxy, so sender=app means that app."""
    one, two = make_app("one"), make_app("two")
    with cache_loaded.connected_to(receiver, sender=one):
        two.test_client().get("/user/7")
        assert receiver.got == []
        one.test_client().get("/user/7")
    assert len(receiver.got) == 1


def test_an_invalidation_is_told(app, cache, receiver):
    """Also one that is done by the handle of an app, without a context."""
    with cache_invalidated.connected_to(receiver):
        cache.for_app(app).invalidate("user_id", 7)
    (event,) = receiver.events
    assert isinstance(event, Invalidated) and event.delivered
    assert "{user_id:7}" in event.things


def test_settings_that_were_in_use_before(app, cache, receiver):
    """A cache that is put together anew of its own settings tells each event once."""
    mine = cache.for_app(app)
    mine.configure_from(mine.runtime.settings)
    with cache_invalidated.connected_to(receiver):
        mine.invalidate("user_id", 7)
    assert len(receiver.got) == 1


def test_hits_are_told_while_somebody_receives_them(app, client, receiver):
    """From the next call on, also when the cache was at work before, and no longer than that."""
    client.get("/user/7")
    with cache_hit.connected_to(receiver, sender=app):
        client.get("/user/7")
    client.get("/user/7")
    assert receiver.events == [Hit("GetUser", receiver.events[0].layer)]


def test_a_hit_costs_nothing_without_receivers(app, client, cache, users, receiver):
    """The fast path is taken again when the last receiver is gone."""
    client.get("/user/7")
    assert plan_of(cache, app, users).fast
    with cache_hit.connected_to(receiver):
        assert not plan_of(cache, app, users).fast
    assert plan_of(cache, app, users).fast


def test_connecting_forgets_nothing(app, client, users, receiver):
    """Entries stay valid when somebody begins to listen."""
    client.get("/user/7")
    with cache_hit.connected_to(receiver):
        client.get("/user/7")
    assert users.loads[7] == 1


def test_a_receiver_that_was_there_before_the_app_is_told_of_hits(make_app, receiver):
    """Receivers are usually connected at import time."""
    with cache_hit.connected_to(receiver):
        client = make_app().test_client()
        client.get("/user/7")
        client.get("/user/7")
    assert len(receiver.got) == 1


def test_a_receiver_that_fails_harms_nobody(client, receiver, caplog):
    """The page is served, the log says what failed, and the other receivers are told."""

    def broken(sender, **_):
        raise ValueError("broken receiver")

    other = Receiver()
    with (
        cache_missed.connected_to(receiver),
        cache_missed.connected_to(broken),
        cache_missed.connected_to(other),
    ):
        assert client.get("/user/7").text == "Ada"
    assert len(receiver.got) == len(other.got) == 1
    assert "broken receiver" in caplog.text
    assert "Missed" in caplog.text


def test_a_receiver_may_use_the_cache(client, users):
    """The hit that a receiver of hits causes is not told to it."""
    seen = []

    def reader(sender, **_):
        seen.append(users.get(7))

    client.get("/user/7")
    with cache_hit.connected_to(reader):
        client.get("/user/7")
    assert seen == ["Ada"]


async def _async_receiver(got, sender, event):
    got.append((sender, event))


def test_an_async_receiver_is_awaited(app, client):
    """It has run when the view goes on."""
    got = []

    async def receive(sender, *, cache, event):
        await _async_receiver(got, sender, event)

    with cache_loaded.connected_to(receive):
        client.get("/user/7")
    ((sender, event),) = got
    assert sender is app
    assert event.use_case == "GetUser"


def test_an_async_receiver_of_an_async_view_is_awaited(app, client, users):
    """The view's loop is busy with the view; the receiver runs on another one."""
    got = []

    async def receive(sender, *, cache, event):
        await _async_receiver(got, sender, event)

    @app.get("/async")
    async def view():
        return users.get(7)

    with cache_loaded.connected_to(receive):
        assert client.get("/async").text == "Ada"
    assert len(got) == 1


def test_an_async_receiver_that_fails_harms_nobody(app, client, users, caplog):
    """On a loop of its own as well as without one."""

    async def broken(sender, **_):
        raise ValueError("broken receiver")

    @app.get("/async")
    async def view():
        return users.get(7)

    with cache_loaded.connected_to(broken):
        assert client.get("/async").text == "Ada"
        assert client.get("/user/8").text == "None"
    assert caplog.text.count("ValueError: broken receiver") == 2


def test_a_muted_signal_is_silent(client, receiver):
    """As blinker promises."""
    with cache_loaded.connected_to(receiver), cache_loaded.muted():
        client.get("/user/7")
    assert receiver.got == []


def test_a_receiver_that_died_is_not_told(client):
    """As blinker does it: receivers are held weakly unless it is told otherwise."""
    receiver = Receiver()
    got = receiver.got
    cache_loaded.connect(receiver)
    del receiver
    gc.collect()
    client.get("/user/7")
    assert got == []


def test_the_fast_path_is_taken_again_when_a_receiver_died(app, client, cache, users):
    """With the first hit that nobody receives any more."""
    receiver = Receiver()
    cache_hit.connect(receiver)
    client.get("/user/7")
    del receiver
    gc.collect()
    client.get("/user/7")
    assert plan_of(cache, app, users).fast


def test_a_hook_of_the_settings_goes_on_to_be_told_of_hits(make_app):
    """Signals are beside the hooks, and not in their place."""
    got = []

    class Hook:
        events = (Hit,)

        def __call__(self, event):
            got.append(event)

    client = make_app(config={"HOOKS": [Hook()]}).test_client()
    for _ in range(3):
        client.get("/user/7")
    assert len(got) == 2


def test_a_named_cache_says_which_it_is(app, receiver):
    """Receivers tell the caches of one app apart."""
    reports = CacheCore(name="reports")
    reports.init_app(app)
    with cache_invalidated.connected_to(receiver, sender=app):
        reports.for_app(app).invalidate("report_id", 1)
    ((_, told, _),) = receiver.got
    assert told.declaration.name == "reports"
