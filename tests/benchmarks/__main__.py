"""Runs the benchmarks: ``python -m tests.benchmarks [--only NAME] [--quick] [--json FILE]``."""

from __future__ import annotations

import argparse
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import (
    faults,
    fleet,
    hit_ratio,
    invalidation,
    local_hits,
    misses,
    remote_hits,
    stampede,
)
from tests.benchmarks.bench import Bench
from tests.benchmarks.machine import description, note
from tests.benchmarks.report import Report
from tests.benchmarks.timing import Effort
from tests.servers import RedisServer, find_server

if TYPE_CHECKING:
    from collections.abc import Callable

CHAPTERS: dict[str, Callable[[Bench], None]] = {
    "disabled": local_hits.run_disabled,
    "remote": remote_hits.run,
    "revalidation": remote_hits.run_revalidation,
    "local": local_hits.run,
    "miss": misses.run,
    "invalidate": invalidation.run,
    "stampede": stampede.run,
    "hit-ratio": lambda _: hit_ratio.main(),
    "fleet": fleet.run,
    "faults": faults.run,
}
NEED_REDIS = {"remote", "revalidation", "invalidate", "fleet", "faults"}
NOT_BY_DEFAULT = {"hit-ratio", "fleet", "faults"}
"""They take minutes, or say nothing about a change of the code."""

FULL = Effort(rounds=25, seconds=0.02)
QUICK = Effort(rounds=7, seconds=0.005)


def main() -> None:
    """Runs what was asked for and prints the targets at the end."""
    options = _options()
    warnings.simplefilter("ignore")  # of the peers; ours are errors in the tests
    report = Report(description())
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer()) if find_server("redis") else None
        bench = Bench(QUICK if options.quick else FULL, options.quick, report, server)
        wanted = options.only or CHAPTERS.keys() - NOT_BY_DEFAULT
        for name in (name for name in CHAPTERS if name in wanted):
            if server is None and name in NEED_REDIS:
                note(f"left out: {name}, because no redis-server is installed")
                continue
            note(f"... {name}")
            CHAPTERS[name](bench)
    report.targets()
    if options.json is not None:
        report.save(options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=CHAPTERS, help="run this part; may be given repeatedly"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
