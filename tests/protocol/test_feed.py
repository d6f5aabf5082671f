"""The push feed without a server: the table of versions, its lease, and both against a model."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from itertools import count

import pytest

from cache_core.protocol.feed import EPOCH_DIFFERS, FORKED, FeedReport, FeedTable
from cache_core.protocol.lease import NO_CANARY, NO_HEARTBEAT, Lease

EPOCH = "00112233445566aa"
OTHER = "ffeeddccbbaa9988"
POST, USER = "{post:3}", "{user:7}"


def version(text, epoch=EPOCH):
    return f"{epoch}n{text}"


def fetch(table, thing, ev):
    """A fetch that nothing came in between of."""
    table.keep([thing], [ev], table.reserve([thing]))


def prove(lease, now=0.0):
    """Two heartbeats and a canary, as quickly as may be; returns the time of the second beat."""
    lease.canary_sent(now)
    lease.canary_seen(now)
    for _ in range(2):
        lease.beat_sent(now)
        lease.beat_answered(now)
        now += lease.beat
    return now - lease.beat


@pytest.fixture
def lease():
    return Lease()


@pytest.fixture
def table():
    """A table whose feed was connected at second 0."""
    table = FeedTable()
    table.connected(EPOCH, 0.0)
    return table


# -- The lease ---------------------------------------------------------------------------------------


def test_a_lease_runs_from_the_heartbeat_before_the_answered_one(lease):
    """Rule Z5: the answer to one beat proves what was there when the beat before it was sent."""
    prove(lease)
    lease.beat_sent(10.0)
    lease.beat_answered(10.01)
    lease.beat_sent(10.05)
    lease.beat_answered(10.06)
    assert lease.known_until == 10.0
    assert lease.until == 10.25


def test_one_heartbeat_proves_nothing(lease):
    """A new connection is trusted from its second heartbeat on, for there is one before it."""
    lease.canary_sent(1.0)
    lease.canary_seen(1.0)
    lease.beat_sent(1.0)
    lease.beat_answered(1.0)
    assert lease.until < 0
    lease.beat_sent(1.05)
    lease.beat_answered(1.05)
    assert lease.until == 1.25


def test_heartbeats_without_a_canary_prove_nothing(lease):
    """A connection that carries answers may yet carry no pushes; one must have come."""
    for now in (1.0, 1.05, 1.1):
        lease.beat_sent(now)
        lease.beat_answered(now)
    assert lease.until < 0
    lease.canary_sent(1.1)
    assert lease.until < 0
    lease.canary_seen(1.12)
    assert lease.until == 1.3


def test_a_canary_that_nobody_sent_proves_nothing(lease):
    """What is left of another connection's canary is not taken for ours."""
    lease.canary_seen(0.0)
    for now in (1.0, 1.05):
        lease.beat_sent(now)
        lease.beat_answered(now)
    assert lease.until < 0


def test_an_answer_without_a_heartbeat_proves_nothing(lease):
    """A second answer to one heartbeat does not count as that of the next."""
    prove(lease)
    lease.beat_answered(5.0)
    assert lease.known_until == 0.0


def test_a_new_connection_starts_from_nothing(lease):
    """Neither beats nor canaries of a connection count for the next one."""
    prove(lease)
    lease.begin()
    assert lease.until < 0
    lease.canary_seen(0.1)
    for now in (0.1, 0.15):
        lease.beat_sent(now)
        lease.beat_answered(now)
    assert lease.until < 0
    lease.begin()
    lease.canary_sent(0.2)
    lease.canary_seen(0.2)
    lease.beat_sent(0.2)
    lease.beat_answered(0.2)
    assert lease.until < 0


def test_heartbeats_are_due_one_at_a_time(lease):
    """The first at once, each following after *beat* seconds and the answer to the last one."""
    assert lease.beat_due(1.0)
    lease.beat_sent(1.0)
    assert not lease.beat_due(1.06)
    lease.beat_answered(1.01)
    assert not lease.beat_due(1.04)
    assert lease.beat_due(1.06)


def test_the_pause_ends_when_a_heartbeat_is_due(lease):
    """Whoever waits for messages wakes up in time for the next heartbeat."""
    assert lease.pause(1.0) == 0.0
    lease.beat_sent(1.0)
    assert lease.pause(1.01) == 0.05
    lease.beat_answered(1.01)
    assert lease.pause(1.02) == pytest.approx(0.03)
    assert lease.pause(9.0) == 0.0


