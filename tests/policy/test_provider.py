from __future__ import annotations

import asyncio

import pytest

from cache_core.errors import ConfigurationError
from cache_core.events import Reason
from cache_core.fields import Refused
from cache_core.policy import Policy, PolicyFailure, SnapshotProvider, answered, as_provider


class Kept:
    def __init__(self, snapshot):
        self.snapshot = snapshot


def test_a_callable_is_asked_by_use_case():
    """A callable gets the name and its answer comes back as it is."""
    provider = as_provider(lambda name: {"note": name})
    assert provider.ask("GetUser") == {"note": "GetUser"}
    assert not provider.keeps_snapshot
    assert provider.snapshot is None


def test_a_coroutine_function_answers_with_an_awaitable():
    """Waiting is left to whoever drives the call."""

    async def ask(name):
        await asyncio.sleep(0)
        return Policy(note=name)

    assert asyncio.run(as_provider(ask).ask("GetUser")) == Policy(note="GetUser")


def test_a_callable_may_raise():
    """An error comes through to the driver, which makes a failure of it."""
    provider = as_provider(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        provider.ask("GetUser")


def test_a_snapshot_is_looked_up():
    """A provider with a snapshot is read, not called."""
    provider = as_provider(Kept({"GetUser": Policy(ramp=5)}))
    assert provider.keeps_snapshot
    assert provider.ask("GetUser") == Policy(ramp=5)
    assert provider.ask("GetCity") is None


def test_a_replaced_snapshot_is_seen_at_once():
    """The snapshot is taken anew at each question."""
    kept = Kept({})
    provider = as_provider(kept)
    kept.snapshot = {"GetUser": {"ramp": 5}}
    assert provider.ask("GetUser") == Policy(ramp=5)
    assert provider.snapshot is kept.snapshot


def test_everything_in_a_snapshot_speaks_for_all():
    """A snapshot may hold "*", with the same meaning as among overrides."""
    provider = as_provider(Kept({"*": Policy(enabled=False), "GetUser": Policy(enabled=True)}))
    assert provider.ask("GetUser").enabled is False
    assert provider.ask("GetCity").enabled is False


def test_a_wrong_snapshot_is_told_with_its_path():
    """The error names the place in the snapshot."""
    provider = as_provider(Kept({"GetUser": {"ramp": 500}}))
    with pytest.raises(ConfigurationError, match=r"snapshot\['GetUser'\]\['ramp'\]"):
        provider.ask("GetUser")


def test_one_wrong_policy_in_a_snapshot_does_not_touch_others():
    """A use case is not switched off by the mistake of another."""
    provider = as_provider(Kept({"GetUser": Policy(ramp=5), "Wrong": {"ramp": 500}}))
    assert provider.ask("GetUser") == Policy(ramp=5)


def test_making_a_provider_asks_it_nothing():
    """A snapshot that is a property is not read at start-up: it may ask a database."""

    class Lazy:
        @property
        def snapshot(self):
            raise AssertionError("read too early")

    assert as_provider(Lazy()).keeps_snapshot


def test_a_provider_stays_itself():
    """Normalising twice changes nothing."""
    provider = as_provider(lambda _: None)
    assert as_provider(provider) is provider


@pytest.mark.parametrize("value", [5, {"GetUser": Policy()}, Kept, object()])
def test_other_things_are_no_provider(value):
    """Plain data and classes are refused."""
    with pytest.raises(Refused):
        as_provider(value)


def test_the_protocol_describes_a_snapshot_provider():
    """The type that people annotate with fits what is accepted."""
    assert isinstance(Kept({}), SnapshotProvider)


def test_a_provider_shows_what_it_asks():
    """An error report or a settings dump tells which provider is in use."""
    assert repr(as_provider(len)) == "Provider(<built-in function len>)"


@pytest.mark.parametrize("answer", [None, Policy(ramp=5)])
def test_a_good_answer_passes(answer):
    """A policy or None is an answer already."""
    assert answered("GetUser", answer) is answer


def test_plain_data_becomes_a_policy():
    """A mapping is read like one in the settings."""
    assert answered("GetUser", {"TTL": "5m"}) == Policy(ttl=300)


@pytest.mark.parametrize("answer", [5, "off", {"ramp": 200}, {"tll": 5}])
def test_a_wrong_answer_is_a_failure(answer):
    """It is counted under its reason and tells whose answer it was."""
    failure = answered("GetUser", answer)
    assert isinstance(failure, PolicyFailure)
    assert failure.reason is Reason.POLICY_ERROR
    assert "provider('GetUser')" in str(failure.error)


def test_an_error_is_a_failure():
    """What the provider raised is kept for the event."""
    error = OSError("down")
    assert answered("GetUser", error).error is error


def test_failures_of_a_use_case_are_equal():
    """A plan that was made for one failure serves the next one too."""
    assert answered("A", OSError("x")) == answered("A", ValueError("y"))
    assert answered("A", OSError("x")) != answered("B", OSError("x"))
