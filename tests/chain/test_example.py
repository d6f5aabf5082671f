"""The example of a chain over real files does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "example_projects" / "parsed_files.py"


def test_the_example_shows_every_layer(tmp_path):
    """Which link is asked, and what comes out, step by step."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-I", str(SCRIPT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("    ")]
    assert [" ".join(words[:2]) for words in told] == [
        *("miss parsed", "miss raw", "= {'tea':"),
        *("hit parsed", "= {'tea':"),
        *("miss parsed", "hit raw", "= {'tea':"),
        *("miss parsed", "miss raw", "= NOT_FOUND"),
        *("miss parsed", "miss raw", "= {'tea':"),
        *("miss parsed", "hit raw", "= {'tea':"),
    ]
    assert [words[-1] for words in told if "{'tea':" in words] == ["30}"] * 3 + ["40}"] * 2
