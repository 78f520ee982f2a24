"""All our drivers keep the rules: the suite that others' drivers can be held to as well."""

from tests.behaviour.drivers import OURS
from trioproto.testing.conformance.suite import *  # noqa: F403

SERVICES = OURS
