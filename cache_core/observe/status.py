"""What the cached calls of a request met, as a value of the header ``Cache-Status``.

The form is that of RFC 9211 (The Cache-Status HTTP Response Header Field): a member for each call, by
its use case, with ``hit`` or ``fwd`` and, as ``detail``, the layer or why there was no hit. It names
no key and no id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cache_core.events import Outcome

if TYPE_CHECKING:
    from cache_core.observe.recording import Recording

HEADER = "Cache-Status"
PARAMETER = "cache_status"
"""What a request must have in its query to get the header."""

MOST = 20
"""So many calls are told; a header has no room for all of a busy page."""

_SAFE = " !#$&'()*+,-./:;<=>?@[]^_`{|}~"
_FORWARDED = {
    Outcome.MISS.value: "miss",
    Outcome.BYPASS.value: "bypass",
    Outcome.STALE.value: "stale",
}


def status_of(recording: Recording) -> str:
    """The value of the header; empty where there was no call."""
    told = recording.to_mapping()
    number = told["counts"]["calls"]
    members = [_member(call) for call in told["calls"][:MOST]]
    if number > len(members):
        members.append(f'cache_core; detail="{number - len(members)} more calls"')
    return ", ".join(members)


def _member(call: Mapping[str, Any]) -> str:
    name = quote(call["use_case"], safe=_SAFE)
    if call["outcome"] == Outcome.HIT.value:
        return f'"{name}"; hit; detail="{call["layer"]}"'
    kind = _FORWARDED.get(call["outcome"], "miss")
    return f'"{name}"; fwd={kind}; detail="{" ".join(_reasons(call))}"'


def _reasons(call: Mapping[str, Any]) -> Iterator[str]:
    if call["reason"]:
        yield call["reason"]
    for each in call["unserved"]:
        yield f"{each['layer']}:{each['reason']}"
    if call["not_stored"]:
        yield f"not_stored:{call['not_stored']}"
