"""A recorded connection stays recorded in plain when it goes on in TLS."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.behaviour.drivers import PLAIN, Serving, serving
from tests.tls.client_side import VERSIONS, Client, talking, usual_client
from tests.tls.over_wire import Speaker
from tests.tls.upgrading import COMMAND, GO, Does, Upgrading, in_a_plain_callback, told, upgraded
from trioproto import Factory
from trioproto.errors import ConnectionDone, ConnectionLost, EarlyPlaintext
from trioproto.layers import Direction, Recording, TrafficLog
from trioproto.testing import Harness

RECEIVED, SENT = Direction.RECEIVED, Direction.SENT
LOG = TrafficLog()
WORDS = [
    (RECEIVED, COMMAND + b"\r\n"),
    (SENT, GO),
    (RECEIVED, b"MAIL\r\n"),
    (SENT, b"OK MAIL\r\n"),
]

BOTH = pytest.mark.parametrize("version", VERSIONS)


def pieces(protocol: Any) -> list[tuple[Direction, bytes]]:
    recording: Recording = protocol.transport.traffic()
    return [(each.direction, each.data) for each in recording.pieces]


@BOTH
def test_an_upgrade_goes_below_the_recorder(version: str) -> None:
    protocol = Upgrading()
    talk = upgraded(protocol, Client(usual_client(version)), traffic_log=LOG)
    talk.say(b"MAIL\r\n")
    assert pieces(protocol) == WORDS
    assert bytes(talk.client.received) == b"OK MAIL\r\n"
    assert talk.transport.tls is not None
    assert talk.transport.tls.version == version


@BOTH
def test_what_waits_for_the_handshake_is_recorded_once(version: str) -> None:
    def act(self: Does) -> None:
        in_a_plain_callback(self)
        self.transport.write(b"secret")

    protocol = Does(act)
    talk = upgraded(protocol, Client(usual_client(version)), traffic_log=LOG)
    assert pieces(protocol) == [*WORDS[:2], (SENT, b"secret")]
    assert bytes(talk.client.received) == b"secret"


def test_a_second_upgrade_goes_below_the_recorder_too() -> None:
    outer = Client()
    protocol = Upgrading()
    talk = upgraded(protocol, outer, traffic_log=LOG)
    talk.say(COMMAND + b"\r\n")
    assert bytes(outer.received) == GO
    outer.received.clear()
    inner = Client()
    talk.to_server(outer.encrypt(inner.output()))
    while not inner.shaken:
        talk.to_client()
        inner.receive(bytes(outer.received))
        outer.received.clear()
        talk.to_server(outer.encrypt(inner.output()))
    talk.to_server(outer.encrypt(inner.encrypt(b"MAIL\r\n")))
    assert pieces(protocol) == WORDS[:2] + WORDS


@BOTH
def test_the_peers_end_within_tls_is_seen_through_the_recorder(version: str) -> None:
    for talk in (
        talking(first := Upgrading(), version, traffic_log=LOG),
        upgraded(second := Upgrading(), Client(usual_client(version)), traffic_log=LOG),
    ):
        talk.to_server(talk.client.farewell())
        talk.exchange()
        talk.harness.feed_eof()
    for protocol in (first, second):
        assert type(protocol.reason) is ConnectionDone
        assert "eof_received" in protocol.heard


@BOTH
def test_a_cut_stream_is_a_loss_all_the_same(version: str) -> None:
    protocol = Upgrading()
    talk = talking(protocol, version, traffic_log=LOG)
    talk.harness.feed_eof()
    assert type(protocol.reason) is ConnectionLost


def test_plaintext_that_came_early_is_on_the_record() -> None:
    written: list[Recording] = []
    protocol = Upgrading()
    factory = Factory(lambda: protocol, traffic_log=TrafficLog(write=written.append))
    harness = Harness(factory, callback_errors="log")
    harness.connect()
    harness.feed(COMMAND + b"\r\nRCPT\r\n")
    assert type(protocol.reason) is EarlyPlaintext
    (recording,) = written
    assert recording.pieces[0].data == COMMAND + b"\r\nRCPT\r\n"


@pytest.fixture(params=PLAIN)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


@BOTH
async def test_over_the_wire(serve: Serving, version: str) -> None:
    protocol = Does(in_a_plain_callback)
    async with serve(Factory(lambda: protocol, traffic_log=LOG)) as service:
        speaker: Speaker = await told(service, Client(usual_client(version)))
        await speaker.shake()
        await speaker.say(b"MAIL\r\n")
        assert await speaker.receive_exactly(9) == b"OK MAIL\r\n"
        assert pieces(protocol) == WORDS
        await speaker.say_farewell()
        await speaker.peer.send_eof()
        await service.settle()
        assert type(protocol.reason) is ConnectionDone
