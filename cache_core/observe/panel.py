"""A recording as a developer reads it: a line for the menu and a few tables of text.

Adapters render it in the pages of their debug toolbars. Texts go through a function that translates
them; codes, names, keys and places are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Translate = Callable[[str], str]
Stats = Mapping[str, Any]
"""What ``Recording.to_mapping`` returned, or JSON made of it."""

TITLE = "Cached calls"


class Table(NamedTuple):
    """A table of the page.

    Args:
        title: Its heading.
        columns: The headings of its columns.
        rows: Each has one cell for a column; a cell is the lines of text in it.
        left_out: How many more rows there would be.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Sequence[str]]]
    left_out: int


def subtitle(stats: Stats, translate: Translate = str) -> str:
    """One line, such as ``12 calls, 75 % hits, 31.0 ms saved``."""
    counts, seconds, _ = stats["counts"], stats["seconds"], translate
    if not counts["calls"]:
        return _("no calls while caching was on")
    text = _("%(calls)d calls, %(hits)d %% hits, %(saved)s saved, %(spent)s spent")
    return text % {
        "calls": counts["calls"],
        "hits": round(100 * (stats["hit_ratio"] or 0)),
        "saved": _milliseconds(seconds["saved"]),
        "spent": _milliseconds(seconds["cache"]),
    }


def tables(stats: Stats, translate: Translate = str) -> list[Table]:
    """What the recording holds; a kind of which there is nothing has no table."""
    made = [_sums(stats, translate)]
    made += [_calls(stats, translate)] if stats["calls"] else []
    made += [_invalidations(stats, translate)] if stats["invalidations"] else []
    made += [_round_trips(stats, translate)] if stats["round_trips"] else []
    return made


def _sums(stats: Stats, _: Translate) -> Table:
    seconds = stats["seconds"]
    columns = [
        *(_("Calls"), _("Hits"), _("Saved by hits"), _("Spent by the cache")),
        *(_("Of that waiting for the store"), _("Spent by loaders")),
    ]
    numbers = [str(stats["counts"]["calls"]), str(stats["counts"]["hits"])]
    times = [_milliseconds(seconds[name]) for name in ("saved", "cache", "store", "loaders")]
    return Table(_("Sums"), columns, [[[cell] for cell in (*numbers, *times)]], 0)


def _calls(stats: Stats, _: Translate) -> Table:
    columns = [
        *(_("Use case"), _("Key"), _("Answer"), _("Why"), _("Age"), _("Took"), _("Loader")),
        *(_("Bytes"), _("Depends on"), _("Called from")),
    ]
    rows = [
        [
            [call["use_case"]],
            [call["key"]],
            [_answer(call, _)],
            list(_why(call, _)),
            [f"{call['age']:.1f} s" if call["layer"] else ""],
            [_milliseconds(call["seconds"])],
            [_milliseconds(call["load_seconds"])],
            ["" if call["size"] is None else str(call["size"])],
            [_version(each) for each in call["depends_on"]],
            [call["where"]],
        ]
        for call in stats["calls"]
    ]
    return Table(_("Calls"), columns, rows, stats["counts"]["calls"] - len(rows))


def _answer(call: Mapping[str, Any], _: Translate) -> str:
    said: str = call["layer"] or _("loaded")
    said = _("loaded past the cache") if call["outcome"] == "bypass" else said
    said = f"{said}, {_('out of date')}" if call["outcome"] == "stale" else said
    return said if call["error"] is None else f"{said}: {call['error']}"


def _why(call: Mapping[str, Any], _: Translate) -> Iterator[str]:
    if call["reason"] is not None:
        yield call["reason"]
    for each in call["unserved"]:
        yield f"{each['layer']}: {each['reason']}"
    if call["not_stored"] is not None:
        yield f"{_('not kept')}: {call['not_stored']}"


def _version(depended: Mapping[str, Any]) -> str:
    thing, stored, current = depended["thing"], depended["stored"], depended["current"]
    if depended["changed"]:
        return f"{thing} {stored} → {current}"
    return f"{thing} {current or stored or ''}".rstrip()


def _invalidations(stats: Stats, _: Translate) -> Table:
    rows = [
        [
            [*each["things"], *(["…"] if each["number"] > len(each["things"]) else [])],
            [str(each["number"])],
            [_("yes") if each["delivered"] else _("waits for the store")],
            [each["where"]],
        ]
        for each in stats["invalidations"]
    ]
    columns = [_("Things"), _("Number"), _("Delivered"), _("Caused by")]
    return Table(_("Invalidations"), columns, rows, stats["counts"]["invalidations"] - len(rows))


def _round_trips(stats: Stats, _: Translate) -> Table:
    rows = [
        [
            [each["operation"]],
            [str(each["things"])],
            [str(each["entries"])],
            [_milliseconds(each["seconds"])],
            [_("failed") if each["failed"] else ""],
        ]
        for each in stats["round_trips"]
    ]
    columns = [_("Operation"), _("Versions"), _("Entries"), _("Took"), ""]
    title, number = _("Round trips to the store"), stats["counts"]["round_trips"]
    return Table(title, columns, rows, number - len(rows))


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.2f} ms"
