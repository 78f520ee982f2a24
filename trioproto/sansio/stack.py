"""Several layers as one, so that a connection has one layer or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trioproto.sansio.layer import Layer

if TYPE_CHECKING:
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.tls_info import TLSInfo


class Stack(Layer):
    """Layers above each other.

    Args:
        layers: from the stream up; a stack among them stays one of them.
    """

    __slots__ = ("_down", "_up", "news")

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._up = tuple(layers)
        self._down = self._up[::-1]
        self.news = True

    def receive(self, data: bytes) -> bytes:
        """Take what came from below through all of them."""
        self.news = False
        for layer in self._up:
            data = layer.receive(data)
            self.news = self.news or layer.news
            if not data:
                break
        return data

    def send(self, data: bytes | memoryview) -> bytes:
        """Take what comes from above through all of them."""
        for layer in self._down:
            data = layer.send(data)
        assert isinstance(data, bytes)
        return data

    def output(self) -> bytes:
        """Return what they have to say, each one's sent by those below it, once these are ready."""
        speaking: list[Layer] = []
        for layer in self._up:
            speaking.append(layer)
            if not layer.ready:
                break
        data = b""
        for layer in reversed(speaking):
            data = (layer.send(data) if data else b"") + layer.output()
        return data

    def end(self) -> bytes:
        """End our side within each, the topmost first."""
        data = b""
        for layer in self._down:
            data = (layer.send(data) if data else b"") + layer.end()
        return data

    @property
    def ready(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(layer.ready for layer in self._up)

    @property
    def ended(self) -> bool:  # type: ignore[override]
        """Whether the peer has ended its side of the topmost that marks its end."""
        return next((layer.ended for layer in self._down if layer.ended or layer.marks_end), False)

    @property
    def marks_end(self) -> bool:  # type: ignore[override]
        """Whether any does."""
        return any(layer.marks_end for layer in self._up)

    @property
    def half_close(self) -> bool:  # type: ignore[override]
        """Whether all can."""
        return all(layer.half_close for layer in self._up)

    @property
    def failure(self) -> ConnectionClosed | None:  # type: ignore[override]
        """The lowest one's that has failed."""
        return next((layer.failure for layer in self._up if layer.failure is not None), None)

    @property
    def tls(self) -> TLSInfo | None:  # type: ignore[override]
        """The topmost one's that is TLS."""
        return next((layer.tls for layer in self._down if layer.tls is not None), None)


def stacked(*layers: Layer) -> Layer | None:
    """Make one layer of any number; ``None`` of none."""
    if len(layers) < 2:
        return layers[0] if layers else None
    return Stack(layers)


def with_new(layers: Layer, new: Layer) -> Layer:
    """Put a new layer on top of the others, but below the one that stays there."""
    parts = layers._up if isinstance(layers, Stack) else (layers,)
    top = parts[-1]
    return Stack((*parts[:-1], new, top)) if top.stays_on_top else Stack((layers, new))
