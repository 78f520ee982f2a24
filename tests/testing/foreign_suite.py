from tests.testing.foreign_driver import OneWayService, SimulatedService
from trioproto.testing.conformance.suite import *  # noqa: F403

SERVICES = [SimulatedService, OneWayService]
