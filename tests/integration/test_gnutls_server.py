"""Our client side, with a server whose TLS is not OpenSSL's."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
import trio
import trustme

from tests.integration.programs import NAME, Files, needs, running, until_listening
from trioproto import Protocol, connect
from trioproto.errors import ConnectionDone, ConnectionLost
from trioproto.framing import LineReceiver

VERSIONS = ["1.2", "1.3"]

# gnutls-serv listens at all addresses, and cannot be told otherwise. So it gets a network of its
# own, which has nobody else in it, and socat leads into it through a Unix socket. All of them end
# with `unshare`.
INSIDE = """
socket=$1
shift
ip link set lo up
gnutls-serv "$@" --port 443 </dev/null &
exec socat UNIX-LISTEN:"$socket",fork TCP:127.0.0.1:443,retry=200,interval=0.05
"""
UNSHARE = ["unshare", "--map-root-user", "--net", "--pid", "--kill-child"]


@cache
def may_have_a_network() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=20, check=False)
    return tried.returncode == 0


pytestmark = [
    needs("gnutls-serv", "gnutls-bin"),
    needs("socat", "socat"),
    needs("ip", "iproute2"),
    pytest.mark.skipif(
        not may_have_a_network(), reason="unshare may not make a network for gnutls-serv alone"
    ),
]


class GnuTLS:
    """A server that runs; its process, and where our clients connect to."""

    def __init__(self, process: trio.Process, socket: Path, files: Files) -> None:
        self.process = process
        self.socket = socket
        self.files = files

    def where(self, *more: str, name: str = NAME, trust: str | None = None) -> str:
        inside = rf"tls:{name}:endpoint=unix\:{self.socket}"
        return ":".join([inside, f"trustRoots={trust or self.files.trust}", *more])


@asynccontextmanager
async def gnutls(files: Files, *options: str, version: str = "") -> AsyncIterator[GnuTLS]:
    """Run a server that sends back each line that it gets, or, with ``--http``, a file."""
    key, certificate = files.make(NAME)
    socket = files.folder / "s"
    command = [*UNSHARE, "sh", "-c", INSIDE, "sh", str(socket)]
    command += ["--quiet", f"--x509keyfile={key}", f"--x509certfile={certificate}", *options]
    if version:
        command.append(f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}")
    async with running(command) as process:
        await until_listening(socket)
        yield GnuTLS(process, socket, files)


class Asks(LineReceiver):
    """Says one line, and keeps what comes back."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.sender, self.lines = trio.open_memory_channel[bytes](10)

    def connection_made(self) -> None:
        self.send_line(b"hello")

    def line_received(self, line: bytes) -> None:
        if line:  # what it sends back has another end of line than what it has got
            self.sender.send_nowait(line)

    async def answer(self) -> bytes:
        return await self.lines.receive()


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_client_talks_to_gnutls(files: Files, version: str) -> None:
    async with gnutls(files, "--echo", "--alpn=any", version=version) as server:
        async with connect(server.where("alpn=other,any"), Asks()) as client:
            for line in (b"hello", b"x" * 1000, b"bye"):
                client.send_line(line)
            said = [await client.answer() for _ in range(2)]
            tls = client.transport.tls
        reason = await client.transport.wait_closed()
    assert said == [b"hello", b"hello"]
    assert tls is not None
    assert (tls.version, tls.alpn, tls.server_name) == (f"TLSv{version}", "any", NAME)
    assert (tls.peer_certificate or {})["subjectAltName"] == (("DNS", NAME),)
    assert type(reason) is ConnectionDone


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_client_does_not_take_another_name(files: Files, version: str) -> None:
    async with gnutls(files, "--echo", version=version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
            async with connect(server.where(name="other.example"), Asks()):
                raise AssertionError
        async with connect(server.where(), Asks()) as client:
            assert await client.answer() == b"hello"


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_client_does_not_trust_another_authority(files: Files, version: str) -> None:
    strange = str(files.folder / "strange.pem")
    trustme.CA().cert_pem.write_to_path(strange)
    async with gnutls(files, "--echo", version=version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            async with connect(server.where(trust=strange), Asks()):
                raise AssertionError


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_client_shows_a_certificate(files: Files, version: str) -> None:
    """Without one it is refused: in the handshake, or, in TLS 1.3, after its own half of it."""
    key, certificate = files.make("client.example")
    wants = ["--require-client-cert", "--verify-client-cert", f"--x509cafile={files.trust}"]
    async with gnutls(files, "--echo", *wants, version=version) as server:
        shown = server.where(f"certificate={certificate}", f"privateKey={key}")
        async with connect(shown, Asks()) as client:
            assert await client.answer() == b"hello"
        if version == "1.3":
            async with connect(server.where(), Asks()) as client:
                reason = await client.transport.wait_closed()
            assert type(reason) is ConnectionLost
            assert "certificate required" in str(reason)
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                async with connect(server.where(), Asks()):
                    raise AssertionError


@pytest.mark.parametrize(
    ("options", "wanted", "said"),
    [
        ([], ["minVersion=1.3"], "handshake failure"),
        (["--alpn=any", "--alpn-fatal"], ["alpn=other"], "no application protocol"),
        (["--sni-hostname=other.example", "--sni-hostname-fatal"], [], "unrecognized name"),
    ],
    ids=["version", "protocol", "name"],
)
async def test_our_client_is_told_that_there_is_nothing_in_common(
    files: Files, options: list[str], wanted: list[str], said: str
) -> None:
    async with gnutls(files, "--echo", *options, version="1.2") as server:
        with pytest.raises(ssl.SSLError) as caught:
            async with connect(server.where(*wanted), Asks()):
                raise AssertionError
    assert said in str(caught.value).lower().replace("_", " ")


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_client_gets_megabytes_and_their_end(files: Files, version: str) -> None:
    body = files.folder / "body"
    body.write_bytes(hashlib.shake_256(b"any").digest(5_000_000))
    came = bytearray()

    class Browser(Protocol):
        def connection_made(self) -> None:
            self.transport.write(b"GET / HTTP/1.0\r\n\r\n")

        def data_received(self, data: bytes) -> None:
            came.extend(data)

    async with (
        gnutls(files, "--http", f"--httpdata={body}", version=version) as server,
        connect(server.where(), Browser()) as browser,
    ):
        reason = await browser.transport.wait_closed()
    assert type(reason) is ConnectionDone
    assert came.partition(b"\r\n\r\n")[2] == body.read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_is_killed_is_a_loss(files: Files, version: str) -> None:
    async with (
        gnutls(files, "--echo", version=version) as server,
        connect(server.where(), Asks()) as client,
    ):
        assert await client.answer() == b"hello"
        server.process.kill()
        reason = await client.transport.wait_closed()
    assert type(reason) is ConnectionLost
