"""The output tree: names after BIDS derivatives and BEP012, written whole or not at all."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

import neurocca
from neurocca.config import Config
from neurocca.errors import DataError, OutputError
from neurocca.io.analyses import RECORD, Analysis
from neurocca.io.brains import Brain, read_maps
from neurocca.io.files import json_text, staged, write_text
from neurocca.io.surfaces import read_hemispheres
from neurocca.io.timeseries import check_file, read_table, write_table

log = logging.getLogger(__name__)

BIDS_VERSION = "1.10.1"

# what BIDS has no name for yet; 'figures' must stand without a slash for the validator to see it
BIDSIGNORE = """\
*.html
logs/
figures
*_components.*
*_mixing.*
*_timeseries.*
*_loadings.*
*_decomposition.json
*_statmap.*
*_permutations.*
*_recovery.*
*_peaks.*
*_moments.*
"""

VARIATES = (
    "desc-cca_mixing",
    "desc-ccaStimulus_timeseries",
    "desc-ccaHeldOut_mixing",
    "desc-ccaHeldOutStimulus_timeseries",
)
"""Tables of variates."""

DESCRIPTIONS = """\
desc_id\tdescription
desc-cca\tcanonical components of film features and BOLD: BOLD side, tests
desc-ccaStimulus\tcanonical components of film features and BOLD: stimulus side
desc-ccaHeldOut\tcanonical components on runs that were left out of the fit
"""

PEAKS = {
    "cluster": {"Description": "Number of the cluster; a letter follows for further peaks of the same one"},
    **{axis: {"Description": "Coordinate in the space of the map", "Units": "mm"} for axis in "xyz"},
    "value": {"Description": "Loading at the peak"},
    "volume": {"Description": "Size of the cluster; clusters are voxels of one sign that belong to the largest 5 %, "
               "joined by their faces", "Units": "mm^3"},
    "label": {"Description": "Parcel of the atlas that names peaks, where one was given"},
}  # fmt: skip

README = """\
# neurocca derivatives

Shared components of a film's features and the BOLD of a participant who watched it. Open `index.html`.

