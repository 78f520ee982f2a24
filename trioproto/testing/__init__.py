"""Help for tests of protocols and codecs; not imported by ``import trioproto``."""

from trioproto.testing.cases import Case
from trioproto.testing.codecs import verify_codec
from trioproto.testing.conversations import verify_protocol
from trioproto.testing.faults import Faults
from trioproto.testing.harness import Harness
from trioproto.testing.partitions import VerificationFailed
from trioproto.testing.pipe import Pipe
from trioproto.testing.scripted import ScriptedPeer, peer
from trioproto.testing.session_text import SessionError, Step
from trioproto.testing.sessions import Session, read_sessions
from trioproto.testing.strategies import chunks, frames
from trioproto.testing.transcript import Transcript, TranscriptError

__all__ = [
    "Case",
    "Faults",
    "Harness",
    "Pipe",
    "ScriptedPeer",
    "Session",
    "SessionError",
    "Step",
    "Transcript",
    "TranscriptError",
    "VerificationFailed",
    "chunks",
    "frames",
    "peer",
    "read_sessions",
    "verify_codec",
    "verify_protocol",
]
