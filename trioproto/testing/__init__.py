"""Help for tests of protocols and codecs; not imported by ``import trioproto``."""

from trioproto.testing.cases import Case
from trioproto.testing.codecs import verify_codec
from trioproto.testing.conversations import verify_protocol
from trioproto.testing.fault_strategies import any_faults, resets, short_writes, stalls
from trioproto.testing.faults import Faults
from trioproto.testing.harness import Harness
from trioproto.testing.partitions import VerificationFailed
from trioproto.testing.pipe import Pipe
from trioproto.testing.strategies import chunks, frames
from trioproto.testing.transcript import Transcript, TranscriptError

__all__ = [
    "Case",
    "Faults",
    "Harness",
    "Pipe",
    "Transcript",
    "TranscriptError",
    "VerificationFailed",
    "any_faults",
    "chunks",
    "frames",
    "resets",
    "short_writes",
    "stalls",
    "verify_codec",
    "verify_protocol",
]
