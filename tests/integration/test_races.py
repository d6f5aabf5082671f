"""A write of one process at every step of a read of another: the next request is never stale."""

from __future__ import annotations

from itertools import count, product

import pytest

from tests.integration.process import Process
from tests.integration.row import until
from tests.integration.steps import ASKING, FILLING, LOADING, LOCKING, STEPS
from tests.integration.subjects import WHAT
from tests.integration.worker import MODULE, NAIVE

IDS = count(1)


class Read:
    """A request of a process that has begun."""

    def __init__(self, process, command):
        self._process, self._command = process, command
        self._found = None

    def go_on(self):
        """The number that it gets, now that it may go on."""
        self._found = self._process.go_on(self._command)
        return self.number

    @property
    def number(self):
        """The number that it gets."""
        self._found = self._found or self._process.answer(self._command)
        return self._found["number"]


class Pair:
    """A process that reads and one that writes, at one place: a mode and a style of code."""

    def __init__(self, reader, writer, mode, style, what):
        self.reader, self.writer = reader, writer
        self.style, self.what = style, WHAT[what]
        self.place = {"mode": mode, "style": style}
        self.subject = {"what": what, "row": next(IDS), **self.place}

    def read(self, process=None):
        """What one request gets; by default in the reading process."""
        return (process or self.reader).do("read", **self.subject)["number"]

    def until_kept(self):
        """The number that is served at last without a load."""
        reads = iter(lambda: self.reader.do("read", **self.subject), None)
        return until(lambda: [read["number"] for read in [next(reads)] if not read["loads"]])[0]

    def begin(self, begun):
        """An entry that was never there, or one that is there in both layers and is not valid."""
        if begun == "warm":
            assert self.until_kept() == 0
            assert self.read(self.writer) == 0
            assert self.writer.do("forget", **self.subject) == "ok"

    def hold(self, step):
        """A read that stands at *step*."""
        step = step if step in ASKING else f"{step}: {self.what.loaded_in}"
        return Read(self.reader, self.reader.hold("read", step, **self.subject))

    def beside(self):
        """A read of the same process beside the one that is held; none where it has one thread."""
        if self.style == "sync":
            return []
        return [Read(self.reader, self.reader.begin("read", **self.subject))]

    def goes_on(self, step):
        """Whether reads that begin after a write go on while one is held at *step*.

        What is only found while loading is not known before: they wait, and look then.
        """
        blocks_loop = self.style == "asyncio" and step == FILLING[0]
        return not blocks_loop and not self.what.is_found

    def write(self):
        assert self.writer.do("write", number=1, **self.subject) == "ok"


@pytest.fixture(scope="module")
def processes(redis_server, tmp_path_factory):
    """Two workers over one database and the shared server."""
    redis_server.flush()
    path = str(tmp_path_factory.mktemp("races") / "database")
    started = [Process(MODULE, path=path, port=redis_server.port) for _ in range(2)]
    yield started
    for process in started:
        process.close()


@pytest.fixture
def pair(processes, mode, style, what):
    made = Pair(*processes, mode, style, what)
    if mode == "feed_wait":
        until(lambda: all(process.do("is_fed", **made.place) for process in processes))
    return made


def cases(steps=STEPS, whats=WHAT):
    """What is written, at which step, beginning how. What is found late is not kept at first."""
    return [
        (what, step, begun)
        for what, step, begun in product(whats, steps, ("cold", "warm"))
        if not (begun == "cold" and step in FILLING and WHAT[what].is_late)
    ]


def overtake(pair, step, begun):
    """A read of one process that a write of another overtakes at *step*."""
    pair.begin(begun)
    held = pair.hold(step)
    before = pair.beside()
    pair.write()
    after = pair.beside()
    if pair.goes_on(step):
        assert all(read.number == 1 for read in after)
    assert held.go_on() in {0, 1}  # it began before the write, so either will do
    assert all(read.number in {0, 1} for read in before)
    assert all(read.number == 1 for read in after)
    assert [pair.read(), pair.read(pair.writer), pair.until_kept()] == [1, 1, 1]


