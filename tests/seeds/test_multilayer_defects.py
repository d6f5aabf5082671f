"""Every defect that was shown in multilayer-cache, M1 to M6, tried here: none of them is left."""

from __future__ import annotations

import json

import pytest

from cache_core import Outcome
from cache_core.chain import NOT_FOUND, Asked, Link
from cache_core.chain import link as links


@pytest.mark.parametrize("name", [1, ("a", 1), None, object(), [1]], ids=repr)
def test_m1_an_identifier_is_anything(name):
    """With and without somebody who looks on."""
    events = []
    assert Link(str, name=name, store={})(1) == "1"
    assert Link(str, name=name, store={}, inspect=events.append)(1) == "1"
    assert events[0].link is name


def broken(*args):
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    "options",
    [
        {"get": broken, "set": lambda key, value: None},
        {"get": {}.get, "set": broken},
        {"store": {}, "inspect": broken},
    ],
    ids=["get", "set", "inspect"],
)
def test_m2_callbacks_that_fail_never_reach_the_caller(options, caplog):
    """It is counted and logged; the source's own error does reach them."""
    link = Link(str, name="link", **options)
    assert [link(1), link(1)] == ["1", "1"]
    assert link.stats()["failures"] == 2
    assert len(caplog.messages) == 1
    with pytest.raises(RuntimeError, match="broken"):
        Link(broken, store={})(1)


class ParsedFile:
    def __init__(self, text):
        self.value = json.loads(text)["value"]


def test_m3_the_two_layers_of_its_readme_work_on_the_first_hit_too():
    """What is kept as text comes back as what was asked for."""
    bucket, files, parsed_files = {"a": '{"value": "A"}'}, {}, {}
    raw = Link(lambda key: bucket.get(key, NOT_FOUND), store=files)
    parsed = Link(
        raw,
        key=lambda key: key[0],
        value=ParsedFile,
        get=lambda key: ParsedFile(parsed_files[key]),
        set=lambda key, file: parsed_files.update({key: json.dumps({"value": file.value})}),
    )
    for _ in range(3):
        found = parsed(("a", "0"))
        assert isinstance(found, ParsedFile)
        assert found.value == "A"
    assert parsed.stats() == {"hits": 2, "misses": 1, "not_found": 0, "failures": 0}


def test_m3_a_kept_value_that_cannot_be_read_is_replaced():
    """A decoder that fails is a miss, once."""
    kept = {"a": "not json"}
    link = Link(lambda key: {"x": 1}, get=lambda key: json.loads(kept[key]), set=set_json(kept))
    assert [link("a"), link("a")] == [{"x": 1}, {"x": 1}]
    assert link.stats() == {"hits": 1, "misses": 1, "not_found": 0, "failures": 1}


def set_json(kept):
    return lambda key, value: kept.update({key: json.dumps(value)})


def test_m4_a_get_that_returns_none_for_nothing_is_no_hit():
    """The source is asked; a None that is one is kept by a store, which tells the two apart."""
    kept = {}
    assert Link(str, get=kept.get, set=kept.__setitem__)("a") == "a"
    asked, store = [], {}
    link = Link(asked.append, store=store)
    assert [link("a"), link("a")] == [None, None]
    assert (asked, store) == (["a"], {"a": None})


def test_m5_nobody_pays_for_events_that_nobody_wants(monkeypatch):
    """None is made while nobody looks on, and a hit makes one where somebody does."""
    made = []

    def asked(*fields):
        made.append(fields)
        return Asked(*fields)

    monkeypatch.setattr(links, "Asked", asked)
    store = {"a": 1}
    assert Link(str, store=store)("a") == 1
    assert Link(str, store={})("a") == "a"
    assert made == []
    told = []
    Link(str, name="loud", store=store, inspect=told.append)("a")
    assert told == [Asked("loud", "a", Outcome.HIT)]
    assert len(made) == 1


def test_m6_none_of_the_source_is_a_value():
    """Only the sentinel says that there is nothing; what None means is nobody's choice."""
    none = Link(lambda key: None, store={})
    nothing = Link(lambda key: NOT_FOUND, store={})
    assert none("a") is None
    assert nothing("a") is NOT_FOUND
    assert none.stats()["not_found"] == 0
    assert nothing.stats()["not_found"] == 1
