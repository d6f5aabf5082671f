"""Fingerprints: sixteen bytes that stand for everything that decides how a run goes on.

Two states with one fingerprint are expanded once, so a difference that is overlooked hides bugs,
while one that does not matter only costs time. Hence everything counts that can be reached from the
world: attributes and slots, containers and their order, and the frames of half-run generators and
coroutines with their place in the code, their variables and what lies on their stacks (positions of
loops among it). What is of an unknown kind is refused. What does not count is this, and no more:

- what an object is called: it is numbered when it is first met, and so is a text that the world
  reads as a ``Name``; states that differ only in these are one;
- when it is: a number near the world's clock, in seconds or milliseconds, counts as the distance
  from it, and so does a ``Moment``, and the date of a ``Dated`` name;
- the order of a set, which Python does not promise;
- what a run cannot change: modules, classes, code. A function counts with its defaults and what it
  closes over; tracebacks are for people; a context variable holds nothing between two steps;
- what the world's ``Lens`` leaves out, each by its name.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import CodeType

from cache_core.testing.simulation.actors import Actor, Turn, World
from cache_core.testing.simulation.kinds import Visitor, atom_visitor, view_visitor, visitor_for
from cache_core.testing.simulation.lens import Dated, Lens, Moment, Name

_PAST, _FUTURE = 1e8, 1e14  # Only between these is a number looked at as a moment.
NOT_DECIDING = {
    World: frozenset({"observed", "notes", "properties", "_buried"}),
    Actor: frozenset({"name", "daemon", "cancellable"}),  # An actor keeps its place in the list.
}


class Fingerprints:
    """Makes the fingerprints of one exploration; those of two explorations cannot be compared.

    Args:
        lens: What to leave out.
    """

    def __init__(self, lens: Lens) -> None:
        self._ignored = {**NOT_DECIDING, **lens.ignored}
        self._unordered = lens.unordered
        self._views = {Turn: lambda turn: (len(turn.ways), turn.ready), **lens.views}
        self._tokens: dict[object, int] = {Fingerprints: 0}
        self._codes: dict[int, tuple[int, CodeType]] = {}
        self.visitors = _Visitors(self)
        self.texts: dict[str | bytes, object] = {}

    def of(self, world: World) -> bytes:
        """The fingerprint of *world* between two steps.

        Raises:
            UnknownKind: Something of a kind that nobody explained can be reached from the world.
        """
        tour = Tour(self, world)
        tour.visit(world)
        return blake2b(array("q", tour.out), digest_size=16).digest()

    def token(self, value: object) -> int:
        """The number of something hashable that means the same in all states."""
        return self._tokens.setdefault(value, len(self._tokens))

    def code(self, code: CodeType) -> int:
        """The number of a code object; to compare two of them would take long."""
        known = self._codes.get(id(code))
        if known is None:
            known = self._codes[id(code)] = (self.token((CodeType, code)), code)
        return known[0]

    def visitor(self, kind: type) -> Visitor:
        """How objects of the class *kind* are gone through."""
        header = self.token(kind)
        for each in kind.__mro__:
            if each in self._views:
                return view_visitor(self._views[each], header)
        if kind in {int, float}:
            return _number_visitor(kind)
        if kind in _VISITORS:
            return _VISITORS[kind]
        return visitor_for(
            kind,
            header,
            ignored=_for_class(kind, self._ignored),
            unordered=_for_class(kind, self._unordered),
        )


class _Visitors(dict[type, Visitor]):
    """The visitors of the classes that were met, made when they are met."""

    def __init__(self, book: Fingerprints) -> None:
        super().__init__()
        self._book = book

    def __missing__(self, kind: type) -> Visitor:
        visitor = self[kind] = self._book.visitor(kind)
        return visitor


class Tour:
    """One way through everything that can be reached from a world.

    Attributes:
        out: What was met, in numbers. What can be of several kinds begins with the token of its
            kind, and what can have several lengths with its length, so that no two things read
            alike.
        numbers: Address of an object -> what is written where it is met again.
        visitors: Class -> how its objects are gone through.
    """

    __slots__ = ("_kept", "_names", "_world", "book", "now", "numbers", "out", "visitors")

    def __init__(self, book: Fingerprints, world: World) -> None:
        self.book = book
        self.visitors = book.visitors
        self.out: list[int] = []
        self.now = world.now
        self.numbers: dict[int, int] = {}
        self._names: dict[str, int] = {}
        self._world = world
        self._kept: list[object] = []

    def visit(self, value: object) -> None:
        """Goes through *value* and what can be reached from it."""
        self.visitors[type(value)](self, value)

    def visit_all(self, values: Iterable[object]) -> None:
        """Goes through each of *values*, whose number is known to whoever reads it."""
        visitors = self.visitors
        for value in values:
            visitors[type(value)](self, value)

    def token(self, value: object) -> None:
        """Writes down something hashable that means the same in all states."""
        self.out.append(self.book.token(value))

    def name(self, text: str) -> None:
        """Writes down a name by when it was first met; those of objects are odd numbers."""
        self.out.append(self._names.setdefault(text, -2 - 2 * len(self._names)))

    def dated(self, dated: Dated) -> None:
        """Writes down a name with its label and its distance from now."""
        now = 0.0 if self.now is None else self.now
        self.token((Dated, dated.label, dated.seconds - now))
        self.name(dated.name)

    def keep(self, value: object) -> object:
        """Holds what was made for this tour, or another object could get its address."""
        self._kept.append(value)
        return value

    def meaning(self, text: str | bytes) -> object:
        """What *text* stands for to the world; its token if it stands for itself."""
        known = self.book.texts.get(text)
        if known is None:
            known = self._world.read(text)
            if known is None:
                known = self.book.token((type(text), text))
            self.book.texts[text] = known
        return known


def _for_class(kind: type, names: Mapping[type, frozenset[str]]) -> frozenset[str]:
    """The names that *names* has for *kind* and the classes that it is derived from."""
    return frozenset().union(*[names.get(each, frozenset()) for each in kind.__mro__])


def _text(tour: Tour, text: str | bytes) -> None:
    meaning = tour.book.texts.get(text) or tour.meaning(text)
    if type(meaning) is int:
        tour.out.append(meaning)
    else:
        tour.visit(meaning)


def _number_visitor(kind: type) -> Visitor:
    plain = atom_visitor(kind)

    def visit(tour: Tour, number: float) -> None:
        if not (_PAST < number < _FUTURE and _moment(tour, number)):
            plain(tour, number)

    return visit


def _moment(tour: Tour, number: float) -> bool:
    """Writes down how far a moment is from now; whether *number* is one."""
    if tour.now is None:
        return False
    for unit in (1, 1000):
        distance = number - tour.now * unit
        if abs(distance) < _PAST * unit:
            tour.token((Moment, unit, distance))
            return True
    return False


_VISITORS: dict[type, Visitor] = {
    str: _text,
    bytes: _text,
    Name: lambda tour, name: tour.name(name.text),
    Dated: lambda tour, dated: tour.dated(dated),
    Moment: lambda tour, moment: tour.visit(moment.seconds),
}
