"""Where the tests are that should notice: only here, so that they can be moved."""

from __future__ import annotations

BEHAVIOUR = "tests/behaviour"
"""Runs over every driver."""

BACKPRESSURE = f"{BEHAVIOUR}/test_backpressure.py"
CLOSING = f"{BEHAVIOUR}/test_closing.py"
DEADLINES = f"{BEHAVIOUR}/test_deadlines.py"
FRAMES = f"{BEHAVIOUR}/test_frames.py"
LIFECYCLE = f"{BEHAVIOUR}/test_lifecycle.py"
LINES = f"{BEHAVIOUR}/test_lines.py"
MANY = f"{BEHAVIOUR}/test_many.py"
ORDER = f"{BEHAVIOUR}/test_order.py"
SWITCHING = f"{BEHAVIOUR}/test_switching.py"

ACCEPT_ERRORS = "tests/serving/test_accept_errors.py"
CANCELLED_TASK = "tests/runtime/test_cancelled_task.py"
FLUSHER = "tests/runtime/test_flusher.py"
GROUPS = "tests/runtime/test_groups.py"
HEAP = "tests/runtime/test_deadlines.py"
LINE_MODES = "tests/framing/test_line_modes.py"
RECEIVERS = "tests/framing/test_frame_receivers.py"
STARTTLS = "tests/tls/test_starttls.py"
STARTTLS_HANDSHAKE = "tests/tls/test_starttls_handshake.py"
WAYS_OUT = "tests/serving/test_ways_out.py"
