"""The pin: after a write of a session its next request relies on no feed, in whatever process."""

from __future__ import annotations

import time
from unittest import mock

import pytest
from flask import Flask, request
from itsdangerous import URLSafeTimedSerializer

from cache_core import Cache
from cache_core.pins import COOKIE, QUEUED, WROTE
from cache_core.protocol.versions import VersionMemo
from cache_core.testing import FakeClock
from flask_ext import CacheCore
from tests.protocol.worlds import FedStore

KEY = "only for tests"


class Shop:
    """An app with a view that reads a row and, when it is posted to, changes it first."""

    def __init__(self, secret_key=KEY, **config):
        self.clock = FakeClock()
        self.store = FedStore(self.clock)
        self.cache = CacheCore(clock=self.clock)
        self.value = self.reads = 0
        self.scopes = []
        self.app = Flask("shop")
        self.app.config.update(TESTING=True, SECRET_KEY=secret_key)
        settings = {"REMOTE": self.store, "CONSISTENCY": "feed", "CODEC": "json", **config}
        self.cache.init_app(self.app, settings)

        @self.cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
        def get(id):
            self.reads += 1
            return self.value

        @self.app.route("/", methods=["GET", "POST"])
        def view():
            self.scopes.append(self.cache._current.scope.get())
            if request.method == "POST":
                self.value += 1
                self.cache.invalidate("row", 1)
            return str(get(1))

        for _ in range(3):  # after these, hits come from memory unseen
            self.send()

    def send(self, method="GET", cookie=None, **options):
        """One request with at most one cookie; its response."""
        client = self.app.test_client()
        if cookie is not None:
            client.set_cookie(COOKIE, cookie)
        return client.open("/", method=method, **options)

    @property
    def was_exact(self):
        """Whether the last request relied on no feed."""
        return isinstance(self.scopes[-1].versions, VersionMemo)

    def change_elsewhere(self):
        """Another process changes the row, and this one is told late."""
        self.store.late = []
        self.value += 1
        Cache(clock=self.clock, remote=self.store, codec="json").invalidate("row", 1)


@pytest.fixture
def shop():
    return Shop()


def cookie_of(response):
    """The pin that a response sets: its value and its attributes."""
    (header,) = [h for h in response.headers.getlist("Set-Cookie") if h.startswith(COOKIE)]
    pair, *attributes = header.split("; ")
    return pair.partition("=")[2], attributes


def is_pinned(response):
    return COOKIE in response.headers.get("Set-Cookie", "")


def signed(value, key=KEY, salt=COOKIE, seconds_ago=0):
    """A cookie that was signed some time ago."""
    then = int(time.time()) - seconds_ago
    with mock.patch("itsdangerous.timed.time.time", return_value=then):
        return URLSafeTimedSerializer(key, salt=salt).dumps(value)


def test_a_request_that_wrote_is_pinned(shop):
    """For two leases, out of reach of scripts."""
    value, attributes = cookie_of(shop.send("POST"))
    assert URLSafeTimedSerializer(KEY, salt=COOKIE).loads(value) == WROTE
    assert {"Max-Age=1", "HttpOnly", "SameSite=Lax"} <= set(attributes)
    assert "Secure" not in attributes


def test_the_pin_of_a_secure_request_is_secure(shop):
    """It never travels in the clear where its session does not."""
    response = shop.send("POST", base_url="https://localhost")
    assert "Secure" in cookie_of(response)[1]


def test_a_request_that_only_read_is_not_pinned(shop):
    """Nor is one that brings a pin: it does not make itself last."""
    assert not is_pinned(shop.send())
    assert not is_pinned(shop.send(cookie=signed(WROTE)))


def test_a_pinned_request_sees_what_the_session_wrote_elsewhere(shop):
    """The push is late; without its pin the request would get the old value."""
    shop.change_elsewhere()
    assert shop.send().text == "0" and not shop.was_exact
    assert shop.send(cookie=signed(WROTE)).text == "1" and shop.was_exact


def test_a_pin_is_what_its_response_set(shop):
    """The cookie of one response is understood in the next request."""
    value, _ = cookie_of(shop.send("POST"))
    shop.send(cookie=value)
    assert shop.was_exact


@pytest.mark.parametrize("cookie", [WROTE, QUEUED, "", "a.b.c", "%00%ff", "é"])
def test_a_forged_cookie_is_ignored(shop, cookie):
    """Nobody switches the cache off for a request by hand."""
    before = shop.reads
    assert shop.send(cookie=cookie).text == "0"
    assert not shop.was_exact and shop.reads == before


def test_a_cookie_that_was_changed_is_ignored(shop):
    """The signature is of its value."""
    wrote, queued = signed(WROTE), signed(QUEUED)
    forged = ".".join([queued.split(".")[0], *wrote.split(".")[1:]])
    shop.send(cookie=forged)
    assert not shop.was_exact


@pytest.mark.parametrize("forged", [{"key": "another key"}, {"salt": "cookie-session"}])
def test_a_cookie_that_was_signed_for_something_else_is_ignored(shop, forged):
    """As by another app, or of another cookie of this one."""
    shop.send(cookie=signed(WROTE, **forged))
    assert not shop.was_exact


@pytest.mark.parametrize(("seconds", "counts"), [(110, True), (130, False)])
def test_a_pin_is_not_believed_for_ever(shop, seconds, counts):
    """Whatever a client keeps."""
    shop.send(cookie=signed(WROTE, seconds_ago=seconds))
    assert shop.was_exact is counts


def test_a_write_that_waits_switches_caching_off(shop):
    """For the session, since no other process knows of it."""
    shop.store.down = True
    value, attributes = cookie_of(shop.send("POST"))
    shop.store.down = False
    assert "Max-Age=60" in attributes
    shop.value = 7
    before = shop.reads
    assert [shop.send(cookie=value).text for _ in range(2)] == ["7", "7"]
    assert shop.reads == before + 2


def test_a_pin_of_a_value_that_nobody_knows_is_exact(shop):
    """As may be set by a later version of this package while two of them run."""
    shop.send(cookie=signed(["later"]))
    assert shop.was_exact


def test_an_app_without_a_key_sets_no_pin():
    """It has no signed cookies, so none is set, and none is believed."""
    shop = Shop(secret_key=None)
    assert not is_pinned(shop.send("POST"))
    shop.send(cookie=signed(WROTE))
    assert not shop.was_exact


def test_without_a_feed_nobody_is_pinned():
    """The next request sees the write anyway."""
    assert not is_pinned(Shop(CONSISTENCY="request").send("POST"))
