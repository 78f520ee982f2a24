"""What may keep a connection off the fast path, one bit for each owner.

A connection with no hold at all is *plain*: open, with nothing pending, so that
a driver may hand a chunk straight to ``data_received``. Each bit has one owner,
which alone sets and clears it; so a pause by the user, by the high-water mark
and by a running callback never get in each other's way. ``LAYERED`` alone only
makes the way longer.
"""

from __future__ import annotations

NOT_OPEN = 1
"""The state is not ``OPEN``."""
PAUSED = 2
"""The user called ``pause_reading()``."""
HIGH_WATER = 4
"""Too much output waits (``auto_pause``)."""
BUSY = 8
"""An async callback is running or waits for its turn."""
INPUT = 16
"""Bytes, or the peer's EOF, have arrived and are not delivered yet."""
FRAMES = 32
"""The receiver stopped in mid-chunk and keeps frames back."""
LAYERED = 64
"""Bytes pass through layers."""
DRAINING = 128
"""The server drains: nothing new is read."""
SKIPPING = 256
"""The receiver discards input, which is no activity of the peer's."""
UNSENT = 512
"""Output waits that could not be sent at once."""
CHANGED = 1024
"""Something other than output has changed, and the driver has not looked yet."""
FILE = 2048
"""A file has its place in the output, or is being sent."""
SWITCHING = 4096
"""Another protocol takes over once the running callback has ended."""
HANDSHAKING = 8192
"""The layers are not ready: what is written waits."""
STARTING = 16384
"""A layer was put in, and what had arrived before it has not been looked at yet."""
UNSETTLED = 32768
"""After a step the driver has more to see to than output; it sets this after each of its turns."""
THROTTLED = 65536
"""There is a rate to be kept to; this only makes the way longer."""
RECEIVE_WAITS = 131072
"""Nothing is read for a while, so that the rate is kept; what was read is delivered."""
SEND_WAITS = 262144
"""Nothing is sent for a while, so that the rate is kept."""
ALONE = 524288
"""The running callback was given a time of its own: the next one has to be awaited alone."""

CALLBACK = BUSY | ALONE
"""What ends with an async callback."""
NO_DELIVERY = PAUSED | HIGH_WATER | BUSY | STARTING
"""Nothing is handed to the protocol."""
NO_READ = NO_DELIVERY | INPUT | FRAMES | DRAINING
"""Nothing is read from the peer, so that what is kept stays bounded."""
