"""The quickstart does what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "example_projects" / "quickstart.py"


def test_the_quickstart_runs_from_anywhere_and_shows_hits(tmp_path):
    """It needs nothing but Python; slow where it loads, fast where it does not, fresh at the end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-I", str(SCRIPT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(.+?): +(\d+) +([0-9.]+) ms$", done.stdout, re.MULTILINE)
    assert [(what, int(price)) for what, price, _ in lines] == [
        ("caching is off by default", 3),
        ("cold", 3),
        ("warm", 3),
        ("changed, not invalidated", 3),
        ("invalidated", 4),
        ("warm again", 4),
    ]
    slow = [float(milliseconds) >= 200 for _, _, milliseconds in lines]
    assert slow == [True, True, False, False, True, False]
    assert done.stdout.endswith("2 loads, 3 hits\n")


def test_the_quickstart_is_short():
    """About 20 lines that say something, without those that make it run from a clone."""
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip()]
    assert len(code) <= 32
