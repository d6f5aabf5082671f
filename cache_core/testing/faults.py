"""Faults as values: what may happen to an operation of the store, a load or a message of the feed.

A fault knows nothing of where it happens. For each operation it rolls its dice and says what the
operation's fate is; ``seams`` and ``disturbing`` make that come true. Faults are added up:
``delay(0.05) + drop(0.1)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from random import Random, SystemRandom
from typing import TypeAlias

Raised: TypeAlias = "Exception | type[Exception] | None"


class InjectedFault(Exception):
    """A loader failed because ``chaos`` wanted it to."""


class Dice:
    """Randomness that can be repeated: the same seed and the same operations meet the same faults.

    Args:
        seed: Any number; None takes a new one.

    Attributes:
        seed: What to give to repeat the run.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = SystemRandom().randrange(2**32) if seed is None else seed
        self._random = Random(self.seed).random  # noqa: S311 - no secret depends on it

    def chance(self, p: float) -> bool:
        """True with the probability *p*, from 0 to 1."""
        return self._random() < p

    def part(self, of: float) -> float:
        """Any part of *of*."""
        return self._random() * of


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one operation.

    Args:
        seconds: How much later it begins.
        fails: Whether it is not carried out, and an error is raised in place of an answer.
        drops: Whether it is carried out and the answer is lost, which is an error, too.
        error: What to raise; None for the usual error of the place.
        vanished: Each is asked for every key that is read, and says whether the key is gone.
    """

    seconds: float = 0.0
    fails: bool = False
    drops: bool = False
    error: Raised = None
    vanished: tuple[Callable[[], bool], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing happens."""
        return self == _PLAIN

    def __add__(self, other: Fate) -> Fate:
        return Fate(
            self.seconds + other.seconds,
            self.fails or other.fails,
            self.drops or other.drops,
            self.error or other.error,
            self.vanished + other.vanished,
        )

    def by(self, deadline: float) -> Fate:
        """The same for someone who waits *deadline* seconds and then takes the answer for lost."""
        if self.seconds <= deadline:
            return self
        return Fate(deadline, self.fails, True, self.error, self.vanished)

    def raised(self, usual: Callable[[str], Exception]) -> Exception:
        """The error of an operation that fails or whose answer is lost.

        Args:
            usual: Makes the usual error of the place from what happened.
        """
        if self.error is not None:
            return self.error() if isinstance(self.error, type) else self.error
        what = "it was not carried out" if self.fails else "carried out, but the answer was lost"
        return usual(f"chaos: {what}")


_PLAIN = Fate()


def total(fates: Iterable[Fate]) -> Fate:
    """What happens where all of *fates* happen."""
    return reduce(Fate.__add__, fates, _PLAIN)


class Fault:
    """Something that may go wrong; added to another one, both may."""

    def fate(self, dice: Dice) -> Fate:
        """What happens to the next operation."""
        raise NotImplementedError

    def parts(self) -> Iterator[Fault]:
        """The faults that this one was added up from."""
        yield self

    def __add__(self, other: Fault) -> Fault:
        return _Sum((*self.parts(), *other.parts()))


@dataclass(frozen=True, slots=True)
class _Sum(Fault):
    faults: tuple[Fault, ...]

    def fate(self, dice: Dice) -> Fate:
        return total([fault.fate(dice) for fault in self.faults])

    def parts(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.faults))


@dataclass(frozen=True, slots=True)
class _Likely(Fault):
    p: float

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"{self!r}: a probability is a number from 0 to 1")


@dataclass(frozen=True, slots=True, repr=False)
class _Fail(_Likely):
    error: Raised = None

    def fate(self, dice: Dice) -> Fate:
        return Fate(fails=True, error=self.error) if dice.chance(self.p) else _PLAIN

    def __repr__(self) -> str:
        return f"fail({self.p})"


@dataclass(frozen=True, slots=True, repr=False)
class _Drop(_Likely):
    def fate(self, dice: Dice) -> Fate:
        return Fate(drops=dice.chance(self.p))

    def __repr__(self) -> str:
        return f"drop({self.p})"


@dataclass(frozen=True, slots=True, repr=False)
class _Flaky(_Likely):
    def fate(self, dice: Dice) -> Fate:
        if not dice.chance(self.p):
            return _PLAIN
        return Fate(fails=True) if dice.chance(0.5) else Fate(drops=True)

    def __repr__(self) -> str:
        return f"flaky({self.p})"


@dataclass(frozen=True, slots=True, repr=False)
class Lose(_Likely):
    """See ``lose``."""

    def fate(self, dice: Dice) -> Fate:
        """Every key that is read may be gone."""
        return Fate(vanished=(lambda: dice.chance(self.p),))

    def __repr__(self) -> str:
        return f"lose({self.p})"


@dataclass(frozen=True, slots=True, repr=False)
class Late(Fault):
    """See ``hang`` and ``delay``."""

    seconds: float
    name: str = field(compare=False)
    varies: bool = False

    def __post_init__(self) -> None:
        if not self.seconds >= 0 or (self.varies and self.seconds == inf):
            raise ValueError(f"{self!r}: give a number of seconds, 0 or more")

    def fate(self, dice: Dice) -> Fate:
        """It begins later."""
        return Fate(dice.part(self.seconds) if self.varies else self.seconds)

    def __repr__(self) -> str:
        return f"{self.name}({self.seconds})"


def fail(p: float = 1.0, error: Raised = None) -> Fault:
    """With the probability *p* nothing is carried out and an error is raised.

    Args:
        p: From 0 to 1.
        error: What to raise, or its class; by default ``RemoteError`` for a store and
            ``InjectedFault`` for a loader.
    """
    return _Fail(p, error)


def drop(p: float = 1.0) -> Fault:
    """With the probability *p* the operation is carried out and its answer is lost.

    For a store that is a write which arrived and is reported as failed. For the feed it is a message
    that got lost, and all after it: a stream has no holes, so the connection is silent from then on.
    """
    return _Drop(p)


def flaky(p: float) -> Fault:
    """With the probability *p* there is an error; half of the time all was carried out before."""
    return _Flaky(p)


def lose(p: float = 1.0) -> Fault:
    """Each key that is read has vanished from the store with the probability *p*, as by eviction."""
    return Lose(p)


def hang(seconds: float = inf) -> Fault:
    """Every operation takes *seconds* more; by default it never ends.

    Who has a deadline gives up when it is over: that is an error, though all was carried out.
    """
    return Late(seconds, "hang")


def delay(seconds: float) -> Fault:
    """Every operation takes longer, by another part of *seconds* each time."""
    return Late(seconds, "delay", varies=True)


def always_delay(seconds: float) -> Fault:
    """Every operation takes exactly *seconds* more."""
    return Late(seconds, "always_delay")


always_fail = fail()
"""Nothing is carried out."""
