"""Behind nginx, which tells who its clients are, and speaks TLS with us for them."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
import trio

from tests.integration.programs import (
    NAME,
    Files,
    Tell,
    ask,
    connected,
    endpoint,
    port_of,
    running,
    until_listening,
)
from tests.ports import free_port
from trioproto import Factory, Protocol, TCPAddress, open_server

# One process, in the foreground; what it writes is in a folder of its own, or on its stderr.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
{module}
events {{ worker_connections 64; }}
stream {{
    proxy_connect_timeout 5s;
    proxy_timeout 20s;
    server {{
        listen {front};
        proxy_pass 127.0.0.1:{back};
        {options}
    }}
}}
"""
TRUSTED = "haproxy:trusted=127.0.0.1"


@cache
def stream_module() -> str | None:
    """Return the directive that loads nginx's stream module, if it needs one; None without it."""
    if shutil.which("nginx") is None:
        return None
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, timeout=20, check=True)
    if re.search(r"--with-stream\s", built.stderr):
        return ""
    folder = re.search(r"--modules-path=(\S+)", built.stderr)
    module = Path(folder[1] if folder else "", "ngx_stream_module.so")
    return f"load_module {module};" if module.is_file() else None


pytestmark = pytest.mark.skipif(
    stream_module() is None,
    reason="nginx, or its stream module, is not installed"
    " (Debian: apt-get install nginx libnginx-mod-stream)",
)


@asynccontextmanager
async def nginx(
    folder: Path, back: int, *options: str, front: str | None = None
) -> AsyncIterator[int]:
    """Run nginx in front of a port; the port of its own."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(
            folder=folder,
            module=stream_module(),
            front=front or f"127.0.0.1:{port}",
            back=back,
            options=" ".join(f"{option};" for option in options),
        )
    )
    async with running(["nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)]):
        if front is None:
            await until_listening(port)
        yield port


class TellAll(Tell):
    """What nginx, and who is behind it, have said."""

    def known(self) -> str:
        header = self.transport.proxy_header
        version = 0 if header is None else header.version
        resumed = self.transport.tls is not None and self.transport.tls.resumed
        return f"{self.transport.peer} v{version} {super().known()} resumed={resumed}"


async def asked(port: int) -> tuple[str, str]:
    """Ask through nginx; our own address as it should be told, and the answer."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        host, own = stream.socket.getsockname()
        return f"tcp:{host}:{own}", await ask(stream)


async def test_nginx_tells_who_the_client_is(tmp_path: Path) -> None:
    async with (
        open_server(Factory(TellAll), f"{TRUSTED}:tcp:0:interface=127.0.0.1") as server,
        nginx(tmp_path, port_of(server.addresses[0]), "proxy_protocol on") as port,
    ):
        for _ in range(2):
            us, told = await asked(port)
            assert told == f"who: {us} v1 plain resumed=False\n"


async def test_nginx_tells_where_the_client_wanted_to_go(tmp_path: Path) -> None:
    class Where(Tell):
        def known(self) -> str:
            return str(self.transport.local)

    async with (
        open_server(Factory(Where), f"{TRUSTED}:tcp:0:interface=127.0.0.1") as server,
        nginx(tmp_path, port_of(server.addresses[0]), "proxy_protocol on") as port,
    ):
        _, told = await asked(port)
        assert told == f"who: tcp:127.0.0.1:{port}\n"


async def test_nginx_does_not_say_who_comes_through_a_unix_socket(tmp_path: Path) -> None:
    """Its header says UNKNOWN: the peer is nginx."""

    class Header(Tell):
        def known(self) -> str:
            header = self.transport.proxy_header
            assert header is not None
            assert isinstance(self.transport.peer, TCPAddress)
            return f"{header.command} {header.transport} {header.source} {self.transport.peer.host}"

    path = tmp_path / "s"
    async with (
        open_server(Factory(Header), f"{TRUSTED}:tcp:0:interface=127.0.0.1") as server,
        nginx(tmp_path, port_of(server.addresses[0]), "proxy_protocol on", front=f"unix:{path}"),
        await connected(path) as stream,
    ):
        assert await ask(stream) == "who: PROXY UNSPEC None 127.0.0.1\n"


def verifying(files: Files, *more: str) -> list[str]:
    """Return what nginx is to be told to speak TLS, and to believe nobody without reason."""
    return [
        "proxy_ssl on",
        "proxy_ssl_verify on",
        f"proxy_ssl_trusted_certificate {files.trust}",
        f"proxy_ssl_name {NAME}",
        "proxy_ssl_server_name on",
        *more,
    ]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_nginx_speaks_tls_and_takes_up_its_session_again(
    files: Files, tmp_path: Path, version: str
) -> None:
    options = verifying(files, f"proxy_ssl_protocols {version}")
    async with (
        open_server(Factory(TellAll), endpoint(files)) as server,
        nginx(tmp_path, port_of(server.addresses[0]), *options) as port,
    ):
        seen = f"v0 {version} alpn=None name={NAME} client=None"
        _, told = await asked(port)
        assert f"{seen} resumed=" in told
        _, told = await asked(port)
        assert f"{seen} resumed=True\n" in told


async def test_nginx_tells_who_the_client_is_before_it_speaks_tls(
    files: Files, tmp_path: Path
) -> None:
    async with (
        open_server(Factory(TellAll), f"{TRUSTED}:{endpoint(files)}") as server,
        nginx(
            tmp_path, port_of(server.addresses[0]), *verifying(files, "proxy_protocol on")
        ) as port,
    ):
        for _ in range(2):
            us, told = await asked(port)
            assert re.match(rf"who: {us} v1 TLSv1\.[23] ", told)


async def test_nginx_shows_a_certificate_of_its_own(files: Files, tmp_path: Path) -> None:
    key, certificate = files.make("proxy.example", organization_unit_name="proxies")
    shown = [f"proxy_ssl_certificate {certificate}", f"proxy_ssl_certificate_key {key}"]
    async with open_server(Factory(TellAll), endpoint(files, f"clientCA={files.trust}")) as server:
        back = port_of(server.addresses[0])
        async with nginx(tmp_path, back, *verifying(files, *shown)) as port:
            _, told = await asked(port)
            assert "client=proxies" in told
        async with (
            nginx(tmp_path, back, *verifying(files)) as port,
            await trio.open_tcp_stream("127.0.0.1", port) as stream,
        ):
            assert await stream.receive_some() == b""


async def test_nginx_passes_megabytes_and_their_end(files: Files, tmp_path: Path) -> None:
    """Through TLS, in both directions at once; our close comes after all of it."""
    body = hashlib.shake_256(b"any").digest(3_000_000)

    class Returns(Protocol):
        def __init__(self) -> None:
            self.left = len(body)

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)
            self.left -= len(data)
            if not self.left:
                self.transport.close()

    async with (
        open_server(Factory(Returns), endpoint(files)) as server,
        nginx(tmp_path, port_of(server.addresses[0]), *verifying(files)) as port,
        await trio.open_tcp_stream("127.0.0.1", port) as stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(stream.send_all, body)
        assert b"".join([chunk async for chunk in stream]) == body
