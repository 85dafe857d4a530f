"""What all pages are made with: templates, and configuration as text."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from neurocca.report import wording


@cache
def environment() -> Environment:
    """Templates with the filters and tests that they use; everything is escaped."""
    made = Environment(
        loader=PackageLoader("neurocca.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": wording.number, "p": wording.p_value, "listing": wording.listing}
    made.filters |= {"counted": wording.counted, "effect": wording.effect, "shared": wording.shared_variance}
    made.tests["found"] = wording.is_found
    return made


def toml_text(tables: Mapping[str, Any], *, path: str = "") -> str:
    """Configuration as TOML; what is not set (None, which TOML lacks) stands in a comment.

    Parameters
    ----------
    tables : mapping
        Values and nested tables.
    path : str
        Dotted name of the table.
    """
    lines = [f"[{path}]"] if path else []
    for key, value in tables.items():
        if value is None:
            lines.append(f"# {key} is not set")
        elif not isinstance(value, Mapping):
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    for key, value in tables.items():  # after the plain values, which would otherwise fall into the last table
        if isinstance(value, Mapping):
            lines += ["", toml_text(value, path=f"{path}.{key}" if path else key)]
    return "\n".join(lines).strip()
