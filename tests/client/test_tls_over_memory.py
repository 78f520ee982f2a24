"""TLS over streams in memory, both sides ours."""

from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing

from tests.behaviour.tls_peers import NAME, client_context, server_context
from trioproto import connect, run_protocol
from trioproto.endpoints import StreamClientEndpoint, TLSClientEndpoint
from trioproto.errors import ConnectionDone
from trioproto.testing.conformance.recorder import Recorder


def over(stream: trio.abc.Stream, name: str = NAME) -> TLSClientEndpoint:
    return TLSClientEndpoint(StreamClientEndpoint(stream), name, client_context())


async def test_both_sides_of_a_memory_stream_speak_tls() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server = Recorder(data_received=lambda self: self.transport.write(self.received.upper()))
    answered = trio.Event()
    client = Recorder(data_received=lambda self: answered.set())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_protocol(server, theirs, tls=server_context()))
        async with connect(over(ours), client):
            assert client.transport.tls is not None
            client.transport.write(b"hello")
            await answered.wait()
    assert client.received == b"HELLO"
    assert type(server.reason) is ConnectionDone
    assert server.transport.tls is not None
    assert server.transport.tls.version == client.transport.tls.version


async def test_a_server_of_another_name_is_refused() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_protocol(server, theirs, tls=server_context()))
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            async with connect(over(ours, "other.example"), Recorder()):
                raise AssertionError
