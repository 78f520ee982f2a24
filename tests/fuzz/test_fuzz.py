"""Every decoder, with inputs that a fuzzer makes up; and broken ones, which it must find."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .broken import PLANTED, SOUND
from .kinds import KINDS, Kind
from .oracle import check
from .rules import Defect

PROGRAMS = st.binary(min_size=3, max_size=120)
USUAL = settings(suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_decoder_keeps_the_rules_for_a_few_inputs_made_at_random(kind: Kind) -> None:
    at_random(kind, 10)


@given(PROGRAMS)
@USUAL
def test_every_decoder_keeps_the_rules(program: bytes) -> None:
    check(program)


@pytest.mark.parametrize("kind", PLANTED, ids=lambda kind: kind.name)
def test_a_planted_bug_is_found(kind: Kind) -> None:
    with pytest.raises(Defect, match=kind.name):
        at_random(kind, 3000)


def test_a_decoder_of_another_make_without_a_bug_is_not_refused() -> None:
    at_random(SOUND, 100)


def at_random(kind: Kind, count: int) -> None:
    source = random.Random(kind.name)
    for _ in range(count):
        check(b"\0" + source.randbytes(source.choice((5, 12, 30, 80))), [kind])
