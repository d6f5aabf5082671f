"""The example project: its narrated run shows what it says, and it serves until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "example_projects" / "django_atlas" / "demo.py"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A folder of its own for the data, which the first test that runs loads."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CACHE_CORE")}
    return {**ours, "ATLAS_DATA": str(tmp_path_factory.mktemp("atlas")), "PYTHONPATH": str(ROOT)}


def start(environment, *args):
    command = [sys.executable, "-W", "error", str(DEMO), *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def is_true(output):
    return "All as said.\n" in output and "NOT SO" not in output and "Traceback" not in output


def test_the_story_is_true_over_redis(environment, redis_server):
    """Each step of the narrated run checks its own promise; the exit code says so."""
    with start(
        {**environment, "CACHE_CORE_REDIS_URL": redis_server.patient_url}, "--once"
    ) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert is_true(output), output
    assert output.endswith("All as said.\n")
    assert "a Redis and this process" in output


def test_it_serves_until_it_is_interrupted(environment):
    """The story is true in memory alone; then it serves its pages until Ctrl-C, which is no error."""
    with start(environment) as process:
        output = ""
        while "Ctrl-C ends it." not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        assert is_true(output), output
        assert "Nearest, ramp   0 %" in output
        assert "committed: Paris again" in output
        site = re.search(r"http://127\.0\.0\.1:\d+", output)[0]
        for page in (
            "/",
            "/city/2988507/",
            "/search/?q=Wien",
            "/admin/login/",
            "/static/atlas/atlas.css",
        ):
            with urlopen(site + page, timeout=30) as response:
                assert response.status == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert rest.strip() == "The atlas is closed."
    assert process.returncode == 0
