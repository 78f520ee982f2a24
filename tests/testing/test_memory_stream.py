"""Memory streams: they are streams by trio's rules, and behave as TCP's do."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable
from errno import ECONNRESET
from functools import partial
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import (
    MockClock,
    check_half_closeable_stream,
    check_two_way_stream,
    wait_all_tasks_blocked,
)

from trioproto import TCPAddress
from trioproto.testing import Faults, MemoryStream, PlainMemoryStream, memory_stream_pair

ALICE = TCPAddress("192.0.2.1", 1025)
BOB = TCPAddress("192.0.2.2", 25)


# Trio's rules


async def make() -> tuple[MemoryStream, MemoryStream]:
    return memory_stream_pair(capacity=1000)


async def make_clogged() -> tuple[MemoryStream, MemoryStream]:
    pair = memory_stream_pair(capacity=10)
    for stream in pair:
        await stream.send_all(b"x" * 10)
    return pair


async def test_it_is_a_half_closeable_stream_by_trios_rules() -> None:
    await check_half_closeable_stream(make, make_clogged)


async def test_without_bound_it_is_one_too() -> None:
    async def make_unbounded() -> tuple[MemoryStream, MemoryStream]:
        return memory_stream_pair(capacity=None)

    await check_half_closeable_stream(make_unbounded, None)


async def test_one_that_cannot_half_close_is_a_stream_by_trios_rules() -> None:
    async def make_plain() -> tuple[MemoryStream, PlainMemoryStream]:
        return memory_stream_pair(half_close=False)

    async def make_plain_clogged() -> tuple[MemoryStream, PlainMemoryStream]:
        pair = memory_stream_pair(half_close=False, capacity=3)
        for stream in pair:
            await stream.send_all(b"xxx")
        return pair

    await check_two_way_stream(make_plain, make_plain_clogged)
    _, server = memory_stream_pair(half_close=False)
    assert not isinstance(server, trio.abc.HalfCloseableStream)


@pytest.mark.parametrize("faults", [Faults(reads=(1,), writes=(2,)), Faults(delays=(0.1, 0))])
async def test_faults_that_lose_nothing_break_no_rule(
    autojump_clock: MockClock, faults: Faults
) -> None:
    async def make_faulty() -> tuple[MemoryStream, MemoryStream]:
        return memory_stream_pair(to_server=faults, to_client=faults, capacity=200_000)

    client, server = await make_faulty()
    data = bytes(range(200)) * 5

    async def send() -> None:
        await client.send_all(data)
        await client.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        assert await read_all(server) == data


# Bytes, and room for them


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    received = bytearray()
    while data := await stream.receive_some():
        received += data
    return bytes(received)


async def finishes(call: Callable[[], Awaitable[object]]) -> bool:
    """Whether a call finishes without anything else that happens; else it is cancelled."""
    done = False
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            nonlocal done
            await call()
            done = True

        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return done


@pytest.mark.parametrize(("size", "fits"), [(9, True), (10, True), (11, False)])
async def test_as_much_as_the_capacity_can_wait_to_be_read(size: int, fits: bool) -> None:
    client, server = memory_stream_pair(capacity=10)
    assert await finishes(partial(client.send_all, b"x" * size)) == fits
    assert client.unread_by_peer == server.unread == min(size, 10)
    assert server.unread_by_peer == client.unread == 0


@pytest.mark.parametrize(("waiting", "room"), [(9, True), (10, False)])
async def test_one_waits_for_room_for_a_byte(waiting: int, room: bool) -> None:
    client, _ = memory_stream_pair(capacity=10)
    await client.send_all(b"x" * waiting)
    assert await finishes(client.wait_send_all_might_not_block) == room


async def test_a_stalled_reader_keeps_the_sender_waiting_until_it_reads() -> None:
    client, server = memory_stream_pair(capacity=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, bytes(range(25)))
        await wait_all_tasks_blocked()
        assert await server.receive_some(3) == bytes(range(3))
        await wait_all_tasks_blocked()
        assert server.unread == 10
        assert await server.receive_some() == bytes(range(3, 13))
        await wait_all_tasks_blocked()
        assert await server.receive_some() == bytes(range(13, 23))
    assert await server.receive_some() == bytes(range(23, 25))


async def test_without_bound_all_is_taken_at_once() -> None:
    client, server = memory_stream_pair(capacity=None)
    await client.send_all(bytes(1 << 20))
    assert server.unread == 1 << 20


async def test_whole_items_of_any_buffer_are_sent() -> None:
    client, server = memory_stream_pair(capacity=5)
    numbers = array("i", [1, 2, 3])
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, memoryview(numbers))
        while len(received) < 12:
            chunk = await server.receive_some()
            assert len(chunk) <= 5
            received += chunk
    assert received == numbers.tobytes()


async def test_what_was_sent_does_not_change_with_the_senders_buffer() -> None:
    client, server = memory_stream_pair()
    buffer = bytearray(b"before")
    await client.send_all(buffer)
    buffer[:] = b"after!"
    assert await server.receive_some() == b"before"


async def test_wrong_arguments_are_refused_and_do_no_harm() -> None:
    client, server = memory_stream_pair()
    with pytest.raises(TypeError):
        await client.send_all("text")  # type: ignore[arg-type]
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_bytes must be at least 1"):
            await server.receive_some(wrong)
    with pytest.raises(TypeError, match="max_bytes"):
        await server.receive_some("1")  # type: ignore[arg-type]
    await client.send_all(b"x")
    assert await server.receive_some(1) == b"x"


@pytest.mark.parametrize("capacity", [0, -1])
async def test_there_must_be_room_for_a_byte(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1 byte"):
        memory_stream_pair(capacity=capacity)


async def test_each_end_knows_both_addresses() -> None:
    client, server = memory_stream_pair(peer=ALICE, local=BOB)
    assert (client.local, client.peer) == (ALICE, BOB)
    assert (server.local, server.peer) == (BOB, ALICE)
    assert repr(server) == "<MemoryStream tcp:192.0.2.2:25 to tcp:192.0.2.1:1025>"
    await server.aclose()
    assert "closed" in repr(server)


# What the network does


async def test_bytes_are_read_in_the_sizes_that_were_said() -> None:
    client, server = memory_stream_pair(to_server=Faults(reads=(1, 2)))
    await client.send_all(b"abcdefg")
    chunks = [await server.receive_some() for _ in range(5)]
    assert chunks == [b"a", b"bc", b"d", b"ef", b"g"]
    await client.send_all(b"xyz")
    assert await server.receive_some(1) == b"x"


async def test_short_writes_let_the_reader_see_the_pieces() -> None:
    client, server = memory_stream_pair(to_server=Faults(writes=(1, 3)))
    chunks = []

    async def read() -> None:
        while data := await server.receive_some():
            chunks.append(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        await client.send_all(b"abcdefgh")
        await client.send_eof()
    assert chunks == [b"a", b"bcd", b"e", b"fgh"]


async def test_short_writes_and_little_room_go_together() -> None:
    client, server = memory_stream_pair(capacity=2, to_server=Faults(writes=(3, 1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"abcdefgh")
        received = b""
        while len(received) < 8:
            received += await server.receive_some()
            assert server.unread <= 2
    assert received == b"abcdefgh"


async def test_bytes_are_under_way_for_their_delay_and_in_order(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair(to_server=Faults(delays=(5, 1)))
    await client.send_all(b"slow")
    await client.send_all(b"fast")
    assert server.unread == 8
    assert await server.receive_some() == b"slowfast"
    assert trio.current_time() == 5


async def test_an_end_is_under_way_too(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair(to_server=Faults(delays=(2,)))
    await client.send_eof()
    assert await server.receive_some() == b""
    assert trio.current_time() == 2


async def test_nothing_arrives_in_a_stall(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair(to_server=Faults(stalls=((3, 10),)))
    await client.send_all(b"abcdef")
    assert await server.receive_some() == b"abc"
    assert trio.current_time() == 0
    assert await server.receive_some() == b"def"
    assert trio.current_time() == 10


@pytest.mark.parametrize("many", [1, 2])
async def test_after_a_drop_nothing_comes_and_nobody_is_told(
    autojump_clock: MockClock, many: int
) -> None:
    client, server = memory_stream_pair(capacity=10, to_server=Faults(drop_after=3))
    for _ in range(many):
        await client.send_all(b"abcde")
    await client.send_eof()
    assert await server.receive_some() == b"abc"
    with trio.move_on_after(1000) as scope:
        await server.receive_some()
    assert scope.cancelled_caught
    await server.send_all(b"still here")
    assert await client.receive_some() == b"still here"


async def test_what_is_dropped_fills_the_senders_buffer() -> None:
    client, _ = memory_stream_pair(capacity=10, to_server=Faults(drop_after=0))
    await client.send_all(b"x" * 10)
    assert not await finishes(partial(client.send_all, b"x"))


@pytest.mark.parametrize(("sent", "breaks"), [(9, False), (10, True), (11, True)])
async def test_it_breaks_both_ways_after_so_many_bytes(sent: int, breaks: bool) -> None:
    client, server = memory_stream_pair(to_server=Faults(reset_after=10))
    await server.send_all(b"before")
    await client.send_all(b"x" * sent)
    assert await server.receive_some() == b"x" * min(sent, 10)
    if not breaks:
        await server.send_all(b" and after")
        assert await client.receive_some() == b"before and after"
        return
    assert await client.receive_some() == b"before"
    for stream in (client, server):
        await check_broken(stream, ECONNRESET)


async def test_a_break_loses_what_is_under_way_the_other_way(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair(
        to_server=Faults(reset_after=1), to_client=Faults(delays=(0, 5))
    )
    await server.send_all(b"arrived")
    await server.send_all(b"late")
    await client.send_all(b"x")
    await trio.sleep(10)
    assert await client.receive_some() == b"arrived"
    await check_broken(client, ECONNRESET)


async def test_a_break_reaches_everybody_at_its_time(autojump_clock: MockClock) -> None:
    """The bytes before it are under way, and so is it: who waits at either end waits till then."""
    times: dict[str, float] = {}

    async def note(name: str, call: Callable[[], Awaitable[object]]) -> None:
        try:
            while True:
                await call()
        except trio.BrokenResourceError:
            times[name] = trio.current_time()

    client, server = memory_stream_pair(
        capacity=100, to_server=Faults(delays=(3,), reset_after=50), to_client=Faults(drop_after=0)
    )
    await server.send_all(bytes(100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, "server sends", partial(server.send_all, b"x"))
        nursery.start_soon(note, "server receives", server.receive_some)
        nursery.start_soon(note, "client receives", client.receive_some)
        await wait_all_tasks_blocked()
        await client.send_all(bytes(60))
        await client.send_all(bytes(30))
        assert times == {}
    assert times == dict.fromkeys(("server sends", "server receives", "client receives"), 3)
    await check_broken(client, ECONNRESET)


@given(st.integers(0, 1000), st.integers(1, 50))
def test_whatever_the_network_does_all_bytes_come_in_order(seed: int, capacity: int) -> None:
    random = Random(seed)
    sent = {name: random.randbytes(random.randint(0, 100)) for name in ("client", "server")}
    received: dict[str, bytes] = {}

    async def send(name: str, stream: MemoryStream) -> None:
        rest = sent[name]
        while rest:
            size = random.randint(1, 30)
            await stream.send_all(rest[:size])
            rest = rest[size:]
        await stream.send_eof()

    async def receive(name: str, stream: MemoryStream) -> None:
        received[name] = await read_all(stream)

    async def talk() -> None:
        client, server = memory_stream_pair(
            capacity=capacity,
            to_server=Faults.from_seed(seed, size=50),
            to_client=Faults.from_seed(seed + 1, size=50),
        )
        async with trio.open_nursery() as nursery:
            for name, stream in (("client", client), ("server", server)):
                nursery.start_soon(send, name, stream)
            nursery.start_soon(receive, "client", server)
            nursery.start_soon(receive, "server", client)

    trio.run(talk, clock=MockClock(autojump_threshold=0))
    assert received == sent


# Ends


async def check_broken(stream: MemoryStream, errno: int) -> None:
    """See that it can neither receive nor send, and why."""
    calls: list[Callable[[], Awaitable[object]]] = [
        stream.receive_some,
        partial(stream.send_all, b"x"),
        stream.wait_send_all_might_not_block,
        stream.send_eof,
    ]
    for call in calls:
        with pytest.raises(trio.BrokenResourceError) as caught:
            await call()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert caught.value.__cause__.errno == errno


async def check_closed(stream: MemoryStream) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        stream.receive_some,
        partial(stream.send_all, b"x"),
        stream.wait_send_all_might_not_block,
        stream.send_eof,
    ]
    for call in calls:
        with pytest.raises(trio.ClosedResourceError):
            await call()


async def test_a_reset_comes_after_what_has_arrived() -> None:
    client, server = memory_stream_pair()
    await client.send_all(b"arrived")
    client.reset()
    assert await server.receive_some(3) == b"arr"
    assert await server.receive_some() == b"ived"
    await check_broken(server, ECONNRESET)
    await check_closed(client)


async def test_a_reset_loses_what_is_under_way(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair(to_server=Faults(delays=(0, 5)))
    await client.send_all(b"arrived")
    await client.send_all(b"lost")
    client.reset()
    assert await server.receive_some() == b"arrived"
    await check_broken(server, ECONNRESET)
    assert trio.current_time() == 0


async def test_a_reset_wakes_who_waits_at_the_other_end() -> None:
    client, server = memory_stream_pair(capacity=5)
    await server.send_all(b"xxxxx")

    async def fails(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await call()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, partial(server.send_all, b"y"))
        nursery.start_soon(fails, server.receive_some)
        await wait_all_tasks_blocked()
        client.reset()


async def test_after_closing_the_other_end_reads_all_and_eof_and_cannot_send() -> None:
    client, server = memory_stream_pair()
    await client.send_all(b"bye")
    await client.aclose()
    assert [await server.receive_some() for _ in range(3)] == [b"bye", b"", b""]
    await check_closed(client)


async def test_what_is_sent_to_an_end_that_has_closed_resets_the_connection() -> None:
    client, server = memory_stream_pair()
    await client.aclose()
    await server.send_all(b"nobody reads this")
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            await server.send_all(b"x")
    assert await server.receive_some() == b""


async def test_one_may_end_the_own_side_after_the_other_end_has_closed() -> None:
    client, server = memory_stream_pair()
    await client.aclose()
    await server.send_eof()
    await server.aclose()


async def test_who_closes_with_something_unread_resets_as_tcp_does() -> None:
    client, server = memory_stream_pair()
    await server.send_all(b"unread")
    await client.aclose()
    await check_broken(server, ECONNRESET)


async def test_what_has_not_arrived_is_not_unread(autojump_clock: MockClock) -> None:
    client, server = memory_stream_pair(to_client=Faults(delays=(1,)))
    await server.send_all(b"under way")
    await client.aclose()
    assert await server.receive_some() == b""


async def test_an_end_that_has_arrived_is_not_undone_by_a_reset() -> None:
    client, server = memory_stream_pair()
    await server.send_all(b"unread")
    await client.send_all(b"reply")
    await client.send_eof()
    await client.aclose()
    assert [await server.receive_some() for _ in range(2)] == [b"reply", b""]
    with pytest.raises(trio.BrokenResourceError):
        await server.send_all(b"x")


async def test_a_tail_is_lost_if_one_closes_with_something_unread(
    autojump_clock: MockClock,
) -> None:
    """For which servers linger: they have said all, but not heard all."""
    client, server = memory_stream_pair(to_client=Faults(delays=(1,)))
    await client.send_all(b"more")
    await server.send_all(b"tail")
    await server.send_eof()
    await server.aclose()
    await check_broken(client, ECONNRESET)


async def test_closing_by_force_resets() -> None:
    client, server = memory_stream_pair()
    await client.send_all(b"x")
    await trio.aclose_forcefully(client)
    assert await server.receive_some() == b"x"
    await check_broken(server, ECONNRESET)
    await check_closed(client)


async def test_closing_by_force_after_the_own_end_does_not(autojump_clock: MockClock) -> None:
    """What was said before is still under way."""
    client, server = memory_stream_pair(to_server=Faults(delays=(1,)))
    await client.send_all(b"bye")
    await client.send_eof()
    await trio.aclose_forcefully(client)
    assert [await server.receive_some() for _ in range(2)] == [b"bye", b""]


async def test_an_end_can_be_sent_twice_and_the_other_way_goes_on() -> None:
    client, server = memory_stream_pair()
    await client.send_eof()
    await client.send_eof()
    for call in (partial(client.send_all, b"x"), client.wait_send_all_might_not_block):
        with pytest.raises(trio.ClosedResourceError, match="EOF was sent"):
            await call()
    await server.send_all(b"still here")
    assert await client.receive_some() == b"still here"


async def test_closing_again_does_nothing() -> None:
    client, server = memory_stream_pair()
    await client.aclose()
    client.reset()
    await trio.aclose_forcefully(client)
    assert await server.receive_some() == b""


# Waiting for the reader


async def test_one_can_wait_until_all_is_read() -> None:
    client, server = memory_stream_pair()
    assert await finishes(client.wait_all_read)
    await client.send_all(b"abc")
    for _ in range(3):
        assert not await finishes(client.wait_all_read)
        await server.receive_some(1)
    assert await finishes(client.wait_all_read)


async def test_an_end_has_to_be_read_too() -> None:
    client, server = memory_stream_pair()
    await client.aclose()
    assert not await finishes(client.wait_all_read)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.wait_all_read)
        await wait_all_tasks_blocked()
        assert await server.receive_some() == b""


@pytest.mark.parametrize("crashes", [True, False])
async def test_who_has_gone_is_not_waited_for(crashes: bool) -> None:
    client, server = memory_stream_pair()
    await client.send_all(b"abc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.wait_all_read)
        await wait_all_tasks_blocked()
        if crashes:
            server.reset()
        else:
            nursery.start_soon(server.aclose)


async def test_a_break_to_come_is_waited_for(autojump_clock: MockClock) -> None:
    client, _ = memory_stream_pair(to_server=Faults(delays=(7,), reset_after=3))
    await client.send_all(b"abc")
    await client.wait_all_read()
    assert trio.current_time() == 7


# Cancellation


async def test_a_cancelled_receive_loses_nothing() -> None:
    client, server = memory_stream_pair()
    assert not await finishes(server.receive_some)
    await client.send_all(b"abc")
    with trio.CancelScope() as scope:
        scope.cancel()
        await server.receive_some()
    assert scope.cancelled_caught
    assert await server.receive_some() == b"abc"


async def test_a_receive_that_is_cancelled_as_bytes_come_loses_nothing() -> None:
    client, server = memory_stream_pair()
    received: list[bytes] = []
    scope = trio.CancelScope()

    async def receive() -> None:
        with scope:
            received.append(await server.receive_some())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        await client.send_all(b"abc")
        scope.cancel()
    if not received:
        received.append(await server.receive_some())
    assert received == [b"abc"]


async def test_a_cancelled_send_has_sent_a_beginning_and_the_stream_goes_on() -> None:
    client, server = memory_stream_pair(capacity=3)
    assert not await finishes(partial(client.send_all, b"abcdef"))
    assert await server.receive_some() == b"abc"
    await client.send_all(b"new")
    assert await server.receive_some() == b"new"


async def test_a_send_that_is_cancelled_before_it_begins_sends_nothing() -> None:
    client, server = memory_stream_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.send_all(b"abc")
    assert scope.cancelled_caught
    assert server.unread == 0


async def test_a_cancelled_end_is_none() -> None:
    client, server = memory_stream_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.send_eof()
    await client.send_all(b"abc")
    assert await server.receive_some() == b"abc"


async def test_cancelled_at_any_time_it_delivers_what_was_taken(autojump_clock: MockClock) -> None:
    """A sender and a reader that are cancelled again and again lose no byte between them."""
    random = Random(1)
    client, server = memory_stream_pair(
        capacity=7, to_server=Faults(reads=(2, 3), writes=(3, 1), delays=(0.3, 0.1))
    )
    received = bytearray()
    done = 0
    data = bytes(range(256))

    async def send() -> None:
        nonlocal done
        while done < len(data):
            before = client.unread_by_peer + len(received)
            with trio.move_on_after(random.choice((0, 0.05, 0.4))):
                await client.send_all(data[done : done + 10])
            done += client.unread_by_peer + len(received) - before

    async def receive() -> None:
        while len(received) < len(data):
            with trio.move_on_after(random.choice((0, 0.05, 0.4))):
                received.extend(await server.receive_some())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(receive)
    assert received == data


@pytest.mark.parametrize("way", ["send", "receive"])
async def test_after_an_error_the_next_call_is_not_told_to_be_busy(way: str) -> None:
    client, server = memory_stream_pair()
    client.reset()
    call = partial(server.send_all, b"x") if way == "send" else server.receive_some
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            await call()
