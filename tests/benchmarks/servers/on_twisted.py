"""Twisted, on the epoll reactor (in a container its default would be another)."""
# ruff: noqa: N802 - Twisted's names

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from twisted.internet import protocol
from twisted.protocols import basic

from .common import BACKLOG, HOST, announce, main


class Echo(protocol.Protocol):
    transport: Any

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Lines(basic.LineReceiver):
    transport: Any

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)  # type: ignore[no-untyped-call]


def serve(what: type[protocol.Protocol]) -> None:
    """Serve one protocol. The reactor is looked up at run time: its type is another on each OS."""
    import_module("twisted.internet.epollreactor").install()
    reactor: Any = import_module("twisted.internet.reactor")
    factory = protocol.Factory.forProtocol(what)
    port = reactor.listenTCP(0, factory, backlog=BACKLOG, interface=HOST)
    announce(port.getHost().port)
    reactor.run()


if __name__ == "__main__":
    main({"echo": partial(serve, Echo), "lines": partial(serve, Lines)})
