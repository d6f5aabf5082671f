"""Processes that begin, fork, and end: a cache leaves nothing behind and keeps nobody waiting."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.row import until
from tests.servers import HOST, free_port

ROOT = Path(__file__).resolve().parents[2]
SITE = "tests.integration.site_of_gunicorn:app"
PATIENCE = 30
"""Seconds after which a process hangs; all of them need about one."""


@contextmanager
def program(name, url, says=""):
    """Runs one of ``lifetimes``; it must end by itself and well, and say what it *says* at most."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.lifetimes", name, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, says in errors, bool(errors)) == (0, True, bool(says)), errors
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "name",
    ["leaves_nothing", "is_left_open", "ends_during_a_refresh", "leaves_by_a_side_door"],
)
def test_a_process_ends_by_itself_and_leaves_nothing(redis_server, name):
    """No thread, no socket, no word on stderr: see the function of that name in ``lifetimes``."""
    with program(name, redis_server.patient_url):
        pass


def test_a_process_ends_while_redis_hangs(private_redis):
    """What could not be delivered is tried once more at the end, within the deadline of a write."""
    server = private_redis()
    says = "1 invalidations could not be delivered before the end"
    with program("ends_while_redis_hangs", server.url, says) as process:
        assert process.stdout.readline() == "used\n"
        server.pause()


@contextmanager
def gunicorn(url, *options):
    """A site that was loaded before its workers were forked; ends well when it is told to."""
    port = free_port()
    command = f"-m gunicorn --preload --workers 2 --bind {HOST}:{port} --log-level warning"
    process = subprocess.Popen(
        [sys.executable, *command.split(), *options, SITE],
        cwd=ROOT,
        env={**os.environ, "SITE_REDIS": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: answer(port, "GET", "/1"))
        yield process, port
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


def answer(port, method, path):
    """What the site answers; None where nobody listens yet."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())
    except ConnectionError:
        return None
    finally:
        connection.close()


def both(port):
    """What each of two workers answers last to GET, when many ask at once."""
    answers = {}

    def asked():
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: answer(port, "GET", "/1"), range(8)))
        answers.update((one["pid"], one["value"]) for one in found if one)
        return len(answers) == 2

    until(asked)
    return answers


@pytest.mark.parametrize("workers", [[], ["--worker-class", "gthread", "--threads", "4"]])
def test_preloaded_workers_hear_of_each_others_writes(redis_server, workers):
    """The cache was used before the fork; each worker has connections and a feed of its own."""
    redis_server.flush()
    with gunicorn(redis_server.patient_url, *workers) as (_, port):
        before = set(both(port).values())
        assert answer(port, "POST", "/1")["delivery"] == "ok"
        until(lambda: not before & set(both(port).values()))


def test_workers_that_are_replaced_go_on(redis_server):
    """SIGHUP ends the workers and forks new ones from the process that has loaded the site."""
    redis_server.flush()
    with gunicorn(redis_server.patient_url) as (process, port):
        before = both(port)
        process.send_signal(signal.SIGHUP)
        until(lambda: (found := answer(port, "GET", "/1")) and found["pid"] not in before)
        assert answer(port, "POST", "/1")["delivery"] == "ok"
        until(lambda: not set(both(port).values()) & set(before.values()))
