"""Examples without async callbacks, with peers who do in any order what peers do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from examples._memcached_store import Store
from examples._smtp_mail import Mail
from examples.limited_echo import TOO_MANY, CountingFactory
from examples.memcached import MemcachedFactory
from examples.portforward import Forwarder, Incoming, Outgoing
from examples.smtp_sink import SMTP, SinkFactory
from trioproto import Protocol
from trioproto.endpoints import parse_client_endpoint
from trioproto.errors import ConnectionAborted, ConnectionDone, ConnectionLost, ServerDraining
from trioproto.testing.stateful import Peer, ProtocolMachine

SHORT = settings(
    deadline=None,
    max_examples=25,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)


# limited_echo, the howto's way


class LimitedEchoMachine(ProtocolMachine[CountingFactory]):
    """The first two are served, and whoever comes while they are there is told so."""

    messages = st.binary(min_size=1, max_size=1)
    limit = 2

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[Peer, bytes] = {}

    def make_factory(self) -> CountingFactory:
        return CountingFactory(self.limit)

    def on_connected(self, peer: Peer) -> None:
        served = len(self.live) <= self.limit
        assert peer.open == served
        self.expected[peer] = b"" if served else TOO_MANY
        peer.check_received(self.expected[peer])

    def on_sent(self, peer: Peer, message: bytes) -> None:
        self.expected[peer] += message

    def check(self) -> None:
        assert self.factory.num_protocols == len(self.live)
        for peer, expected in self.expected.items():
            peer.check_received(expected)


TestLimitedEcho = LimitedEchoMachine.TestCase
TestLimitedEcho.settings = SHORT


# memcached


class MemcachedMachine(ProtocolMachine[MemcachedFactory]):
    """All clients see one dictionary, whose values expire."""

    messages = st.sampled_from(
        [
            b"get a b\r\n",
            b"set a 0 0 3\r\none\r\n",
            b"set a 0 10 4\r\n\r\n\r\n\r\n",
            b"set b 0 0 1 noreply\r\n7\r\n",
            b"add b 0 10 1\r\n5\r\n",
            b"append a 0 0 0\r\n\r\n",
            b"append b 0 0 1\r\n0\r\n",
            b"set b 0 0 1\r\n12\r\n",
            b"incr b 5\r\n",
            b"delete a\r\n",
            b"nonsense\r\n",
            b"quit\r\n",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[Peer, bytes] = {}
        self.values: dict[bytes, tuple[bytes, float]] = {}
        self.left: set[Peer] = set()

    def make_factory(self) -> MemcachedFactory:
        return MemcachedFactory(Store(1 << 20, lambda: self.now))

    def on_connected(self, peer: Peer) -> None:
        self.expected[peer] = b""

    def on_sent(self, peer: Peer, message: bytes) -> None:
        line, _, block = message.partition(b"\r\n")
        name, *args = line.split(b" ")
        if peer in self.left:
            return
        if name == b"quit":
            self.left.add(peer)
            return
        answer: Callable[..., bytes] = getattr(self, "do_" + name.decode(), self.do_not)
        reply = answer(args, block[:-2])
        self.expected[peer] += b"" if b"noreply" in args else reply + b"\r\n"

    def find(self, key: bytes) -> bytes | None:
        value, expires = self.values.get(key, (None, 0.0))
        return value if expires > self.now else None

    def do_get(self, keys: list[bytes], _: bytes) -> bytes:
        found = [(key, value) for key in keys if (value := self.find(key)) is not None]
        return b"".join(b"VALUE %b 0 %d\r\n%b\r\n" % (k, len(v), v) for k, v in found) + b"END"

    def do_set(self, args: list[bytes], block: bytes) -> bytes:
        key, _, expires, size, *_ = args
        if len(block) != int(size):
            return b"CLIENT_ERROR bad data chunk"
        self.values[key] = block, self.now + int(expires) if int(expires) else float("inf")
        return b"STORED"

    def do_add(self, args: list[bytes], block: bytes) -> bytes:
        return b"NOT_STORED" if self.find(args[0]) is not None else self.do_set(args, block)

    def do_append(self, args: list[bytes], block: bytes) -> bytes:
        value = self.find(args[0])
        if value is None:
            return b"NOT_STORED"
        self.values[args[0]] = value + block, self.values[args[0]][1]
        return b"STORED"

    def do_incr(self, args: list[bytes], _: bytes) -> bytes:
        value = self.find(args[0])
        if value is None:
            return b"NOT_FOUND"
        number = b"%d" % (int(value) + int(args[1]))
        self.values[args[0]] = number, self.values[args[0]][1]
        return number

    def do_delete(self, args: list[bytes], _: bytes) -> bytes:
        found = self.find(args[0]) is not None
        self.values.pop(args[0], None)
        return b"DELETED" if found else b"NOT_FOUND"

    def do_not(self, _args: list[bytes], _: bytes) -> bytes:
        return b"ERROR"

    def check(self) -> None:
        for peer, expected in self.expected.items():
            peer.check_received(expected)


TestMemcached = MemcachedMachine.TestCase
TestMemcached.settings = SHORT


# smtp_sink, but for the keeping of mails, which is async


class SyncSMTP(SMTP):
    factory: SyncSinkFactory  # pyright: ignore[reportIncompatibleVariableOverride]

    def mail_received(self, mail: Mail) -> None:  # type: ignore[override]
        self.forget_mail()
        self.factory.mails.append(bytes(mail.text))
        self.send_line(b"250 the mail is accepted")
        self.leave_between_mails()


class SyncSinkFactory(SinkFactory):
    protocol = SyncSMTP

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[bytes] = []


class SMTPMachine(ProtocolMachine[SyncSinkFactory]):
    """Each command has one reply, of the right code; a mail is kept whole, or not at all."""

    BEGIN = (
        b"EHLO client\r\n",
        b"MAIL FROM:<me@example.org>\r\n",
        b"RCPT TO:<you@example.org>\r\n",
        b"DATA\r\n",
    )
    messages = st.sampled_from([*BEGIN, b".\r\n", b"..\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n"])
    ORDER: dict[str, dict[bytes, str]] = {  # noqa: RUF012
        "connected": {},
        "greeted": {b"MAIL": "sender"},
        "sender": {b"RCPT": "recipients"},
        "recipients": {b"RCPT": "recipients", b"DATA": "text"},
    }
    CODES = {b"DATA": b"354", b"QUIT": b"221"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.codes: dict[Peer, list[bytes]] = {}
        self.states: dict[Peer, str] = {}
        self.texts: dict[Peer, bytes] = {}
        self.mails: list[bytes] = []

    def make_factory(self) -> SyncSinkFactory:
        return SyncSinkFactory()

    @rule(peer=ProtocolMachine.peers, text=st.sampled_from([b"..\r\n", b"text\r\n"]))
    def send_most_of_a_mail(self, peer: Peer, text: bytes) -> None:
        """What would hardly ever be sent in this order."""
        for message in (*self.BEGIN, text):
            self.send(peer, message)

    def on_connected(self, peer: Peer) -> None:
        self.codes[peer] = [b"220"]
        self.states[peer] = "connected"

    def on_sent(self, peer: Peer, message: bytes) -> None:
        state = self.states[peer]
        if state == "left":
            return
        if state == "text":
            self.text(peer, message)
            return
        code = self.obey(peer, state, message[:4])
        self.codes[peer].append(code)
        if message.startswith(b"QUIT") or self.drained(peer):
            self.states[peer] = "left"

    def text(self, peer: Peer, line: bytes) -> None:
        if line != b".\r\n":
            self.texts[peer] += line.removeprefix(b".")
            return
        self.mails.append(self.texts[peer])
        self.codes[peer].append(b"250")
        self.states[peer] = "left" if self.drained(peer) else "greeted"

    def in_mail(self, peer: Peer) -> bool:
        return self.states[peer] in ("sender", "recipients", "text")

    def drained(self, peer: Peer) -> bool:
        """Whether it is told to leave now."""
        return peer.draining and not self.in_mail(peer)

    def obey(self, peer: Peer, state: str, name: bytes) -> bytes:
        if name in (b"EHLO", b"RSET"):
            began = name == b"EHLO" or state != "connected"
            self.states[peer] = "greeted" if began else state
        elif name in (b"MAIL", b"RCPT", b"DATA"):
            if name not in self.ORDER[state]:
                return b"503"
            self.states[peer] = self.ORDER[state][name]
            self.texts[peer] = b""
        elif name not in (b"NOOP", b"QUIT"):
            return b"500"
        return self.CODES.get(name, b"250")

    def check(self) -> None:
        assert self.factory.mails == self.mails
        for peer, expected in self.codes.items():
            codes = re.findall(rb"^(\d{3}) .*\n", peer.received, re.MULTILINE)
            if codes[-1:] == [b"421"]:  # a farewell, at a timeout or a drain
                codes.pop()
            assert codes == expected[: len(codes)]
            assert not (self.in_mail(peer) and type(peer.harness.reason) is ServerDraining)
            if peer.open and not peer.harness.transport.buffered:
                assert codes == expected


TestSMTP = SMTPMachine.TestCase
TestSMTP.settings = SHORT


# portforward: whoever comes first is forwarded to who comes next


class Waiting:
    """In place of a nursery: who waits for a connection to the target."""

    def __init__(self) -> None:
        self.clients: list[Incoming] = []

    def start_soon(self, _forward: Any, client: Incoming) -> None:
        self.clients.append(client)


class PairingForwarder(Forwarder):
    def __init__(self) -> None:
        super().__init__(parse_client_endpoint("tcp:192.0.2.1:1"))
        self.tasks = Waiting()  # type: ignore[assignment]
        self.configure(high_water=3, low_water=1, max_buffered=1000)

    def build_protocol(self, peer: object) -> Protocol:
        waiting = self.tasks.clients  # type: ignore[attr-defined]
        while waiting and waiting[0].transport.closing:
            waiting.pop(0)  # its connection to the target would be aborted at once
        return Outgoing(waiting.pop(0)) if waiting else Incoming()


class ForwarderMachine(ProtocolMachine[PairingForwarder]):
    """What one side sends the other has got, in order; and they come to their end together."""

    messages = st.binary(min_size=1, max_size=1)
    leave_out = ("pause_reading", "resume_reading")  # that is what the protocol itself does

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[Peer, bytes] = {}
        self.others: dict[Peer, Peer] = {}

    def make_factory(self) -> PairingForwarder:
        return PairingForwarder()

    def on_connected(self, peer: Peer) -> None:
        self.expected[peer] = b""
        for other in self.live:
            if isinstance(peer.protocol, Outgoing) and peer.protocol.other is other.protocol:
                self.others.update({peer: other, other: peer})

    def on_sent(self, peer: Peer, message: bytes) -> None:
        other = self.others[peer]
        if other.open:
            self.expected[other] += message

    def check(self) -> None:
        for peer, expected in self.expected.items():
            peer.check_received(expected)
        for peer, other in self.others.items():
            if peer.lost:
                self.check_end(peer, other)
            elif not (other.lost or other.ended or peer.draining or other.draining):
                assert other.open  # one direction may end alone
                assert peer.ended or peer.harness.reading or not other.reads

    def check_end(self, peer: Peer, other: Peer) -> None:
        assert not other.open
        if type(peer.harness.reason) is ConnectionLost and not peer.ended:
            assert not other.harness.write_closed  # a reset here is a reset there
        if type(peer.harness.reason) is ConnectionDone:
            assert type(other.harness.reason) is not ConnectionAborted


TestForwarder = ForwarderMachine.TestCase
TestForwarder.settings = SHORT
