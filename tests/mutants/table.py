"""The mutants."""

from __future__ import annotations

from .in_pure import IN_PURE
from .in_runtime import IN_RUNTIME
from .mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (*IN_PURE, *IN_RUNTIME)
