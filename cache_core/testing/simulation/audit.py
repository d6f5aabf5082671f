"""A check on fingerprints: two ways to one state must be followed by the same.

A fingerprint that overlooks something makes the search take two states for one, and what only the
second of them leads to is never seen. So a search takes some states that it was led to twice, goes
on from both with the same steps, and compares what may happen, what goes wrong, and every state on
the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from cache_core.testing.simulation.run import Run, running
from cache_core.testing.simulation.trace import written

if TYPE_CHECKING:
    from cache_core.testing.simulation.actors import Choice
    from cache_core.testing.simulation.fingerprint import Fingerprints
    from cache_core.testing.simulation.properties import Finding
    from cache_core.testing.simulation.run import Scenario

_LONGEST = 1_000


class WrongMerge(Exception):
    """Two states had one fingerprint and were not the same.

    The world's ``Lens`` leaves out too much, or its ``read`` tells less of a text than it says.
    """


def audit(
    scenario: Scenario,
    book: Fingerprints,
    one: Sequence[Choice],
    other: Sequence[Choice],
    random: Random,
) -> None:
    """Goes on from where *one* and *other* lead, which is said to be the same state.

    Args:
        scenario: Makes the world afresh.
        book: Makes the fingerprints.
        one: Choices from the beginning.
        other: Others.
        random: Chooses how to go on.

    Raises:
        WrongMerge: It is not the same state.
    """
    with running(scenario) as left, running(scenario) as right:
        left.repeat(one)
        right.repeat(other)
        after: list[Choice] = []
        difference = _difference(book, left, right)
        while difference is None and left.world.choices() and len(after) < _LONGEST:
            after.append(random.choice(left.world.choices()))
            findings = left.take(after[-1]), right.take(after[-1])
            difference = _other_finding(*findings) or _difference(book, left, right)
            if any(findings):
                break
        if difference is None and left.world.is_quiet:
            difference = _other_finding(left.finish(), right.finish())
    if difference is not None:
        raise WrongMerge(
            f"after {written(one)!r} and after {written(other)!r} the state is said to be the same, "
            f"but {difference} differs after {written(after)!r} more"
        )


def _difference(book: Fingerprints, left: Run, right: Run) -> str | None:
    if left.world.choices() != right.world.choices():
        return "what may happen next"
    return None if book.of(left.world) == book.of(right.world) else "the state"


def _other_finding(one: Finding | None, other: Finding | None) -> str | None:
    names = {finding.name if finding else None for finding in (one, other)}
    return "what is wrong" if len(names) > 1 else None
