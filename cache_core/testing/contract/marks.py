"""Marks and quarantines: versions that begin with ``!``."""

from __future__ import annotations

import re

import pytest

from cache_core.layers.base import Bump, Create, Mark
from cache_core.testing.contract.subject import (
    LIFE,
    MARKED,
    ROOT,
    SHORT,
    USER,
    VERSION,
    Contract,
    Subject,
    birth,
    marks,
)


class MarksContract(Contract):
    """What ``Mark`` does, and ``Bump`` with a quarantine or a mark to remove."""

    def test_a_quarantine_marks_the_version(self, store: Subject) -> None:
        """A bump with a quarantine returns a marked version with its deadline, as it stands (T5)."""
        (marked,) = store(Bump((USER,), LIFE, quarantine_ms=LIFE))
        assert MARKED.fullmatch(marked)
        (deadline,) = marks(marked).values()
        assert birth(marked) + LIFE <= deadline <= birth(marked) + LIFE + self.mark_slack_ms
        assert store.version() == marked

    @pytest.mark.parametrize("thing", [USER, ROOT])
    def test_a_quarantine_ends_by_itself(self, store: Subject, thing: str) -> None:
        """After the deadline there is no version, also of a thing whose versions do not expire."""
        store(Bump((thing,), LIFE, quarantine_ms=SHORT))
        self.outlive_mark(store, SHORT)
        assert store.version(thing) is None
        assert VERSION.fullmatch(store(Create((thing,), LIFE))[0])

    @pytest.mark.parametrize("shorter_ms", [0, 1_000])
    def test_a_bump_never_shortens_a_quarantine(self, store: Subject, shorter_ms: int) -> None:
        """Another bump, with a shorter quarantine or none, is a fresh version under the old mark."""
        (first,) = store(Bump((USER,), LIFE, quarantine_ms=LIFE))
        (second,) = store(Bump((USER,), LIFE, quarantine_ms=shorter_ms))
        assert first != second
        assert marks(second) == marks(first)

    def test_a_longer_quarantine_counts(self, store: Subject) -> None:
        """Quarantines share one mark with the latest deadline: many bumps do not pile up."""
        held = [
            marks(store(Bump((USER,), LIFE, quarantine_ms=ms))[0]) for ms in (10_000, LIFE, 20_000)
        ]
        ends = [end for each in held for end in each.values()]
        assert ends[0] < ends[1] == ends[2]

    def test_marks_of_several_writers_live_side_by_side(self, store: Subject) -> None:
        """A writer removes its own mark only; the last one out leaves an unmarked version (I5)."""
        store(Mark((USER,), LIFE, "one", LIFE))
        assert [*marks(store(Mark((USER,), LIFE, "two", LIFE))[0])] == ["one", "two"]
        assert [*marks(store(Bump((USER,), LIFE, unmark="one"))[0])] == ["two"]
        assert VERSION.fullmatch(store(Bump((USER,), LIFE, unmark="two"))[0])

    def test_a_bump_keeps_the_marks_of_others(self, store: Subject) -> None:
        """A writer that has no mark, or not this one, clears nobody's."""
        store(Mark((USER,), LIFE, "one", LIFE))
        assert [*marks(store(Bump((USER,), LIFE))[0])] == ["one"]
        assert [*marks(store(Bump((USER,), LIFE, unmark="two"))[0])] == ["one"]

    def test_a_bump_may_unmark_and_quarantine_at_once(self, store: Subject) -> None:
        """The writer's own mark goes, and the quarantine takes its place."""
        store(Mark((USER,), LIFE, "one", LIFE))
        (text,) = store(Bump((USER,), LIFE, quarantine_ms=LIFE, unmark="one"))
        assert len(marks(text)) == 1
        assert "one" not in marks(text)

    def test_every_change_of_marks_gives_a_fresh_version(self, store: Subject) -> None:
        """Marking, renewing a mark and removing it, also twice: each is another version (X0)."""
        seen = [
            *store(Create((USER,), LIFE)),
            *store(Mark((USER,), LIFE, "one", LIFE)),
            *store(Mark((USER,), LIFE, "one", LIFE)),
            *store(Bump((USER,), LIFE, unmark="one")),
            *store(Bump((USER,), LIFE, unmark="one")),
        ]
        assert len({re.split("[n!|]", text)[1] for text in seen}) == 5

    def test_a_renewed_mark_stands_once_and_is_never_cut_short(self, store: Subject) -> None:
        """Marking again with the same token moves its deadline, but not to an earlier time."""
        ends = [marks(store(Mark((USER,), LIFE, "one", ms))[0]) for ms in (1_000, LIFE, 1_000)]
        assert [[*end] for end in ends] == [["one"]] * 3
        assert ends[0]["one"] < ends[1]["one"] == ends[2]["one"]

    def test_a_mark_that_comes_late_ends_by_itself(self, store: Subject) -> None:
        """Carried out after its writer is done, nobody removes it: only its deadline does (X0)."""
        store(Bump((USER,), LIFE, unmark="late"))
        assert MARKED.fullmatch(store(Mark((USER,), LIFE, "late", SHORT))[0])
        self.outlive_mark(store, SHORT)
        assert store.version() is None

    def test_a_dead_writers_mark_is_dropped_at_its_deadline(self, store: Subject) -> None:
        """A mark that nobody removes ends at its own deadline, also under steady writers."""
        store(Mark((USER,), LIFE, "dead", SHORT))
        store(Mark((USER,), LIFE, "alive", LIFE))
        self.outlive_mark(store, SHORT)
        assert [*marks(store(Bump((USER,), LIFE))[0])] == ["alive"]

    def test_several_things_are_marked_each_for_itself(self, store: Subject) -> None:
        """Marks are kept by thing: what stands on one is nothing to the other."""
        store(Mark((USER,), LIFE, "one", LIFE))
        both = store(Mark((ROOT, USER), LIFE, "two", LIFE))
        assert [[*marks(text)] for text in both] == [["two"], ["one", "two"]]
