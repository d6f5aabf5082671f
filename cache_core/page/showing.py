"""How figures are written for people."""

from __future__ import annotations

from datetime import datetime, timezone

from cache_core.explained import seconds

NONE = "\N{EN DASH}"
"""What stands where there is no figure."""

_SIZES = ("B", "kB", "MB", "GB", "TB")


def count(number: int) -> str:
    """A count: ``950``, ``12 300``, ``4.1 M``, ``2.3 G``."""
    for limit, unit, name in ((10**9, 10**9, "G"), (10**7, 10**6, "M")):
        if number >= limit:
            return f"{number / unit:.1f} {name}"
    return f"{number:,}".replace(",", " ")


def share(ratio: float | None) -> str:
    """A ratio from 0 to 1 as a percentage; never ``100 %`` for less than all, nor ``0 %`` for any."""
    if ratio is None:
        return NONE
    if 0 < ratio < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= ratio < 1:
        return "> 99.9 %"
    return f"{ratio * 100:.1f}".removesuffix(".0") + " %"


def percentage(number: float) -> str:
    """A ramp from 0 to 100."""
    return f"{number:g} %"


def size(number: int) -> str:
    """Bytes: ``0 B``, ``12 kB``, ``3.4 MB``."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_SIZES[unit]}"


def took(number: float | None) -> str:
    """How long something took, in seconds: ``0.3 ms``, ``12 ms``, ``1.4 s``."""
    if number is None:
        return NONE
    return f"{number * 1000:.3g} ms" if number < 0.9995 else seconds(number)


def lasts(number: float | None) -> str:
    """A TTL, in seconds; a layer without one is off."""
    return NONE if number is None else seconds(number)


def moment(wall: float) -> str:
    """Seconds since 1970 as ``2026-11-21 18:00 UTC``."""
    return datetime.fromtimestamp(wall, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
