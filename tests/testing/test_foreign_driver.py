"""Somebody else's driver is held to the rules."""

from tests.testing.foreign_driver import SimulatedService
from trioproto.testing.conformance.suite import *  # noqa: F403

SERVICES = [SimulatedService]
