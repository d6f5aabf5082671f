"""How long loads take, and what follows for locks."""

from __future__ import annotations

import threading

import pytest

from cache_core.protocol.pace import LONGEST, SHORTEST, SLOW, UNKNOWN, Pace


def pace_of(*seconds: float) -> Pace:
    """After loads that took so long."""
    pace = Pace()
    for one in seconds:
        pace.loaded(one)
    return pace


def test_a_load_that_nobody_has_measured_may_take_long() -> None:
    """So the first one is locked, for a middling time."""
    assert Pace().is_slow
    assert Pace().lock_seconds == UNKNOWN


@pytest.mark.parametrize(("seconds", "slow"), [(0.0, False), (SLOW - 0.001, False), (SLOW, True)])
def test_loads_are_slow_from_50_ms_on(seconds: float, slow: bool) -> None:
    """Faster ones are not worth a lock's round trip."""
    assert pace_of(seconds).is_slow is slow


@pytest.mark.parametrize(
    ("seconds", "life"), [(0.001, SHORTEST), (0.8, 1.6), (4.0, 8.0), (20.0, LONGEST)]
)
def test_a_lock_lives_for_twice_a_load(seconds: float, life: float) -> None:
    """Within 1 to 30 seconds."""
    assert pace_of(seconds).lock_seconds == life


def test_a_rare_slow_load_does_not_count() -> None:
    """What nearly all loads take does: the 95th percentile."""
    assert not pace_of(*[0.001] * 61, *[9.0] * 3).is_slow
    assert pace_of(*[0.001] * 60, *[9.0] * 4).is_slow


def test_the_last_loads_count() -> None:
    """Sixty-four of them; what was before is forgotten."""
    assert not pace_of(*[9.0] * 64, *[0.001] * 64).is_slow
    assert pace_of(*[0.001] * 64, *[9.0] * 64).lock_seconds == 18.0


def test_threads_may_note_loads_while_others_look() -> None:
    """Nothing is raised in either."""
    pace, errors = pace_of(0.001), []

    def note() -> None:
        try:
            for _ in range(3_000):
                pace.loaded(0.001)
                pace.lock_seconds  # noqa: B018
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
