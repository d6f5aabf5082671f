"""Processes that are told what to do, line by line, and that can be stopped at a named step.

Both sides stand here. A line is one JSON object. Commands are numbered, and several may run at once:
each in a thread of its own. One that is to be *held* says when it has come to its step, and goes on
when it is told to.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from contextvars import ContextVar
from itertools import count
from pathlib import Path

from tests.integration.row import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
GONE = {"gone": True}


class Process:
    """A process of our own, as its parent holds it.

    Args:
        module: What it runs: a module that calls ``serve``.
        options: What its object is made with.
    """

    def __init__(self, module, **options):
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "faulthandler",
                "-W",
                "error",
                "-m",
                module,
                json.dumps(options),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._numbers = count(1)
        self._said = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def do(self, name, **arguments):
        """What the command *name* returns."""
        return self.answer(self.begin(name, **arguments))

    def begin(self, name, *, held=(), **arguments):
        """Begins a command, to be stopped at each of the steps *held*; returns its number."""
        number = next(self._numbers)
        self._said[number] = queue.Queue()
        self._send(number=number, do=name, held=held, arguments=arguments)
        return number

    def hold(self, name, *steps, **arguments):
        """Begins a command and waits until it stands at the first of *steps*; returns its number."""
        number = self.begin(name, held=steps, **arguments)
        self._stands(number, steps[0])
        return number

    def advance(self, number, step):
        """Has the held command *number* go on to *step*, the next at which it is to be stopped."""
        self._send(go_on=number)
        self._stands(number, step)

    def go_on(self, number):
        """What the held command *number* returns now that it goes on to its end."""
        self._send(go_on=number)
        return self.answer(number)

    def answer(self, number, *, within=DEADLINE):
        """What the command *number* returns; it has so many seconds."""
        said = self._wait(number, within)
        assert "error" not in said, f"in process {self._process.pid}:\n{said['error']}"
        return said["answer"]

    def kill(self):
        """Ends it at once, as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def pause(self):
        """Freezes it (SIGSTOP)."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self):
        """Lets it go on (SIGCONT)."""
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self):
        """Lets it end by itself."""
        self._process.stdin.close()
        try:
            self._process.wait(DEADLINE)
        finally:
            self.kill()
            self._listener.join()
            self._process.stdout.close()

    def _stands(self, number, step):
        said = self._wait(number)
        assert said.get("at") == step, f"it did not come to {step!r}: {said}"

    def _send(self, **message):
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _wait(self, number, seconds=DEADLINE):
        try:
            said = self._said[number].get(timeout=seconds)
        except queue.Empty:
            self._process.send_signal(signal.SIGABRT)  # shows where each of its threads is
            raise
        assert said is not GONE, f"process {self._process.pid} is gone; its error stands above"
        return said

    def _listen(self):
        for line in self._process.stdout:
            said = json.loads(line)
            self._said[said["number"]].put(said)
        for waiting in list(self._said.values()):
            waiting.put(GONE)


class _Held:
    """A command and the steps that it is to be stopped at, in their order."""

    def __init__(self, number, steps):
        self.number, self.steps = number, steps
        self._may_go_on = threading.Semaphore(0)
        self.wait, self.go_on = self._may_go_on.acquire, self._may_go_on.release


_held = ContextVar("held", default=None)
_held_by_number = {}
_speaking = threading.Lock()


def at(step, use_case=""):
    """The running command has come to *step*; stops it there if that was wished.

    Args:
        step: What the parent calls it: so, or followed by a colon and the use case.
        use_case: Whose step it is, where it is anybody's.
    """
    if (held := _arrived(step, use_case)) is not None:
        held.wait()


async def aat(step, use_case=""):
    """As ``at``; the event loop goes on."""
    if (held := _arrived(step, use_case)) is not None:
        await asyncio.to_thread(held.wait)


def _arrived(step, use_case):
    held = _held.get()
    if held is None or not held.steps or held.steps[0] not in (step, f"{step}: {use_case}"):
        return None
    _tell(number=held.number, at=held.steps.pop(0))
    return held


def serve(kind):
    """Makes a *kind* with the options of the command line, and carries out commands by its methods."""
    subject = kind(**json.loads(sys.argv[1]))
    for line in sys.stdin:
        message = json.loads(line)
        if "go_on" in message:
            _held_by_number[message["go_on"]].go_on()
        else:
            threading.Thread(target=_carry_out, args=(subject, message), daemon=True).start()
    subject.close()


def _carry_out(subject, message):
    number = message["number"]
    if message["held"]:
        held = _held_by_number[number] = _Held(number, message["held"])
        _held.set(held)
    try:
        answer = getattr(subject, message["do"])(**message["arguments"])
        _tell(number=number, answer=answer)
    except BaseException:
        _tell(number=number, error=traceback.format_exc())


def _tell(**message):
    with _speaking:
        print(json.dumps(message), flush=True)
