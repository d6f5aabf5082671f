"""How figures are written for people."""

from __future__ import annotations

import pytest

from cache_core.page.showing import NONE, count, lasts, moment, percentage, share, size, took


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (count, 0, "0"),
        (count, 12_300, "12 300"),
        (count, 41_000_000, "41.0 M"),
        (count, 2_300_000_000, "2.3 G"),
        (share, None, NONE),
        (share, 0.0, "0 %"),
        (share, 0.00001, "< 0.1 %"),
        (share, 0.873, "87.3 %"),
        (share, 0.99999, "> 99.9 %"),
        (share, 1.0, "100 %"),
        (percentage, 12.5, "12.5 %"),
        (percentage, 100.0, "100 %"),
        (size, 0, "0 B"),
        (size, 999, "999 B"),
        (size, 3_400_000, "3.4 MB"),
        (took, None, NONE),
        (took, 0.0003, "0.3 ms"),
        (took, 0.01234, "12.3 ms"),
        (took, 1.4, "1.4 s"),
        (lasts, None, NONE),
        (lasts, 300.0, "5 min"),
        (moment, 0.0, "1970-01-01 00:00 UTC"),
    ],
)
def test_a_figure_is_written(show, value, text):
    """With its unit, and never as all or nothing where it is not."""
    assert show(value) == text
