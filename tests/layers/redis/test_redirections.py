"""Redirections of a cluster, as each release of redis-py gives them."""

from __future__ import annotations

import pytest
from redis.exceptions import AskError, MovedError, ResponseError

from cache_core.layers.redis.routes import told


@pytest.mark.parametrize(("word", "kind"), [("MOVED", MovedError), ("ASK", AskError)])
def test_a_redirection_without_a_class_of_its_own(word, kind):
    """redis-py 5 gives the text alone, outside of its own client for clusters."""
    found = told(ResponseError(f"{word} 389 127.0.0.1:7001"))
    assert type(found) is kind
    assert (found.slot_id, found.host, found.port) == (389, "127.0.0.1", 7001)


@pytest.mark.parametrize("reply", [b"value", None, ResponseError("ERR no"), MovedError("1 h:1")])
def test_any_other_reply_stays_as_it_is(reply):
    """Values, other refusals, and what is a redirection already."""
    assert told(reply) is reply
