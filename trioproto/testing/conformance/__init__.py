"""Does a driver keep the rules? The suite that all of trioproto's own drivers pass.

Who writes a driver writes a :class:`Service`, which serves a factory over it, and
a :class:`Peer`, the other end of a connection. A test module of theirs then
has no more than this::

    from trioproto.testing.conformance.suite import *

    SERVICES = [MyService]

The rules are those of the documentation: what a protocol, its factory and its
peers see. The tests look into no driver. They need pytest and pytest-trio.
"""

import pytest

# They assert for others: what was there instead is shown only if pytest has rewritten them.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in ("failing", "logged", "peer", "provoking", "recorder", "service", "suite")
    )
)

from trioproto.testing.conformance.features import Feature  # noqa: E402
from trioproto.testing.conformance.peer import Peer, PeerWasReset  # noqa: E402
from trioproto.testing.conformance.recorder import Recorder  # noqa: E402
from trioproto.testing.conformance.service import (  # noqa: E402
    MORE_THAN_FITS,
    SMALL,
    Service,
    connecting,
    serving,
)

__all__ = [
    "MORE_THAN_FITS",
    "SMALL",
    "Feature",
    "Peer",
    "PeerWasReset",
    "Recorder",
    "Service",
    "connecting",
    "serving",
]