def test_canaries_are_due_one_at_a_time(lease):
    """The first at once, each following *canary* seconds after the last one if that was seen."""
    assert lease.canary_due(1.0)
    lease.canary_sent(1.0)
    assert not lease.canary_due(7.0)
    lease.canary_seen(1.1)
    assert not lease.canary_due(1.9)
    assert lease.canary_due(2.0)


def test_a_heartbeat_unanswered_for_a_lease_is_a_fault(lease):
    """Rule Z8: nothing may be trusted; a moment earlier all is well."""
    assert lease.fault(100.0) is None
    lease.beat_sent(100.0)
    assert lease.fault(100.25) is None
    assert lease.fault(100.26) == NO_HEARTBEAT
    lease.beat_answered(100.3)
    assert lease.fault(100.4) is None


def test_a_canary_missing_for_a_lease_is_a_fault(lease):
    """Answers go on and pushes do not: found as soon as the answers have passed the canary by."""
    now = prove(lease)
    lease.canary_sent(now)
    faults = []
    for _ in range(8):
        now += 0.05
        lease.beat_sent(now)
        lease.beat_answered(now)
        faults.append(lease.fault(now))
    assert faults == [None] * 6 + [NO_CANARY] * 2


def test_a_process_that_was_stopped_has_missed_no_canary(lease):
    """Time that passes without answers says nothing about pushes."""
    prove(lease)
    lease.canary_sent(1.0)
    assert lease.fault(60.0) is None


def test_a_lease_shorter_than_its_heartbeats_is_refused():
    """It would end again and again between two answers."""
    with pytest.raises(ValueError, match=r"0\.1 s is too short for a heartbeat each 0\.05 s"):
        Lease(seconds=0.1)


# -- The table ---------------------------------------------------------------------------------------


def test_what_was_fetched_is_known(table):
    """A version is known from the fetch on until a push; other things are not."""
    fetch(table, POST, version(1))
    assert table.known(POST) == version(1)
    assert table.known(USER) is None
    table.pushed([POST, USER])
    assert table.known(POST) is None


def test_a_push_takes_the_placeholder_away(table):
    """Rule Z3: a version that was read before the push must not be kept after it."""
    reservation = table.reserve([POST, USER])
    table.pushed([POST])
    table.keep([POST, USER], [version(1), version(2)], reservation)
    assert table.known(POST) is None
    assert table.known(USER) == version(2)


def test_a_placeholder_of_before_a_push_does_not_match_one_of_after(table):
    """An old fetch comes back after a new one began for the same thing: only the new one counts."""
    old = table.reserve([POST])
    table.pushed([POST])
    new = table.reserve([POST])
    table.keep([POST], [version(1)], old)
    assert table.known(POST) is None
    table.keep([POST], [version(2)], new)
    assert table.known(POST) == version(2)


def test_two_fetches_of_a_thing_share_a_placeholder(table):
    """Neither puts the other off, however many overlap; the first answer is kept."""
    first = table.reserve([POST])
    second = table.reserve([POST])
    table.keep([POST], [version(1)], first)
    assert table.known(POST) == version(1)
    table.keep([POST], [version(2)], second)
    assert table.known(POST) == version(1)


def test_a_fetch_that_failed_is_in_nobodys_way(table):
    """A placeholder that was never redeemed serves the next fetch."""
    table.reserve([POST])
    fetch(table, POST, version(1))
    assert table.known(POST) == version(1)


def test_placeholders_do_not_pile_up():
    """Fetches that never came back are given up together; what is known stays."""
    table = FeedTable(limit=8)
    table.connected(EPOCH, 0.0)
    fetch(table, POST, version(1))
    late = table.reserve(["{late:1}"])
    for number in range(20):
        table.reserve([f"{{lost:{number}}}"])
    table.keep(["{late:1}"], [version(2)], late)
    assert table.known("{late:1}") is None
    assert table.known(POST) == version(1)
    assert len(table._reserved) <= 5


def test_an_absent_version_clears_its_placeholder(table):
    """The thing has no version yet; nothing is kept and nothing is left over."""
    fetch(table, POST, None)
    assert table.known(POST) is None
    assert not table._reserved


def test_a_thing_that_is_known_is_not_reserved(table):
    """Its fetch came for nothing; what the table knows stays right."""
    fetch(table, POST, version(1))
    fetch(table, POST, version(2))
    assert table.known(POST) == version(1)


