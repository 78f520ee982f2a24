"""``connect``: the block, what it begins with, and the errors before it."""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest
import trio

from tests.client.sites import Fixed, Site, TCPSite, open_text
from trioproto import Factory, Settings, TCPAddress, UnixAddress, connect
from trioproto.endpoints import parse_client_endpoint
from trioproto.errors import CallbackError, ConnectionDone, ConnectionLost
from trioproto.runtime.driver import BaseDriver
from trioproto.testing.conformance.recorder import Recorder, never


class BoomError(Exception):
    """What blocks and callbacks of these tests raise."""


def boom(_: Recorder) -> None:
    raise BoomError


async def test_the_block_has_an_open_connection(site: Site) -> None:
    """Bytes go both ways; leaving it ends the connection cleanly."""
    async with connect(await site.target(), Recorder()) as protocol:
        assert protocol.heard == ["connection_made"]
        protocol.transport.write(b"hello")
        peer = await site.accept()
        assert await peer.receive_exactly(5) == b"hello"
        await peer.send(b"you too")
        await trio.testing.wait_all_tasks_blocked()
        assert protocol.received == b"you too"
        await peer.send_eof()
        assert await protocol.transport.wait_closed() is protocol.reason
    assert await peer.receive_all() == (b"", "eof")
    assert type(protocol.reason) is ConnectionDone
    protocol.check()


async def test_leaving_the_block_closes(site: Site) -> None:
    """The peer sees an EOF after the last byte; ``connection_lost`` has returned by then."""
    async with connect(await site.target(), Recorder()) as protocol:
        peer = await site.accept()
        await peer.send_eof()
        protocol.transport.write(b"good bye")
    protocol.check()
    assert type(protocol.reason) is ConnectionDone
    assert await peer.receive_all() == (b"good bye", "eof")


async def test_the_drivers_are_those_of_a_server(site: Site) -> None:
    """Plain sockets are served by a poller, everything else as a stream."""
    async with connect(await site.target(), Recorder()) as protocol:
        (driver,) = (
            each
            for each in gc.get_objects()
            if isinstance(each, BaseDriver) and each.connection is protocol.transport
        )
        expected = "PollDriver" if site.is_socket else "StreamDriver"
        assert type(driver).__name__ == expected
        if site.is_socket:
            assert not driver._socket.getblocking()  # type: ignore[attr-defined]
        (await site.accept()).discard()


async def test_the_addresses_are_the_sockets(tcp_site: TCPSite) -> None:
    async with connect(tcp_site.text, Recorder()) as protocol:
        peer = await tcp_site.accept()
        assert protocol.transport.peer == TCPAddress("127.0.0.1", tcp_site.port)
        assert protocol.transport.local == TCPAddress(*peer.raw.getpeername())
        await peer.aclose()


async def test_an_endpoint_object_can_be_used_again_and_again(site: Site) -> None:
    endpoint = parse_client_endpoint(site.text)
    for _ in range(3):
        async with connect(endpoint, Recorder()) as protocol:
            (await site.accept()).discard()
        assert type(protocol.transport.peer) in (TCPAddress, UnixAddress)
        protocol.check()


async def test_a_ready_made_socket_stream_is_taken_over(tcp_site: TCPSite) -> None:
    """It is the driver's from then on, and closed at the end."""
    stream = await open_text(tcp_site.text)
    assert isinstance(stream, trio.SocketStream)
    async with connect(stream, Recorder()) as protocol:
        assert stream.socket.fileno() == -1
        protocol.transport.write(b"hello")
        peer = await tcp_site.accept()
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


