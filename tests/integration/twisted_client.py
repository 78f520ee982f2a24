"""A Twisted client: `python twisted_client.py echo|answer PORT` prints what the server sent.

echo: sends 200 messages of growing size, half-closes, prints how much came back unchanged.
answer: asks the questions on its standard input, one a line, prints the answers.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

reactor: Any = installed_reactor


@implementer(IHalfCloseableProtocol)
class Echoed(Protocol):
    transport: Any
    sent = b"".join(bytes([number]) * number * 10 for number in range(200))

    def connectionMade(self) -> None:
        self.received = bytearray()
        for number in range(200):
            self.transport.write(bytes([number]) * number * 10)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        same = bytes(self.received) == self.sent
        print(len(self.received), "bytes", "unchanged" if same else "changed", flush=True)
        reactor.stop()


class Asker(LineReceiver):
    transport: Any

    def connectionMade(self) -> None:
        self.open = 0
        for line in sys.stdin.buffer.read().splitlines():
            self.sendLine(line)
            self.open += 1

    def lineReceived(self, line: bytes) -> None:
        print(line.decode(), flush=True)
        self.open -= 1
        if not self.open:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        print(type(reason.value).__name__, flush=True)
        reactor.stop()


if __name__ == "__main__":
    factory = ClientFactory.forProtocol({"echo": Echoed, "answer": Asker}[sys.argv[1]])
    reactor.connectTCP("127.0.0.1", int(sys.argv[2]), factory)
    reactor.run()
