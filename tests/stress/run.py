"""One run: processes that read and write in one mode, faults meanwhile, a verdict at the end."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.process import Process
from tests.integration.row import DEADLINE, until
from tests.stress.faults import Faults
from tests.stress.history import History, Verdict, check, delivered
from tests.stress.modes import LEASE, MODES
from tests.stress.servers import Servers
from tests.stress.worker import MODULE

READERS, WRITERS = 3, 2


@dataclass
class Result:
    """What came out of a run.

    Args:
        mode: Its mode.
        verdict: What the checker found.
        figures: Loads and hits of all processes that were there at the end.
        faults: How often which harm was done.
    """

    mode: str
    verdict: Verdict
    figures: Counter
    faults: Counter

    @property
    def broken(self):
        """How often something was not as it was promised."""
        verdict, mode = self.verdict, MODES[self.mode]
        if mode.is_control:
            return verdict.p1.stale
        if not mode.promise:
            return verdict.p2 + verdict.p3
        stale = getattr(verdict, mode.promise).stale
        return stale + verdict.p2 + verdict.p3 + verdict.p4

    @property
    def is_kept(self):
        """Whether all is as it was promised; of a control, whether it was caught."""
        return bool(self.broken) == MODES[self.mode].is_control


class Member:
    """A process of the crew; when it is killed, another one takes its place.

    Args:
        work: What it does: a command of ``worker``.
        options: What its object is made with.
    """

    def __init__(self, work, **options):
        self._work = work
        self._options = options
        self._names = (f"{work}-{id(self)}-{number}" for number in count())
        self._running = {}
        self.killed = set()
        self._start()

    def begin_work(self, **running):
        """Begins its work."""
        self._running = running
        self.begin(self._work, **running)

    def begin(self, name, **arguments):
        """Begins a command."""
        self._begun = self._process.begin(name, **arguments)

    def answer(self, within):
        """What the command returns that was begun last; it has so many seconds."""
        return self._process.answer(self._begun, within=within)

    def kill(self):
        """Ends it at once; its successor goes on with the work."""
        self._process.kill()
        self._process.close()
        self.killed.add(self._name)
        self._start()
        self.begin_work(**self._running)

    def pause(self):
        self._process.pause()

    def resume(self):
        self._process.resume()

    def close(self):
        self._process.close()

    def _start(self):
        self._name = next(self._names)
        self._process = Process(MODULE, name=self._name, **self._options)


class Crew:
    """Processes and a Redis for several runs, one after the other."""

    def __init__(self):
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="stress-")))
        servers = self._stack.enter_context(Servers(self._folder))
        work = ["read_until"] * READERS + ["write_until"] * WRITERS
        addresses = [servers.way.url] + [servers.address] * (len(work) - 1)
        self._members = [
            Member(each, folder=str(self._folder), address=address)
            for each, address in zip(work, addresses)
        ]
        for member in self._members:
            self._stack.callback(member.close)
        self._faults = Faults(servers, self._members, LEASE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    def run(self, mode, seconds, *, every):
        """Runs *mode* for so many seconds, with a harm after up to *every* seconds.

        Controls are not harmed: what they get wrong they get wrong by themselves.
        """
        self._all_do("open", mode)
        end = time.monotonic() + seconds
        for member in self._members:
            member.begin_work(mode=mode, end=end)
        done, losses, is_harmed = Counter(), [], not MODES[mode].is_control
        if is_harmed:
            done, losses = self._faults.keep_on(end, every, MODES[mode].worst)
        time.sleep(max(0.0, end - time.monotonic()))
        for member in self._members:
            member.answer(DEADLINE)
        figures = sum(map(Counter, self._all_do("figures", mode)), Counter())
        wrong = self._wrong_when_settled(mode) if is_harmed else []
        histories = self._histories(mode)
        verdict = check(histories, lease=LEASE, losses=losses)
        verdict.p2 = _promised(wrong, histories, MODES[mode])
        return Result(mode, verdict, figures, done)

    def _wrong_when_settled(self, mode):
        """Waits until nothing is under way any more; returns each (row, number) that is old then."""
        until(lambda: not sum(self._all_do("undelivered", mode)))
        time.sleep(MODES[mode].settles_in)
        return [pair for pairs in self._all_do("wrong", mode) for pair in pairs]

    def _all_do(self, name, mode):
        """What each process answers."""
        for member in self._members:
            member.begin(name, mode=mode)
        return [member.answer(DEADLINE) for member in self._members]

    def _histories(self, mode):
        killed = set().union(*(member.killed for member in self._members))
        return [
            History(path.read_bytes(), is_orphan=path.stem in killed)
            for path in self._folder.glob(f"*.{mode}-*")
        ]


def _promised(wrong, histories, mode):
    """How many reads were *wrong* that need not have been.

    A writer that was killed between COMMIT and invalidation is missed, unless it had marked.
    """
    if mode.is_strict or not mode.promise:
        return len(wrong)
    newest = delivered(histories)
    return sum(number < newest[row] for row, number in wrong)
