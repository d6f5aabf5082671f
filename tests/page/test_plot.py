"""The picture of the last minutes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from cache_core.observe.figures import Point
from cache_core.page.plot import HEIGHT, plot

POINTS = [Point(), Point(requests=10, hits=5), Point(requests=20, hits=20)]


def bars(kind):
    picture = ET.fromstring(plot(POINTS, "how it went"))
    return [int(bar.get("height")) for bar in picture if bar.get("class") == kind]


def test_bars_are_as_tall_as_their_share_of_the_most():
    """The busiest point fills the picture, one without calls has no bar."""
    assert bars("cc-requests") == [HEIGHT // 2, HEIGHT]
    assert bars("cc-hits") == [HEIGHT // 4, HEIGHT]


def test_nothing_happened():
    """A picture without bars, and no division by nothing."""
    assert "<rect" not in plot([Point()] * 30, "quiet")


def test_a_strict_policy_lets_it_through():
    """No styles and no scripts inside."""
    picture = plot(POINTS, "how it went")
    assert "style" not in picture and "script" not in picture


def test_it_is_read_out():
    """Its label says what it shows."""
    picture = ET.fromstring(plot(POINTS, "how it went"))
    assert picture.get("role") == "img" and picture.get("aria-label") == "how it went"
