"""Records of results: JSON that has to hold some keys."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurocca.errors import DataError
from neurocca.io.timeseries import check_file


def read_record(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """Content of a record; of what is needed, ``Dataset`` is a table of its own.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is damaged.
    """
    check_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    missing = [key for key in needed if not isinstance(content, Mapping) or key not in content]
    if missing or not isinstance(content["Dataset"], Mapping):
        raise DataError(f"{path}: damaged: {missing[0] if missing else 'Dataset'!r} is missing.")
    return dict(content)