@pytest.mark.parametrize("epoch", [EPOCH, ""])
def test_a_marked_version_is_not_kept(table, epoch):
    """A mark ends by itself, and its expiry is pushed late; each request asks for it."""
    fetch(table, POST, f"{epoch}!12.abc|writer@99")
    assert table.known(POST) is None
    assert table.fault(0.0) is None


def test_a_version_of_another_epoch_is_not_kept(table):
    """Rule Z8: it comes from another node than the pushes; one of the two is the wrong node."""
    fetch(table, POST, version(1, OTHER))
    assert table.known(POST) is None
    assert table.fault(0.0) == EPOCH_DIFFERS
    table.lost(EPOCH_DIFFERS)
    table.connected(OTHER, 1.0)
    assert table.fault(1.0) is None
    fetch(table, POST, version(1, OTHER))
    assert table.known(POST) == version(1, OTHER)


def test_a_version_given_at_another_node_is_a_fault(table):
    """Who creates a version at a node that the feed does not hear of will hear of no change."""
    table.compare([version("1.new")])
    assert table.fault(0.0) is None
    table.compare([version("2.new", OTHER)])
    assert table.fault(0.0) == EPOCH_DIFFERS


@pytest.mark.parametrize(("feed", "data"), [("", EPOCH), (EPOCH, ""), ("", "")])
def test_an_unknown_epoch_agrees_with_any(feed, data):
    """Where a node's epoch is unknown, or not used, there is nothing to compare."""
    table = FeedTable()
    table.connected(feed, 0.0)
    fetch(table, POST, version(1, data))
    assert table.known(POST) == version(1, data)
    assert table.fault(0.0) is None


def test_nothing_is_kept_while_no_pushes_come(table):
    """Before the first connection and after a loss there is nobody to say that it changed."""
    fresh = FeedTable()
    fetch(fresh, POST, version(1))
    assert fresh.known(POST) is None
    reservation = table.reserve([POST])
    table.lost("test")
    table.keep([POST], [version(1)], reservation)
    fetch(table, USER, version(2))
    assert table.known(POST) is table.known(USER) is None


def test_a_loss_empties_the_table_at_once(table):
    """Rule Z8: distrusted and empty before anything else happens."""
    fetch(table, POST, version(1))
    now = prove(table.lease)
    assert table.usable(now)
    table.lost("test")
    assert not table.usable(now)
    assert table.known(POST) is None
    assert table.fault(now) == "test"


def test_a_new_connection_empties_the_table_again(table):
    """What came in until tracking was on may have changed without a push, noticed or not."""
    reservation = table.reserve([POST])
    fetch(table, USER, version(1))
    now = prove(table.lease)
    table.connected(EPOCH, now)
    table.keep([POST], [version(1)], reservation)
    assert table.known(POST) is table.known(USER) is None
    assert not table.usable(now)


def test_a_flush_empties_the_table_and_no_more(table):
    """FLUSHALL is pushed without keys: all are forgotten, placeholders too; trust goes on."""
    fetch(table, USER, version(1))
    reservation = table.reserve([POST])
    now = prove(table.lease)
    table.pushed(None)
    table.keep([POST], [version(1)], reservation)
    assert len(table) == 0
    assert table.usable(now)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.pushed([POST]),
        lambda table: table.pushed(["{unknown:1}"]),
        lambda table: table.pushed(None),
        lambda table: table.forget([POST]),
        lambda table: table.forget_all(),
        lambda table: table.lost("test"),
        lambda table: table.connected(EPOCH, 1.0),
        lambda table: table.after_fork(),
    ],
)
def test_the_token_is_another_one_after_anything_was_forgotten(table, change):
    """An entry that was valid under the old token has to be looked at again."""
    token = table.token
    change(table)
    assert table.token is not token


def test_learning_leaves_the_token(table):
    """A version that comes in makes no entry invalid; neither does one that moves up."""
    token = table.token
    fetch(table, POST, version(1))
    assert table.known(POST) == version(1)
    assert table.token is token


def test_the_token_changes_after_the_versions(table):
    """Whoever sees the new token does not see the old versions any more."""
    fetch(table, POST, version(1))
    seen = []

    class Watched(FeedTable):
        def __setattr__(self, name, value):
            if name == "token":
                seen.append(self.known(POST))
            super().__setattr__(name, value)

    table.__class__ = Watched
    table.forget([POST])
    table.forget_all()
    assert seen == [None, None]


