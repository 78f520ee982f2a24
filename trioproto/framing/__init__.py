"""Cutting a stream of bytes into frames: pure, bounded, linear."""

from trioproto.framing.any_line import AnyLineCodec
from trioproto.framing.codec import Codec
from trioproto.framing.content_length import ContentLengthCodec
from trioproto.framing.dispatch import StateDispatch
from trioproto.framing.fixed import FixedSizeCodec
from trioproto.framing.json_lines import JsonLinesCodec, JsonLinesReceiver
from trioproto.framing.length_field import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    IntNStringReceiver,
    LengthFieldCodec,
    LengthFieldReceiver,
)
from trioproto.framing.line_codec import LineCodec
from trioproto.framing.lines import LineOnlyReceiver, LineReceiver
from trioproto.framing.netstring import NetstringCodec, NetstringReceiver
from trioproto.framing.receiver import FrameReceiver
from trioproto.framing.slip import SlipCodec
from trioproto.framing.stateful import State, StatefulProtocol
from trioproto.framing.varint import VarintCodec, VarintReceiver

__all__ = [
    "AnyLineCodec",
    "Codec",
    "ContentLengthCodec",
    "FixedSizeCodec",
    "FrameReceiver",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "JsonLinesCodec",
    "JsonLinesReceiver",
    "LengthFieldCodec",
    "LengthFieldReceiver",
    "LineCodec",
    "LineOnlyReceiver",
    "LineReceiver",
    "NetstringCodec",
    "NetstringReceiver",
    "SlipCodec",
    "State",
    "StateDispatch",
    "StatefulProtocol",
    "VarintCodec",
    "VarintReceiver",
]
