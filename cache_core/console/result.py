"""What a command gives back, and how tables look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cache_core.errors import CacheCoreError

DONE, WRONG, REFUSED = 0, 1, 2
"""Exit codes: all is well; something is wrong, see the output; it cannot be done as asked."""


class Refusal(CacheCoreError, ValueError):
    """A command cannot be carried out as it was asked for; an adapter exits with 2."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has found or done.

    Args:
        data: Plain data, for ``--json``.
        text: The same for people.
        code: The exit code.
    """

    data: object
    text: str
    code: int = DONE

    def shown(self, *, as_json: bool) -> str:
        """What to print."""
        return json.dumps(self.data, indent=2, default=str) if as_json else self.text


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under a head, in columns that are as wide as they need; empty without rows."""
    cells = [[_cell(each) for each in row] for row in rows]
    if not cells:
        return ""
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    lines = [[word.upper() for word in head], *cells]
    return "\n".join(
        [
            "  ".join([word.ljust(width) for word, width in zip(line, widths)]).rstrip()
            for line in lines
        ]
    )


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """One line for each pair of a name and a value."""
    named = [(name, _cell(value)) for name, value in pairs]
    width = max([len(name) for name, _ in named], default=0)
    return "\n".join([f"{name.ljust(width)}  {value}".rstrip() for name, value in named])


def paragraphs(*parts: str) -> str:
    """Those *parts* that say something, with a line between them."""
    return "\n\n".join([part for part in parts if part])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