def test_the_table_is_usable_as_long_as_its_lease(table):
    """Rule Z4, to the end of the lease and not beyond."""
    now = prove(table.lease)
    assert table.usable(now)
    assert table.usable(0.25)
    assert not table.usable(0.2501)


def test_the_table_is_bounded_and_keeps_what_is_used():
    """Things beyond the limit make room; one that is read again and again never does."""
    table = FeedTable(limit=100)
    table.connected(EPOCH, 0.0)
    fetch(table, POST, version(0))
    for number in range(1000):
        fetch(table, f"{{user:{number}}}", version(number))
        assert table.known(POST) == version(0)
        assert len(table) <= 100
        assert len(table) + len(table._dropped) <= 101
    assert table.known("{user:999}") == version(999)
    assert table.known("{user:900}") is None
    table.forget([POST])
    assert table.known(POST) is None


def test_a_thing_that_moves_up_is_there_once():
    """Also when it fills the young half, so that both change places while it moves."""
    table = FeedTable(limit=4)
    table.connected(EPOCH, 0.0)
    for thing in (POST, USER, "{tag:a}"):
        fetch(table, thing, version(1))
    assert [table.known(POST) for _ in range(3)] == [version(1)] * 3
    assert len(table) == 2


def test_an_old_thing_can_be_forgotten():
    """A push reaches both halves of the table."""
    table = FeedTable(limit=4)
    table.connected(EPOCH, 0.0)
    for thing in (POST, USER):  # the second one makes both of them old
        fetch(table, thing, version(1))
    assert POST in table._old
    table.pushed([POST])
    assert table.known(POST) is None
    assert table.known(USER) == version(1)


def test_a_child_process_begins_anew(table):
    """No version, no trust and no lock of the parent is left; a token of its own is."""
    fetch(table, POST, version(1))
    now = prove(table.lease)
    table._lock.acquire()
    table.after_fork()
    assert table.known(POST) is None
    assert not table.usable(now)
    assert table.fault(now) == FORKED
    taken = threading.Thread(target=table.forget, args=([POST],), daemon=True)
    taken.start()
    taken.join(5)
    assert not taken.is_alive()


def test_the_report_tells_how_the_feed_is_doing(table):
    """Figures for statistics, with the share of time in which the table was trusted."""
    lease = table.lease
    lease.canary_sent(1.0)
    lease.canary_seen(1.0)
    for now in (1.0, 1.1, 1.2, 1.3):
        lease.beat_sent(now)
        lease.beat_answered(now)
    fetch(table, POST, version(1))
    table.pushed([USER])
    expected = FeedReport(
        trusted=True,
        trusted_ratio=pytest.approx(0.2 / 1.4),
        lag=pytest.approx(0.2),
        pushes=1,
        resets=0,
        failures=0,
        reason="",
        versions=1,
    )
    assert table.report(1.4) == expected
    table.lost("first")
    table.lost("second")
    assert table.report(2.0) == replace(
        expected,
        trusted=False,
        trusted_ratio=pytest.approx(0.1),
        lag=None,
        resets=1,
        failures=1,
        reason="second",
        versions=0,
    )


def test_time_without_trust_is_not_counted_as_trusted(lease):
    """A lease that ran out and came back counts from when it came back."""
    for now in (1.0, 1.1, 9.0, 9.1):
        lease.beat_sent(now)
        lease.beat_answered(now)
        if lease.canary_due(now):
            lease.canary_sent(now)
            lease.canary_seen(now)
    # 1.0: proven; 1.1: trusted; 9.0: extends the lease to 1.35 only; 9.1: trusted again.
    assert lease.trusted_seconds == 0.0
    lease.beat_sent(9.2)
    lease.beat_answered(9.2)
    assert lease.trusted_seconds == pytest.approx(0.1)


def test_a_report_before_any_connection_is_all_zero():
    """Nothing was trusted, and no time has passed in which it could have been."""
    assert FeedTable().report(5.0) == FeedReport(
        trusted=False,
        trusted_ratio=0.0,
        lag=None,
        pushes=0,
        resets=0,
        failures=0,
        reason="",
        versions=0,
    )


