"""The other end of a connection: as the suite of conformance has it."""

from trioproto.testing.conformance.peer import Ending, Peer, PeerWasReset

__all__ = ["Ending", "Peer", "PeerWasReset"]
