"""The pieces of code that the page on monitoring shows.

Each is included from there, and run by ``test_snippets_monitoring.py``.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import trio
from prometheus_client import start_http_server

import trioproto
from examples.echo import Echo
from trioproto import Factory, Server, events
from trioproto.monitoring import opentelemetry, prometheus
from trioproto.monitoring.logging import log_events


async def report_every_minute(server: Server[Any]) -> None:
    while True:
        await trio.sleep(60)
        now = server.statistics()
        print(f"{now.open} of {now.accepted} connections are open")
        for reason, count in now.closed.items():
            print(f"{count} ended with {reason}")


def show_the_longest_silent(server: Server[Any]) -> None:
    for info in sorted(server.connection_info(), key=lambda info: -info.idle_for)[:10]:
        print(f"{info.peer} {info.protocol} {info.state}, silent for {info.idle_for:.0f} s")


class TopTalkers:
    """Knows which hosts have sent most, of those whose connections have ended."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def hear(self, event: events.Event) -> None:
        if isinstance(event, events.Closed) and isinstance(event.peer, trioproto.TCPAddress):
            self.sent[event.peer.host] += event.bytes_received


async def serve_and_watch(talkers: TopTalkers) -> None:
    factory = Factory(Echo)
    with factory.subscribe(talkers.hear):
        await trioproto.serve(factory, "tcp:0:interface=127.0.0.1")


def turn_away(banned: set[str], factory: Factory[Any]) -> trioproto.Subscription:
    """Reset connections of some hosts before their protocols hear of them."""

    def hear(event: events.Event) -> None:
        if not isinstance(event, events.Opened):
            return
        if isinstance(event.peer, trioproto.TCPAddress) and event.peer.host in banned:
            event.transport.abort()

    return factory.subscribe(hear)


async def serve_and_log(factory: Factory[Any]) -> None:
    with log_events(factory, levels={"connection.closed": logging.DEBUG}):
        await trioproto.serve(factory, "tcp:0:interface=127.0.0.1")


async def serve_for_prometheus(factory: Factory[Any], port: int) -> None:
    web, thread = start_http_server(port, "127.0.0.1")
    try:
        with prometheus.export(factory, server="echo"):
            await trioproto.serve(factory, "tcp:0:interface=127.0.0.1")
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


async def serve_for_opentelemetry(factory: Factory[Any]) -> None:
    with opentelemetry.export(factory, server="echo"):
        await trioproto.serve(factory, "tcp:0:interface=127.0.0.1")
