"""Cutting a stream of bytes into frames: pure, bounded, linear."""

from trioproto.framing.codec import Codec
from trioproto.framing.line_codec import LineCodec
from trioproto.framing.lines import LineOnlyReceiver, LineReceiver
from trioproto.framing.receiver import FrameReceiver

__all__ = ["Codec", "FrameReceiver", "LineCodec", "LineOnlyReceiver", "LineReceiver"]
