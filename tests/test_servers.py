"""The harness itself: what it promises to tests about servers."""

from __future__ import annotations

import socket

import pytest

from tests import servers
from tests.servers import Forwarder, ServerError, require_server


def test_two_servers_are_independent(private_redis):
    """Each server has a port of its own and sees nothing of the other's keys."""
    one, other = private_redis(), private_redis()
    one.command("SET", "name", "one")
    assert one.port != other.port
    assert one.command("GET", "name") == "one"
    assert other.command("EXISTS", "name") == "0"


def test_a_replica_has_its_masters_data_until_it_is_promoted(private_redis):
    """follow() waits for the data; after promote() the server takes writes of its own."""
    master, replica = private_redis(), private_redis()
    master.command("SET", "name", "value")
    replica.follow(master)
    assert replica.command("GET", "name") == "value"
    with pytest.raises(ServerError, match="READONLY"):
        replica.command("SET", "name", "other")
    replica.promote()
    replica.command("SET", "name", "other")
    assert master.command("GET", "name") == "value"


def test_flush_empties_the_server(private_redis):
    """flush() deletes every key."""
    server = private_redis()
    server.command("SET", "name", "value")
    server.flush()
    assert server.command("DBSIZE") == "0"


def test_a_password_is_needed_where_one_is_set(private_redis):
    """A server with a password refuses those without it, and its URL carries it escaped."""
    server = private_redis(password="p@ss:word/1")
    assert server.command("PING") == "PONG"
    assert server.url == f"redis://:p%40ss%3Aword%2F1@127.0.0.1:{server.port}/0"
    server.password = None
    with pytest.raises(ServerError, match="NOAUTH"):
        server.command("PING")


def test_arguments_reach_the_server(private_redis):
    """args= are given to the process: a server of one database has no second one."""
    server = private_redis(args=["--databases", "1"])
    with pytest.raises(ServerError, match="out of range"):
        server.command("SELECT", "1")


def test_a_killed_server_refuses_and_comes_back_empty_on_its_port(private_redis):
    """After kill() connections are refused; restart() brings an empty server to the same port."""
    server = private_redis()
    port = server.port
    server.command("SET", "name", "value")
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        server.command("PING")
    server.restart()
    assert server.port == port
    assert server.command("EXISTS", "name") == "0"


def test_a_paused_server_accepts_and_does_not_answer(private_redis):
    """Between pause() and resume() the server hangs; afterwards it answers what was asked."""
    server = private_redis()
    server.pause()
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(16)
        server.resume()
        connection.settimeout(5)
        assert connection.recv(16) == b"+PONG\r\n"


def test_a_paused_server_can_be_closed(private_redis):
    """close() ends a server that hangs, too."""
    server = private_redis()
    server.pause()
    server.close()
    assert not server.running


def test_a_server_that_cannot_start_says_why(private_redis):
    """A wrong argument ends in an error with the server's own words, not in a timeout."""
    with pytest.raises(ServerError, match="ended at once"):
        private_redis(args=["--no-such-setting", "1"])


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_an_absent_server_skips_here_and_fails_in_ci(monkeypatch, ci, outcome):
    """Without the program a test is skipped on a laptop and failed where CI=true."""
    monkeypatch.setattr(servers, "find_server", lambda name: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"tests/tools/servers\.sh redis"):
        require_server("redis")


def test_a_forwarder_leads_elsewhere_and_keeps_what_is_there(private_redis):
    """After lead_to() new connections reach the other server; those that are open stay."""
    one, other = private_redis(), private_redis()
    with Forwarder(one) as address:
        before = socket.create_connection((address.host, address.port), timeout=5)
        assert asked(before, b"SET name one\r\n") == b"+OK\r\n"
        address.lead_to(other)
        with socket.create_connection((address.host, address.port), timeout=5) as after:
            assert asked(after, b"EXISTS name\r\n") == b":0\r\n"
            assert asked(before, b"EXISTS name\r\n") == b":1\r\n"
        before.close()


def test_a_forwarder_holds_back_and_lets_go(private_redis):
    """Between freeze() and thaw() a connection looks alive and carries nothing; nothing is lost."""
    with Forwarder(private_redis()) as address:  # noqa: SIM117 - the second needs the first
        with socket.create_connection((address.host, address.port), timeout=5) as connection:
            address.freeze()
            connection.sendall(b"PING\r\n")
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(16)
            address.thaw()
            connection.settimeout(5)
            assert connection.recv(16) == b"+PONG\r\n"


def test_a_forwarder_resets_connections(private_redis):
    """After cut() both ends get an error, and new connections go on."""
    server = private_redis()
    with Forwarder(server) as address:
        with socket.create_connection((address.host, address.port), timeout=5) as connection:
            assert asked(connection, b"PING\r\n") == b"+PONG\r\n"
            address.cut()
            with pytest.raises(ConnectionResetError):
                connection.recv(16)
        with socket.create_connection((address.host, address.port), timeout=5) as again:
            assert asked(again, b"PING\r\n") == b"+PONG\r\n"


def test_a_forwarder_survives_cuts_while_somebody_connects(private_redis):
    """Whoever is being connected just then is cut; those who come later are not."""
    with Forwarder(private_redis()) as address:
        for _ in range(100):
            with socket.create_connection((address.host, address.port), timeout=5):
                address.cut()
        with socket.create_connection((address.host, address.port), timeout=5) as connection:
            assert asked(connection, b"PING\r\n") == b"+PONG\r\n"


def asked(connection, command):
    connection.sendall(command)
    return connection.recv(64)
