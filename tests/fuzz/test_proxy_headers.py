"""The decoder of PROXY headers, with inputs that a fuzzer makes up."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .kinds import Kind
from .oracle import check
from .proxy_headers import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_decoder_keeps_the_rules_for_a_few_inputs_made_at_random(kind: Kind) -> None:
    source = random.Random(kind.name)
    for _ in range(50):
        check(b"\0" + source.randbytes(source.choice((5, 12, 30, 80))), [kind])


@given(st.binary(min_size=3, max_size=120))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_the_decoder_keeps_the_rules(program: bytes) -> None:
    check(program, KINDS)
