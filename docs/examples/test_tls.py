"""TLS, in memory: certificates, handshake and all, and no port."""

import ssl

import pytest
import trio
from trio.testing import MockClock

from trioproto import Factory, Protocol
from trioproto.testing import Faults, connected, peer, serving


class WhoAreYou(Protocol):
    """Says which version of TLS the peer speaks."""

    def connection_made(self) -> None:
        assert self.transport.tls is not None
        self.transport.write(self.transport.tls.version.encode())


async def test_the_protocol_begins_after_the_handshake() -> None:
    async with connected(Factory(WhoAreYou), tls=True) as stream, peer(stream) as p:
        await p.expect(b"TLSv1.3")


async def test_a_handshake_may_arrive_byte_by_byte() -> None:
    dribble = Faults(reads=(1,))
    async with (
        connected(Factory(WhoAreYou), tls=True, to_server=dribble, to_client=dribble) as stream,
        peer(stream) as p,
    ):
        await p.expect(b"TLSv1.3")


async def test_a_client_that_does_not_trust_us_is_no_error_of_ours() -> None:
    async with serving(Factory(WhoAreYou), tls=True) as server:
        below = await server.listener.connect()
        stranger = trio.SSLStream(below, ssl.create_default_context(), server_hostname="localhost")
        with pytest.raises(trio.BrokenResourceError):
            await stranger.do_handshake()
        await below.aclose()


async def test_who_does_not_begin_a_handshake_is_let_go(autojump_clock: MockClock) -> None:
    async with serving(Factory(WhoAreYou, handshake_timeout=10), tls=True) as server:
        silent = await server.listener.connect()
        with pytest.raises(trio.BrokenResourceError):
            await silent.receive_some()
        assert trio.current_time() == pytest.approx(10, abs=0.1)
