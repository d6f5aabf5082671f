"""The map of slots, and where commands are led by it; without any server."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import AskError, MovedError

from cache_core.errors import BreakerOpen, RemoteError
from cache_core.layers.breaker import IN_A_ROW, Breaker
from cache_core.layers.redis import RedisOptions
from cache_core.layers.redis.node import Nodes
from cache_core.layers.redis.routes import Routes
from cache_core.layers.redis.slots import PAUSE, SLOTS, Slots, slot_of
from cache_core.layers.redis.topology import Topology
from cache_core.testing import FakeClock
from tests.servers import RedisServer, require_server

SEED = ("seed", 7000)
ONE, TWO, THREE = ("one", 1), ("two", 2), ("three", 3)
HALF = SLOTS // 2
REPLY = [
    [0, HALF - 1, [b"one", 1, b"id1", []], [b"three", 3, b"id3", []]],
    [HALF, SLOTS - 1, [b"two", 2, b"id2", []]],
]


@pytest.fixture
def breaker():
    """Pauses of a second exactly."""
    return Breaker(1.0, random=lambda: 1.0)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def topology(breaker, clock):
    known = Topology(SEED, breaker, clock.monotonic)
    known.learn(REPLY, SEED)
    return known


@pytest.fixture
def slots(topology):
    return topology.slots


@pytest.fixture
def nodes():
    return Nodes(RedisOptions())


@pytest.fixture
def routes(topology, nodes):
    return Routes(topology, nodes)


def key_of(slots, address, start=0):
    return next(f"k{n}" for n in range(start, start + 999) if slots.owner(f"k{n}") == address)


def test_the_slot_of_a_key_is_that_of_its_hash_tag():
    """The first braces count; the number is the check value that the CRC is published with."""
    assert slot_of("123456789") == 0x31C3
    assert slot_of("app:v:{user:42}") == slot_of("app:e:{user:42}?{x}#Get") == slot_of("user:42")


def test_slots_agree_with_the_server():
    """``CLUSTER KEYSLOT`` of a real node says the same, also of keys without a proper tag."""
    require_server("redis")
    with RedisServer(args=["--cluster-enabled", "yes"]) as node:
        for key in ("a", "{}a", "a{b}c{d}", "a{b", "a}b{c}", "ü{é}", "app:v:{*}"):
            assert slot_of(key) == int(node.command("CLUSTER", "KEYSLOT", key))


def test_a_node_may_leave_out_its_own_host():
    """Then it is where it was asked."""
    known = Slots(SEED)
    known.learn([[0, SLOTS - 1, [None, 7000]]], SEED)
    assert known.masters == (SEED,)


def test_a_node_without_slots_teaches_nothing():
    """It may be about to join, or have left."""
    with pytest.raises(ValueError, match="no cluster"):
        Slots(SEED).learn([], SEED)


def test_a_refusal_is_raised():
    """For example of a server that is no node of a cluster."""
    with pytest.raises(redis.ResponseError):
        Slots(SEED).learn(redis.ResponseError("This instance has cluster support disabled"), SEED)


def test_the_map_is_read_again_when_it_is_doubted_and_not_all_the_time(slots):
    """One caller reads it, then nobody for a moment."""
    assert not slots.due(0.0)
    slots.doubt(ONE)
    assert slots.due(1.0)
    assert not slots.due(1.0)
    assert not slots.due(1.0 + PAUSE / 2)
    assert slots.due(1.0 + PAUSE)


def test_who_does_not_answer_is_asked_last(slots):
    """Replicas are asked, too: they know who was promoted."""
    assert slots.sources() == [ONE, TWO, THREE, SEED]
    slots.doubt(ONE)
    assert slots.sources() == [TWO, THREE, SEED, ONE]
    assert slots.someone(lambda address: address != ONE) == TWO
    assert slots.someone(lambda address: False) == ONE


def test_there_is_a_key_on_each_master(slots):
    """For the heartbeats; another one when its slot is on the way to another node."""
    keys = slots.spread("hb")
    assert {address: slots.owner(key) for address, key in keys.items()} == {ONE: ONE, TWO: TWO}
    slots.retag(ONE)
    again = slots.spread("hb")
    assert again[ONE] != keys[ONE]
    assert slots.owner(again[ONE]) == ONE
    assert again[TWO] == keys[TWO]


def test_commands_are_grouped_by_node(routes, slots):
    """Those of a node in their order; one without a key goes to each, at its place."""
    one, two = key_of(slots, ONE), key_of(slots, TWO)
    commands = [("TIME",), ("GET", two), ("GET", one), ("WAIT", 1, 10)]
    talk = routes.talk(commands, "")
    assert next(talk) == {
        TWO: [("TIME",), ("GET", two), ("WAIT", 1, 10)],
        ONE: [("TIME",), ("GET", one), ("WAIT", 1, 10)],
    }
    with pytest.raises(StopIteration) as end:
        talk.send(
            {TWO: came([[b"9", b"9"], b"2", 1], "t"), ONE: came([[b"9", b"10"], b"1", 0], "o")}
        )
    assert end.value.value == ([(9, 9), b"2", b"1", 0], ["", "t", "o", ""])


def came(replies, epoch):
    return replies, [epoch] * len(replies)


def test_moved_is_followed_and_remembered(routes, slots):
    """The rest of the operation goes to where the key is now, and so does the next operation."""
    key = key_of(slots, ONE)
    talk = routes.talk([("GET", key), ("WAIT", 1, 10)], "")
    next(talk)
    moved = MovedError(f"{slot_of(key)} two:2")
    assert talk.send({ONE: came([moved, 1], "o")}) == {TWO: [("GET", key), ("WAIT", 1, 10)]}
    with pytest.raises(StopIteration) as end:
        talk.send({TWO: came([b"x", 0], "t")})
    assert end.value.value == ([b"x", 0], ["t", ""])
    assert slots.owner(key) == TWO
    assert slots.due(1.0)


def test_ask_is_followed_for_the_one_time(routes, slots):
    """The slot is still on its way; the node that gets it has to be told to answer."""
    key = key_of(slots, ONE)
    talk = routes.talk([("GET", key)], "")
    next(talk)
    asked = AskError(f"{slot_of(key)} two:2")
    assert talk.send({ONE: came([asked], "o")}) == {TWO: [("ASKING",), ("GET", key)]}
    with pytest.raises(StopIteration) as end:
        talk.send({TWO: came([b"OK", b"x"], "t")})
    assert end.value.value == ([b"x"], ["t"])
    assert slots.owner(key) == ONE


def test_nobody_is_sent_around_for_ever(routes, slots):
    """What is said after a few redirections is the answer."""
    key = key_of(slots, ONE)
    talk = routes.talk([("GET", key)], "")
    sendings, rounds = next(talk), 1
    with pytest.raises(StopIteration) as end:
        while True:
            (address,) = sendings
            other = "two:2" if address == ONE else "one:1"
            sendings = talk.send({address: came([MovedError(f"{slot_of(key)} {other}")], "")})
            rounds += 1
    assert rounds == 3
    assert isinstance(end.value.value[0][0], MovedError)


@pytest.mark.parametrize("error", [BreakerOpen(1.0), TimeoutError("late"), ConnectionError("x")])
def test_a_node_that_fails_is_no_outage_of_the_cluster(routes, slots, error):
    """The breaker around the layer does not count it; the others are well."""
    talk = routes.talk([("GET", key_of(slots, ONE)), ("GET", key_of(slots, TWO))], "")
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: error, TWO: came([b"x"], "t")})
    (failure, value), _ = end.value.value
    assert value == b"x"
    assert "one:1" in str(failure)
    assert not failure.is_outage


def test_what_has_moved_is_followed_whatever_becomes_of_others(routes, slots):
    """A bump gets as far as it can; the failure of another node is told in the end."""
    one, two = key_of(slots, ONE), key_of(slots, TWO)
    talk = routes.talk([("GET", one), ("GET", two)], "")
    next(talk)
    moved = MovedError(f"{slot_of(two)} three:3")
    assert talk.send({ONE: TimeoutError("late"), TWO: came([moved], "t")}) == {
        THREE: [("GET", two)]
    }
    with pytest.raises(StopIteration) as end:
        talk.send({THREE: came([b"x"], "h")})
    (failure, value), _ = end.value.value
    assert (type(failure), value) == (RemoteError, b"x")


def test_a_refusal_of_a_node_keeps_its_text_and_is_no_outage(routes, slots):
    """What a full node says is known by its text (V4)."""
    talk = routes.talk([("GET", key_of(slots, ONE))], "")
    next(talk)
    full = redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: came([full], "o")})
    (reply,), _ = end.value.value
    assert isinstance(reply, RemoteError)
    assert not reply.is_outage
    assert "used memory > 'maxmemory'" in str(reply)
    assert slots.due(1.0)


INFO = f"role:master\r\nmaster_replid:{'a' * 40}\r\n".encode()


def test_a_pulse_is_of_the_nodes_that_answer(routes, slots, nodes):
    """One that does not is left out; a refusal of one is the refusal of all."""
    epoch = nodes.read(INFO).epoch
    talk = routes.talk([], "hb")
    assert [*next(talk)] == [ONE, TWO]
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: came([b"OK", INFO], epoch), TWO: TimeoutError("late")})
    assert end.value.value[0][0].refusal is None
    talk = routes.talk([], "hb")
    next(talk)
    refused = redis.ResponseError("NOREPLICAS")
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: came([b"OK", INFO], epoch), TWO: came([refused, INFO], epoch)})
    assert end.value.value[0][0].refusal == "NOREPLICAS"


def test_no_pulse_is_of_nobody(routes):
    """When no node answers there is none."""
    talk = routes.talk([], "hb")
    next(talk)
    with pytest.raises(RemoteError, match="no node"):
        talk.send({ONE: TimeoutError(), TWO: TimeoutError()})


def test_a_heartbeat_whose_slot_moves_is_no_refusal(routes, slots, nodes):
    """The next pulse takes another key on that node."""
    epoch, before = nodes.read(INFO).epoch, slots.spread("hb")
    talk = routes.talk([], "hb")
    next(talk)
    asked = AskError("1 two:2")
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: came([asked, INFO], epoch), TWO: came([b"OK", INFO], epoch)})
    assert end.value.value[0][0].refusal is None
    assert slots.spread("hb")[ONE] != before[ONE]


@pytest.mark.parametrize("epoch", ["another", ""])
def test_what_another_life_of_a_node_says_is_not_believed(routes, slots, nodes, epoch):
    """The connection was opened to another lineage than the one that answers (E3)."""
    nodes.at(ONE).master = nodes.read(INFO)
    talk = routes.talk([("GET", key_of(slots, ONE))], "hb")
    next(talk)
    with pytest.raises(RemoteError, match="another server"):
        talk.send({ONE: came([b"OK", INFO, b"x"], epoch), TWO: TimeoutError()})
    assert nodes.at(ONE).master is None


def test_what_no_node_has_does_not_hold_up_the_rest(routes, topology, slots):
    """A cluster may lack slots: their keys are refused, which is no outage; others are sent."""
    one, none = key_of(slots, ONE), key_of(slots, TWO)
    topology.learn([[0, HALF - 1, [b"one", 1]]], SEED)
    talk = routes.talk([("GET", none), ("GET", one)], "")
    assert next(talk) == {ONE: [("GET", one)]}
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: came([b"x"], "o")})
    (refusal, value), _ = end.value.value
    assert value == b"x"
    assert not refusal.is_outage
    assert "slot" in str(refusal)
    assert slots.due(1.0)


def test_nobody_is_asked_for_what_no_node_has(routes, topology, slots):
    """Only what has no key can be asked at all."""
    none = key_of(slots, TWO)
    topology.learn([[0, HALF - 1, [b"one", 1]]], SEED)
    assert next(routes.talk([("GET", none)], "")) == {}
    assert next(routes.talk([("TIME",), ("GET", none)], "")) == {ONE: [("TIME",)]}


def fail(topology, address, times=1):
    for _ in range(times):
        topology.came(address, topology.health(address).ticket(), TimeoutError("late"))


def test_a_node_that_failed_is_left_out_of_the_pulse_of_others(routes, topology, slots):
    """Nobody waits for it who does not need it; who does asks it for its pulse, too."""
    fail(topology, TWO)
    assert [*next(routes.talk([("GET", key_of(slots, ONE))], "hb"))] == [ONE]
    sendings = next(routes.talk([("GET", key_of(slots, TWO))], "hb"))
    assert [command[0] for command in sendings[TWO]] == ["SET", "INFO", "GET"]
    topology.came(TWO, topology.health(TWO).ticket(), came([b"x"], "t"))
    assert [*next(routes.talk([], "hb"))] == [ONE, TWO]


def test_a_pulse_asks_all_nodes_when_all_have_failed(routes, topology):
    """Else nobody would ever find out."""
    fail(topology, ONE)
    fail(topology, TWO)
    assert [*next(routes.talk([], "hb"))] == [ONE, TWO]


def test_a_node_that_was_demoted_fails_only_what_it_is_asked_for(routes, slots, nodes):
    """The pulse of the others counts; the connections to it are opened anew."""
    epoch = nodes.read(INFO).epoch
    nodes.at(TWO).master = nodes.read(INFO)
    replica = INFO.replace(b"master", b"slave", 1)
    talk = routes.talk([("GET", key_of(slots, ONE))], "hb")
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send({ONE: came([b"OK", INFO, b"x"], epoch), TWO: came([b"OK", replica], epoch)})
    assert end.value.value[0][0].refusal is None
    assert end.value.value[0][1] == b"x"
    assert nodes.at(TWO).master is None


def test_each_node_has_a_breaker_of_its_own(topology, breaker, clock):
    """It pauses as the one of the store; the others and that one stay closed."""
    fail(topology, ONE, IN_A_ROW)
    with pytest.raises(BreakerOpen) as caught:
        topology.health(ONE).ticket()
    assert caught.value.retry_after == 1.0
    assert topology.health(TWO).ticket()
    states = {name: node.report(0.0).state for name, node in breaker.nodes.items()}
    assert states == {"one:1": "open", "two:2": "closed"}
    assert breaker.ticket is not None
    clock.advance(1.0)
    topology.came(ONE, topology.health(ONE).ticket(), came([b"x"], "o"))
    assert breaker.nodes["one:1"].report(0.0).state == "closed"


def test_while_a_node_is_left_alone_the_map_is_read_now_and_then(topology, slots):
    """Whoever takes its place is found long before its breaker lets somebody try."""
    fail(topology, ONE, IN_A_ROW)
    topology.learn(REPLY, SEED)
    assert not slots.due(1.0)
    topology.came(ONE, None, BreakerOpen(1.0))
    assert slots.due(1.0)


def test_what_a_node_refuses_is_not_held_against_it(topology, breaker):
    """An error that is no outage leaves breaker and pulse as they are."""
    for _ in range(IN_A_ROW):
        ticket = topology.health(ONE).ticket()
        topology.came(ONE, ticket, RemoteError("every connection is in use", is_outage=False))
    assert topology.is_well(ONE)
    assert breaker.nodes["one:1"].report(0.0).opened == 0


def test_a_node_that_has_left_is_forgotten(topology, breaker):
    """The figures are of the masters that there are."""
    fail(topology, ONE, IN_A_ROW)
    topology.learn([[0, SLOTS - 1, [b"two", 2], [b"one", 1]]], SEED)
    assert [*breaker.nodes] == ["two:2"]
    assert topology.is_well(ONE)


def test_who_failed_is_asked_last_for_the_map(topology):
    """Also when it is asked about for another reason."""
    fail(topology, ONE)
    topology.learn(REPLY, SEED)
    assert topology.sources() == [TWO, THREE, SEED, ONE]
