"""TLS, as openssl, curl and gnutls-cli speak it."""

from __future__ import annotations

import hashlib
import logging
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from tests.integration.programs import (
    NAME,
    PATIENCE,
    Files,
    Tell,
    endpoint,
    needs,
    port_of,
    run,
    running,
    s_client,
    tells,
    until_listening,
)
from tests.ports import free_port
from trioproto import Factory, Protocol, UnixAddress, connect, open_server
from trioproto.errors import ConnectionClosed, ConnectionLost

pytestmark = needs("openssl", "openssl")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.exc_info is None for record in caplog.records)
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["-tls1_2"], "TLSv1.2 alpn=None"),
        (["-tls1_3"], "TLSv1.3 alpn=None"),
        (["-alpn", "h2,http/1.1"], "alpn=h2"),
        (["-alpn", "http/1.1,h2"], "alpn=h2"),
        (["-alpn", "spdy/3"], "alpn=None"),
    ],
)
async def test_openssl_shakes_hands_and_is_answered(
    files: Files, options: list[str], seen: str
) -> None:
    async with open_server(tells(), endpoint(files, "alpn=h2,http/1.1")) as server:
        _, out, _ = await run(s_client(server, files, *options), b"hello\nquit\n")
    assert out.startswith("hello: TLSv1.")
    assert seen in out
    assert f"name={NAME}" in out


