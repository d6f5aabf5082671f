from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.policy import Policy, policies_from_environ

U = "CACHE_CORE__USE_CASES__"


def problems_of(environ):
    with pytest.raises(ConfigurationError) as caught:
        policies_from_environ(environ)
    return {problem.path: problem for problem in caught.value.problems}


def test_a_variable_sets_one_field():
    """Text is coerced to the type of the field; several variables make one policy."""
    environ = {
        U + "GetUser__TTL_LOCAL": "5",
        U + "GetUser__RAMP": "50",
        U + "GetUser__ENABLED": "False",
        U + "shop.get_city__TTL": "5m",
        "PATH": "/bin",
        "CACHE_CORE__NAMESPACE": "shop",
    }
    assert policies_from_environ(environ) == {
        "GetUser": Policy(ttl_local=5, ramp=50, enabled=False),
        "shop.get_city": Policy(ttl=300),
    }


def test_a_layer_may_follow_two_underscores():
    """TTL__LOCAL is TTL_LOCAL, as frameworks nest keys in this way."""
    found = policies_from_environ({U + "GetUser__TTL__LOCAL": "5"})
    assert found == {"GetUser": Policy(ttl_local=5)}


def test_a_use_case_may_have_underscores():
    """The field is taken off the end, the rest is the name."""
    found = policies_from_environ({U + "shop__users__RAMP": "5"})
    assert found == {"shop__users": Policy(ramp=5)}


def test_another_prefix_may_be_used():
    """Two caches in one process have their own variables."""
    environ = {"PAGES__USE_CASES__A__RAMP": "5", U + "B__RAMP": "6"}
    assert policies_from_environ(environ, "PAGES") == {"A": Policy(ramp=5)}


def test_a_known_use_case_is_found_in_capitals():
    """Where the system writes names in capitals the known spelling counts."""
    environ = {U.upper() + "GETUSER__RAMP": "5"}
    assert policies_from_environ(environ, known=["GetUser"]) == {"GetUser": Policy(ramp=5)}
    assert policies_from_environ(environ) == {"GETUSER": Policy(ramp=5)}


def test_problems_name_their_variables():
    """All problems come at once, each under the variable that has to be changed."""
    found = problems_of(
        {
            U + "A__TTL_LOCAL": "-5",
            U + "A__RAMP": "half",
            U + "B__TTLL": "5",
            U + "RAMP": "5",
            U + "C__TTL": "5",
            U + "C__TTL_LOCAL": "6",
            U + "D__RAMP__LOCAL": "5",
            U + "D__RAMP_LOCAL": "6",
        }
    )
    assert set(found) == {
        U + "A__TTL_LOCAL",
        U + "A__RAMP",
        U + "B__TTLL",
        U + "RAMP",
        U + "C__TTL_LOCAL",
        U + "D__RAMP__LOCAL",
    }
    assert found[U + "B__TTLL"].hint == "Did you mean 'TTL'?"
    assert U + "C__TTL" in found[U + "C__TTL_LOCAL"].found


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text())
def test_strange_variables_never_crash(environ, name, value):
    """Any environment is read or refused."""
    try:
        policies_from_environ({**environ, U + name: value})
    except ConfigurationError as error:
        paths = [problem.path for problem in error.problems]
    else:
        paths = []
    assert all(path.startswith(U) for path in paths)
