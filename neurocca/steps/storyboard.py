"""Storyboards: the frames at a component's moments."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from neurocca.errors import NeuroccaError
from neurocca.io.analyses import Analysis
from neurocca.io.moments import storyboard_file
from neurocca.io.movie import probe
from neurocca.io.stills import even_size, still
from neurocca.report.figures import storyboard
from neurocca.report.wording import is_found

log = logging.getLogger(__name__)

N_FRAMES = 4
"""Frames in a row."""

_WIDTH = 440


def write_storyboards(
    folder: Path, analysis: Analysis, moments: pd.DataFrame, films: Mapping[str, Path], decomposition: Mapping[str, Any]
) -> list[Path]:
    """Write a storyboard of each component that was found, and return the paths; without all films there is none.

    A film that cannot be read costs the storyboards, not the results.

    Parameters
    ----------
    folder : Path
    analysis : Analysis
    moments : DataFrame
    films : mapping
        By run label.
    decomposition : mapping
    """
    if len(films) < len(decomposition["Runs"]):
        return []
    files: list[Path] = []
    for component in filter(is_found, decomposition["Components"]):
        name = component["Name"]
        try:
            content = draw_storyboard(moments[moments["component"] == name], films)
        except NeuroccaError as error:
            log.warning("no storyboards: %s", error)
            return files
        target = storyboard_file(folder, analysis, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        files.append(target)
    return files


def draw_storyboard(moments: pd.DataFrame, films: Mapping[str, Path]) -> bytes:
    """JPEG of the frames at the first moments of one component.

    Parameters
    ----------
    moments : DataFrame
        Of the component.
    films : mapping
        By run label.

    Raises
    ------
    NoInputError, DataError
        When a film cannot be read.
    """
    # films of several shapes are shown in that of the first
    size = even_size(probe(next(iter(films.values()))).size, _WIDTH)
    rows = []
    for sign in ("high", "low"):
        first = moments[(moments["sign"] == sign) & (moments["rank"] <= N_FRAMES)]
        each = zip(first["run"], first["seconds"], first["value"], strict=True)
        rows.append((sign, [(still(films[run], seconds, size), caption(run, seconds, z)) for run, seconds, z in each]))
    return storyboard(rows, N_FRAMES)


def caption(run: str, seconds: float, z: float) -> str:
    """Run, time and height of a moment, in words.

    >>> caption("2", 83.46, -1.9)
    'run 2, 1:23.5, z = −1.9'
    """
    return f"run {run}, {clock(seconds)}, z = {z:+.1f}".replace("-", "−")


def clock(seconds: float) -> str:
    """Minutes and seconds, to a tenth.

    >>> clock(83.46), clock(3725.0)
    ('1:23.5', '62:05.0')
    """
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
