"""Cutting a stream of bytes into frames: pure, bounded, linear."""

from trioproto.framing.lines import LineOnlyReceiver, LineReceiver

__all__ = ["LineOnlyReceiver", "LineReceiver"]