| file | content |
|---|---|
| `*_desc-cca_decomposition.json` | method, parameters, correlations, p-values, quality of the runs |
| `*_desc-cca_mixing.tsv` | BOLD-side variates, one row per kept volume (rows of the runs: `Runs` in the JSON) |
| `*_desc-ccaStimulus_timeseries.tsv` | stimulus-side variates, same rows |
| `*_desc-ccaHeldOut_mixing.tsv` | BOLD-side variates of each run by the fit that has not seen it |
| `*_desc-ccaHeldOutStimulus_timeseries.tsv` | stimulus-side variates of the same fits |
| `*_desc-cca_components.*` | loadings: correlation of each voxel, vertex or parcel with them |
| `*_stat-r_desc-ccaStimulus_statmap.*` | correlation of each voxel, vertex or parcel with the stimulus-side variates |
| `*_desc-cca_peaks.tsv` | of loadings of voxels: where clusters are highest, in mm, with their size |
| `*_desc-ccaStimulus_moments.tsv` | when in the film stimulus-side variates are highest and lowest, in unseen runs |
| `*_desc-ccaStimulus_loadings.tsv` | correlation of each feature with the stimulus-side variates |
| `*_desc-cca_permutations.tsv` | in-sample statistic per permutation; row 0 is observed |
| `*_desc-ccaHeldOut_permutations.tsv` | mean held-out correlation per permutation; row 0 is observed |
| `sub-*/figures/` | the figures of the reports |
| `logs/*_config.toml` | complete configuration |
"""


@dataclass(frozen=True)
class Results:
    """Everything that one participant's analysis gives.

    Parameters
    ----------
    decomposition : dict
        Content of ``*_decomposition.json``.
    bold_variates, stimulus_variates : DataFrame, shape (n, k)
        Of the fit on all runs.
    held_out_bold, held_out_stimulus : DataFrame, shape (n, k)
        Of each run by the fit that has not seen it, matched in order and sign to the fit on all runs.
    null, held_out_null : DataFrame, shape (1 + B, 1 + k)
        Columns permutation, cca_00, …; row 0 is observed.
    feature_loadings : DataFrame
        Columns space, feature, delay, cca_00, …
    response_loadings, cross_loadings : arrays, shape (k, q)
        Correlations of each voxel or parcel with the BOLD-side and the stimulus-side variates.
    responses : list of str, length q
    brain : Brain
        Where the columns of the loadings lie.
    peaks : DataFrame or None
        Of voxelwise loadings: component, then the columns of `neurocca.io.peaks.peak_table`.
    recovery : DataFrame or None
        For simulated data with a known truth.
    film_weights : dict of array, each of shape (p, k)
        By run label: weights of the features in the fit that has not seen it. They are not written.
    """

    decomposition: dict[str, Any]
    bold_variates: pd.DataFrame
    stimulus_variates: pd.DataFrame
    held_out_bold: pd.DataFrame
    held_out_stimulus: pd.DataFrame
    null: pd.DataFrame
    held_out_null: pd.DataFrame
    feature_loadings: pd.DataFrame
    response_loadings: NDArray
    cross_loadings: NDArray
    responses: list[str]
    brain: Brain
    peaks: pd.DataFrame | None = None
    recovery: pd.DataFrame | None = None
    film_weights: dict[str, NDArray] = field(default_factory=dict)


def component_names(k: int) -> list[str]:
    """Column names of k components, counted from zero as BEP012 asks."""
    return [f"cca_{i:02d}" for i in range(k)]


def check_output(output: Path) -> None:
    """Refuse an output directory that cannot be written or belongs to another dataset.

    Raises
    ------
    OutputError
        The message names what is in the way.
    """
    description = output / "dataset_description.json"
    if description.is_file():
        try:
            content = json.loads(description.read_text(encoding="utf-8"))
            generators = [generator.get("Name") for generator in content.get("GeneratedBy", [])]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise OutputError(f"output {description}: cannot be read; is this another dataset?") from error
        if "neurocca" not in generators or content.get("DatasetType") != "derivative":
            raise OutputError(f"output {output}: belongs to the dataset {content.get('Name')!r}; choose another place.")
        earlier = next(g.get("Version") for g in content["GeneratedBy"] if g.get("Name") == "neurocca")
        if earlier != neurocca.__version__:
            log.warning("%s holds results of neurocca %s; what is analysed now is replaced.", output, earlier)
    with staged(output):  # makes what it needs and takes it away again
        pass


def write_results(folder: Path, results: Results, config: Config) -> list[Path]:
    """Write one participant's derivatives into an empty folder, which may be staged.

    Returns
    -------
    list of Path
        Files of this participant, relative to the folder.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    analysis = Analysis.of(results.decomposition)
    analysis.file(folder, RECORD).parent.mkdir(parents=True)
    write_text(analysis.file(folder, RECORD), json_text(results.decomposition))
    tables = {
        "desc-cca_mixing": results.bold_variates,
        "desc-ccaStimulus_timeseries": results.stimulus_variates,
        "desc-ccaHeldOut_mixing": results.held_out_bold,
        "desc-ccaHeldOutStimulus_timeseries": results.held_out_stimulus,
        "desc-cca_permutations": results.null,
        "desc-ccaHeldOut_permutations": results.held_out_null,
        "desc-ccaStimulus_loadings": results.feature_loadings,
        "desc-cca_peaks": results.peaks,
        "desc-cca_recovery": results.recovery,
    }
    for name, table in tables.items():
        if table is not None:
            write_table(analysis.file(folder, f"{name}.tsv"), table)
    sidecar = {"RepetitionTime": results.decomposition["RepetitionTime"], "SamplingFrequency": "TR"}
    for name in VARIATES:
        write_text(analysis.file(folder, f"{name}.json"), json_text(sidecar))
    if results.peaks is not None:
        write_text(analysis.file(folder, "desc-cca_peaks.json"), json_text(PEAKS))
    _write_maps(folder, analysis, results)
    write_text(folder / "logs" / f"{analysis.stem}_config.toml", config.to_toml())
    own = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    _write_dataset_files(folder, results.decomposition.get("SourceDatasets"))
    return own


