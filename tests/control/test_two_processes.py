"""A change in one process takes effect in another one, in time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.control.follower import declare
from tests.integration.row import PATIENT

ROOT = Path(__file__).resolve().parents[2]
TOLD, POLLED = 3.5, 10.0
"""Seconds that a change may take; typically a hundredth and a half of that.

Who is not told looks four seconds after the last change at the earliest.
"""


@contextmanager
def follower(settings):
    """Another process that follows; yields a function that reads what it says next."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.control.follower", json.dumps(settings)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield lambda: json.loads(process.stdout.readline())
    finally:
        process.communicate(timeout=20)
        assert process.returncode == 0


def took(settings, ramps):
    """Seconds from each change here until the other process goes by it."""
    cache, _ = declare(settings)
    seconds = []
    with follower(settings) as said:
        assert said()[0] == 100
        for ramp in ramps:
            changed = time.time()
            cache.control.ramp("GetUser", local=ramp)
            seen, at = said()
            assert seen == ramp
            seconds.append(at - changed)
    cache.close()
    return seconds


@pytest.mark.parametrize("consistency", ["request", "feed"])
def test_through_redis_it_takes_a_moment(redis_server, consistency):
    """The version of the overrides rides along, or is pushed."""
    redis_server.flush()
    settings = {
        "redis": {"url": redis_server.url, **PATIENT},
        "overrides": "redis",
        "consistency": consistency,
    }
    assert max(took(settings, [10, 20, 30])) < TOLD


def test_through_a_file_it_takes_seconds(tmp_path):
    """Nobody tells: the process looks, at least every ten seconds."""
    settings = {"overrides": {"file": str(tmp_path / "overrides.json")}}
    assert max(took(settings, [10])) < POLLED


def test_a_file_beside_a_redis_takes_a_moment(redis_server, tmp_path):
    """Whatever the overrides are kept in, a change bumps a version."""
    redis_server.flush()
    settings = {
        "redis": {"url": redis_server.url, **PATIENT},
        "overrides": {"file": str(tmp_path / "o.json")},
    }
    assert max(took(settings, [10, 20])) < TOLD
