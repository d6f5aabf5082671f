"""What was measured, as tables for people and as data for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.timing import Result


@dataclass(frozen=True)
class Target:
    """Something that is promised, and what was measured.

    Args:
        name: What it is about.
        promised: The limit, as text.
        measured: The figure, as text.
        met: Whether the figure is within the limit.
    """

    name: str
    promised: str
    measured: str
    met: bool


class Report:
    """Prints tables as they come and keeps everything for the end.

    Args:
        environment: What the figures depend on.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._races: list[dict[str, Any]] = []
        self._tables: list[dict[str, Any]] = []
        self._targets: list[Target] = []
        for name, value in environment.items():
            print(f"{name:14}{value}")

    def race(self, result: Result) -> None:
        """Prints the times of *result*, quickest first; the baseline's ratio is 1.00."""
        names = sorted(result.seconds, key=result.median)
        figures = [(result.median(n), result.best(n), result.ratio(n)) for n in names]
        rows = [[n, shown(m), shown(b), f"{r:.2f} x"] for n, (m, b, r) in zip(names, figures)]
        _print(result.title, ["", "median", "best", f"to {result.baseline}"], rows)
        data = {n: dict(zip(("median", "best", "ratio"), f)) for n, f in zip(names, figures)}
        self._races.append({"title": result.title, "baseline": result.baseline, "contenders": data})

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Prints figures that are no race."""
        texts = [[str(cell) for cell in row] for row in rows]
        _print(title, head, texts)
        self._tables.append({"title": title, "head": list(head), "rows": [list(r) for r in rows]})

    def at_most(self, name: str, limit: float, measured: float, unit: str) -> None:
        """Notes a target: *measured* shall not be above *limit*."""
        text = "{:.0f} {}" if unit == "ns" else "{:.2f} {}"
        self._targets.append(
            Target(name, f"<= {limit:g} {unit}", text.format(measured, unit), measured <= limit)
        )

    def exactly(self, name: str, promised: float, measured: float, unit: str) -> None:
        """Notes a target that is a number of something."""
        met = promised == measured
        self._targets.append(Target(name, f"{promised:g} {unit}", f"{measured:g} {unit}", met))

    def targets(self) -> None:
        """Prints every target that was noted."""
        rows = [[t.name, t.promised, t.measured, "yes" if t.met else "NO"] for t in self._targets]
        if rows:
            _print("Targets", ["", "target", "measured", "met?"], rows)

    def save(self, path: Path) -> None:
        """Writes everything as JSON; times in seconds."""
        data = {
            "environment": self._environment,
            "races": self._races,
            "tables": self._tables,
            "targets": [asdict(target) for target in self._targets],
        }
        path.write_text(json.dumps(data, indent=2) + "\n")


def shown(seconds: float) -> str:
    """*seconds* with a unit that fits."""
    for unit, size in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return (
                f"{seconds / size:.3g} {unit}"
                if seconds < 100 * size
                else f"{seconds / size:.0f} {unit}"
            )
    return f"{seconds:.2f} s"


def _print(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    print(f"\n{title}")
    for row in (head, *rows):
        cells = [f"{cell:{'<' if i == 0 else '>'}{widths[i]}}" for i, cell in enumerate(row)]
        print(f"  {'   '.join(cells)}".rstrip())
