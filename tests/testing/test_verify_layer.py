"""Layers are verified: those that are right pass, and each defect is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.behaviour.tls_peers import NAME
from tests.testing.record_layers import DEFECTS, HELLO, Records
from tests.tls.client_side import VERSIONS, for_client, for_server
from trioproto import Factory, UnknownAddress
from trioproto.errors import ConnectionClosed, ConnectionLost, HandshakeFailed, MalformedFrame
from trioproto.layers import Layer, TLSLayer, TrafficLog
from trioproto.sansio.stack import Stack
from trioproto.sansio.traffic_recorder import TrafficRecorder
from trioproto.testing import LayerCase, VerificationFailed, verify_layer, verify_layer_pair


class Xor(Layer):
    """Flips bits; ready at once, and with no end."""

    def receive(self, data: bytes) -> bytes:
        return self.send(data)

    def send(self, data: bytes | memoryview) -> bytes:
        return bytes(each ^ 0x55 for each in data)


def recorder() -> Layer:
    here = UnknownAddress("test")
    return TrafficRecorder(TrafficLog(), lambda: 0.0, Factory(), here, here, accepted=True)


def record(data: bytes) -> bytes:
    return Records().record(data)


# A pair


@pytest.mark.parametrize("make", [Records, Xor, recorder])
def test_a_pair_that_is_right_passes(make: Callable[[], Layer]) -> None:
    verify_layer_pair(lambda: (make(), make()))


@pytest.mark.parametrize("version", VERSIONS)
def test_tls_passes(version: str) -> None:
    client, server = for_client(version), for_server(version)
    verify_layer_pair(
        lambda: (
            TLSLayer(client, server_side=False, server_hostname=NAME),
            TLSLayer(server, server_side=True),
        )
    )


def test_a_stack_passes() -> None:
    def stack() -> Layer:
        return Stack((Xor(), Records(), recorder()))

    verify_layer_pair(lambda: (stack(), stack()))


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_pair_with_a_defect_is_found_in_the_way_that_shows_it(defect: type[Records]) -> None:
    with pytest.raises(VerificationFailed) as failed:
        verify_layer_pair(lambda: (defect(), defect()))
    assert failed.value.way == DEFECTS[defect]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_of_one_side_is_found_too(defect: type[Records], side: int) -> None:
    def make() -> tuple[Layer, Layer]:
        return (defect(), Records()) if side == 0 else (Records(), defect())

    with pytest.raises(VerificationFailed):
        verify_layer_pair(make)


def test_a_handshake_that_fails_is_told_with_its_reason() -> None:
    class Different(Records):
        def output(self) -> bytes:
            return super().output().lower()

    with pytest.raises(VerificationFailed, match="the handshake has failed") as failed:
        verify_layer_pair(lambda: (Records(), Different()))
    assert isinstance(failed.value.came, HandshakeFailed)


# Cases


CASES = [
    LayerCase(b"", output=HELLO),
    LayerCase(b"H", output=HELLO),
    LayerCase(HELLO, output=HELLO, sent=b"abc", down=record(b"abc"), end=record(b"")),
    LayerCase(HELLO + record(b"one") + record(b"two"), up=b"onetwo", output=HELLO, end=record(b"")),
    LayerCase(
        HELLO + record(b"one") + record(b""), up=b"one", output=HELLO, ended=True, end=record(b"")
    ),
    LayerCase(HELLO + record(b"one") + b"\0\0x", up=b"one", output=HELLO, error=MalformedFrame),
    LayerCase(HELLO + b"\0\0x", output=HELLO, error=MalformedFrame),
    LayerCase(b"HO", output=HELLO, error=HandshakeFailed),
]


def test_cases_that_are_right_pass() -> None:
    verify_layer(Records, CASES)


@pytest.mark.parametrize(
    "case",
    [
        LayerCase(HELLO + record(b"one"), up=b"on", output=HELLO),
        LayerCase(HELLO, output=b"HO"),
        LayerCase(HELLO, output=HELLO, sent=b"abc", down=b"abc"),
        LayerCase(HELLO, output=HELLO, end=b"x"),
        LayerCase(HELLO + record(b""), output=HELLO, end=record(b"")),
        LayerCase(HELLO + record(b"one"), up=b"one", output=HELLO, ended=True, end=record(b"")),
        LayerCase(HELLO + b"\0\0x", output=HELLO, error=ConnectionLost),
        LayerCase(HELLO + b"\0\0x", output=HELLO, end=record(b"")),
        LayerCase(b"HO", output=HELLO),
        LayerCase(b"HI", output=HELLO, error=HandshakeFailed),
    ],
)
def test_a_case_that_is_not_so_is_told(case: LayerCase) -> None:
    with pytest.raises(VerificationFailed) as failed:
        verify_layer(Records, [*CASES, case])
    assert failed.value.way == "whole"


class LosesWhatCameBefore(Records):
    """Raises at a bad record, and the good ones before it are lost."""

    def broken(self) -> ConnectionClosed:
        raise MalformedFrame("the sum is wrong", 0)


def test_what_came_whole_before_a_bad_byte_must_go_up() -> None:
    case = LayerCase(HELLO + record(b"one") + b"\0\0x", b"one", HELLO, error=MalformedFrame)
    with pytest.raises(VerificationFailed, match="not what was to go up") as failed:
        verify_layer(LosesWhatCameBefore, [case])
    assert failed.value.came == b""
    assert failed.value.expected == b"one"


def test_what_is_said_tells_the_way_and_the_chunks() -> None:
    case = LayerCase(HELLO + record(b"one"), up=b"one", output=HELLO, end=record(b""))

    class ForgetsHalf(Records):
        def receive(self, data: bytes) -> bytes:
            up = super().receive(data)
            self.buffer = b"" if self.ready else self.buffer
            return up

    with pytest.raises(VerificationFailed) as failed:
        verify_layer(ForgetsHalf, [case])
    assert failed.value.way == "byte by byte"
    assert failed.value.chunks == [bytes([each]) for each in case.received]


def test_no_case_is_no_verification() -> None:
    with pytest.raises(ValueError, match="no case"):
        verify_layer(Records, [])
