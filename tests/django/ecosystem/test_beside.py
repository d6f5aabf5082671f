"""Packages that many projects have, with the cache in one project. They patch Django for good, so
that project runs in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.settings import DATABASE_VARIABLE

ROOT = Path(__file__).resolve().parents[3]
SITE = "tests/django/ecosystem/site"


def test_the_packages_and_the_cache_do_not_disturb_each_other():
    """What each file beside_*.py of the project says holds."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": f"{SITE.replace('/', '.')}.settings"}
    environment.pop(DATABASE_VARIABLE, None)
    environment.pop("COVERAGE_FILE", None)
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / SITE).glob("beside_*.py"))
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "skipped" not in done.stdout
