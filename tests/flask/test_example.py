"""The example project keeps its promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "example_projects" / "flask_catalog" / "demo.py"

# Runs the demo with pages that lie: the claims must notice.
BROKEN = """
import runpy, sys
sys.argv = sys.argv[1:]
import flask_ext.sqlalchemy
flask_ext.sqlalchemy.track = lambda *args, **kwargs: None
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def run(*command):
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_demo_runs_and_its_claims_hold(folder):
    """The narrated run over HTTP ends well, twice: it leaves the data as it was."""
    for _ in range(2):
        done = run(str(DEMO), "--once", "--folder", str(folder))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "7. Paris gets its people back." in done.stdout
        assert "NOT SO" not in done.stdout
        assert done.stderr == ""


def test_the_demo_notices_when_a_claim_does_not_hold(folder):
    """Without the tracking of models its pages are stale, and the demo fails."""
    done = run("-c", BROKEN, str(DEMO), "--once", "--folder", str(folder))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT SO" in done.stdout
