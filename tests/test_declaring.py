"""What ``cached()`` refuses before it sees a function, each time with advice."""

from __future__ import annotations

import pytest

from cache_core import Cache, DeclarationError, Policy


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"copy": "copied"}, r"cached\(policy=Policy\(copy='copied', ...\)\)"),
        ({"tag": "news"}, "Did you mean 'tags'"),
        ({"wholly": "unlike"}, "it takes key_type, id_arg"),
        ({"policy": {"ttl": 3}}, "give a cache_core.Policy"),
        ({"policy": Policy(ttl=3), "ramp": 5}, "put them all into policy="),
        ({"cache_errors": 3}, "expected classes of exceptions"),
        ({"ignore_args": 3}, "give a list of parameters' names"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, advice):
    """By an error of the library that says what to do, and the use case is not declared."""
    cache = Cache()
    with pytest.raises(DeclarationError, match=advice):
        cache.cached(use_case="GetMenu", **arguments)(sorted)
    assert cache.use_cases() == ()
