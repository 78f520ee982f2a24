"""Help for tests of protocols and codecs; not imported by ``import trioproto``."""

from trioproto.sansio.lifecycle import State
from trioproto.testing.cases import Case
from trioproto.testing.codecs import verify_codec
from trioproto.testing.connected import connected
from trioproto.testing.conversations import verify_protocol
from trioproto.testing.fault_strategies import any_faults, resets, short_writes, stalls
from trioproto.testing.faults import Faults
from trioproto.testing.harness import Harness
from trioproto.testing.held import LeftOverError
from trioproto.testing.link import Link, LinkEnd
from trioproto.testing.memory import MemoryStream, PlainMemoryStream, memory_stream_pair
from trioproto.testing.memory_client import MemoryClientEndpoint
from trioproto.testing.memory_listener import MemoryListener, open_memory_listener
from trioproto.testing.memory_server import MemoryServer
from trioproto.testing.partitions import VerificationFailed
from trioproto.testing.pipe import Pipe
from trioproto.testing.scripted import ScriptedPeer, peer
from trioproto.testing.serving import serving
from trioproto.testing.strategies import chunks, frames
from trioproto.testing.transcript import Transcript, TranscriptError

__all__ = [
    "Case",
    "Faults",
    "Harness",
    "LeftOverError",
    "Link",
    "LinkEnd",
    "MemoryClientEndpoint",
    "MemoryListener",
    "MemoryServer",
    "MemoryStream",
    "Pipe",
    "PlainMemoryStream",
    "ScriptedPeer",
    "State",
    "Transcript",
    "TranscriptError",
    "VerificationFailed",
    "any_faults",
    "chunks",
    "connected",
    "frames",
    "memory_stream_pair",
    "open_memory_listener",
    "peer",
    "resets",
    "serving",
    "short_writes",
    "stalls",
    "verify_codec",
    "verify_protocol",
]
