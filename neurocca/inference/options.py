"""Numbers at the doors of the tests: what is one, and the line that says what is wrong with it."""

from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether it is a real number, Python's or numpy's, and no truth value; infinity and NaN are numbers."""
    return isinstance(value, Real) and not isinstance(value, bool)


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """The value, where it is a whole number.

    Raises
    ------
    ValueError
        When it is none (5.0 and True are none), or is below the least.
    """
    if not is_whole(value) or value < least:
        raise ValueError(f"{name}={shown(value)} must be a whole number, at least {least}.")
    return int(value)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, Python's or numpy's, and no truth value; 5.0 is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A number in digits, and anything else so that its type can be seen."""
    return str(value) if is_number(value) else repr(value)