@pytest.mark.parametrize("mode", ["request"])
@pytest.mark.parametrize("style", ["sync"])
@pytest.mark.parametrize(
    ("what", "step", "begun"), cases(whats=["entity", "tag", "tenant", "single entry", "nested"])
)
def test_a_write_at_any_step_of_a_read_is_not_lost(pair, step, begun):
    """From when the invalidation has returned on, new requests of all processes are current."""
    overtake(pair, step, begun)


@pytest.mark.parametrize("mode", ["request"])
@pytest.mark.parametrize("style", ["threads", "asyncio"])
@pytest.mark.parametrize(("what", "step", "begun"), cases())
def test_others_of_the_same_process_do_not_wait_for_an_old_value(pair, step, begun):
    """The same, and for requests that begin while the read that was overtaken stands there."""
    overtake(pair, step, begun)


@pytest.mark.parametrize("mode", ["locked"])
@pytest.mark.parametrize("style", ["threads", "asyncio"])
@pytest.mark.parametrize(
    ("what", "step", "begun"), cases((LOCKING, *LOADING, *FILLING), ["entity", "tag", "inner"])
)
def test_a_lock_makes_nobody_take_an_old_value(pair, step, begun):
    """The same where one process at a time loads, before it asks for the lock, too."""
    overtake(pair, step, begun)


@pytest.mark.parametrize("mode", ["feed_wait"])
@pytest.mark.parametrize("style", ["threads", "asyncio"])
@pytest.mark.parametrize(("what", "step", "begun"), cases(whats=["entity", "nested"]))
def test_a_writer_that_waits_for_the_feeds_is_seen_by_all(pair, step, begun):
    """The same where readers ask nobody, and writers wait until every feed knows."""
    overtake(pair, step, begun)


@pytest.mark.parametrize("mode", ["feed_wait"])
@pytest.mark.parametrize("style", ["threads", "asyncio"])
@pytest.mark.parametrize("what", ["entity", "tag", "nested"])
@pytest.mark.parametrize("step", ASKING)
def test_a_version_that_changes_on_its_way_is_not_believed(pair, step):
    """A reply that a push has overtaken does not put the old version into the feed's table."""
    assert pair.read() == 0  # the entry is there now, and the table has not learned of it yet
    held = pair.hold(step)
    pair.write()
    assert held.go_on() in {0, 1}
    assert [pair.read(), pair.until_kept()] == [1, 1]


@pytest.mark.parametrize("mode", ["strict"])
@pytest.mark.parametrize("style", ["sync", "threads", "asyncio"])
@pytest.mark.parametrize("released", ["marked", "committed"])
@pytest.mark.parametrize(("what", "step", "begun"), cases(whats=["entity", "nested"]))
def test_in_strict_mode_nothing_older_than_the_commit_is_served(pair, step, begun, released):
    """Not even between COMMIT and invalidation, whatever others have read since the mark."""
    pair.begin(begun)
    held = pair.hold(step)
    write = pair.writer.hold("write", "marked", "committed", number=1, **pair.subject)
    if released == "marked":
        assert held.go_on() == 0
    assert pair.read(pair.writer) == 0
    pair.writer.advance(write, "committed")
    after = pair.beside()
    if released == "marked" or pair.goes_on(step):
        assert all(read.number == 1 for read in after)
    if released == "committed":
        assert held.go_on() in {0, 1}
    assert all(read.number == 1 for read in after)
    assert [pair.read(), pair.read(pair.writer)] == [1, 1]
    assert pair.writer.go_on(write) == "ok"
    assert [pair.read(), pair.read(pair.writer), pair.until_kept()] == [1, 1, 1]


@pytest.mark.parametrize("mode", [NAIVE])
@pytest.mark.parametrize("style", ["sync"])
@pytest.mark.parametrize("what", ["entity"])
@pytest.mark.parametrize("step", [LOADING[1], FILLING[1]])
def test_these_steps_catch_a_cache_that_deletes_on_write(pair, step):
    """Control: the usual cache serves the old value after the very same steps."""
    held = pair.hold(step)
    pair.write()
    assert held.go_on() == 0
    assert [pair.read(), pair.read(pair.writer)] == [0, 0]
