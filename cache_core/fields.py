"""From what people write in settings to typed values, with every problem found in one pass.

A *coercer* takes a value as it came (from code, JSON or an environment variable), returns it typed
or raises ``Refused``. ``Problems`` calls coercers, turns refusals into ``errors.Problem`` with the
path of the setting, and raises them all together at the end.

Every coercer accepts its own result, so a value may safely pass through it twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from numbers import Real
from typing import TypeVar

from cache_core.errors import ConfigurationError, Problem, did_you_mean

T = TypeVar("T")

Coerce = Callable[[object], T]
"""Turns a value as it came into a typed one, or raises ``Refused``."""

Where = Callable[[str], str]
"""Makes the path that a problem shows out of the name of a setting."""

Given = Mapping[str, "tuple[str, object]"]
"""What was set: lower-case name -> (path, value as it came)."""

YEARS_10 = 10 * 365.25 * 86_400
"""The longest duration accepted anywhere, in seconds; more is a slip of units."""

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_SPAN = re.compile(
    r"(?:(?P<d>[0-9.]+)d)?(?:(?P<h>[0-9.]+)h)?(?:(?P<m>[0-9.]+)m)?"
    r"(?:(?P<s>[0-9.]+)s)?(?:(?P<ms>[0-9.]+)ms)?"
)
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE = re.compile(r"([0-9]{1,15})\s*(b|kib|mib|gib)?", re.IGNORECASE)
_BYTES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


class Refused(ValueError):  # named for what happened, as errors.py does
    """A coercer does not accept a value.

    Args:
        expected: What is accepted.
        hint: What to do about it, if *expected* does not say it all.
        found: How to show the value; None shows its ``repr``. Secrets need a text here.
    """

    def __init__(self, expected: str, hint: str = "", found: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.found = found


class Problems:
    """Collects what is wrong with a configuration, in the order in which it is found."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, found: str, expected: str, hint: str = "") -> None:
        """Notes one problem; the arguments are those of ``errors.Problem``."""
        self.found.append(Problem(path, found, expected, hint))

    def check(self, path: str, value: object, coerce: Coerce[T]) -> T | None:
        """The coerced *value*, or None after noting why it was refused."""
        try:
            return coerce(value)
        except Refused as refused:
            found = show(value) if refused.found is None else refused.found
            self.add(path, found, refused.expected, refused.hint)
            return None

    def known(
        self, mapping: object, path: str, names: Iterable[str], where: Where | None = None
    ) -> Given:
        """The entries of *mapping* by lower-case name; notes unknown and repeated names.

        Names are taken in any case: environment variables are upper-case by custom. An entry that
        is None counts as not set.

        Args:
            mapping: What the user wrote.
            path: Where it stands.
            names: The lower-case names that are allowed.
            where: Makes the path of an entry; by default a subscript of *path*.
        """
        if not isinstance(mapping, Mapping):
            # Not its repr: a URL with a password may have been put in the place of the mapping.
            self.add(path, f"of type {type(mapping).__name__}", "a mapping")
            return {}
        where = where or item(path)
        names = sorted(names)
        given: dict[str, tuple[str, object]] = {}
        for key, value in mapping.items():
            name = key.lower() if isinstance(key, str) else ""
            at = where(key) if isinstance(key, str) else f"{path}[{show(key)}]"
            if name not in names:
                self.add(at, "unknown", f"one of {', '.join(names)}", did_you_mean(name, names))
            elif name in given:
                self.twice(at, given[name][0])
            else:
                given[name] = (at, value)
        return {name: entry for name, entry in given.items() if entry[1] is not None}

    def twice(self, path: str, other: str) -> None:
        """Notes that *path* sets what *other* sets already."""
        self.add(path, f"set here and in {other}", "one of the two", "Remove one of them.")

    def raise_any(self) -> None:
        """Raises everything that was noted.

        Raises:
            ConfigurationError: There is at least one problem.
        """
        if self.found:
            raise ConfigurationError(self.found)


def item(path: str) -> Where:
    """Paths of a mapping's entries: ``CACHE_CORE['ENABLED']``."""
    return lambda name: f"{path}[{name!r}]"


def keyword(path: str) -> Where:
    """Paths of keyword arguments: ``Cache(enabled=...)``."""
    return lambda name: f"{path}({name}=...)"


