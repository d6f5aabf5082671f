"""Who filled an entry: a name for people, in the header that every entry has anyway.

Of the hash of the key four bytes are enough to tell why a seal does not hold, which is all that it is
looked at for. So the other twelve hold the end of ``host.pid``: that takes no room and no time, and
a reader that knows nothing of it serves the entry as ever. An entry that says nothing of it has the
whole hash.

Who can write to the store can write any name. It is shown, and nothing goes by it.
"""

from __future__ import annotations

import os
import socket
from hashlib import blake2b

MOST_BYTES = 12
"""Bytes that there are for a name."""

_SIZE = 16
_KEPT = _SIZE - MOST_BYTES
_names: dict[int, bytes] = {}


def own_origin() -> bytes:
    """The name of this process: the end of ``host.pid``, without the domain of the host."""
    pid = os.getpid()
    name = _names.get(pid)
    if name is None:
        host = socket.gethostname().partition(".")[0]
        name = _names[pid] = f"{host}.{pid}".encode("ascii", "replace")[-MOST_BYTES:]
    return name


def bound_to(raw_key: bytes, origin: bytes = b"") -> bytes:
    """The sixteen bytes that say which key an entry belongs to, and who filled it.

    Args:
        raw_key: The key that it is stored under.
        origin: The name; what is behind its twelfth byte is cut off. Empty to say nothing.
    """
    digest = blake2b(raw_key, digest_size=_SIZE).digest()
    return digest[:_KEPT] + origin[:MOST_BYTES].ljust(MOST_BYTES, b"\0") if origin else digest


def is_bound_to(found: bytes, raw_key: bytes) -> bool:
    """Whether *found* is of this key, whoever filled it."""
    return found[:_KEPT] == bound_to(raw_key)[:_KEPT]


def origin_in(found: bytes, raw_key: bytes) -> str | None:
    """The name in *found*; None where it says nothing, or nothing that can be shown."""
    digest = bound_to(raw_key)
    if found == digest or found[:_KEPT] != digest[:_KEPT]:
        return None
    name = found[_KEPT:].rstrip(b"\0")
    text = name.decode("ascii") if name.isascii() else ""
    return text if text.isprintable() and text else None
