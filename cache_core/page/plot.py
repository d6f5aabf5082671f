"""A small picture of the last minutes, as SVG that a strict content security policy lets through.

It has classes and no styles: its colours come from the style sheet of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache_core.observe.figures import Point

WIDTH, HEIGHT = 4, 24
"""Pixels of one bar with its gap, and of the tallest bar."""


def plot(history: Sequence[Point], label: str) -> str:
    """A bar for each point: its requests, and in front of them those that were hits.

    Args:
        history: The points, the oldest first.
        label: What the picture is read out as, as HTML text: escaped.

    Returns:
        An ``<svg>`` element.
    """
    most = max([point.requests for point in history], default=0)
    bars = [
        bar
        for number, point in enumerate(history)
        for bar in (
            _bar("cc-requests", number, point.requests, most),
            _bar("cc-hits", number, point.hits, most),
        )
    ]
    width = WIDTH * len(history)
    return (
        f'<svg class="cc-plot" role="img" aria-label="{label}" width="{width}" height="{HEIGHT}" '
        f'viewBox="0 0 {width} {HEIGHT}"><title>{label}</title>{"".join(bars)}</svg>'
    )


def _bar(kind: str, number: int, value: int, most: int) -> str:
    if not value:
        return ""
    height = max(1, round(HEIGHT * value / most))
    return (
        f'<rect class="{kind}" x="{number * WIDTH}" y="{HEIGHT - height}" '
        f'width="{WIDTH - 1}" height="{height}"/>'
    )
