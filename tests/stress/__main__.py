"""Runs every mode under faults, and looks at each read: ``python -m tests.stress``."""

from __future__ import annotations

import argparse
import random
import sys

from tests.benchmarks.machine import description, note
from tests.benchmarks.report import Report
from tests.servers import ADVICE, find_server
from tests.stress.modes import MODES
from tests.stress.run import READERS, WRITERS, Crew

CONTROL_SHARE = 0.2
"""How long a control runs, in comparison: it need not be long to be caught."""

PROMISES = {
    "p0": "COMMIT",
    "p1": "invalidation",
    "p7": "invalidation a lease ago",
    "": "nothing",
}
HEAD = (
    "mode",
    "never older than",
    "writes",
    "reads",
    "hits",
    "faults",
    "broken",
    "behind invalidation",
    "worst",
    "behind COMMIT",
    "worst",
    "",
)


def main():
    """Prints a table; returns 1 when a promise was broken, or a control was not caught."""
    options = _options()
    if find_server("redis") is None:
        note(ADVICE["redis"])
        return 1
    random.seed(options.seed)
    report = Report({**description(), "seed": str(options.seed)})
    modes = options.mode or list(MODES)
    shares = [CONTROL_SHARE if MODES[mode].is_control else 1.0 for mode in modes]
    seconds = options.seconds / sum(shares)
    with Crew() as crew:
        results = []
        for mode, share in zip(modes, shares):
            note(f"... {mode}")
            results.append(crew.run(mode, seconds * share, every=options.every))
    title = (
        f"{READERS} processes that read, {WRITERS} that write; a read is behind if it is older than"
    )
    report.table(title, HEAD, [row(result) for result in results])
    report.table("Faults", ("", "times"), sorted(harm(results).items()))
    return int(not all(result.is_kept for result in results))


def row(result):
    """What the table tells of a run."""
    verdict, mode = result.verdict, MODES[result.mode]
    return (
        result.mode,
        PROMISES["p1" if mode.is_control else mode.promise],
        verdict.writes,
        verdict.p1.reads,
        hits(result.figures),
        result.faults.total(),
        result.broken,
        verdict.p1.stale,
        f"{verdict.p1.worst * 1000:.0f} ms",
        verdict.p0.stale,
        f"{verdict.p0.worst * 1000:.0f} ms",
        outcome(result),
    )


def hits(figures):
    """The part of lookups that needed no load."""
    return f"{1 - figures['loads'] / figures.total():.0%}" if figures else "-"


def outcome(result):
    if MODES[result.mode].is_control:
        return "caught" if result.is_kept else "NOT CAUGHT"
    return "kept" if result.is_kept else f"BROKEN: {result.verdict}"


def harm(results):
    """How often which harm was done in all runs."""
    return sum((result.faults for result in results), start=results[0].faults.__class__())


def _options():
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="for all modes together")
    parser.add_argument("--mode", action="append", choices=MODES, help="may be given repeatedly")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between faults, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the faults")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
