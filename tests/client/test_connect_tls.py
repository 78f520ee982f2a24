"""``connect`` through TLS: what is verified, and how a handshake may fail."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from trio.testing import MockClock

from tests.client.sites import TCPSite
from trioproto import Factory, Server, TCPAddress, connect, open_server
from trioproto.endpoints import TCPClientEndpoint, TLSClientEndpoint, parse_client_endpoint
from trioproto.errors import ConnectionDone, ConnectionLost, EndpointError
from trioproto.testing.conformance.recorder import Recorder, never


class Echo(Recorder):
    def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        self.transport.write(data)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(ca: trustme.CA, tmp_path: Path) -> Path:
    """Has an authority, a server's and a client's certificate, and a stranger's authority."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "stranger.pem")
    server = ca.issue_cert("localhost", "127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    client = ca.issue_cert("somebody@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    return tmp_path


@asynccontextmanager
async def serving(folder: Path, options: str = "", port: str = "0") -> AsyncIterator[Server[Echo]]:
    interface = ":interface=127.0.0.1" if port == "0" else ""
    text = f"tls:{port}{interface}:privateKey={folder}/server.pem{options}"
    async with open_server(Factory(Echo), text) as server:
        yield server


def port_of(server: Server[Any]) -> int:
    (address,) = server.addresses
    assert isinstance(address, TCPAddress)
    return address.port


async def converse(protocol: Recorder, data: bytes = b"hello") -> None:
    """Send to an echo, and wait for what comes back."""
    protocol.transport.write(data)
    with trio.fail_after(20):
        while len(protocol.received) < len(data):
            await trio.lowlevel.checkpoint()
    assert protocol.received == data


# What is verified


@pytest.mark.parametrize("kind", ["tls", "ssl"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_server_with_the_right_name_is_trusted(folder: Path, kind: str, host: str) -> None:
    """Be it a name or an address; the block begins after the handshake."""
    async with serving(folder) as server:
        roots = "caCertsDir" if kind == "ssl" else "trustRoots"
        text = f"{kind}:{host}:{port_of(server)}:{roots}={folder}/ca.pem"
        async with connect(text, Recorder()) as protocol:
            assert protocol.heard == ["connection_made"]
            tls = protocol.transport.tls
            assert tls is not None
            assert tls.version == "TLSv1.3"
            await converse(protocol, bytes(300_000))
        assert type(protocol.reason) is ConnectionDone
        protocol.check()


async def test_the_name_to_verify_can_be_another_than_the_host(folder: Path) -> None:
    async with serving(folder) as server:
        rest = f"{port_of(server)}:trustRoots={folder}/ca.pem"
        text = f"tls:127.0.0.1:{rest}:hostname=localhost"
        async with connect(text, Recorder()) as protocol:
            await converse(protocol)
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            async with connect(f"tls:127.0.0.1:{rest}:hostname=other.example.org", Recorder()):
                never()


async def test_a_stranger_is_not_trusted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """OpenSSL's error comes out as itself; the protocol hears nothing."""
    async with serving(folder) as server:
        port = port_of(server)
        for roots in (f":trustRoots={folder}/stranger.pem", ""):  # the system's neither
            protocol = Recorder()
            with pytest.raises(ssl.SSLCertVerificationError, match="issuer"):
                async with connect(f"tls:localhost:{port}{roots}", protocol):
                    never()
            assert protocol.heard == []
        assert len(server.connections) == 0
    assert not [each for each in caplog.records if each.exc_info]
    # The server logs its own part; ours is the exception.
    assert not [each for each in caplog.records if f"{port}:" in each.getMessage()]


async def test_a_client_shows_its_certificate(folder: Path) -> None:
    async with serving(folder, f":clientCA={folder}/ca.pem") as server:
        text = f"tls:localhost:{port_of(server)}:trustRoots={folder}/ca.pem"
        async with connect(f"{text}:certificate={folder}/client.pem", Recorder()) as protocol:
            await converse(protocol)
        # Over TLS 1.3 a client is refused after its own handshake is done.
        async with connect(text, Recorder()) as protocol:
            with trio.fail_after(20):
                assert type(await protocol.transport.wait_closed()) is ConnectionLost


async def test_the_application_protocol_is_agreed_on(folder: Path) -> None:
    async with serving(folder, ":alpn=h2,http/1.1") as server:
        text = f"tls:localhost:{port_of(server)}:trustRoots={folder}/ca.pem:alpn=http/1.1"
        async with connect(text, Recorder()) as protocol:
            assert protocol.transport.tls is not None
            assert protocol.transport.tls.alpn == "http/1.1"


async def test_tls_over_a_unix_socket(folder: Path) -> None:
    """``endpoint`` says where to; the host is only the name to verify."""
    inner = rf"unix\:{folder}/socket"
    async with serving(folder, port=inner):
        text = f"tls:localhost:endpoint={inner}:trustRoots={folder}/ca.pem"
        async with connect(text, Recorder()) as protocol:
            await converse(protocol)


async def test_start_tls_in_a_connection_takes_the_clients_side(
    folder: Path, ca: trustme.CA
) -> None:
    """As this end has connected."""
    context = ssl.create_default_context()
    ca.configure_trust(context)

    def start(recorder: Recorder) -> None:
        recorder.transport.start_tls(context, server_hostname="localhost")

    async with serving(folder) as server:
        text = f"tcp:127.0.0.1:{port_of(server)}"
        async with connect(text, Recorder(connection_made=start)) as protocol:
            await converse(protocol)
            assert protocol.transport.tls is not None


# Handshakes that fail


async def test_a_server_that_says_nothing_is_given_up(
    tcp_site: TCPSite, autojump_clock: MockClock
) -> None:
    """After ``handshake_timeout``; the time for connecting is counted apart."""
    protocol = Recorder()
    with pytest.raises(TimeoutError, match="10 s"):
        async with connect(f"tls:127.0.0.1:{tcp_site.port}", protocol):
            never()
    assert trio.current_time() == pytest.approx(10)
    assert protocol.heard == []


@pytest.mark.parametrize(
    ("ending", "error"), [("send_eof", ConnectionError), ("reset", ConnectionResetError)]
)
async def test_a_server_that_hangs_up_in_the_handshake(
    tcp_site: TCPSite, ending: str, error: type[OSError]
) -> None:
    """The system's error as it was, or one that says what happened."""
    async with trio.open_nursery() as nursery:

        async def hang_up() -> None:
            peer = await tcp_site.accept()
            await peer.receive_some()
            await getattr(peer, ending)()

        nursery.start_soon(hang_up)
        with pytest.raises(error) as caught:
            async with connect(f"tls:127.0.0.1:{tcp_site.port}", Recorder()):
                never()
    assert str(caught.value)


async def test_a_server_that_speaks_no_tls(tcp_site: TCPSite) -> None:
    async with trio.open_nursery() as nursery:

        async def greet() -> None:
            await (await tcp_site.accept()).send(b"220 mail.example.org ESMTP\r\n")

        nursery.start_soon(greet)
        with pytest.raises(ssl.SSLError):
            async with connect(f"tls:127.0.0.1:{tcp_site.port}", Recorder()):
                never()


async def test_cancelled_in_the_handshake_nothing_stays(tcp_site: TCPSite) -> None:
    protocol = Recorder()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await (await tcp_site.accept()).receive_some()
                scope.cancel()

            nursery.start_soon(cancel)
            async with connect(f"tls:127.0.0.1:{tcp_site.port}", protocol):
                never()
    assert scope.cancelled_caught
    assert protocol.heard == []


# What is of no use


@pytest.mark.parametrize(
    ("options", "error", "shown"),
    [
        (":trustRoots={}/nothing.pem", FileNotFoundError, "nothing.pem"),
        (":trustRoots={}/empty.pem", EndpointError, "trustRoots"),
        (":certificate={}/nothing.pem", FileNotFoundError, "nothing.pem"),
        (":certificate={0}/server.pem:privateKey={0}/client.pem", EndpointError, "privateKey"),
        (":alpn=h2,,h3", EndpointError, "alpn"),
        (":hostname=a..b", EndpointError, "'a..b'"),
    ],
)
async def test_files_are_looked_at_before_anything_is_tried(
    folder: Path, tcp_site: TCPSite, options: str, error: type[Exception], shown: str
) -> None:
    (folder / "empty.pem").touch()
    text = f"tls:127.0.0.1:{tcp_site.port}{options.format(folder)}"
    with pytest.raises(error) as caught:
        async with connect(text, Recorder()):
            never()
    assert shown in str(caught.value)
    assert text in str(caught.value)
    with pytest.raises(BlockingIOError):
        tcp_site.listening.accept()


async def test_a_context_of_ones_own_has_to_be_a_clients(tcp_site: TCPSite) -> None:
    inner = TCPClientEndpoint("127.0.0.1", tcp_site.port)
    endpoint = TLSClientEndpoint(inner, "localhost", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(EndpointError, match="no TLS to 'localhost'"):
        async with connect(endpoint, Recorder()):
            never()
    with pytest.raises(ValueError, match="has TLS itself"):
        TLSClientEndpoint(endpoint, "localhost", ssl.create_default_context())


async def test_files_are_read_once_for_many_connections(folder: Path) -> None:
    """By an endpoint object; what is read again is left to who wants that."""
    async with serving(folder) as server:
        text = f"tls:localhost:{port_of(server)}:trustRoots={folder}/ca.pem"
        endpoint = parse_client_endpoint(text)
        async with connect(endpoint, Recorder()) as protocol:
            await converse(protocol)
        (folder / "ca.pem").unlink()
        async with connect(endpoint, Recorder()) as protocol:
            await converse(protocol)