def test_threads_that_fetch_while_others_change_never_keep_an_old_version():
    """Readers and a server at full speed: after the last push nothing old is left."""
    table = FeedTable(limit=16)
    table.connected("", 0.0)
    server = dict.fromkeys([f"{{user:{n}}}" for n in range(12)], "n0")
    things = list(server)
    fresh = map("n{}".format, count(1))
    errors = []
    stop = threading.Event()

    def read(seed):
        chance = random.Random(seed)
        try:
            while not stop.is_set():
                some = chance.sample(things, 3)
                missing = [thing for thing in some if table.known(thing) is None]
                reservation = table.reserve(missing)
                table.keep(missing, [server[thing] for thing in missing], reservation)
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for reader in readers:
        reader.start()
    chance = random.Random(99)
    for _ in range(3000):
        thing = chance.choice(things)
        server[thing] = next(fresh)
        table.pushed([thing])
        assert table.known(thing) in {None, server[thing]}
    stop.set()
    for reader in readers:
        reader.join(10)
    assert not errors
    assert all(table.known(thing) in {None, server[thing]} for thing in things)


# -- Against a model of a server -----------------------------------------------------------------------


class Violation(AssertionError):
    pass


class World:
    """A server, the connection to it, and readers; one random step at a time.

    The server works in turns. What is changed in a turn is pushed at its end, while answers may
    leave within the turn, as with threaded I/O. A heartbeat of the next turn waits for that end.

    Checked after each step, for each thing that a usable table knows: its version was not replaced
    before ``known_until``, nor longer than a lease ago; counted from when the writer had its answer.
    """

    THINGS = ("{a:1}", "{a:2}", "{*}")

    def __init__(self, table, seed):
        self.table, self.lease = table, table.lease
        self.chance = random.Random(seed)
        self.trace = []
        self.now = 100.0
        self.fresh = map("n{}".format, count(1))
        self.server = {}
        self.deposed = {}  # a node that is no longer the master and hears of nothing
        self.replaced = {}  # version -> when the writer had the answer
        self.unanswered = []
        self.turn = []  # pushes of this turn of the server
        self.turn_answered = False
        self.pings = 0
        self.channel = []
        self.open = self.mute = False
        self.fetches = []
        self.trusted = 0

    def run(self, steps):
        actions = [
            *[self.wait] * 6,
            *[self.deliver] * 6,
            *[self.end_turn] * 4,
            *[self.beat, self.answer_beat] * 3,
            *[self.reserve, self.answer_fetch, self.finish_fetch] * 3,
            *[self.bump, self.answer_bump] * 2,
            *[self.canary, self.check] * 2,
            self.forget,
        ]
        for _ in range(steps):
            rare = self.chance.random()
            action = self.break_off if rare < 0.004 else self.depose if rare < 0.006 else None
            action = action or self.chance.choice(actions)
            action()
            self.trace.append(f"{self.now:.3f} {action.__name__}")
            self.verify()

    def verify(self):
        if not self.table.usable(self.now):
            return
        self.trusted += 1
        for thing in self.THINGS:
            ev = self.table.known(thing)
            at = self.replaced.get(ev)
            if at is not None and (
                at < self.lease.known_until or self.now - at > self.lease.seconds
            ):
                late = f"{thing} is {ev}, replaced at {at:.3f}, known {self.lease.known_until:.3f}"
                raise Violation("\n".join([*self.trace[-60:], late]))

    def wait(self):
        self.now += self.chance.choice([0.001, 0.005, 0.02, 0.06])

    def break_off(self):
        """The connection is lost; nobody notices before the lease does."""
        self.open, self.channel = False, []

    def depose(self):
        """Another node becomes the master; some data connections stay on the old one."""
        self.deposed = dict(self.server)
        for thing in self.THINGS:
            self.unanswered.append(self.change(thing))
        self.turn = []
        self.break_off()

    def check(self):
        why = self.table.fault(self.now)
        if why is None:
            return
        self.table.lost(why)
        self.open, self.mute = True, self.chance.random() < 0.3
        self.channel, self.turn, self.pings = [], [], 0
        self.table.connected(EPOCH, self.now)

    def change(self, thing):
        old = self.server.get(thing)
        self.server[thing] = version(next(self.fresh))
        self.turn.append(thing)
        return old

    def bump(self):
        self.unanswered.append(self.change(self.chance.choice(self.THINGS)))

    def answer_bump(self):
        for old in self.unanswered:
            self.replaced.setdefault(old, self.now)
            self.replaced.setdefault(old and old.replace(EPOCH, OTHER), self.now)
        self.replaced.pop(None, None)
        self.unanswered = []

    def end_turn(self):
        if self.open and not self.mute:
            self.channel += self.turn
        self.turn, self.turn_answered = [], False

    def beat(self):
        if self.lease.beat_due(self.now):
            self.lease.beat_sent(self.now)
            self.pings += 1

    def answer_beat(self):
        if self.pings and self.open and not self.turn_answered:
            self.pings, self.turn_answered = 0, True
            self.channel.append("pong")

    def canary(self):
        if self.lease.canary_due(self.now):
            self.lease.canary_sent(self.now)
            self.turn.append("canary")

    def deliver(self):
        if not self.channel:
            return
        message = self.channel.pop(0)
        if message == "pong":
            self.lease.beat_answered(self.now)
        elif message == "canary":
            self.lease.canary_seen(self.now)
        else:
            self.table.pushed([message])

    def reserve(self):
        things = self.chance.sample(self.THINGS, 2)
        missing = [thing for thing in things if self.table.known(thing) is None]
        self.fetches.append([missing, self.table.reserve(missing), None])

    def answer_fetch(self):
        asked = [fetch for fetch in self.fetches if fetch[2] is None]
        if not asked:
            return
        fetch = self.chance.choice(asked)
        if self.deposed and self.chance.random() < 0.2:
            answers = [self.deposed.get(thing) for thing in fetch[0]]
            fetch[2] = [ev and ev.replace(EPOCH, OTHER) for ev in answers]
        else:
            fetch[2] = [self.server.get(thing) for thing in fetch[0]]

    def finish_fetch(self):
        answered = [fetch for fetch in self.fetches if fetch[2] is not None]
        if not answered:
            return
        things, reservation, versions = fetch = self.chance.choice(answered)
        self.fetches.remove(fetch)
        if self.chance.random() < 0.9:
            self.table.keep(things, versions, reservation)

    def forget(self):
        self.table.forget([self.chance.choice(self.THINGS)])


