"""Help for tests of protocols; not imported by ``import trioproto``."""

from trioproto.testing.harness import Harness

__all__ = ["Harness"]
