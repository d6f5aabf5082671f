from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from hypothesis import given

from cache_core.errors import ConfigurationError, DeclarationError, Unstorable
from cache_core.wire import Msgspec, SignedPickle, TaggedJson, Wire, choose_codec
from tests.wire.samples import FIGURES, KEY, Raw, exact, patiently, read, signer, values

SIGNED = Wire(SignedPickle(), signer=signer())


def typed() -> list[int]: ...
def untyped(): ...


class Money:
    """A class of the application, importable like any other."""

    def __init__(self, amount):
        self.amount = amount


@patiently
@given(values)
def test_pickle_brings_every_value_back_exactly(value):
    """Signing and the envelope change nothing."""
    assert exact(read(SIGNED, SIGNED.encode(KEY, value, **FIGURES))) == exact(value)


def test_pickle_stores_instances():
    """What neither JSON nor MessagePack can hold is the reason for pickle."""
    money = read(SIGNED, SIGNED.encode(KEY, Money(Decimal(7)), **FIGURES))
    assert (type(money), money.amount) == (Money, 7)


@pytest.mark.parametrize("value", [threading.Lock(), (n for n in ()), [lambda: 1]])
def test_what_cannot_be_pickled_is_refused_with_advice(value):
    """The caller of the cached function never sees pickle's own errors."""
    with pytest.raises(Unstorable, match="Return data without"):
        SignedPickle().dumps(value)


def test_a_value_too_deep_for_pickle_is_refused():
    """Running out of stack is one more way of not being storable."""
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(Unstorable, match="RecursionError"):
        SignedPickle().dumps(value)
    while value:  # taken apart by hand: not every interpreter survives freeing it at once
        value = value.pop()


def test_pickle_without_a_secret_is_a_configuration_error():
    """There is no way to read pickles that nobody vouches for."""
    with pytest.raises(ConfigurationError, match="Set secrets"):
        Wire(SignedPickle())


def test_auto_is_pickle_with_a_secret_and_json_without():
    """The default is as capable as it can be made safe."""
    assert type(choose_codec("auto", signer=signer(), function=untyped)) is SignedPickle
    assert type(choose_codec("auto", signer=None, function=untyped)) is TaggedJson


def test_a_codec_is_chosen_by_name():
    """Each name stands for one codec, each codec for one id."""
    chosen = [
        choose_codec(name, signer=signer(), function=typed)
        for name in ("pickle", "json", "msgspec")
    ]
    assert [type(codec) for codec in chosen] == [SignedPickle, TaggedJson, Msgspec]
    assert [codec.id for codec in chosen] == [1, 2, 3]
    assert [codec.name for codec in chosen] == ["pickle", "json", "msgspec"]


def test_choosing_pickle_without_a_secret_is_refused():
    """The message says that a secret is needed, and what works without one."""
    with pytest.raises(ConfigurationError, match="'json' or 'msgspec'"):
        choose_codec("pickle", signer=None, function=typed)


def test_choosing_msgspec_needs_an_annotation():
    """The function is named in the message."""
    with pytest.raises(DeclarationError, match="untyped"):
        choose_codec("msgspec", signer=None, function=untyped)


def test_an_unknown_name_is_refused_with_the_closest_one():
    """A typing error is found at start-up."""
    with pytest.raises(ConfigurationError, match="Did you mean 'pickle'"):
        choose_codec("pickel", signer=None, function=typed)


def test_a_codec_of_ones_own_is_taken_as_it_is():
    """Any object with the members of a codec will do."""
    own = Raw(id=200)
    assert choose_codec(own, signer=None, function=untyped) is own


@pytest.mark.parametrize("number", [0, 1, 63, 256, "64"])
def test_a_codec_of_ones_own_needs_a_free_id(number):
    """With an id of ours its entries would be taken for ours, and ours for its."""
    with pytest.raises(ConfigurationError, match="64 to 255"):
        choose_codec(Raw(id=number), signer=None, function=untyped)


def test_a_subclass_of_a_codec_of_ours_needs_an_id_of_its_own():
    """It writes other bytes than its parent, else there would be no reason for it."""

    class Mine(TaggedJson):
        pass

    with pytest.raises(ConfigurationError, match="64 to 255"):
        choose_codec(Mine(), signer=None, function=untyped)


def test_a_codec_of_ones_own_may_need_a_signature():
    """Then it is bound to the same rule as pickle."""
    own = Raw(needs_signature=True)
    assert choose_codec(own, signer=signer(), function=untyped) is own
    with pytest.raises(ConfigurationError, match="secret"):
        choose_codec(own, signer=None, function=untyped)


@pytest.mark.parametrize("thing", [None, 5, object()])
def test_something_else_than_a_codec_is_refused(thing):
    """The message lists what is missing."""
    with pytest.raises(ConfigurationError, match="without id, name"):
        choose_codec(thing, signer=None, function=untyped)


def test_an_error_of_a_codec_of_ones_own_means_unstorable():
    """Whatever it raises, the loader's value still reaches the caller."""

    class Broken(Raw):
        def dumps(self, value):
            raise KeyError("own error")

    with pytest.raises(Unstorable, match="KeyError"):
        Wire(Broken()).encode(KEY, 1, **FIGURES)
