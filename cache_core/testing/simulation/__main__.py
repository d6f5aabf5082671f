"""Explores everything that is declared of the protocol: ``python -m cache_core.testing.simulation``.

It prints what was explored, rule by rule what goes wrong without it, what is not promised, and which
rules cannot be seen to be missing. It ends with 0 if all of that is as declared, else with 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from time import monotonic

from cache_core.testing.simulation.scenarios import tables
from cache_core.testing.simulation.scenarios.case import Case, Gap, Off, Subject
from cache_core.testing.simulation.scenarios.proving import Result, proven, selected
from cache_core.testing.simulation.scenarios.rules import UNSEEN, missing
from cache_core.testing.simulation.scenarios.subjects import SUBJECTS
from cache_core.testing.simulation.world.promises import PROMISES


def main(arguments: Sequence[str] | None = None) -> int:
    """Proves what is asked for; returns the exit code.

    Args:
        arguments: Of the command line; by default those of the process.
    """
    options = _options(arguments)
    wanted = [each for each in SUBJECTS if _is_wanted(each, options.subjects)]
    if not wanted:
        titles = ", ".join(each.title for each in SUBJECTS)
        _tell(f"no subject is called so; there are: {titles}")
        return 2
    session = _Session(seed=options.seed, minimal=not options.quick)
    subjects = list(selected(wanted, large=not options.quick))
    if options.trace and not session.tell_traces(subjects, options.trace):
        _tell(f"rule {options.trace} is not switched off anywhere in these subjects")
        return 2
    if not options.trace:
        session.tell_all(subjects)
    return 0 if session.is_as_declared else 1


class _Session:
    """What was proven so far.

    Args:
        seed: Of the random walks.
        minimal: Whether to look for shortest runs.
    """

    def __init__(self, *, seed: int, minimal: bool) -> None:
        self._seed = seed
        self._minimal = minimal
        self._results: list[Result] = []

    @property
    def is_as_declared(self) -> bool:
        """Whether all of it is, and no rule is forgotten."""
        return all(result.is_as_declared for result in self._results) and not missing(SUBJECTS)

    def tell_all(self, subjects: list[Subject]) -> None:
        """Explores *subjects* and prints the tables."""
        began = monotonic()
        tables.tell_cases(_tell, subjects, self._prove)
        without = "a rule that is switched off, and what happens then"
        tables.tell_found(_tell, without, tables.labels_of_rules(subjects), self._prove)
        gaps = "what is not promised"
        tables.tell_found(_tell, gaps, tables.labels_of_gaps(subjects), self._prove)
        self._tell_unseen(subjects)
        self._tell_properties()
        self._tell_sums(monotonic() - began)

    def tell_traces(self, subjects: list[Subject], rule: str) -> bool:
        """Prints what happens when *rule* is off, step by step; False when it never is."""
        found = [off for each in subjects for off in each.off if rule in off.rule.split()]
        for off in found:
            _tell(f"without {off.rule}: {off.what} ({off.scenario.__name__})")
            result = self._prove(off)
            _tell(f"{result.report.violation or 'nothing was found'}\n")
        return bool(found)

    def _prove(self, declared: Case | Off | Gap) -> Result:
        result = proven(declared, seed=self._seed, minimal=self._minimal)
        self._results.append(result)
        return result

    def _tell_unseen(self, subjects: list[Subject]) -> None:
        _tell("\nrules whose absence no simulation sees")
        for rules, why in (*UNSEEN, *[line for each in subjects for line in each.unseen]):
            _tell(f"  {rules}: {why}")
        if missing(SUBJECTS):
            _tell(f"NOT LOOKED FOR: {' '.join(missing(SUBJECTS))}")

    def _tell_properties(self) -> None:
        _tell("\nproperties")
        checked = {name for result in self._results for name in result.report.properties}
        for name in sorted(checked):
            _tell(f"  {name:5} {(PROMISES[name].__doc__ or '').splitlines()[0]}")

    def _tell_sums(self, seconds: float) -> None:
        cases = [each.report for each in self._results if isinstance(each.declared, Case)]
        states = sum(report.states for report in cases)
        off = sum(isinstance(each.declared, Off) for each in self._results)
        gaps = len(self._results) - len(cases) - off
        wrong = [each for each in self._results if not each.is_as_declared]
        for result in wrong:
            name = result.declared.scenario.__name__
            _tell(f"\nNOT AS DECLARED: {name} {result.report.result}")
            _tell(str(result.report.violation or ""))
        _tell(
            f"\nscenarios: {len(cases)}, states: {states:,}, rules switched off: {off}, gaps: {gaps}, "
            f"seconds: {seconds:.0f}\n{'all' if self.is_as_declared else 'NOT all'} as declared"
        )


def _is_wanted(subject: Subject, words: Sequence[str]) -> bool:
    return not words or any(word.lower() in subject.title for word in words)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m cache_core.testing.simulation", description=summary, epilog=rest
    )
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help="a word of its title; all by default"
    )
    parser.add_argument(
        "--quick", action="store_true", help="leave out what takes long, and shortest runs"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random walks (default 1)")
    parser.add_argument(
        "--trace", metavar="RULE", help="only show what happens without a rule, step by step"
    )
    return parser.parse_args(arguments)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a command


if __name__ == "__main__":
    sys.exit(main())
