"""Runs all tests folder by folder, several folders at a time.

A process for each folder and no pytest-xdist: tests that fork, or that search through states, go
without coverage, which xdist's workers do not leave off.

    run_all.py [--coverage] [OPTION ...]

``--coverage`` measures them and reports one coverage of all; that takes half as long again. Other
options are given to each pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOGETHER = 3
"""Folders at a time: more than cores, since a part of the time goes in waiting for servers."""
LONG = [
    "tests/testing",
    "tests/django",
    "tests/packaging",
    "tests",
    "tests/integration",
    "tests/layers/redis",
    "tests/layers",
    "tests/browser",
    "tests/protocol",
    "tests/flask",
    "tests/django/admin",
]
"""These begin first, so that no long one is left over at the end."""

UNMEASURED = {
    "tests/packaging",
    "tests/integration",
    "tests/browser",
    "tests/django/ecosystem",
    "tests/layers/memcached",
    "tests/page",
    "tests/seeds",
    "tests/sqltext",
    "tests/stateful",
    "tests/stress",
    "tests/triggers",
}
"""These run code that others measure, and are quicker without a tracer."""

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
MEASURED = ["--cov", "--cov-report=", "--cov-fail-under=0"]


def compiled() -> None:
    """Compiles the packages once: many processes import them, and perhaps none may write files."""
    packages = ["cache_core", "django_ext", "flask_ext", "example_projects"]
    subprocess.run([sys.executable, "-m", "compileall", "-qj2", *packages], cwd=ROOT, check=True)


def folders() -> list[str]:
    """Every folder with tests directly in it."""
    found = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/test_*.py")}
    return sorted(found, key=lambda name: (LONG.index(name) if name in LONG else len(LONG), name))


def run(folder: str, options: list[str], *, is_measured: bool) -> bool:
    """Runs the tests of one folder, without those below it; whether all of them passed."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).glob("test_*.py"))
    data = ROOT / f".coverage.{folder.replace('/', '-')}"
    measured = MEASURED if is_measured and folder not in UNMEASURED else []
    started = time.monotonic()
    done = subprocess.run(
        [*PYTEST, *measured, *options, *files],
        cwd=ROOT,
        env={**os.environ, "COVERAGE_FILE": str(data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = time.monotonic() - started
    verdict = "passed" if done.returncode == 0 else f"FAILED (exit code {done.returncode})"
    print(f"\n### {folder}: {verdict} in {took:.0f} s\n{done.stdout}", flush=True)
    return done.returncode == 0


def coverage(*arguments: str) -> bool:
    """Runs a command of coverage; whether it was content."""
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main(options: list[str]) -> bool:
    """Whether every test passed, and the coverage is high enough where it was asked for."""
    is_measured = "--coverage" in options
    options = [option for option in options if option != "--coverage"]
    coverage("erase")
    compiled()
    names = folders()
    with ThreadPoolExecutor(TOGETHER) as pool:
        passed = list(pool.map(lambda name: run(name, options, is_measured=is_measured), names))
    covered = not is_measured or (coverage("combine", "-q") and coverage("report"))
    failed = [name for name, good in zip(names, passed) if not good]
    print("\nFAILED:" if failed else "\nAll folders passed.", *failed)
    return covered and not failed


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