def verdict_table(decomposition: dict[str, Any], recovery: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per component: correlations and p-values; what was planted, if anything, in ``attrs["recovery"]``."""
    rows = [
        {
            "component": c["Name"],
            "r_in_sample": c["InSampleCorrelation"],
            "r_held_out": c["HeldOutCorrelation"],
            "p_held_out": c["PValueHeldOut"],
            "p_in_sample": c["PValueInSample"],
        }
        for c in decomposition["Components"]
    ]
    table = pd.DataFrame(rows)
    if recovery is not None:
        table.attrs["recovery"] = recovery
    return table


def read_verdict(output: Path, analysis: Analysis) -> pd.DataFrame:
    """The verdict of results that are there, as `verdict_table` gives it; marked as unchanged in ``attrs``."""
    recovery = analysis.file(output, "desc-cca_recovery.tsv")
    table = verdict_table(read_decomposition(output, analysis), read_table(recovery) if recovery.is_file() else None)
    table.attrs["unchanged"] = True
    return table


def read_decomposition(output: Path, analysis: Analysis) -> dict[str, Any]:
    """Content of an analysis's ``*_decomposition.json``.

    Raises
    ------
    NoInputError
        When there are no such results.
    DataError
        When the file is damaged.
    """
    path = analysis.file(output, RECORD)
    check_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    needed = ("Subject", "Task", "Simulated", "Dataset", "Warnings", "Components", "Runs", "Inference")
    missing = [key for key in needed if not isinstance(content, dict) or key not in content]
    if missing or not isinstance(content["Dataset"], dict):
        raise DataError(f"{path}: damaged: {missing[0] if missing else 'Dataset'!r} is missing.")
    return content


def read_tables(output: Path, analysis: Analysis) -> dict[str, Any]:
    """Everything that a report is made of, by the name of the report's fields."""
    decomposition = read_decomposition(output, analysis)

    def table(name: str) -> pd.DataFrame:
        return read_table(analysis.file(output, f"{name}.tsv"))

    kind, maps, loadings = decomposition["Dataset"]["Kind"], None, None
    stem = analysis.file(output, "desc-cca_components")
    if kind == "voxels":
        from neurocca.io.volumes import load_image

        maps = load_image(stem.with_name(f"{stem.name}.nii.gz"))
    elif kind == "parcels" and stem.with_name(f"{stem.name}.tsv").is_file():
        loadings = read_table(stem.with_name(f"{stem.name}.tsv"))
    else:
        loadings = read_maps(stem, component_names(len(decomposition["Components"])))
    peaks, recovery = (analysis.file(output, f"desc-cca_{name}.tsv").is_file() for name in ("peaks", "recovery"))
    return {
        "decomposition": decomposition,
        "bold_variates": table("desc-cca_mixing"),
        "stimulus_variates": table("desc-ccaStimulus_timeseries"),
        "held_out_bold": table("desc-ccaHeldOut_mixing"),
        "held_out_stimulus": table("desc-ccaHeldOutStimulus_timeseries"),
        "null": table("desc-cca_permutations"),
        "held_out_null": table("desc-ccaHeldOut_permutations"),
        "feature_loadings": table("desc-ccaStimulus_loadings"),
        "response_loadings": loadings,
        "maps": maps,
        "surfaces": read_hemispheres(stem) if kind == "surface" else None,
        "peaks": table("desc-cca_peaks") if peaks else None,
        "recovery": table("desc-cca_recovery") if recovery else None,
    }


def _write_maps(folder: Path, analysis: Analysis, results: Results) -> None:
    names = component_names(len(results.response_loadings))
    dataset = results.decomposition["Dataset"]
    # BIDS asks for a word on what a resolution is, in the sidecar
    sidecar = {"Resolution": dataset["Resolution"]} if dataset.get("Resolution") else {}
    if fwhm := results.decomposition["Alignment"].get("SmoothingFWHM"):
        sidecar["SmoothingFWHM"] = fwhm
    for maps, name, what in (
        (results.response_loadings, "desc-cca_components", "BOLD-side canonical variates"),
        (results.cross_loadings, "stat-r_desc-ccaStimulus_statmap", "stimulus-side canonical variates"),
    ):
        text = {"Description": f"Correlation with the {what}", **sidecar}
        results.brain.write(maps, analysis.file(folder, name), names, text)


def _write_dataset_files(folder: Path, sources: list[dict[str, str]] | None) -> None:
    description: dict[str, Any] = {
        "Name": "neurocca: shared components of film features and BOLD",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "CC0",
        "GeneratedBy": [{"Name": "neurocca", "Version": neurocca.__version__}],
    }
    if sources:
        description["SourceDatasets"] = sources
    write_text(folder / "dataset_description.json", json_text(description))
    write_text(folder / ".bidsignore", BIDSIGNORE)
    write_text(folder / "descriptions.tsv", DESCRIPTIONS)
    write_text(folder / "README.md", README)