def walk(make, seeds, steps=600):
    """How many steps a usable table was checked in, over all walks."""
    worlds = [World(make(), seed) for seed in seeds]
    for world in worlds:
        world.run(steps)
    return sum(world.trusted for world in worlds)


def make_table(table=FeedTable, lease=Lease):
    return table(limit=4, lease=lease(canary=0.5))


def test_a_usable_table_knows_nothing_that_was_replaced_before_its_known_until():
    """Random walks over losses, muted pushes, failovers, late answers and evictions (P7)."""
    trusted = walk(make_table, range(150))
    assert trusted > 10_000


class NoPlaceholder(FeedTable):
    """Keeps whatever was fetched."""

    def keep(self, things, versions, reservation):
        for thing, ev in zip(things, versions):
            if ev is not None and self._epoch is not None and self._may_keep(ev):
                self._put(thing, ev)


class KeepsOnReconnect(FeedTable):
    """Only starts its lease anew."""

    def connected(self, epoch, now):
        self.lease.begin()
        self._epoch, self._doubt = epoch, None

    def lost(self, why):
        self.lease.begin()
        self._epoch, self.reason = None, why


class AnyEpoch(FeedTable):
    """Keeps versions of any node."""

    def _may_keep(self, version):
        return True


class OneHalf(FeedTable):
    """A push does not reach the old half."""

    def forget(self, things):
        for thing in things:
            self._reserved.pop(thing, None)
            self._young.pop(thing, None)


class NoLease(FeedTable):
    """Is believed once it was proven, for ever."""

    def usable(self, now):
        return self.lease.until > 0


class FromTheAnsweredBeat(Lease):
    """Rule k in place of k-1."""

    def beat_answered(self, now):
        self._previous = self._last
        super().beat_answered(now)


class NoCanary(Lease):
    """Heartbeats are proof enough."""

    def begin(self):
        super().begin()
        self._is_proven = True


class NoFreshStart(Lease):
    """Beats of the last connection count for the next one."""

    def begin(self):
        if not hasattr(self, "until"):
            super().begin()
        self._awaits_answer = self._awaits_canary = False


@pytest.mark.parametrize("broken", [NoPlaceholder, KeepsOnReconnect, AnyEpoch, OneHalf, NoLease])
def test_the_walk_finds_a_table_with_a_rule_less(broken):
    """The walks are worth something: without any one rule they find an old version."""
    with pytest.raises(Violation):
        walk(lambda: make_table(table=broken), range(1500))


@pytest.mark.parametrize("broken", [FromTheAnsweredBeat, NoCanary, NoFreshStart])
def test_the_walk_finds_a_lease_with_a_rule_less(broken):
    """As above, for heartbeats and canaries."""
    with pytest.raises(Violation):
        walk(lambda: make_table(lease=broken), range(1500))