async def test_openssl_gets_the_certificate_of_the_name_that_it_asks_for(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("one.example", "*.two.example")
    async with open_server(tells(), endpoint(files, names=names)) as server:
        for name in ("one.example", "any.two.example"):
            wanted = ["-verify_hostname", name]
            _, out, err = await run(s_client(server, files, *wanted, name=name), b"hi\nquit\n")
            assert out.startswith("hi: "), err
        status, out, err = await run(s_client(server, files, name="three.example"))
        assert (status, out) == (1, "")
        assert "unrecognized name" in err
        assert len(warnings(caplog)) == 1
        _, out, _ = await run(s_client(server, files, name="one.example"), b"hi\nquit\n")
        assert out.startswith("hi: ")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_shows_a_certificate_of_its_own(
    files: Files, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    strange = trustme.CA()
    good = files.make("client.example", organization_unit_name="us")
    bad = files.make("client.example", by=strange)
    path = files.trust.replace(":", r"\:")
    async with open_server(tells(), endpoint(files, f"clientCA={path}")) as server:
        for pair in (None, bad):
            shown = [] if pair is None else ["-key", pair[0], "-cert", pair[1]]
            _, out, err = await run(s_client(server, files, version, *shown), b"hi\nquit\n")
            assert out == ""
            assert "alert" in err
            assert len(warnings(caplog)) == 1
            caplog.clear()
            shown = ["-key", good[0], "-cert", good[1]]
            _, out, err = await run(s_client(server, files, version, *shown), b"hi\nquit\n")
            assert "client=us" in out, err


async def test_a_program_that_is_killed_in_mid_transfer_is_a_loss(files: Files) -> None:
    made = trio.Event()
    ends: list[ConnectionClosed] = []

    class Flood(Tell):
        def connection_made(self) -> None:
            self.transport.write(bytes(64 << 20))
            made.set()

        def connection_lost(self, reason: ConnectionClosed) -> None:
            ends.append(reason)

    async with open_server(Factory(Flood), endpoint(files)) as server:
        async with running(s_client(server, files)) as process:
            await made.wait()
            process.kill()
        with trio.fail_after(PATIENCE):
            await server.drain(grace=PATIENCE)
    assert type(ends[0]) is ConnectionLost


class Web(Protocol):
    """Just enough of HTTP: takes a body of the announced length, and sends it back."""

    def __init__(self) -> None:
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
        if end and len(body) == int(length[0].split(b":")[1]):
            self.transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            self.transport.write(body)
            self.transport.close()


@needs("curl", "curl")
@pytest.mark.parametrize("options", [["--tls-max", "1.2"], ["--tlsv1.3"]])
async def test_curl_sends_and_gets_megabytes(
    files: Files, tmp_path: Path, options: list[str]
) -> None:
    body, back = tmp_path / "body", tmp_path / "back"
    body.write_bytes(hashlib.shake_256(b"any").digest(5_000_000))
    async with open_server(Factory(Web), endpoint(files)) as server:
        port = port_of(server.addresses[0])
        there = ["--resolve", f"{NAME}:{port}:127.0.0.1", f"https://{NAME}:{port}/"]
        what = ["--data-binary", f"@{body}", "-H", "Expect:", "-o", str(back)]
        command = ["curl", "-sS", "--noproxy", "*", "--cacert", files.trust, *options, *what]
        status, _, err = await run([*command, *there])
    assert (status, err) == (0, "")
    assert back.read_bytes() == body.read_bytes()


@needs("curl", "curl")
async def test_curl_does_not_take_another_name(files: Files) -> None:
    async with open_server(Factory(Web), endpoint(files)) as server:
        port = port_of(server.addresses[0])
        command = ["curl", "-sS", "--noproxy", "*", "--cacert", files.trust]
        status, _, err = await run([*command, f"https://127.0.0.1:{port}/"])
    assert status == 60
    assert "127.0.0.1" in err


@needs("curl", "curl")
@pytest.mark.parametrize(("options", "refused"), [(["--tls-max", "1.2"], 35), (["--tlsv1.3"], 56)])
async def test_curl_shows_a_certificate_of_its_own(
    files: Files, tmp_path: Path, options: list[str], refused: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, it fails in the handshake, or, in TLS 1.3, when it reads; no protocol is begun."""
    begun: list[str] = []

    class Members(Web):
        def connection_made(self) -> None:
            tls = self.transport.tls
            assert tls is not None
            begun.append(repr((tls.peer_certificate or {}).get("subject")))

    good = files.make("client.example", organization_unit_name="us")
    bad = files.make("client.example", by=trustme.CA(), organization_unit_name="them")
    async with open_server(Factory(Members), endpoint(files, f"clientCA={files.trust}")) as server:
        port = port_of(server.addresses[0])
        there = ["--resolve", f"{NAME}:{port}:127.0.0.1", f"https://{NAME}:{port}/"]
        command = ["curl", "-sS", "--noproxy", "*", "--cacert", files.trust, *options]
        command += ["--data-binary", "the body"]
        for pair in (None, bad):
            shown = [] if pair is None else ["--key", pair[0], "--cert", pair[1]]
            status, out, err = await run([*command, *shown, *there])
            assert (status, out) == (refused, "")
            assert "alert" in err
            assert len(warnings(caplog)) == 1
            caplog.clear()
        shown = ["--key", good[0], "--cert", good[1]]
        status, out, err = await run([*command, *shown, *there])
    assert (status, out) == (0, "the body"), err
    assert len(begun) == 1
    assert "us" in begun[0]
    assert warnings(caplog) == []


@needs("curl", "curl")
async def test_curl_comes_through_a_unix_socket(files: Files, tmp_path: Path) -> None:
    peers: list[object] = []

    class Local(Web):
        def connection_made(self) -> None:
            assert self.transport.tls is not None
            peers.append(self.transport.peer)

    path = tmp_path / "s"
    async with open_server(Factory(Local), endpoint(files, inside=rf"unix\:{path}")):
        command = ["curl", "-sS", "--noproxy", "*", "--cacert", files.trust]
        command += ["--unix-socket", str(path), "--data-binary", "the body"]
        assert await run([*command, f"https://{NAME}/"]) == (0, "the body", "")
    (peer,) = peers
    assert isinstance(peer, UnixAddress)


@needs("gnutls-cli", "gnutls-bin")
async def test_gnutls_speaks_it_too(files: Files) -> None:
    async with open_server(tells(), endpoint(files)) as server:
        port = port_of(server.addresses[0])
        trust = [
            f"--x509cafile={files.trust}",
            f"--verify-hostname={NAME}",
            f"--sni-hostname={NAME}",
        ]
        command = ["gnutls-cli", *trust, "-p", str(port), "127.0.0.1"]
        _, out, err = await run(command, b"hello\nquit\n")
    assert "hello: TLSv1.3" in out, err


async def test_our_client_talks_to_openssls_server(files: Files, tmp_path: Path) -> None:
    key, certificate = files.make(NAME, "127.0.0.1")
    page = tmp_path / "page.txt"
    page.write_text("the page")
    came = bytearray()

    class Browser(Protocol):
        def connection_made(self) -> None:
            self.transport.write(b"GET /page.txt HTTP/1.0\r\n\r\n")

        def data_received(self, data: bytes) -> None:
            came.extend(data)

    port = free_port()
    command = ["openssl", "s_server", "-quiet", "-WWW", "-accept", str(port)]
    async with running([*command, "-key", key, "-cert", certificate], cwd=tmp_path):
        await until_listening(port)
        trusted = f"tls:127.0.0.1:{port}:trustRoots={files.trust}"
        async with connect(trusted, Browser()) as browser:
            await browser.transport.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(f"tls:127.0.0.1:{port}", Browser()):
                raise AssertionError
    assert came.endswith(b"the page")
