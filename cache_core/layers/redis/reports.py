"""What processes tell of themselves, in Redis: one key for each, and a sorted set of who they are.

All of these keys have one hash tag, so in a Redis Cluster they are on one node. The set has the time of
each report by Redis' own clock, so hosts need not agree on the time. Nothing is looked for with SCAN.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import isfinite
from typing import Any

from cache_core.layers.redis.commands import Answers, Command, accepted

Talk = Generator[Sequence[Command], Answers, Any]


def writing(namespace: str, member: str, data: bytes, life_ms: int) -> Talk:
    """Keeps *data* for *member*, and forgets members that have not told anything for so long."""
    index = _index(namespace)
    now = _milliseconds(accepted((yield [("ZCARD", index), ("TIME",)])[0])[1])
    commands: list[Command] = [
        ("SET", f"{index}:{member}", data, "PX", life_ms),
        ("ZADD", index, now, member),
        ("ZREMRANGEBYSCORE", index, "-inf", f"({now - life_ms}"),
        ("PEXPIRE", index, life_ms),
    ]
    accepted((yield commands)[0])


def members(namespace: str, most: int) -> Talk:
    """Who has told something, the latest first, and for how many seconds that has been."""
    asking: list[Command] = [
        ("ZREVRANGE", _index(namespace), 0, most - 1, "WITHSCORES"),
        ("TIME",),
    ]
    told, time = accepted((yield asking)[0])
    now = _milliseconds(time)
    return [
        (member, max(0.0, (now - at) / 1000))
        for member, at in _scored(told)
        if isfinite(at)  # as every time is that one of us has written
    ]


def documents(namespace: str, who: Sequence[str], most_bytes: int) -> Talk:
    """The first bytes of what each of *who* has told, one more than *most_bytes* at most."""
    index = _index(namespace)
    asking: list[Command] = [("GETRANGE", f"{index}:{one}", 0, most_bytes) for one in who]
    return [_bytes(reply) for reply in accepted((yield asking)[0])]


def _index(namespace: str) -> str:
    return f"{namespace}:r:{{reports}}"


def _milliseconds(reply: Any) -> int:
    seconds, microseconds = reply
    return int(seconds) * 1000 + int(microseconds) // 1000


def _scored(reply: Any) -> list[tuple[str, float]]:
    """Members and scores; as pairs in RESP3 and from some clients, one after the other in RESP2."""
    flat = [
        part for each in reply for part in (each if isinstance(each, (list, tuple)) else [each])
    ]
    pairs = zip(flat[::2], flat[1::2])
    return [(_bytes(member).decode("ascii", "replace"), float(at)) for member, at in pairs]


def _bytes(reply: Any) -> bytes:
    return reply if isinstance(reply, bytes) else str(reply).encode()
