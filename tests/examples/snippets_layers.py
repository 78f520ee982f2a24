"""The layer that the page on testing layers shows."""

from __future__ import annotations

from trioproto.layers import Layer


class Masked(Layer):
    """Each side begins with a byte of its own, and flips the bits of all that follows by it."""

    def __init__(self, ours: int) -> None:
        self.ready = False
        self.ours = ours
        self.theirs = 0
        self.greeting = bytes([ours])

    def output(self) -> bytes:
        greeting, self.greeting = self.greeting, b""
        return greeting

    def receive(self, data: bytes) -> bytes:
        self.news = not self.ready
        if not self.ready:
            self.ready = True
            self.theirs, data = data[0], data[1:]
        return bytes(each ^ self.theirs for each in data)

    def send(self, data: bytes | memoryview) -> bytes:
        return bytes(each ^ self.ours for each in data)
