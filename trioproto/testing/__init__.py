"""Help for tests of protocols and codecs; not imported by ``import trioproto``."""

from trioproto.sansio.lifecycle import State
from trioproto.testing.codec_cases import Case
from trioproto.testing.codec_verifier import verify_codec
from trioproto.testing.connected import connected
from trioproto.testing.failures import TranscriptError, VerificationFailed
from trioproto.testing.fault_strategies import any_faults, resets, short_writes, stalls
from trioproto.testing.faults import Faults
from trioproto.testing.harness import Harness
from trioproto.testing.layer_verifier import LayerCase, verify_layer, verify_layer_pair
from trioproto.testing.leaks import LeftOverError
from trioproto.testing.link import Link, LinkEnd
from trioproto.testing.memory import MemoryStream, PlainMemoryStream, memory_stream_pair
from trioproto.testing.memory_endpoints import MemoryClientEndpoint
from trioproto.testing.memory_listener import MemoryListener, open_memory_listener
from trioproto.testing.protocol_verifier import verify_protocol
from trioproto.testing.scripted import ScriptedPeer, peer
from trioproto.testing.server_handles import MemoryServer, SocketServer
from trioproto.testing.serving import ServeFactory, serving
from trioproto.testing.session_text import SessionError, Step
from trioproto.testing.sessions import Session, read_sessions
from trioproto.testing.strategies import chunks, frames
from trioproto.testing.threads import threads_take_no_time
from trioproto.testing.transcript import Entry, Transcript

__all__ = [
    "Case",
    "Entry",
    "Faults",
    "Harness",
    "LayerCase",
    "LeftOverError",
    "Link",
    "LinkEnd",
    "MemoryClientEndpoint",
    "MemoryListener",
    "MemoryServer",
    "MemoryStream",
    "PlainMemoryStream",
    "ScriptedPeer",
    "ServeFactory",
    "Session",
    "SessionError",
    "SocketServer",
    "State",
    "Step",
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
    "read_sessions",
    "resets",
    "serving",
    "short_writes",
    "stalls",
    "threads_take_no_time",
    "verify_codec",
    "verify_layer",
    "verify_layer_pair",
    "verify_protocol",
]
