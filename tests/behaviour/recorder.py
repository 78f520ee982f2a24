"""A protocol that notes what it hears: as the suite of conformance has it."""

from trioproto.testing.conformance.recorder import CALLBACKS, Act, Recorder, keep_open, never

__all__ = ["CALLBACKS", "Act", "Recorder", "keep_open", "never"]
