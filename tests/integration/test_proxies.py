"""Behind HAProxy, which tells who its clients are; started by systemd's program; Unix sockets."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.examples.running import REPOSITORY
from tests.integration.programs import (
    NAME,
    Files,
    Tell,
    ask,
    connected,
    needs,
    port_of,
    run,
    running,
    until_listening,
)
from tests.ports import free_port
from trioproto import Factory, UnixAddress, open_server
from trioproto.layers import TLVType

CONFIGURATION = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen there
    bind 127.0.0.1:{front}
    server it 127.0.0.1:{back} {options}
"""


class TellPeer(Tell):
    def known(self) -> str:
        header = self.transport.proxy_header
        version = 0 if header is None else header.version
        checked = header is not None and header.tlv(TLVType.CRC32C) is not None
        return f"{self.transport.peer} v{version} checked={checked}"


@asynccontextmanager
async def haproxy(folder: Path, back: int, options: str) -> AsyncIterator[int]:
    """Run HAProxy in front of a port; the port of its own."""
    front = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(front=front, back=back, options=options))
    async with running(["haproxy", "-db", "-q", "-f", str(file)]):
        await until_listening(front)
        yield front


@needs("haproxy", "haproxy")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("send-proxy", "v1 checked=False"),
        ("send-proxy-v2", "v2 checked=False"),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", "v2 checked=True"),
        ("send-proxy-v2 check inter 50ms", "v2 checked=False"),
    ],
)
async def test_haproxy_tells_who_the_client_is(tmp_path: Path, options: str, told: str) -> None:
    factory = Factory(TellPeer)
    inside = r"haproxy:trusted=127.0.0.0/8:tcp:0:interface=127.0.0.1"
    async with (
        open_server(factory, inside) as server,
        haproxy(tmp_path, port_of(server.addresses[0]), options) as front,
        await trio.open_tcp_stream("127.0.0.1", front) as stream,
    ):
        host, port = stream.socket.getsockname()
        assert await ask(stream) == f"who: tcp:{host}:{port} {told}\n"


@needs("haproxy", "haproxy")
async def test_haproxy_goes_before_tls(tmp_path: Path) -> None:
    files = Files(tmp_path)
    key, certificate = files.make(NAME)
    tls = f"tls:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    factory = Factory(TellPeer, linger=0.2)
    async with (
        open_server(factory, f"haproxy:trusted=127.0.0.1:{tls}") as server,
        haproxy(tmp_path, port_of(server.addresses[0]), "send-proxy-v2") as front,
    ):
        command = ["openssl", "s_client", "-quiet", "-CAfile", files.trust]
        command += ["-verify_return_error", "-connect", f"127.0.0.1:{front}"]
        _, out, err = await run(command, b"who\nquit\n")
        assert re.match(r"who: tcp:127\.0\.0\.1:\d+ v2", out), err


@needs("socat", "socat")
async def test_socat_comes_through_a_unix_socket(tmp_path: Path) -> None:
    class Who(Tell):
        def known(self) -> str:
            assert isinstance(self.transport.peer, UnixAddress)
            return str(self.transport.peer.credentials)

    path = tmp_path / "s"
    async with open_server(Factory(Who, linger=0.2), f"unix:{path}", f"unix:@{path}") as server:
        assert server.addresses == (UnixAddress(str(path)), UnixAddress(f"@{path}"))
        for target in (f"UNIX-CONNECT:{path}", f"ABSTRACT-CONNECT:{path}"):
            _, out, err = await run(["socat", "-", target], b"who\nquit\n")
            assert re.match(rf"who: Credentials\(pid=\d+, uid={os.getuid()}, gid=", out), err
    assert not path.exists()


@needs("systemd-socket-activate", "systemd")
@pytest.mark.parametrize(
    ("options", "endpoint"),
    [([], "systemd:domain=INET:index=0"), (["--fdname=web"], "systemd:domain=INET:name=web")],
)
async def test_systemd_starts_an_example_for_the_first_connection(
    options: list[str], endpoint: str
) -> None:
    port = free_port()
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *options]
    command += [f"--setenv=PYTHONPATH={REPOSITORY}", sys.executable, "-m", "examples.echo"]
    async with running([*command, "--listen", endpoint], cwd=REPOSITORY) as process:
        async with await connected(port) as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
