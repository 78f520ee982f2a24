"""Is a layer right, however its bytes arrive?

A layer that passes when each flight of a handshake comes whole may still fail
when one is cut, when the first data comes in the same chunk as the last of the
handshake, when something follows the end, or when a byte was changed on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.layer import Layer
from trioproto.testing.failures import tells_all
from trioproto.testing.layer_talk import LayerTalk, at, changing
from trioproto.testing.partitions import bytewise, cuts, halves
from trioproto.testing.watched_layer import WatchedLayer

__tracebackhide__ = tells_all

MESSAGES = (b"a", b"hello\r\n", bytes(range(256)))
"""What the ends of a pair say to each other."""
_LARGE = bytes(range(251)) * 300
"""More than a record of TLS, or a read."""
_PLACES = 60
"""Places at which the bytes of each direction are cut, or changed."""


@dataclass(frozen=True)
class LayerCase:
    """Bytes that one layer receives and sends, and what must come of them.

    Attributes:
        received: what comes from below.
        up: what goes up of it.
        output: what the layer says itself, before and meanwhile.
        ended: whether the peer has ended its side in it.
        error: the type of what ends the layer, after ``up`` has gone up.
        sent: what is sent from above when all was received.
        down: what goes down of that.
        end: what then ends our side.
    """

    received: bytes
    up: bytes = b""
    output: bytes = b""
    ended: bool = False
    error: type[ConnectionClosed] | None = None
    sent: bytes = b""
    down: bytes = b""
    end: bytes = b""


def verify_layer(layer_factory: Callable[[], Layer], cases: Iterable[LayerCase]) -> None:
    """Try each case in every way in which its bytes may arrive.

    ::

        verify_layer(
            lambda: Knock("secret"),
            [
                LayerCase(b"secret hello", up=b"hello", output=b"who?"),
                LayerCase(b"sesame hello", output=b"who?", error=HandshakeFailed),
            ],
        )

    The ways, in this order:

    * ``whole``: in one chunk; then something is sent, and our side ended;
    * ``byte by byte``;
    * ``at every split``: cut in two at every place (of more than 60 bytes, at
      60 places);
    * ``after the end``: more comes, and nothing goes up.

    The layer is used as a connection uses it, and held to the contract of
    :class:`~trioproto.layers.Layer` at each call: nothing goes up before it is
    ``ready``; ``news`` tells of each change, and of ``output``, which is returned
    once; what is set stays set; only ``ConnectionClosed`` is raised, and
    ``HandshakeFailed`` before it was ready.

    Args:
        layer_factory: makes a new layer: a class, or a function.
        cases: at least one.

    Raises:
        VerificationFailed: something else came; the first that was found.
        ValueError: there is no case.
    """
    cases = list(cases)
    if not cases:
        raise ValueError("there is no case to verify")
    for case in cases:
        _verify_case(layer_factory, case)


def _verify_case(make: Callable[[], Layer], case: LayerCase) -> None:
    data = case.received
    _receive(WatchedLayer(make(), "whole"), case, [data] if data else [], send=True)
    if not data:
        return
    _receive(WatchedLayer(make(), "byte by byte"), case, bytewise(data))
    for place in cuts(len(data), most=_PLACES):
        _receive(WatchedLayer(make(), "at every split"), case, halves(data, place))
    if case.ended or case.error is not None:
        end = WatchedLayer(make(), "after the end")
        _receive(end, case, [data])
        end.feed([data, *bytewise(data)])
        _check_case(end, case)


def _receive(
    end: WatchedLayer, case: LayerCase, pieces: Sequence[bytes], *, send: bool = False
) -> None:
    end.begin()
    end.feed(pieces)
    _check_case(end, case)
    end.check("not what it was to say itself", end.take(), case.output)
    if send and case.sent:
        end.send(case.sent)
        end.check("not what was to go down", end.take(), case.down)
    if send and case.error is None:
        end.end()
        end.check("not what was to end our side", end.take(), case.end)


def _check_case(end: WatchedLayer, case: LayerCase) -> None:
    end.check("not what was to go up", end.up, case.up)
    end.check("`ended` is wrong", end.layer.ended, case.ended)
    came = None if end.reason is None else type(end.reason)
    end.check("not the reason for which it was to end", came, case.error)


# Two of them


def verify_layer_pair(
    pair_factory: Callable[[], tuple[Layer, Layer]], messages: Sequence[bytes] = MESSAGES
) -> None:
    """Have the two sides of a layer talk, in every way in which their bytes may arrive.

    ::

        verify_layer_pair(lambda: (Knock.client("secret"), Knock.server("secret")))

    The ways, in this order:

    * ``whole``: after the handshake each side says each message, and then ends,
      the client first;
    * ``byte by byte``;
    * ``at every split``: the bytes of each direction are cut in two at every place
      (of more than 60 bytes, at 60 places);
    * ``many at once``: all messages, and one of 75 KB, come in one chunk with the
      end of the handshake, and with that of the side; from the client, then
      from the server;
    * ``both at once``: both say and end the same, without waiting for each other;
    * ``after the end``: more comes, and nothing goes up;
    * ``with a changed byte``: at every place in turn (or at 60 of each
      direction). Then any bytes may come, or the layer ends.

    Everything must arrive, in order, and nothing else; a layer with ``marks_end``
    must see the other's end. Each side is held to the contract as by
    :func:`verify_layer`.

    Args:
        pair_factory: makes a new client's side, and a new server's.
        messages: what each says to the other.

    Raises:
        VerificationFailed: something else came; the first that was found.
    """
    sizes = LayerTalk(pair_factory, "whole").hold(messages)
    LayerTalk(pair_factory, "byte by byte", lambda _, data: bytewise(data)).hold(messages)
    for side, size in enumerate(sizes):
        for place in cuts(size, most=_PLACES):
            LayerTalk(pair_factory, "at every split", at(place), side).hold(messages)
    for side in range(2):
        LayerTalk(pair_factory, "many at once").hold_at_once([*messages, _LARGE], side)
    LayerTalk(pair_factory, "both at once").hold_both(messages)
    for side in range(2):
        LayerTalk(pair_factory, "after the end").hold_more(messages, side)
    for side, size in enumerate(sizes):
        for place in cuts(size, most=_PLACES):
            LayerTalk(pair_factory, "with a changed byte", changing(place), side).hold_broken(
                messages
            )