def show(value: object) -> str:
    """A short ``repr`` for a message; never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a message about a bad value must not fail on it
        text = f"a {type(value).__name__} without a usable repr"
    return text if len(text) <= 80 else f"{text[:77]}..."


def flag(value: object) -> bool:
    """True or False, also from 1, 0 and the words that people use in environment variables."""
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Refused("True or False (as text: true, false, yes, no, on, off, 1, 0)")


def text(value: object) -> str:
    """A text."""
    if isinstance(value, str):
        return value
    raise Refused("a text")


def choice(*names: str) -> Coerce[str]:
    """One of *names*; capital letters are allowed."""
    expected = "one of " + ", ".join(repr(name) for name in names)

    def coerce(value: object) -> str:
        name = value.strip().lower() if isinstance(value, str) else ""
        if name in names:
            return name
        raise Refused(expected, did_you_mean(name, names))

    return coerce


def percent(value: object) -> float:
    """A number from 0 to 100, also as text with or without a percent sign."""
    if isinstance(value, str):
        value = value.strip().removesuffix("%")
    return _within(_number(value), 0, 100, "a percentage from 0 to 100")


def early_refresh(value: object) -> float | str:
    """0 for never, "auto", or a percentage of the TTL below 100, also as text."""
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("auto", "off") or value is False:
        return "auto" if word == "auto" else 0.0
    expected = "'auto', 'off' or a percentage of the TTL from 0 to 99"
    number = value.strip().removesuffix("%") if isinstance(value, str) else value
    return _within(_number(number), 0, 99, expected)


def shadow(value: object) -> float | str:
    """Either "off" or "only", or a percentage of the hits, also as text."""
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("only", "off") or value is False:
        return "only" if word == "only" else 0.0
    number = value.strip().removesuffix("%") if isinstance(value, str) else value
    expected = "'off', 'only' or a percentage of the hits from 0 to 100"
    return _within(_number(number), 0, 100, expected)


def objective(value: object) -> float:
    """A percentage from 50 to 100, also as text; less is a slip of units, as 0.999 is."""
    number = value.strip().removesuffix("%") if isinstance(value, str) else value
    return _within(_number(number), 50, 100, "a percentage from 50 to 100, for example 99.999")


def duration(low: float = 0.0, high: float = YEARS_10) -> Coerce[float]:
    """Seconds from *low* to *high*: a number, a ``timedelta``, or text like "300" or "1h30m"."""
    bounds = f"seconds from {low:g} to {_long(high)}"
    expected = f"{bounds}, as a number, a timedelta or text like '300', '5m' or '1h30m'"

    def coerce(value: object) -> float:
        return _within(_seconds(value), low, high, expected)

    return coerce


def whole(low: int = 1) -> Coerce[int]:
    """A whole number of at least *low*, also as text."""

    def coerce(value: object) -> int:
        number = _number(value)
        if number is None or not number.is_integer() or number < low:
            raise Refused(f"a whole number of at least {low}")
        return int(number)

    return coerce


def size(value: object) -> int:
    """A number of bytes of at least 1, also as text like "64MiB"."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        value = int(match[1]) * _BYTES[(match[2] or "").lower()]
    number = _number(value)
    if number is None or not number.is_integer() or number < 1:
        raise Refused("a number of bytes of at least 1, as a number or text like '512KiB', '64MiB'")
    return int(number)


def _number(value: object) -> float | None:
    """A float, or None. Booleans are no numbers: ``ttl=True`` is a slip."""
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    number = _number(value)
    return _span(value.strip()) if number is None and isinstance(value, str) else number


def _span(text: str) -> float | None:
    match = _SPAN.fullmatch(text)
    parts = {unit: part for unit, part in match.groupdict().items() if part} if match else {}
    numbers = {unit: _number(part) for unit, part in parts.items()}
    if not numbers or None in numbers.values():
        return None
    return sum(_SECONDS[unit] * number for unit, number in numbers.items() if number)


def _within(number: float | None, low: float, high: float, expected: str) -> float:
    if number is None or not low <= number <= high:
        raise Refused(expected)
    return number + 0.0  # -0.0 is 0.0 for everybody who compares or prints it


def _long(seconds: float) -> str:
    return "10 years" if seconds == YEARS_10 else f"{seconds:g}"


def seconds_of(name: str, value: object) -> float:
    """A duration that a program gives while it runs, in seconds.

    Args:
        name: What it is called, for the error.
        value: A number of seconds, a ``timedelta`` or a text like "5m".

    Raises:
        ValueError: It is none.
    """
    try:
        return _duration(value)
    except Refused as refused:
        raise ValueError(f"{name} is {value!r}; expected {refused.expected}") from None


_duration = duration()
