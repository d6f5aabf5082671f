"""Processes that share one Redis: what one invalidates, the next request of another does not get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.worker import GATES

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("CACHE_CORE_STRESS_SECONDS", "4"))
ROWS = 4


class Process:
    """A worker in a process of its own."""

    def __init__(self, port, kind):
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.integration.worker", str(port), kind],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, name, **arguments):
        """Sends a command; several processes then work at the same time."""
        self.send(json.dumps([name, arguments]))

    def send(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self):
        line = self._process.stdout.readline()
        assert line, "the worker ended; its error stands above"
        return json.loads(line)

    def do(self, name, **arguments):
        self.begin(name, **arguments)
        return self.answer()

    def read(self, row=1):
        return self.do("read", row=row)["value"]

    def write(self, value, row=1):
        assert self.do("write", value=value, row=row) == {"delivery": "ok"}

    def close(self):
        self._process.communicate()


@pytest.fixture
def start(server):
    """Starts processes over the shared server, which is empty."""
    processes = []

    def begin(number, kind="ours"):
        started = [Process(server.port, kind) for _ in range(number)]
        processes.extend(started)
        assert [process.answer() for process in started] == [{"ready": True}] * number
        return started

    yield begin
    for process in processes:
        process.close()


def test_the_next_request_of_another_process_is_new(start):
    """An invalidation in one process counts in the other, whose local layer holds the old value."""
    one, two = start(2)
    one.write(1)
    assert [one.read(), two.read(), two.read()] == [1, 1, 1]
    for value in range(2, 12):
        one.write(value)
        assert two.read() == value
        two.write(-value)
        assert one.read() == two.read() == -value


def test_both_layers_are_in_use(start):
    """The second process fills its local layer from Redis and does not load; later hits are local."""
    one, two = start(2)
    one.write(1)
    one.read()
    for _ in range(5):
        assert two.read() == 1
    assert two.do("figures") == {"loads": 0, "local_hits": 4}


def held_read(reader, writer, gate):
    """A read of *reader* that *writer* overtakes at *gate*; returns the value of that read."""
    reader.begin("read", held=gate)
    assert reader.answer() == {"at": gate}
    writer.write(2)
    reader.send("go on")
    return reader.answer()["value"]


@pytest.mark.parametrize("begun", ["cold", "warm"])
@pytest.mark.parametrize("gate", GATES)
def test_a_write_at_any_step_of_a_read_is_not_lost(start, gate, begun):
    """Whenever the write of another process comes, no later request of any process is stale."""
    reader, writer, third = start(3)
    writer.write(0)
    if begun == "warm":
        assert reader.read() == third.read() == 0
    writer.write(1)
    # From before its load on, the read itself sees the write; it began before, so both would do.
    assert held_read(reader, writer, gate) == (2 if gate in GATES[:2] else 1)
    assert [reader.read(), third.read(), reader.read()] == [2, 2, 2]


@pytest.mark.parametrize("gate", GATES[2:])
def test_the_gates_catch_a_cache_that_deletes_on_write(start, gate):
    """Control: the usual cache serves the old value after the very same steps."""
    reader, writer = start(2, "naive")
    writer.write(1)
    assert held_read(reader, writer, gate) == 1
    assert reader.read() == writer.read() == 1


def stress(processes, seconds):
    """Readers with two threads each against one writer; the answers of the readers."""
    writer, *readers = processes
    writer.begin("write_for", seconds=seconds, rows=ROWS)
    for reader in readers:
        reader.begin("read_for", seconds=seconds, rows=ROWS, threads=2)
    answers = [reader.answer() for reader in readers]
    assert writer.answer()["writes"] > 50 * seconds
    return answers


@pytest.mark.slow
def test_no_read_is_older_than_a_completed_invalidation(start):
    """Three processes read under load with their local layers on, one writes: nothing stale."""
    answers = stress(start(4), SECONDS)
    assert [answer["stale"] for answer in answers] == [0, 0, 0]
    assert all(answer["reads"] > 100 * SECONDS for answer in answers)
    assert all(min(answer["loads"], answer["local_hits"]) > 10 * SECONDS for answer in answers)


def test_the_stress_catches_a_cache_that_deletes_on_write(start):
    """Control: the same harness sees stale reads where there are some."""
    answers = stress(start(4, "naive"), min(SECONDS, 1.5))
    assert sum(answer["stale"] for answer in answers) > 0
