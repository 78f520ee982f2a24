"""The calculator: requests and answers in JSON, and delays that take no time here."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from examples.calculator import Calculator
from trioproto import FrameChannel
from trioproto.framing import JsonLinesCodec
from trioproto.testing import MemoryStream, connected, peer, serving


def channel(stream: MemoryStream) -> FrameChannel[Any]:
    return FrameChannel(stream, JsonLinesCodec())


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("add", [1, 2.5], {"result": 3.5}),
        ("pow", [2, 1023], {"result": 2**1023}),
        ("pow", [10, 309], {"error": "too large"}),
        ("sqrt", [-1], {"error": "not a real number"}),
        ("div", [1, 0], {"error": "division by zero"}),
        ("sum", [True], {"error": "args are numbers"}),
        ("sqrt", [], {"error": "sqrt takes 1 numbers, not 0"}),
        ("delay", [11], {"error": "a delay is from 0 to 10 seconds"}),
    ],
)
async def test_a_request_has_a_result_or_an_error(name: str, args: Any, answer: Any) -> None:
    async with connected(Calculator) as stream:
        await channel(stream).send({"id": 7, "op": name, "args": args})
        assert await channel(stream).receive() == {"id": 7, **answer}


async def test_who_waits_holds_up_nobody_else(autojump_clock: MockClock) -> None:
    async with serving(Calculator) as server:
        patient = channel(await server.connect())
        await patient.send({"id": 1, "op": "delay", "args": [10]})
        await patient.send({"id": 2, "op": "add", "args": [1, 1]})
        other = channel(await server.connect())
        await other.send({"id": 3, "op": "add", "args": [2, 2]})
        assert await other.receive() == {"id": 3, "result": 4}
        assert trio.current_time() == 0
        assert await patient.receive() == {"id": 1, "result": 10}
        assert await patient.receive() == {"id": 2, "result": 2}
        assert trio.current_time() == 10


async def test_what_is_no_json_gets_a_last_word() -> None:
    good = b'{"id": 1, "op": "sum", "args": [1, 2]}\n'
    async with connected(Calculator) as stream, peer(stream) as p:
        await p.send(good + b"hello\n" + good)
        await p.expect(b'{"id":1,"result":3}\n')
        await p.expect_line('{"error":"not JSON.*"}', newline=b"\n")
        await p.expect_eof()


async def test_a_drain_waits_for_an_answer(autojump_clock: MockClock) -> None:
    async with serving(Calculator) as server, peer(await server.connect()) as p:
        await p.send(b'{"id": 1, "op": "delay", "args": [5]}\n')
        await p.expect_nothing(1)
        server.server.stop()
        await p.expect(b'{"id":1,"result":5}\n')
        await p.expect_eof()
