"""Peers that speak TLS over another kind of peer, and what both sides trust."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cache
from typing import Any

import trio
import trustme

from trioproto.sansio.addresses import Address
from trioproto.testing.conformance.peer import Peer, PeerWasReset

NAME = "server.example"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(NAME).configure_cert(context)
    return context


@cache
def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


class TLSPeer(Peer):
    """Speaks TLS over *below*; one whom the server turned away hears what that one hears."""

    def __init__(self, below: Peer) -> None:
        self.below = below
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = client_context().wrap_bio(self.incoming, self.outgoing, server_hostname=NAME)
        self.connected = False
        self.ended = False
        self.was_reset = False

    @property
    def stream(self) -> Any:
        return self.below.stream  # type: ignore[attr-defined]

    @property
    def raw(self) -> Any:
        return self.below.raw  # type: ignore[attr-defined]

    @property
    def address(self) -> Address:
        return self.below.address

    @property
    def server_address(self) -> Address:
        return self.below.server_address

    async def handshake(self) -> None:
        try:
            while not self.connected:
                try:
                    self.session.do_handshake()
                    self.connected = True
                except ssl.SSLWantReadError:
                    pass
                await self.below.send(self.outgoing.read())
                if not self.connected:
                    data = await self.below.receive_some()
                    if not data:
                        self.ended = True
                        return
                    self.incoming.write(data)
        except PeerWasReset:
            self.was_reset = True
        except (OSError, trio.BrokenResourceError):
            pass  # the server has gone already

    async def send(self, data: bytes) -> None:
        if self.connected:
            self.session.write(data)
            await self.below.send(self.outgoing.read())

    async def send_eof(self) -> None:
        self._say_farewell()
        with suppress(trio.BrokenResourceError):  # the server has gone already
            await self.below.send(self.outgoing.read())
        await self.below.send_eof()

    async def reset(self) -> None:
        await self.below.reset()

    async def aclose(self) -> None:
        if self.connected and not self.was_reset:
            self._say_farewell()
            try:
                with trio.move_on_after(0):
                    await self.below.send(self.outgoing.read())
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await self.below.aclose()

    def _say_farewell(self) -> None:
        try:
            self.session.unwrap()
        except ssl.SSLError:
            pass  # the server's own has not come yet

    def discard(self) -> None:
        self.below.discard()

    async def receive_some(self) -> bytes:
        if self.was_reset:
            raise PeerWasReset
        while not self.ended:
            if data := self._decrypted():
                return data
            if self.ended:
                break
            data = await self.below.receive_some()
            if not data:
                assert not self.connected, "the server's stream was cut"
                self.ended = True
            self.incoming.write(data)
        return b""

    def take(self) -> bytes:
        if not self.connected:
            return b""
        self.incoming.write(self.below.take())
        received = bytearray()
        while data := self._decrypted():
            received += data
        return bytes(received)

    def _decrypted(self) -> bytes:
        if self.ended or not self.connected:
            return b""
        try:
            data = self.session.read(1 << 16)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            data = b""
        self.ended = not data
        return data
