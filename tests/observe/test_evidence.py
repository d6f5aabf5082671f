"""Evidence: the score with its confidence, histograms, and the sample of fills."""

from __future__ import annotations

import pytest

from cache_core.events import Layer, Reason
from cache_core.evidence import Ages, Checks, Fills, Mismatch, Score

WRONG = Mismatch(Layer.REMOTE, 45.0, "d1", ("a",), ("a",), "nobody told")


def test_the_interval_is_that_of_wilson() -> None:
    """The bounds are those of the formula, worked out by hand for 95 of 100."""
    score = Score.of(95, 5)
    assert (score.samples, score.value) == (100, 0.95)
    assert score.low == pytest.approx(0.8883, abs=0.0001)
    assert score.high == pytest.approx(0.9785, abs=0.0001)


@pytest.mark.parametrize("matches", [1, 10, 1000])
def test_all_matches_leave_a_doubt(matches: int) -> None:
    """No number of matches proves that there is no mismatch; more of them leave less room."""
    score = Score.of(matches, 0)
    assert score.high == pytest.approx(1.0)
    assert score.low == pytest.approx(matches / (matches + 1.96**2))


def test_without_samples_nothing_is_known() -> None:
    """The interval is everything."""
    assert Score.of(0, 0) == Score(0, 0, None, 0.0, 1.0)


def test_a_mismatch_is_counted_for_its_layer() -> None:
    """The other layer's score is untouched, the whole one is not."""
    checks = Checks()
    checks.match(Layer.LOCAL)
    checks.mismatch(WRONG, counts=True)
    assert checks.score(Layer.LOCAL).value == 1.0
    assert checks.score(Layer.REMOTE).value == 0.0
    assert checks.score().value == 0.5
    assert checks.ages.report() == {"1m": 1}


def test_what_does_not_count_is_no_evidence() -> None:
    """Latecomers are in the score, but not in what decides about the policy of now."""
    checks = Checks()
    for _ in range(5):
        checks.mismatch(WRONG, counts=False)
    assert checks.score().mismatches == 5
    assert checks.take_verdict(0.99) is None


def test_only_the_last_mismatches_are_kept() -> None:
    """However many there are, they take no more memory."""
    checks = Checks()
    for number in range(50):
        checks.mismatch(WRONG._replace(age=float(number)), counts=True)
    assert [found.age for found in checks.recent] == [float(number) for number in range(30, 50)]


def test_undecided_checks_are_no_samples() -> None:
    """They are told by reason and leave the score alone."""
    checks = Checks()
    checks.decide_nothing(Reason.MARKED)
    checks.decide_nothing(Reason.MARKED)
    assert checks.undecided == {Reason.MARKED: 2}
    assert checks.score().samples == 0


def test_a_child_process_begins_anew() -> None:
    """Its figures are its own."""
    checks, fills = Checks(), Fills()
    checks.mismatch(WRONG, counts=True)
    fills.add("key", ("a",), 0.0, 0.0)
    checks.start(), fills.start()
    assert (checks.score().samples, fills.total, list(checks.recent)) == (0, 0, [])


def test_a_histogram_counts_up_to_each_bound() -> None:
    """A bound belongs to its own bucket; nothing is too long."""
    ages = Ages()
    for seconds in (0.0, 0.1, 0.2, 60.0, 61.0, 1e9):
        ages.add(seconds)
    assert ages.report() == {"100ms": 2, "1s": 1, "1m": 1, "5m": 1, "more": 1}
    assert ages.share_within(60) == pytest.approx(4 / 6)
    assert Ages().share_within(60) is None


def filled(*fills: tuple[float, str]) -> Fills:
    """The sample after fills of one key: (when, version)."""
    sample = Fills()
    for now, version in fills:
        sample.add("key", (version,), now, 0.0)
    return sample


def test_a_fill_after_a_change_is_told_from_one_after_the_ttl() -> None:
    """The first of a key is neither."""
    sample = filled((0, "a"), (10, "a"), (20, "b"))
    assert (sample.first, sample.changed, sample.total) == (1, 1, 3)


def test_the_time_until_a_change_ends_with_the_change() -> None:
    """The new version is older than the load that found it."""
    sample = filled((0.0, "a"))
    sample.add("key", ("b",), 100.0, 70.0)
    assert sample.lives.report() == {"1m": 1}


def test_a_longer_ttl_saves_the_fills_that_it_outlives() -> None:
    """A key that is filled every 10 s (16 at most) needs one of four with a TTL of 48 s."""
    sample = filled(*[(10.0 * number, "a") for number in range(101)])
    assert sample.needless(48) == pytest.approx(0.75 * 100 / 101)
    assert sample.needless(5) == 0.0
    assert Fills().needless(48) == 0.0


def test_a_longer_ttl_saves_nothing_after_changes() -> None:
    """What was invalidated is loaded again whatever the TTL is."""
    sample = filled(*[(10.0 * number, str(number)) for number in range(20)])
    assert sample.needless(86_400) == 0.0


def test_the_sample_has_a_fixed_size() -> None:
    """With more keys a smaller part of them is watched, and no key is kept as it is."""
    sample = Fills(limit=16)
    for number in range(5_000):
        sample.add(f"user:{number}", ("a",), 0.0, 0.0)
    assert 0 < len(sample._last) <= 16
    assert all(isinstance(key, int) for key in sample._last)


def evidence(matches: int, mismatches: int) -> Checks:
    """Checks of which so many agreed, and so many did not."""
    checks = Checks()
    for _ in range(matches):
        checks.match(Layer.REMOTE)
    for _ in range(mismatches):
        checks.mismatch(WRONG, counts=True)
    return checks


@pytest.mark.parametrize(
    ("matches", "mismatches", "is_sure"),
    [(0, 2, False), (0, 3, True), (200, 3, False), (900, 3, False), (60, 9, True)],
)
def test_a_verdict_needs_evidence(matches: int, mismatches: int, is_sure: bool) -> None:
    """Three mismatches at least, and a whole interval below the objective."""
    assert (evidence(matches, mismatches).take_verdict(0.99) is not None) is is_sure


def test_a_verdict_is_said_once() -> None:
    """What it was said on is no evidence any more; the score keeps it."""
    checks = evidence(0, 3)
    assert checks.take_verdict(0.99) == Score.of(0, 3)
    assert checks.take_verdict(0.99) is None
    assert checks.score().mismatches == 3
