"""The chat, with peers who come, talk, stall and leave in any order."""

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from examples.chat import Chat, ChatFactory
from trioproto.errors import ConnectionClosed, ConnectionLost
from trioproto.testing.stateful import Peer, ProtocolMachine


class ChatMachine(ProtocolMachine[ChatFactory]):
    """Who has a name has got each line of the others once, and in order."""

    messages = st.sampled_from([b"Anna\n", b"Ben\n", b"hello\r\n"])

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[Peer, str] = {}
        self.told: dict[Peer, bytes] = {}

    def make_factory(self) -> ChatFactory:
        return ChatFactory()

    def on_connected(self, peer: Peer) -> None:
        self.told[peer] = b"What is your name?\r\n"

    def on_sent(self, peer: Peer, message: bytes) -> None:
        text = message.decode().strip()
        if peer in self.names:
            self.tell_others(peer, f"<{self.names[peer]}> {text}")
        elif text in self.names.values():
            self.tell(peer, "That name is taken. What is your name?")
        else:
            self.names[peer] = text
            self.tell(peer, f"Welcome, {text}! Here are: {', '.join(self.names.values())}")
            self.tell_others(peer, f"* {text} has come")

    def on_lost(self, peer: Peer) -> None:
        if peer in self.names:
            self.tell_others(peer, f"* {self.names.pop(peer)} has left")

    def tell(self, peer: Peer, text: str) -> None:
        if peer.open:
            self.told[peer] += text.encode() + b"\r\n"

    def tell_others(self, speaker: Peer, text: str) -> None:
        for peer in self.names:
            if peer is not speaker:
                self.tell(peer, text)

    def check(self) -> None:
        for peer, told in self.told.items():
            peer.check_received(told)


TestChat = ChatMachine.TestCase


class ForgetfulChat(Chat):
    """A planted bug: whose connection breaks is not missed."""

    def connection_lost(self, reason: ConnectionClosed) -> None:
        if not isinstance(reason, ConnectionLost):
            super().connection_lost(reason)


class ForgetfulFactory(ChatFactory):
    protocol = ForgetfulChat


class ForgetfulMachine(ChatMachine):
    def make_factory(self) -> ChatFactory:
        return ForgetfulFactory()


def test_a_planted_bug_is_found() -> None:
    to_find_is_enough = settings(derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError, match="has not got what it should"):
        run_state_machine_as_test(ForgetfulMachine, settings=to_find_is_enough)
