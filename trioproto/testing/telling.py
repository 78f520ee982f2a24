"""How a failure tells what came, and what was expected."""

from __future__ import annotations

_SHOWN = 400
_SHOWN_BYTES = 20


def compared(came: object, expected: object) -> list[str]:
    """Return lines that show both, and where they begin to differ."""
    lines = [f"  came:     {shown(came)}", f"  expected: {shown(expected)}"]
    return [*lines, *_first_difference(came, expected)]


def shown(value: object) -> str:
    """Return the ``repr`` of *value*, shortened in its middle."""
    text = repr(value)
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2
    return f"{text[:half]} ...({len(text) - _SHOWN} characters)... {text[-half:]}"


def _first_difference(came: object, expected: object) -> list[str]:
    """Say in one line where two sequences begin to differ; no line if they cannot."""
    if not isinstance(came, (list, bytes)) or not isinstance(expected, (list, bytes)):
        return []
    unit = "byte" if isinstance(came, bytes) else "item"
    for index, (left, right) in enumerate(zip(came, expected, strict=False)):
        if left is right or left == right or repr(left) == repr(right):
            continue
        if isinstance(came, bytes) and isinstance(expected, bytes):
            here = slice(index, index + _SHOWN_BYTES)
            return [f"  from byte {index} on: {came[here]!r}, expected {expected[here]!r}"]
        return [f"  {unit} {index} is {shown(left)}, expected {shown(right)}"]
    if len(came) == len(expected):
        return []
    return [f"  {len(came)} {unit}s came, expected {len(expected)}"]
