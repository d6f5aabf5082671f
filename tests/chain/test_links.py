"""Links: layers that users compose into chains and trees, with stores of their own."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cache_core import Outcome
from cache_core.chain import NOT_FOUND, Asked, AsyncLink, Link
from cache_core.errors import DeclarationError

HIT, MISS = Outcome.HIT, Outcome.MISS


def awaited(function):
    """*function* as a coroutine function; None and links stay what they are."""
    if function is None or isinstance(function, AsyncLink):
        return function

    async def waits(*args):
        await asyncio.sleep(0)
        return function(*args)

    return waits


class Kind:
    """One kind of link: how it is made, and asked.

    Args:
        kind: The class.
        wrap: What is done to each callable.
    """

    def __init__(self, kind, wrap):
        self.kind, self.wrap = kind, wrap

    def link(self, source, *, inspect=None, **options):
        for name in ("key", "value", "get", "set"):
            if name in options:
                options[name] = self.wrap(options[name])
        return self.kind(self.wrap(source), inspect=self.wrap(inspect), **options)

    def ask(self, link, key):
        found = link(key)
        return asyncio.run(found) if isinstance(link, AsyncLink) else found


@pytest.fixture(
    params=[Kind(Link, lambda f: f), Kind(AsyncLink, lambda f: f), Kind(AsyncLink, awaited)],
    ids=["sync", "async over plain callables", "async"],
)
def kind(request):
    return request.param


@pytest.fixture
def bucket():
    """The source of a chain; counts how often it is asked."""
    return Bucket({"a": "1", "b": "2", "none": None})


class Bucket(dict):
    asked = 0

    def read(self, key):
        self.asked += 1
        return self.get(key, NOT_FOUND)


def test_a_miss_fills_every_layer_and_is_told_in_order(kind, bucket):
    """The example of multilayer-cache: bucket, raw files, parsed files with parser versions."""
    events, files, parsed_files = [], {}, {}
    raw = kind.link(bucket.read, name="raw", store=files, inspect=events.append)
    parsed = kind.link(
        raw,
        name="parsed",
        key=lambda key: key[0],
        value=int,
        store=parsed_files,
        inspect=events.append,
    )
    assert kind.ask(parsed, ("a", "v1")) == 1
    assert (files, parsed_files) == ({"a": "1"}, {("a", "v1"): 1})
    assert kind.ask(parsed, ("a", "v2")) == 1
    assert kind.ask(parsed, ("a", "v2")) == 1
    assert bucket.asked == 1
    assert events == [
        Asked("parsed", ("a", "v1"), MISS),
        Asked("raw", "a", MISS),
        Asked("parsed", ("a", "v2"), MISS),
        Asked("raw", "a", HIT),
        Asked("parsed", ("a", "v2"), HIT),
    ]


def test_what_is_not_found_is_kept_nowhere(kind, bucket):
    """The sentinel passes through every layer, and the source is asked again."""
    files, parsed_files = {}, {}
    raw = kind.link(bucket.read, store=files)
    parsed = kind.link(raw, value=int, store=parsed_files)
    assert kind.ask(parsed, "z") is NOT_FOUND
    assert files == parsed_files == {}
    bucket["z"] = "26"
    assert kind.ask(parsed, "z") == 26
    assert parsed.stats() == {"hits": 0, "misses": 2, "not_found": 1, "failures": 0}


def test_one_source_serves_a_tree(kind, bucket):
    """Dependents, and dependents of dependents, each with values of its own."""
    raw = kind.link(bucket.read, store={})
    number = kind.link(raw, value=int, store={})
    double = kind.link(number, value=lambda value: value * 2, store={})
    text = kind.link(raw, value=lambda value: f"<{value}>", store={})
    assert [kind.ask(link, "b") for link in (double, text, number)] == [4, "<2>", 2]
    assert bucket.asked == 1


def test_none_is_a_value(kind, bucket):
    """A None of the source is kept by a store, and is not the same as nothing."""
    raw = kind.link(bucket.read, store={})
    assert kind.ask(raw, "none") is None
    assert kind.ask(raw, "none") is None
    assert bucket.asked == 1


def test_get_and_set_take_the_place_of_a_store(kind, bucket):
    """Two callables of the user's are a layer, too."""
    kept = {}
    raw = kind.link(bucket.read, get=kept.__getitem__, set=kept.__setitem__)
    assert [kind.ask(raw, "a"), kind.ask(raw, "a")] == ["1", "1"]
    assert (bucket.asked, kept) == (1, {"a": "1"})


