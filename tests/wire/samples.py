"""Values, wires and comparisons that the tests of the wire share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, timezone
from importlib.util import find_spec
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import settings
from hypothesis import strategies as st

from cache_core.errors import Unreadable
from cache_core.wire import Cipher, SignedPickle, Signer, TaggedJson, Wire, Zlib

KEY = "app:e:{user_id:42}?lang=s:en#GetUser"
OTHER_KEY = "app:e:{user_id:43}?lang=s:en#GetUser"
FIGURES = {
    "digest": bytes(range(16)),
    "created_ms": 1_700_000_000_000,
    "soft_ms": 270_000,
    "hard_ms": 300_000,
    "load_us": 12_345,
}

patiently = settings(deadline=None)  # the machine may be busy; what is tested is never the time


def signer(*secrets):
    return Signer(secrets or ("a secret",))


def cipher(*secrets):
    return Cipher(secrets or ("a secret",))


def encrypted_wires() -> dict[str, Wire]:
    """Wires that encrypt; none where the package for it is missing."""
    if find_spec("cryptography") is None:
        return {}
    return {
        "encrypted pickle": Wire(SignedPickle(), signer=signer(), cipher=cipher()),
        "encrypted packed json": Wire(TaggedJson(), cipher=cipher(), compressor=Zlib(from_bytes=0)),
    }


def read(wire: Wire, data: bytes, key: str = KEY):
    """What a caller does with bytes from a store."""
    return wire.decode(wire.open(key, data))


def refusal(wire: Wire, data: bytes, key: str = KEY):
    """The reason why *data* cannot be read; any other exception than Unreadable fails the test."""
    try:
        value = read(wire, data, key)
    except Unreadable as error:
        return error.reason
    raise AssertionError(f"these bytes were read, as {value!r}")


@dataclass
class Raw:
    """A codec that stores bytes as they are: writes any payload in the name of another codec."""

    id: int = 64
    name: str = "raw"
    needs_signature: bool = False

    def dumps(self, value):
        return value

    def loads(self, payload):
        return payload


def outcome(wire: Wire, data: bytes) -> str:
    """The word "read", or the reason why not; any other exception fails the test."""
    try:
        read(wire, data)
    except Unreadable as error:
        return error.reason.value
    return "read"


def exact(value):
    """A form of *value* that is equal only for the same types, order, signs, folds and zones."""
    if isinstance(value, (list, tuple)):
        return (type(value), [exact(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(exact(key), exact(item)) for key, item in value.items()])
    if isinstance(value, (set, frozenset)):
        return (type(value), sorted(repr(exact(item)) for item in value))
    if hasattr(value, "__dataclass_fields__"):
        return (type(value), exact(vars(value)))
    return (type(value), hex(value) if type(value) is int else repr(value))


_ZONES = [
    timezone.utc,
    timezone(timedelta(hours=5, minutes=45)),
    timezone(timedelta(seconds=-1), "Odd"),
    timezone(timedelta(0), "Zulu"),
    *map(ZoneInfo, {"Europe/Berlin", "America/St_Johns", "UTC"} & available_timezones()),
]
zones = st.none() | st.sampled_from(_ZONES)
texts = (
    st.text(st.characters(exclude_categories=()))
    | st.text(st.sampled_from('!\ud83d\ude00"\\:é\0'))
    | st.sampled_from(["!", "tuple", '"!":', ""])
)
ints = st.integers() | st.integers(-(2**70), 2**70).map(lambda number: number << 15_000)
atoms = (
    st.none()
    | st.booleans()
    | ints
    | st.floats()
    | st.complex_numbers()
    | texts
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.datetimes(timezones=zones).map(lambda moment: moment.replace(fold=1))
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
keys = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    atoms | st.decimals(allow_nan=True),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)