@pytest.mark.parametrize("setting", [True, False])
async def test_sockets_are_set_as_accepted_ones_are(tcp_site: TCPSite, setting: bool) -> None:
    settings = Settings(tcp_nodelay=setting, keepalive=setting)
    async with connect(tcp_site.text, Recorder(), settings=settings) as protocol:
        transport = protocol.transport
        assert transport.settings is settings
        assert bool(transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is setting
        assert bool(transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is setting
        (await tcp_site.accept()).discard()


async def test_the_factory_is_a_private_one(tcp_site: TCPSite) -> None:
    """Of defaults, with this connection only; it is there before ``connection_made``."""
    seen: list[Any] = []

    def look(recorder: Recorder) -> None:
        seen.append(recorder.factory)

    async with connect(tcp_site.text, Recorder(connection_made=look)) as protocol:
        assert seen == [protocol.factory]
        assert protocol.factory.settings == Settings()
        assert list(protocol.factory.connections) == [protocol]
        (await tcp_site.accept()).discard()
    assert list(protocol.factory.connections) == []


async def test_the_block_begins_while_an_async_connection_made_runs(tcp_site: TCPSite) -> None:
    """Begun is enough: it may go on for as long as the connection."""
    go_on = trio.Event()
    done: list[str] = []

    async def wait(_: Recorder) -> None:
        await go_on.wait()
        done.append("made")

    async with connect(tcp_site.text, Recorder(connection_made=wait)) as protocol:
        peer = await tcp_site.accept()
        await peer.send(b"early")
        await trio.testing.wait_all_tasks_blocked()
        assert protocol.heard == ["connection_made"]
        go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (done, protocol.received) == (["made"], b"early")
        await peer.aclose()


async def test_two_connections_at_once_are_two_blocks(site: Site) -> None:
    async with (
        connect(await site.target(), Recorder()) as first,
        connect(await site.target(), Recorder()) as second,
    ):
        peers = [await site.accept() for _ in range(2)]
        first.transport.write(b"1")
        second.transport.write(b"2")
        assert sorted([await each.receive_exactly(1) for each in peers]) == [b"1", b"2"]
        for peer in peers:
            await peer.aclose()


async def test_a_block_is_left_as_well_after_another_protocol_took_over(tcp_site: TCPSite) -> None:
    """The connection is what is closed; who was there before hears nothing of it."""
    second = Recorder()
    async with connect(tcp_site.text, Recorder()) as first:
        peer = await tcp_site.accept()
        first.transport.switch_protocol(second)
        await trio.testing.wait_all_tasks_blocked()
        assert second.heard == ["connection_made"]
        await peer.aclose()
    assert first.heard == ["connection_made"]
    second.check()
    assert second.lost


# What comes before the block


async def test_what_is_refused_is_trios_error_and_no_group(refusing: str) -> None:
    """The protocol has heard nothing, and can be used for the next try."""
    protocol = Recorder()
    for _ in range(2):
        with pytest.raises(OSError, match="all attempts") as caught:
            async with connect(refusing, protocol):
                never()
        assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert protocol.heard == []


async def test_what_an_endpoint_raises_comes_out_as_it_is() -> None:
    """An endpoint of the user's too."""
    for error in (ConnectionResetError("no"), BoomError()):
        with pytest.raises(type(error)) as caught:
            async with connect(Fixed(error), Recorder()):
                never()
        assert caught.value is error


async def test_a_protocol_is_in_one_use_at_a_time(tcp_site: TCPSite) -> None:
    """One after the other is fine."""
    protocol = Recorder()
    async with connect(tcp_site.text, protocol):
        with pytest.raises(RuntimeError, match="in use"):
            async with connect(tcp_site.text, protocol):
                never()
        (await tcp_site.accept()).discard()
    async with connect(tcp_site.text, protocol):
        (await tcp_site.accept()).discard()
    assert protocol.heard.count("connection_lost") == 2


@pytest.mark.parametrize("given", [Recorder, None, Factory(Recorder)])
async def test_what_is_no_protocol_is_a_type_error(refusing: str, given: Any) -> None:
    with pytest.raises(TypeError):
        async with connect(refusing, given):
            never()


# Errors in callbacks


async def test_a_callback_that_raises_ends_the_connection_and_not_the_block(
    site: Site, logged_errors: list[Any]
) -> None:
    protocol = Recorder(data_received=boom)
    async with connect(await site.target(), protocol) as same:
        assert same is protocol
        peer = await site.accept()
        await peer.send(b"x")
        reason = await protocol.transport.wait_closed()
        await trio.testing.wait_all_tasks_blocked()
    assert type(reason) is CallbackError
    assert type(reason.__cause__) is BoomError
    assert len(logged_errors) == 1
    assert await peer.receive_all() == (b"", "reset" if site.resets else "eof")


async def test_connection_made_raises_and_the_block_begins_all_the_same(
    tcp_site: TCPSite, logged_errors: list[Any]
) -> None:
    """There was a connection; it has ended already, or is about to."""
    async with connect(tcp_site.text, Recorder(connection_made=boom)) as protocol:
        assert type(await protocol.transport.wait_closed()) is CallbackError
    protocol.check()
    assert len(logged_errors) == 1


@pytest.mark.parametrize("callback", ["connection_made", "data_received"])
async def test_a_callbacks_error_comes_out_if_the_settings_say_so(
    site: Site, callback: str
) -> None:
    """As itself; the block is cancelled."""
    protocol = Recorder(**{callback: boom})
    target = await site.target()

    async def use() -> None:
        async with connect(target, protocol, settings=Settings(callback_errors="raise")):
            peer = await site.accept()
            await peer.send(b"x")
            await trio.sleep_forever()

    with pytest.raises(BoomError):
        await use()
    protocol.check()


async def test_a_task_of_the_connection_raises_and_the_error_comes_out(tcp_site: TCPSite) -> None:
    async def fail() -> None:
        raise BoomError

    def start(recorder: Recorder) -> None:
        recorder.transport.start_soon(fail)

    settings = Settings(callback_errors="raise")
    with pytest.raises(BoomError):
        async with connect(tcp_site.text, Recorder(connection_made=start), settings=settings):
            await trio.sleep_forever()


@pytest.mark.parametrize("how", ["reset", "aclose"])
async def test_a_connection_may_have_ended_before_the_block_looks(
    tcp_site: TCPSite, how: str
) -> None:
    """The server ended it before we had even begun."""
    stream = await open_text(tcp_site.text)
    peer = await tcp_site.accept()
    await getattr(peer, how)()
    await trio.testing.wait_all_tasks_blocked()
    async with connect(stream, Recorder()) as protocol:
        with trio.fail_after(5):
            reason = await protocol.transport.wait_closed()
    assert type(reason) is (ConnectionLost if how == "reset" else ConnectionDone)
    protocol.check()
