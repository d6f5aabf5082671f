"""What the values of the backend look like in a store.

Whole numbers of up to 64 bits are written as they are, so that Redis can count with them. Everything
else is a pickle. To read a pickle that somebody else has made runs their code, so in a shared store it
stands between four bytes of ours and a signature over its key and all of it (HMAC-SHA-256).

Django's backend for Redis writes the same numbers and bare pickles. These are read only where the
settings say that whoever can write to that Redis may run code here.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from django.core.exceptions import SynchronousOnlyOperation

if TYPE_CHECKING:
    from cache_core.layers.redis.plain import Data
    from cache_core.wire.signing import Signer

MAGIC = b"\xcdcs\x01"
_NUMBERS = range(-(2**63), 2**63)


class Absent:
    """The type of ``ABSENT``."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()
"""No value, or none that may be read; None is one."""


class Values:
    """How values become bytes, and which bytes become values.

    Args:
        signer: Opens what was signed; None where nothing is.
        signs: Whether what is written is signed; bare pickles are written otherwise.
        trusts_all: Whether bare pickles are read.
    """

    def __init__(self, signer: Signer | None, *, signs: bool, trusts_all: bool) -> None:
        self._opens = signer
        self._signs = signer if signs else None
        self._trusts_all = trusts_all

    def dumped(self, value: object) -> Data:
        """*value* as a number or a pickle; raises what pickling it raises."""
        if type(value) is int and value in _NUMBERS:
            return value
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def closed(self, key: str, data: Data) -> Data:
        """What is written under *key* for *data*, which ``dumped`` returned."""
        if self._signs is None or isinstance(data, int):
            return data
        return self._signs.close(_raw(key), MAGIC, data)

    def opened(self, key: str, data: Data) -> Data | Absent:
        """A number or a pickle that may be read, out of what stands under *key*."""
        if isinstance(data, int):
            return data
        if data.removeprefix(b"-").isdigit():
            return _number(data)
        if data.startswith(MAGIC):
            payload = self._opens and self._opens.open(_raw(key), data, len(MAGIC))
            return payload if isinstance(payload, bytes) else ABSENT
        return data if self._trusts_all else ABSENT

    def loaded(self, data: Data) -> Any:
        """The value again, out of what ``opened`` returned; ``ABSENT`` if it cannot be made here.

        Raises:
            SynchronousOnlyOperation: It needs the database; call this in a thread that may.
        """
        if isinstance(data, int):
            return data
        try:
            return pickle.loads(data)  # noqa: S301 - see ``opened``
        except SynchronousOnlyOperation:
            raise
        except Exception:  # noqa: BLE001 - of another release, for instance: its class is gone
            return ABSENT


def _number(data: bytes) -> int | Absent:
    try:
        return int(data)
    except ValueError:  # thousands of digits
        return ABSENT


def _raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
