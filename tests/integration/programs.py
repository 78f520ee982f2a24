"""What the tests with real programs share: certificates, a server that tells what it sees."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import trio
import trustme

from trioproto import Factory, Server, TCPAddress
from trioproto.framing import LineReceiver

PATIENCE = 20  # seconds; only reached when something is broken
NAME = "server.example"
LINGER = 0.2  # seconds: s_client waits for our end, and we for its


def needs(program: str, package: str) -> pytest.MarkDecorator:
    reason = f"{program} is not installed (Debian: apt-get install {package})"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


class Tell(LineReceiver):
    """Answers each line with what is known of the connection, and ``quit`` by closing."""

    delimiter = b"\n"

    def line_received(self, line: bytes) -> None:
        if line.strip() == b"quit":
            self.transport.close()
            return
        self.send_line(f"{line.decode().strip()}: {self.known()}".encode())

    def known(self) -> str:
        tls = self.transport.tls
        if tls is None:
            return "plain"
        subject = dict(pair for (pair,) in (tls.peer_certificate or {}).get("subject", ()))
        who = subject.get("organizationalUnitName")
        return f"{tls.version} alpn={tls.alpn} name={tls.server_name} client={who}"


def tells() -> Factory[Tell]:
    return Factory(Tell, linger=LINGER)


async def ask(stream: trio.abc.Stream) -> str:
    """Ask a server of ``Tell``s; its answer."""
    await stream.send_all(b"who\n")
    received = b""
    while not received.endswith(b"\n"):
        more = await stream.receive_some()
        assert more, received
        received += more
    return received.decode()


class Files:
    """An authority, and certificates that it has made, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.trust = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.trust)

    def make(self, *names: str, by: trustme.CA | None = None, **options: str) -> tuple[str, str]:
        """Return the files of a certificate's key, and of the certificate."""
        made = (by or self.authority).issue_cert(*names, **options)  # type: ignore[arg-type]
        key = self.folder / f"{names[0]}-{id(made)}.key"
        chain = key.with_suffix(".pem")
        made.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return str(key), str(chain)


def endpoint(
    files: Files,
    *more: str,
    names: tuple[str, ...] = (NAME,),
    inside: str = "0:interface=127.0.0.1",
) -> str:
    """Return a ``tls:`` endpoint with a certificate for each name; a port, if nothing is said."""
    pairs = [files.make(name) for name in names]
    keys, certificates = (",".join(each) for each in zip(*pairs, strict=True))
    return ":".join([f"tls:{inside}", f"privateKey={keys}", f"certKey={certificates}", *more])


def s_client(server: Server[Any], files: Files, *options: str, name: str = NAME) -> list[str]:
    address = f"127.0.0.1:{port_of(server.addresses[0])}"
    verify = ["-CAfile", files.trust, "-verify_return_error", "-servername", name]
    return ["openssl", "s_client", "-quiet", "-connect", address, *verify, *options]


async def run(command: Sequence[str], said: bytes = b"") -> tuple[int, str, str]:
    """Run a program to its end, with this input: its status, its output and its errors."""
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            command,
            stdin=said,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode()


def port_of(address: object) -> int:
    assert isinstance(address, TCPAddress)
    return address.port


@asynccontextmanager
async def running(
    command: Sequence[str], cwd: Path | None = None, *, stdio: int | None = None
) -> AsyncIterator[trio.Process]:
    """Run a program for the block's time; the block may not take for ever."""
    process = await trio.lowlevel.open_process(command, cwd=cwd, stdin=stdio, stdout=stdio)
    try:
        with trio.fail_after(PATIENCE):
            yield process
    finally:
        process.kill()
        with trio.move_on_after(PATIENCE, shield=True):
            await process.wait()


@asynccontextmanager
async def talking(
    command: Sequence[str],
) -> AsyncIterator[tuple[trio.Process, trio.StapledStream[Any, Any]]]:
    """Run a program for the block's time; the process, and what it reads and writes."""
    async with running(command, stdio=PIPE) as process:
        assert process.stdio is not None
        async with process.stdio:
            yield process, process.stdio


async def connected(where: int | Path) -> trio.SocketStream:
    """Connect to a program that is about to listen, at a port or a Unix socket."""
    while True:
        try:
            if isinstance(where, Path):
                return await trio.open_unix_socket(where)
            return await trio.open_tcp_stream("127.0.0.1", where)
        except OSError:
            await trio.sleep(0.05)


async def until_listening(where: int | Path) -> None:
    await (await connected(where)).aclose()
