"""Two protocols, wired to each other: nothing here has a loop, a clock or a socket."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from trioproto import Factory, Protocol, TCPAddress
from trioproto.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    WriteTimeout,
)
from trioproto.framing import LineReceiver
from trioproto.layers.tls import TLSLayer
from trioproto.testing import Faults, Link, TranscriptError


class Server(LineReceiver):
    """Answers each line with itself, twice."""

    def line_received(self, line: bytes) -> None:
        if line == b"bye":
            self.transport.close()
        self.send_line(line)
        self.send_line(line)


class Client(LineReceiver):
    """Says some lines, each when the answers to the one before have come."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = list(lines)
        self.answers: list[bytes] = []

    def connection_made(self) -> None:
        self.say()

    def say(self) -> None:
        if self.lines:
            self.send_line(self.lines.pop(0))
        else:
            self.transport.close()

    def line_received(self, line: bytes) -> None:
        self.answers.append(line)
        if len(self.answers) % 2 == 0:
            self.say()


class Silent(Protocol):
    """Notes what it hears, and says what it is told to."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0
        self.reasons: list[ConnectionClosed] = []

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        self.ends += 1
        return True

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


def silent(**options: Any) -> tuple[Link[Silent, Silent], Silent, Silent]:
    link = Link(Silent(), Silent(), **options)
    return link, *link.connect()


def test_two_protocols_talk_until_both_have_ended() -> None:
    link = Link(Client(b"one", b"two"), Server())
    client, _ = link.connect()
    assert client.answers == [b"one", b"one", b"two", b"two"]
    assert link.lost
    assert link.time() == 0
    link.client.expect_lost(ConnectionDone)
    link.server.expect_lost(ConnectionDone)


@given(seed=st.integers(0, 1 << 32), capacity=st.none() | st.integers(1, 20))
def test_whatever_the_network_does_the_talk_is_the_same(seed: int, capacity: int | None) -> None:
    link = Link(Client(b"one", b"two", b"three"), Server(), seed=seed, capacity=capacity)
    client, _ = link.connect()
    link.run_until(lambda: link.lost, seconds=10_000)
    assert client.answers == [b"one", b"one", b"two", b"two", b"three", b"three"]
    link.client.expect_lost(ConnectionDone)
    link.server.expect_lost(ConnectionDone)


def test_the_same_seed_leads_to_the_same() -> None:
    def told(seed: int) -> str:
        link = Link(Client(b"one", b"two"), Server(), seed=seed)
        link.connect()
        link.run_until(lambda: link.lost, seconds=10_000)
        return f"{link.client.transcript}\n{link.server.transcript}"

    assert told(7) == told(7)
    assert len({told(seed) for seed in range(20)}) > 10


def test_bytes_are_delayed_and_time_passes_for_both_at_once() -> None:
    link, client, server = silent(to_server=Faults(delays=(3.0,)))
    client.transport.write(b"late")
    link.settle()
    assert server.heard == b""
    link.advance(2.9)
    assert server.heard == b""
    link.advance(0.2)
    assert server.heard == b"late"
    assert link.client.time() == link.server.time() == link.time() == pytest.approx(3.1)
    assert "   3.000 < b'late'" in str(link.server.transcript)


def test_bytes_are_cut() -> None:
    link, client, _ = silent(to_server=Faults(reads=(1, 2)))
    client.transport.write(b"abcdef")
    link.settle()
    chunks = [entry.data for entry in link.server.transcript.entries if entry.size]
    assert chunks == [b"a", b"bc", b"d", b"ef"]


def test_after_a_drop_the_clocks_of_both_sides_see_to_the_end() -> None:
    link, client, server = silent(to_server=Faults(drop_after=3), capacity=10)
    client.transport.write(bytes(20))
    link.settle()
    assert server.heard == bytes(3)
    assert client.transport.buffered == 7, "its end takes what it has room for, and no more"
    link.advance(1000)
    link.client.expect_lost(WriteTimeout)
    assert isinstance(server.reasons[0], IdleTimeout)


def test_after_a_reset_both_are_told_and_what_came_before_was_delivered() -> None:
    link, client, server = silent(to_server=Faults(reset_after=3))
    client.transport.write(b"abcdef")
    link.settle()
    assert server.heard == b"abc"
    for reason in (*client.reasons, *server.reasons):
        assert type(reason) is ConnectionLost
        assert isinstance(reason.__cause__, ConnectionResetError)
    assert link.lost


def test_an_abort_resets_the_other_side() -> None:
    link, client, server = silent()
    server.transport.abort()
    link.settle()
    link.server.expect_lost(ConnectionAborted)
    link.client.expect_lost(ConnectionLost)
    assert (len(client.reasons), len(server.reasons)) == (1, 1)


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_waits_when_the_other_side_aborts_is_lost_and_not_sent(
    closing: bool, seed: int | None
) -> None:
    link, client, server = silent(capacity=10, seed=seed)
    client.transport.pause_reading()
    server.transport.write(bytes(1000))
    if closing:
        server.transport.close()
    link.settle()
    sent = link.server.factory.statistics().bytes_sent
    client.transport.abort()
    link.run_until(lambda: link.lost)
    link.server.expect_lost(ConnectionLost)
    assert link.server.factory.statistics().bytes_sent == sent


def test_who_answers_after_a_reset_has_arrived_reads_nothing_more() -> None:
    class Answers(Silent):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(data)

    link = Link(Silent(), Answers(), to_server=Faults(reads=(1,), reset_after=3))
    client, server = link.connect()
    client.transport.write(b"abc")
    link.settle()
    assert server.heard == b"a"
    link.server.expect_lost(ConnectionLost)


def test_a_paused_side_hears_of_a_reset_at_once_and_of_an_eof_later() -> None:
    link, client, server = silent()
    server.transport.pause_reading()
    client.transport.write(b"waits")
    client.transport.write_eof()
    link.settle()
    assert (server.heard, server.ends) == (b"", 0)
    server.transport.resume_reading()
    link.settle()
    assert (server.heard, server.ends) == (b"waits", 1)
    server.transport.pause_reading()
    client.transport.abort()
    link.settle()
    assert link.lost


def test_each_side_may_end_alone() -> None:
    link, client, server = silent()
    client.transport.write_eof()
    link.settle()
    assert (client.ends, server.ends) == (0, 1)
    server.transport.write(b"still here")
    link.settle()
    assert client.heard == b"still here"
    server.transport.write_eof()
    link.settle()
    assert link.lost
    link.client.expect_lost(ConnectionDone)


def test_who_does_not_read_holds_up_who_writes() -> None:
    link, client, server = silent(capacity=1000)
    server.transport.pause_reading()
    client.transport.write(bytes(100_000))
    link.settle()
    assert client.transport.buffered == 99_000
    server.transport.resume_reading()
    link.settle()
    assert client.transport.buffered == 0
    assert len(server.heard) == 100_000


def test_who_never_reads_is_given_up_when_the_other_closes() -> None:
    link, client, server = silent(capacity=10, idle_timeout=None)
    server.transport.pause_reading()
    client.transport.write(bytes(20))
    client.transport.close()
    link.advance(1000)
    assert isinstance(client.reasons[0], CloseTimeout)
    assert isinstance(server.reasons[0], ConnectionLost)


def test_a_test_waits_for_a_condition_and_fails_when_it_never_holds() -> None:
    link, client, _ = silent(to_server=Faults(delays=(3.0,)))
    client.transport.write(b"late")
    link.run_until(lambda: link.server.protocol.heard)
    assert link.time() == 3
    with pytest.raises(TranscriptError, match=r"has not happened in 5 s") as caught:
        link.run_until(lambda: False, seconds=5)
    assert link.time() <= 8
    assert "client:" in str(caught.value)
    assert "server:" in str(caught.value)


def test_an_error_names_the_seed() -> None:
    link = Link(Silent(), Silent(), seed=99)
    link.connect()
    with pytest.raises(TranscriptError, match=r"\(seed 99\)"):
        link.run_until(lambda: False)


def test_who_always_answers_each_other_are_stopped() -> None:
    class Ping(Protocol):
        def connection_made(self) -> None:
            self.transport.write(b"!")

        def data_received(self, data: bytes) -> None:
            self.transport.write(b"!")

    with pytest.raises(TranscriptError, match="never stop answering"):
        Link(Ping(), Ping()).connect()


def test_the_server_sees_the_address_that_it_is_given_and_the_client_is_no_server() -> None:
    peer = TCPAddress("192.0.2.1", 4711)
    link = Link(Silent(), Silent(), peer=peer)
    _, server = link.connect()
    assert server.transport.peer == peer
    assert (link.client.server_side, link.server.server_side) == (False, True)


def test_who_is_refused_cannot_connect() -> None:
    class Closed(Factory[Silent]):
        def build_protocol(self, peer: object) -> None:
            return None

    with pytest.raises(ConnectionRefusedError):
        Link(Silent(), Closed()).connect()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_tls_stands_between(seed: int | None) -> None:
    ours, theirs = contexts()
    link = Link(
        Client(b"one", b"two"),
        Server(),
        seed=seed,
        client_layers=[TLSLayer(theirs, server_side=False, server_hostname="localhost")],
        server_layers=[TLSLayer(ours, server_side=True)],
    )
    client, _ = link.connect()
    link.run_until(lambda: link.lost, seconds=10_000)
    assert client.answers == [b"one", b"one", b"two", b"two"]
    link.client.expect_lost(ConnectionDone)


def test_starttls_between_two_protocols_in_mid_conversation() -> None:
    ours, theirs = contexts()

    class Upgrading(LineReceiver):
        def line_received(self, line: bytes) -> None:
            if line == b"STARTTLS":
                self.send_line(b"go on")
                self.transport.start_tls(ours)
            else:
                self.send_line(b"secret: " + line)

    class Upgraded(LineReceiver):
        heard = b""

        def connection_made(self) -> None:
            self.send_line(b"STARTTLS")

        def line_received(self, line: bytes) -> None:
            if line == b"go on":
                self.transport.start_tls(theirs, server_hostname="localhost")
                self.send_line(b"password")
            else:
                self.heard = line

    link = Link(Upgraded(), Upgrading(), seed=5)
    client, _ = link.connect()
    link.run_until(lambda: client.heard)
    assert client.heard == b"secret: password"
    assert client.transport.tls is not None
