"""Film moments on disk: the table of times, what films they are of, and storyboards."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from neurocca.errors import DataError, NoInputError
from neurocca.io.analyses import Analysis
from neurocca.io.derivatives import Results
from neurocca.io.files import json_text, write_text
from neurocca.io.table_sidecars import common_fields
from neurocca.io.timeseries import read_table, write_table

TABLE = "desc-ccaStimulus_moments"
"""How the names of the table and of its sidecar end."""

COLUMNS = ("component", "sign", "rank", "run", "seconds", "value")

_SIDECAR = {
    "Description": "Moments of the film at which the stimulus-side variate of each component is highest and lowest, in "
    "runs that the fit has not seen",
    "component": {"Description": "Component"},
    "sign": {"Description": "Whether the variate is high or low", "Levels": {
        "high": "A local maximum", "low": "A local minimum"}},
    "rank": {"Description": "1 is the highest, or lowest, of all runs"},
    "run": {"Description": "Run, and so the film or its part"},
    "seconds": {"Description": "Since the film of the run began: what was on screen and heard then", "Units": "s"},
    "value": {"Description": "Variate at the volume that the moment leads to, in standard deviations from the mean of "
              "its run"},
}  # fmt: skip


def write_moments(
    folder: Path, results: Results, table: pd.DataFrame, films: Mapping[str, Mapping[str, str]], delay: str
) -> list[Path]:
    """Write the table and its sidecar; returns both paths.

    Parameters
    ----------
    folder : Path
        Output directory, which may be staged.
    results : Results
    table : DataFrame
        Columns COLUMNS.
    films : mapping
        By run label what is known of its film: its Name, its Path in the dataset and its SHA256, as far as there.
    delay : str
        How the haemodynamic delay was undone.
    """
    analysis = Analysis.of(results.decomposition)
    files = [analysis.file(folder, f"{TABLE}.{ending}") for ending in ("tsv", "json")]
    write_table(files[0], table)
    sidecar = {**_SIDECAR, **common_fields(results.decomposition), "Delay": delay, "Films": dict(films)}
    write_text(files[1], json_text(sidecar))
    return files


def read_moments(output: Path, analysis: Analysis) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    """The table, and by run label what is known of its film.

    Raises
    ------
    NoInputError
        When there is no such table.
    DataError
        When it is damaged.
    """
    path = analysis.file(output, f"{TABLE}.tsv")
    if not path.is_file():
        raise NoInputError(f"{path}: no such file: run the participant level once more.")
    table = read_table(path, COLUMNS, ("run",))
    try:
        films = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["Films"]
        return table, {str(run): {key: str(value) for key, value in film.items()} for run, film in films.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path.with_suffix('.json')}: damaged: {error!r}.") from error


def storyboard_file(output: Path, analysis: Analysis, component: str) -> Path:
    """Place of a component's storyboard, beside the figures of the report."""
    label = component.replace("_", "")
    return output / f"sub-{analysis.subject}" / "figures" / f"{analysis.stem}_desc-{label}Storyboard_plot.jpg"


def read_for_report(output: Path, analysis: Analysis, components: list[str]) -> dict[str, Any]:
    """Fields of a report's data: the table where there is one, and storyboards by component."""
    files = {name: storyboard_file(output, analysis, name) for name in components}
    there = analysis.file(output, f"{TABLE}.tsv").is_file()
    return {
        "moments": read_moments(output, analysis)[0] if there else None,
        "storyboards": {name: path.read_bytes() for name, path in files.items() if path.is_file()},
    }
