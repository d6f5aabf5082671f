"""Version functions and what their results become."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.roles import Roles
from cache_core.keys.version import check_version, version_text


def get_user(user_id, lang="en"):
    return user_id, lang


async def aget_user(user_id, lang="en"):
    return user_id, lang


async def aversion(user_id, lang):
    return 1


def bound(function=get_user):
    return Binding(Roles(function), "Get")


values = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.text(max_size=2), st.tuples(st.integers(0, 1))
)


@given(values, values)
def test_a_version_is_the_same_exactly_when_the_value_is(one, other):
    """Also between types: 1 and True, and every two of the values that are false."""
    same = (type(one), one) == (type(other), other)
    assert (version_text(one) == version_text(other)) is same


def test_false_values_are_versions_of_their_own():
    """Nothing stands for "no version": what was counted from zero is no less a version."""
    assert len({version_text(value) for value in ("", 0, None, False, (), 0.0)}) == 6


@pytest.mark.parametrize("value", [7, "a", "\ud800", datetime(2026, 1, 31, tzinfo=timezone.utc)])
def test_a_version_is_no_version_of_a_store(value):
    """It begins with u: no version of a store does, and no epoch."""
    assert re.fullmatch("u[0-9a-f]{32}", version_text(value))


def test_versions_never_change():
    """Every process and release writes the same text for a value."""
    assert version_text("2026-01-31") == "u7e2af8b1910792f06c2166787dc4ba64"


def test_what_has_no_text_is_no_version():
    """An address says nothing about how new something is."""
    with pytest.raises(UnkeyableValue, match=r"type object .*cannot be a version; return a text"):
        version_text(object())


@pytest.mark.parametrize(
    ("version", "function"),
    [
        (None, get_user),
        (lambda user_id, lang: 1, get_user),
        (lambda *args, **kwargs: 1, get_user),
        (lambda user_id, lang: 1, aget_user),
        (aversion, aget_user),
    ],
)
def test_a_version_function_takes_the_arguments(version, function):
    """It may be a coroutine function where the cached one is."""
    check_version(version, bound(function))


@pytest.mark.parametrize(
    ("version", "function", "message"),
    [
        (7, get_user, "version is a int; give a callable of the function's arguments"),
        (lambda user_id: 1, get_user, "version is called with the arguments"),
        (lambda user_id: 1, aget_user, "version is called with the arguments"),
        (aversion, get_user, "version is the coroutine function"),
    ],
)
def test_another_version_function_is_refused(version, function, message):
    """The error names the function and says what to give."""
    with pytest.raises(DeclarationError, match=message) as caught:
        check_version(version, bound(function))
    assert str(caught.value).startswith(f"{__name__}.{function.__name__}: ")
