"""What one connection writes to another one arrives in its order, and nests nothing.

The rule: docs/callbacks.md, One at a time.
"""

from __future__ import annotations

import pytest
import trio

from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving, in_turn


async def test_two_protocols_that_answer_each_other_do_not_nest(serving: Serving) -> None:
    pair: list[Recorder] = []
    depth = 0

    def answer(self: Recorder) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1
        other = pair[1] if self is pair[0] else pair[0]
        other.transport.write(bytes(MORE_THAN_FITS))
        depth -= 1

    acts = {"data_received": answer, "pause_writing": answer}
    pair.extend([Recorder(**acts), Recorder(**acts)])
    factory = in_turn(pair, max_buffered=1 << 30)
    async with serving(factory, small_buffers=True) as service:
        first = await service.connect()
        await service.connect()
        await first.say(b"go")
        assert "pause_writing" in pair[1].heard
        assert "pause_writing" in pair[0].heard


@pytest.mark.parametrize("kind", ["callback", "outside"])
async def test_a_write_to_another_connection_arrives(serving: Serving, kind: str) -> None:
    protocols: list[Recorder] = []

    def broadcast(self: Recorder) -> None:
        for protocol in protocols:
            protocol.transport.write(b"all")

    protocols.extend([Recorder(data_received=broadcast), Recorder()])
    async with serving(in_turn(protocols)) as service:
        peers = [await service.connect() for _ in protocols]
        if kind == "callback":
            await peers[0].send(b"go")
            await peers[0].settle()
        else:
            broadcast(protocols[0])
        for peer in peers:
            assert await peer.receive_exactly(3) == b"all"


async def test_writes_from_many_places_are_neither_lost_nor_reordered(serving: Serving) -> None:
    """Each writer's own lines keep their order, whoever else writes."""
    target = Recorder()

    def tell(self: Recorder) -> None:
        for line in self.chunks[-1].splitlines(keepends=True):
            target.transport.write(line)

    writers = [Recorder(data_received=tell) for _ in range(4)]
    async with serving(in_turn([target, *writers]), small_buffers=True) as service:
        listener = await service.connect()
        talkers = [await service.connect() for _ in writers]
        lines = 100
        for block in range(0, lines, 10):
            for number, talker in enumerate(talkers):
                text = b"".join(b"%d %03d\n" % (number, line) for line in range(block, block + 10))
                await talker.send(text)
            for line in range(block, block + 10):
                target.transport.write(b"%d %03d\n" % (9, line))
        await service.settle()
        received = await listener.receive_exactly(6 * lines * 5)
        for number in (0, 1, 2, 3, 9):
            prefix = b"%d " % number
            own = [line for line in received.splitlines() if line.startswith(prefix)]
            assert own == [b"%d %03d" % (number, line) for line in range(lines)]


@needs(Feature.ASYNC_CODE)
async def test_writes_from_a_task_and_a_callback_keep_their_order(connect: Connecting) -> None:
    async def count(self: Recorder) -> None:
        for number in range(50):
            self.transport.write(b"%03d" % number)
            await trio.lowlevel.checkpoint()

    protocol = Recorder(data_received=lambda self: self.transport.start_soon(count, self))
    async with connect(protocol) as peer:
        await peer.send(b"go")
        expected = b"".join(b"%03d" % number for number in range(50))
        assert await peer.receive_exactly(150) == expected
