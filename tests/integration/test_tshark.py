"""Recordings of real connections, read by Wireshark's tshark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.programs import needs, run
from trioproto import Factory, TrafficFiles, TrafficLog, open_server
from trioproto.framing import LineReceiver
from trioproto.layers import Direction, Piece, Recording
from trioproto.sansio.addresses import TCPAddress

pytestmark = needs("tshark", "tshark")

CHECKSUMS = ("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE")
PROBLEMS = "_ws.expert.severity >= 6291456 || _ws.malformed"  # warnings, errors, wrong checksums


async def tshark(path: Path, *options: str) -> str:
    status, output, errors = await run(["tshark", "-n", *CHECKSUMS, "-r", str(path), *options])
    assert status == 0, errors
    return output


class Answers(LineReceiver):
    def line_received(self, line: bytes) -> None:
        if line == b"fail":
            raise ZeroDivisionError
        self.send_line(line.upper())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_it_follows_a_connection_that_has_failed(
    tmp_path: Path, host: str, logged_errors: Any
) -> None:
    factory = Factory(Answers, traffic_log=TrafficLog(write=TrafficFiles(tmp_path)))
    interface = host.replace(":", "\\:")
    async with open_server(factory, f"tcp:0:interface={interface}") as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        async with await trio.open_tcp_stream(host, address.port) as stream:
            port = stream.socket.getsockname()[1]
            await stream.send_all(b"hello\r\n")
            assert await stream.receive_some() == b"HELLO\r\n"
            await stream.send_all(b"fail\r\n")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
    (path,) = tmp_path.iterdir()
    followed = await tshark(path, "-q", "-z", "follow,tcp,ascii,0")
    shown = f"[{host}]" if ":" in host else host
    *_, client, server_side, one, hello, two, answer, three, fail, _ = (
        line.rstrip() for line in followed.splitlines() if line.strip()
    )
    assert client == f"Node 0: {shown}:{port}"
    assert server_side == f"Node 1: {shown}:{address.port}"
    assert [one, hello, two, answer, three, fail] == ["7", "hello", "\t7", "HELLO", "6", "fail"]
    assert await tshark(path, "-Y", PROBLEMS) == ""


async def test_the_middle_of_a_long_connection_can_be_followed(tmp_path: Path) -> None:
    """After more bytes than a sequence number can count."""
    pieces = tuple(
        Piece(1_700_000_000.0 + index, way, f"{way.name} {index}\n".encode() * 5000)
        for index, way in enumerate([Direction.RECEIVED, Direction.SENT] * 3)
    )
    recording = Recording(
        peer=TCPAddress("192.0.2.7", 50000),
        local=TCPAddress("192.0.2.8", 60000),
        accepted=True,
        began=1_700_000_000.0,
        pieces=pieces,
        received_before=2**32 - 20_000,
        sent_before=2**33 + 1,
    )
    path = TrafficFiles(tmp_path).write(recording)
    raw = await tshark(path, "-q", "-z", "follow,tcp,raw,0")
    ours, theirs = bytearray(), bytearray()
    for line in raw.splitlines():
        if line.startswith("\t"):
            ours += bytes.fromhex(line)
        elif line and not line.startswith(("=", "F", "N")):
            theirs += bytes.fromhex(line)
    expected = {way: b"".join(p.data for p in pieces if p.direction is way) for way in Direction}
    assert {bytes(ours), bytes(theirs)} == set(expected.values())
    assert await tshark(path, "-Y", PROBLEMS) == ""
