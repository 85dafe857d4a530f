"""Nested tables to dataclasses: every key known, every value of the type that its field is annotated with."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from neurocca.errors import UsageError


def built(cls: type, tables: Any, prefix: str) -> Any:
    """Dataclass from nested tables, one for each field that is a dataclass itself.

    Parameters
    ----------
    cls : dataclass
    tables : mapping
    prefix : str
        What messages say before the names of keys.

    Raises
    ------
    UsageError
        When a key is unknown, or a value is not of the type that its field is annotated with.
    """
    if not isinstance(tables, Mapping):
        raise UsageError(f"'{prefix.rstrip('.')}' must be a table, not {tables!r}.")
    hints = get_type_hints(cls)
    for key in tables:
        if key not in hints:
            nearest = difflib.get_close_matches(key, hints, n=1)
            known = f"the nearest valid one is '{prefix}{nearest[0]}'" if nearest else f"there are {', '.join(hints)}"
            raise UsageError(f"unknown key '{prefix}{key}'; {known}.")
    values = {
        key: built(hints[key], value, f"{prefix}{key}.")
        if dataclasses.is_dataclass(hints[key])
        else _convert(value, hints[key], prefix + key)
        for key, value in tables.items()
    }
    return cls(**values)


def _convert(value: Any, hint: Any, key: str) -> Any:
    """Value as the type that the field is annotated with."""
    origin = get_origin(hint)
    if origin is Literal:
        choices = get_args(hint)
        if value not in choices:
            raise UsageError(f"{key}={value!r} is none of {', '.join(map(repr, choices))}.")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"{key}={value!r} must be a list.")
        return tuple(_convert(v, get_args(hint)[0], key) for v in value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise UsageError(f"{key}={value} must be finite.")
        return float(value)
    if origin in (Union, UnionType) or not isinstance(value, hint) or isinstance(value, bool) is not (hint is bool):
        raise UsageError(f"{key}={value!r} must be of type {getattr(hint, '__name__', hint)}.")
    return value
