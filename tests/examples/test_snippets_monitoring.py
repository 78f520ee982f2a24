"""The code that the page on monitoring shows does what the page says."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.request import urlopen

import pytest
import trio
import trio.testing

from examples.echo import Echo
from tests.examples.snippets_monitoring import (
    TopTalkers,
    report_every_minute,
    serve_and_log,
    serve_and_watch,
    serve_for_opentelemetry,
    serve_for_prometheus,
    show_the_longest_silent,
    turn_away,
)
from tests.ports import free_port
from trioproto import Factory, Server, TCPAddress, open_server
from trioproto.testing import Harness

LOOPBACK = "tcp:0:interface=127.0.0.1"


@asynccontextmanager
async def in_the_background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def echo_once(server: Server[Any]) -> None:
    (address,) = server.addresses
    assert isinstance(address, TCPAddress)
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        await stream.send_eof()
        assert await stream.receive_some() == b""


async def test_statistics_are_printed(
    autojump_clock: trio.testing.MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_server(Factory(Echo), LOOPBACK) as server:
        await echo_once(server)
        async with in_the_background(partial(report_every_minute, server)):
            await trio.sleep(61)
    assert capsys.readouterr().out == ("0 of 1 connections are open\n1 ended with ConnectionDone\n")


def test_the_longest_silent_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    factory: Factory[Any] = Factory(Echo)
    harnesses = [Harness(factory, peer=TCPAddress("192.0.2.1", port)) for port in range(1000, 1012)]
    for seconds, harness in enumerate(harnesses):
        harness.connect()
        harness.advance(seconds)
    show_the_longest_silent(factory)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0] == "tcp:192.0.2.1:1011 examples.echo.Echo open, silent for 11 s"


async def test_a_subscriber_hears_how_much_each_host_has_sent() -> None:
    talkers = TopTalkers()
    factory: Factory[Any] = Factory(Echo)
    with factory.subscribe(talkers.hear):
        for host, size in (("192.0.2.1", 3), ("192.0.2.2", 5), ("192.0.2.1", 4)):
            harness = Harness(factory, peer=TCPAddress(host, 1))
            harness.connect()
            harness.feed(b"x" * size)
            harness.feed_eof()
    assert talkers.sent.most_common() == [("192.0.2.1", 7), ("192.0.2.2", 5)]


async def test_a_server_can_be_watched() -> None:
    """What is heard is told above."""
    async with in_the_background(partial(serve_and_watch, TopTalkers())):
        pass


def test_some_hosts_are_turned_away() -> None:
    factory: Factory[Any] = Factory(Echo)
    turn_away({"192.0.2.1"}, factory)
    banned = Harness(factory, peer=TCPAddress("192.0.2.1", 1))
    other = Harness(factory, peer=TCPAddress("192.0.2.2", 1))
    banned.connect()
    other.connect()
    assert banned.lost
    other.feed(b"hello")
    assert other.take() == b"hello"


async def test_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    factory: Factory[Any] = Factory(Echo)
    async with in_the_background(partial(serve_and_log, factory)):
        await echo_once(factory.server)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("listening on tcp:127.0.0.1:")
    assert not any("closed" in line for line in lines)


async def test_prometheus_reads_over_http() -> None:
    """From a thread of its own, while the server serves."""
    port = free_port()
    factory: Factory[Any] = Factory(Echo)

    def scrape() -> str:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read(), "utf-8")

    async with in_the_background(partial(serve_for_prometheus, factory, port)):
        await echo_once(factory.server)
        await trio.testing.wait_all_tasks_blocked()
        text = await trio.to_thread.run_sync(scrape)
    assert 'trioproto_received_bytes_total{server="echo"} 5.0' in text


async def test_a_server_is_observed() -> None:
    """What the SDK then collects is told in the tests of the exporter."""
    factory: Factory[Any] = Factory(Echo)
    async with in_the_background(partial(serve_for_opentelemetry, factory)):
        await echo_once(factory.server)
