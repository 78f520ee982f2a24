"""Where the tests are that should notice: only here, so that they can be moved."""

from __future__ import annotations

SUITE = "trioproto/testing/conformance/suite"
RULES = "rules"
"""A folder that copies have: each rule of the conformance suite, over all our drivers."""


def rule(name: str) -> str:
    """Return the file in which a rule of the conformance suite is tested."""
    return f"{RULES}/test_{name}.py"


def text_of_rule(name: str) -> str:
    """Return what stands in that file."""
    return (
        "from tests.behaviour.drivers import OURS\n"
        "from trioproto.testing.conformance.suite.fixtures import *\n"
        f"from trioproto.testing.conformance.suite.{name} import *\n"
        "SERVICES = OURS\n"
    )


BACKPRESSURE = rule("backpressure")
CLOSING = rule("closing")
CROSSING = rule("crossing")
DEADLINES = rule("deadlines")
FRAMES = rule("frames")
LIFECYCLE = rule("lifecycle")
LINES = rule("lines")
MANY = rule("many")
SWITCHING = rule("switching")
WRITING = rule("writing")

ACCEPT_ERRORS = "tests/serving/test_accept_errors.py"
CANCELLED_TASK = "tests/runtime/test_cancelled_task.py"
FLUSHER = "tests/runtime/test_flusher.py"
GROUPS = "tests/runtime/test_groups.py"
HEAP = "tests/runtime/test_deadlines.py"
LINE_MODES = "tests/framing/test_line_modes.py"
OVER_TLS = "tests/behaviour/test_over_tls.py"
RECEIVERS = "tests/framing/test_frame_receivers.py"
STARTTLS = "tests/tls/test_starttls.py"
STARTTLS_HANDSHAKE = "tests/tls/test_starttls_handshake.py"
WAYS_OUT = "tests/serving/test_ways_out.py"
