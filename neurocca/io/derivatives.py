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
from neurocca.errors import OutputError
from neurocca.io.analyses import RECORD, Analysis
from neurocca.io.brains import Brain, read_maps
from neurocca.io.dataset_files import write_dataset_files
from neurocca.io.files import json_text, staged, write_text
from neurocca.io.records import read_record
from neurocca.io.surfaces import read_hemispheres
from neurocca.io.table_sidecars import common_fields, map_columns, table_sidecar
from neurocca.io.timeseries import read_table, write_table

log = logging.getLogger(__name__)

_CROSS = "correlation with the stimulus-side canonical variates"

P_MAPS = "stat-p_desc-ccaFWE_statmap"
"""Name of maps of corrected p-values."""


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
    map_pvalues : array, shape (k, q), or None
        Of the latter, corrected over voxels or parcels and components.
    responses : list of str, length q
    brain : Brain
        Where the columns of the loadings lie.
    peaks : DataFrame or None
        Of voxelwise loadings: component, then the columns of `neurocca.io.peaks.peak_table`.
    recovery : DataFrame or None
        For simulated data with a known truth.
    film_weights : dict of array, each of shape (p, k)
        By run label: weights of the features in the fit that has not seen it. They are not written.
    quality : DataFrame or None
        One row per kept volume: run, censored, framewise_displacement, dvars, global_signal, group_00, …
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
    map_pvalues: NDArray | None
    responses: list[str]
    brain: Brain
    peaks: pd.DataFrame | None = None
    recovery: pd.DataFrame | None = None
    film_weights: dict[str, NDArray] = field(default_factory=dict)
    quality: pd.DataFrame | None = None


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
        "desc-ccaQuality_timeseries": results.quality,
    }
    for name, table in tables.items():
        if table is not None:
            write_table(analysis.file(folder, f"{name}.tsv"), table)
            sidecar = table_sidecar(name, list(table.columns), results.decomposition)
            write_text(analysis.file(folder, f"{name}.json"), json_text(sidecar))
    _write_maps(folder, analysis, results)
    write_text(folder / "logs" / f"{analysis.stem}_config.toml", config.to_toml())
    own = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    write_dataset_files(folder, results.decomposition)
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
    needed = ("Subject", "Task", "Simulated", "Dataset", "Warnings", "Components", "Runs", "Inference")
    return read_record(analysis.file(output, RECORD), needed)


def read_features(output: Path, analysis: Analysis) -> set[str]:
    """Names of an analysis's film features."""
    return set(read_table(analysis.file(output, "desc-ccaStimulus_loadings.tsv"))["feature"].astype(str))


def read_tables(output: Path, analysis: Analysis) -> dict[str, Any]:
    """Everything that a report is made of, by the name of the report's fields."""
    decomposition = read_decomposition(output, analysis)

    def table(name: str) -> pd.DataFrame:
        return read_table(analysis.file(output, f"{name}.tsv"))

    kind, names = decomposition["Dataset"]["Kind"], component_names(len(decomposition["Components"]))
    stem = analysis.file(output, "desc-cca_components")
    loadings, maps = _read_maps(stem, kind, names)
    pvalues, pvalue_maps = None, None
    if any(analysis.file(output, P_MAPS).parent.glob(f"{analysis.stem}_{P_MAPS}*")):
        pvalues, pvalue_maps = _read_maps(analysis.file(output, P_MAPS), kind, names)
    quality = analysis.file(output, "desc-ccaQuality_timeseries.tsv").is_file()
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
        "response_pvalues": pvalues,
        "pvalue_maps": pvalue_maps,
        "surfaces": read_hemispheres(stem) if kind == "surface" else None,
        "peaks": table("desc-cca_peaks") if peaks else None,
        "recovery": table("desc-cca_recovery") if recovery else None,
        "quality": table("desc-ccaQuality_timeseries") if quality else None,
    }


def _read_maps(stem: Path, kind: str, names: list[str]) -> tuple[pd.DataFrame | None, Any]:
    """Maps as a table or, of voxels, as an image; of an atlas as both."""
    image = stem.with_name(f"{stem.name}.nii.gz")
    found = None
    if kind == "voxels" or (kind == "parcels" and image.is_file()):
        from neurocca.io.volumes import load_image

        found = load_image(image)
    if kind == "voxels":
        return None, found
    table = stem.with_name(f"{stem.name}.tsv")
    return (read_table(table) if kind == "parcels" and table.is_file() else read_maps(stem, names)), found


def _write_maps(folder: Path, analysis: Analysis, results: Results) -> None:
    names = component_names(len(results.response_loadings))
    dataset = results.decomposition["Dataset"]
    sidecar = common_fields(results.decomposition)
    tested = f"{_CROSS} of fits that have not seen the run" if results.decomposition["Maps"].get("LeftOut") else _CROSS
    if fwhm := results.decomposition["Alignment"].get("SmoothingFWHM"):
        sidecar["SmoothingFWHM"] = fwhm
    if dataset["Kind"] == "voxels" or dataset.get("Atlas"):
        sidecar["SkullStripped"] = True  # what was not analysed is 0
    for maps, name, what in (
        (results.response_loadings, "desc-cca_components", "correlation with the BOLD-side canonical variates"),
        (results.cross_loadings, "stat-r_desc-ccaStimulus_statmap", _CROSS),
        (results.map_pvalues, P_MAPS, f"p, corrected over the whole map and all components, of the {tested}; 0 where "
         "nothing was analysed"),
    ):  # fmt: skip
        if maps is None:
            continue
        text = {"Description": what[0].upper() + what[1:], **sidecar}
        if dataset["Kind"] == "parcels":
            text |= map_columns(names, what, lowest=0 if name == P_MAPS else -1)
        results.brain.write(maps, analysis.file(folder, name), names, text)