def test_a_get_that_returns_none_has_nothing(kind, bucket):
    """As most stores say so; a None of the source is then not kept, and never mistaken."""
    kept = {}
    raw = kind.link(bucket.read, get=kept.get, set=kept.__setitem__)
    assert [kind.ask(raw, "a"), kind.ask(raw, "none")] == ["1", None]
    assert kept == {"a": "1"}


@pytest.mark.parametrize("name", [7, ("raw", 1), object(), None, "raw"], ids=repr)
def test_a_name_is_anything(kind, bucket, name):
    """Names are the user's own; nothing is made of them."""
    events = []
    kind.ask(kind.link(bucket.read, name=name, store={}, inspect=events.append), "a")
    assert events == [Asked(name, "a", MISS)]


def broken(*args):
    raise ConnectionError("no store")


@pytest.mark.parametrize(
    ("options", "failing"),
    [
        ({"get": broken, "set": lambda key, value: None}, ["get"]),
        ({"get": lambda key: NOT_FOUND, "set": broken}, ["set"]),
        ({"get": broken, "set": broken}, ["get", "set"]),
        ({"store": {}, "inspect": broken}, ["inspect"]),
    ],
    ids=["get", "set", "both", "inspect"],
)
def test_what_fails_beside_the_source_never_reaches_the_caller(
    kind, bucket, caplog, options, failing
):
    """It is counted each time, logged once, and the source has the value."""
    raw = kind.link(bucket.read, name="raw", **options)
    with caplog.at_level(logging.WARNING, "cache_core"):
        assert [kind.ask(raw, "a"), kind.ask(raw, "a")] == ["1", "1"]
    assert raw.stats()["failures"] == 2 * len(failing)
    text = "of the link 'raw' failed and was passed over: ConnectionError: no store"
    assert caplog.messages == [f"{operation} {text}" for operation in failing]


@pytest.mark.parametrize("place", ["source", "key", "value"])
@pytest.mark.parametrize("error", [ValueError("no"), KeyError("no"), LookupError("no")], ids=repr)
def test_an_error_of_the_source_reaches_the_caller(kind, bucket, place, error):
    """So does one of what turns keys and values; nothing is kept."""

    def fails(key):
        raise error

    options = {"source": bucket.read, "store": {}, place: fails}
    with pytest.raises(type(error)) as raised:
        kind.ask(kind.link(**options), "a")
    assert raised.value is error
    assert options["store"] == {}


def test_a_stop_iteration_of_the_source_is_passed_on(bucket):
    """It ends nothing but the call."""

    def exhausted(key):
        return next(iter(()))

    with pytest.raises(StopIteration):
        Link(Link(exhausted, store={}), store={})("a")


def unnoticed(key):
    """A coroutine, of a function that does not look like a coroutine function."""
    return awaited(str)(key)


@pytest.mark.parametrize("place", ["source", "key", "value"])
def test_a_coroutine_is_no_value_of_a_sync_link(bucket, place):
    """Nobody would await it, and a second reader could not: it is refused where it comes from."""
    options = {"source": bucket.read, "store": {}, place: unnoticed}
    with pytest.raises(TypeError, match="an AsyncLink awaits it"):
        Link(**options)("a")
    assert options["store"] == {}


def test_a_get_that_returns_a_coroutine_has_failed(bucket):
    """Its link goes past it to the source, as past every get that fails."""
    link = Link(bucket.read, get=unnoticed, set=lambda key, value: None)
    assert link("a") == "1"
    assert link.stats()["failures"] == 1


def test_a_cancelled_call_keeps_nothing(bucket):
    """Cancelling is no failure of a layer."""
    kept = {}

    async def slow(key):
        await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.create_task(AsyncLink(slow, store=kept)("a"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert kept == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has no layer"),
        ({"get": {}.get}, "get and set together"),
        ({"set": {}.__setitem__}, "get and set together"),
        ({"store": {}, "get": {}.get, "set": {}.__setitem__}, "a store, or get and set"),
        ({"store": {}, "value": awaited(int)}, "use AsyncLink"),
        ({"store": {}, "cached": lambda function: function}, "a cached of ours"),
    ],
    ids=["nothing", "get alone", "set alone", "both", "to be awaited", "foreign decorator"],
)
def test_what_cannot_work_is_refused(options, message):
    """The error names the link and what to do."""
    with pytest.raises(DeclarationError, match=f"'raw': .*{message}"):
        Link(lambda key: key, name="raw", **options)


def test_a_sync_link_cannot_stand_on_an_async_one():
    """The other way round it can."""
    below = AsyncLink(awaited(int), store={})
    with pytest.raises(DeclarationError, match="use AsyncLink"):
        Link(below, store={})
    assert asyncio.run(AsyncLink(Link(int, store={}), store={})("7")) == 7
