"""The output tree: names after BIDS derivatives and BEP012, written whole or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

import neurocca
from neurocca.config import Config
from neurocca.errors import DataError, NoInputError
from neurocca.io.files import json_text, staged, write_text
from neurocca.io.timeseries import read_table

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
"""

DESCRIPTIONS = """\
desc_id\tdescription
desc-cca\tcanonical components of film features and BOLD: BOLD side, tests
desc-ccaStimulus\tcanonical components of film features and BOLD: stimulus side
desc-ccaHeldOut\tcanonical components on runs that were left out of the fit
"""

README = """\
# neurocca derivatives

Shared components of a film's features and the BOLD of a participant who watched it. Open `sub-<label>.html`.

| file | content |
|---|---|
| `*_desc-cca_decomposition.json` | method, parameters, correlations, p-values, quality of the runs |
| `*_desc-cca_mixing.tsv` | BOLD-side variates, one row per kept volume (rows of the runs: `Runs` in the JSON) |
| `*_desc-ccaStimulus_timeseries.tsv` | stimulus-side variates, same rows |
| `*_desc-cca_components.nii.gz`, `*_desc-cca_loadings.tsv` | loadings: correlation of voxels or parcels with them |
| `*_stat-r_desc-ccaStimulus_statmap.nii.gz` | correlation of each voxel with the stimulus-side variates |
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
    null, held_out_null : DataFrame, shape (1 + B, 1 + k)
        Columns permutation, cca_00, …; row 0 is observed.
    feature_loadings : DataFrame
        Columns space, feature, delay, cca_00, …
    response_loadings, cross_loadings : arrays, shape (k, q)
        Correlations of each voxel or parcel with the BOLD-side and the stimulus-side variates.
    responses : list of str, length q
    mask : image or None
        For volumes.
    recovery : DataFrame or None
        For simulated data with a known truth.
    """

    decomposition: dict[str, Any]
    bold_variates: pd.DataFrame
    stimulus_variates: pd.DataFrame
    null: pd.DataFrame
    held_out_null: pd.DataFrame
    feature_loadings: pd.DataFrame
    response_loadings: NDArray
    cross_loadings: NDArray
    responses: list[str]
    mask: Any = None
    recovery: pd.DataFrame | None = None


def component_names(k: int) -> list[str]:
    """Column names of k components, counted from zero as BEP012 asks."""
    return [f"cca_{i:02d}" for i in range(k)]


def write_results(output: Path, results: Results, config: Config) -> None:
    """Write one participant's derivatives; all files appear together at the end.

    Raises
    ------
    OutputError
        When the output directory cannot be written.
    """
    subject, task = results.decomposition["Subject"], results.decomposition["Task"]
    stem = f"sub-{subject}_task-{task}"
    with staged(output) as folder:
        func = folder / f"sub-{subject}" / "func"
        func.mkdir(parents=True)
        write_text(func / f"{stem}_desc-cca_decomposition.json", json_text(results.decomposition))
        tables = {
            "desc-cca_mixing": results.bold_variates,
            "desc-ccaStimulus_timeseries": results.stimulus_variates,
            "desc-cca_permutations": results.null,
            "desc-ccaHeldOut_permutations": results.held_out_null,
            "desc-ccaStimulus_loadings": results.feature_loadings,
            "desc-cca_recovery": results.recovery,
        }
        for name, table in tables.items():
            if table is not None:
                _write_table(func / f"{stem}_{name}.tsv", table)
        sidecar = {"RepetitionTime": results.decomposition["RepetitionTime"], "SamplingFrequency": "TR"}
        for name in ("desc-cca_mixing", "desc-ccaStimulus_timeseries"):
            write_text(func / f"{stem}_{name}.json", json_text(sidecar))
        _write_maps(func, stem, results)
        write_text(folder / "logs" / f"{stem}_config.toml", config.to_toml())
        _write_dataset_files(folder)


def read_decomposition(output: Path, subject: str) -> tuple[dict[str, Any], Path]:
    """Decomposition of a participant and the folder it lies in.

    Raises
    ------
    NoInputError
        When the participant has no results there.
    DataError
        When the file is damaged.
    """
    import json

    found = sorted((output / f"sub-{subject}" / "func").glob("*_desc-cca_decomposition.json"))
    if not found:
        raise NoInputError(f"{output}: no results of sub-{subject}: run the participant level first.")
    try:
        return json.loads(found[0].read_text(encoding="utf-8")), found[0].parent
    except json.JSONDecodeError as error:
        raise DataError(f"{found[0]}: not valid JSON: {error}") from error


def read_tables(output: Path, subject: str) -> dict[str, Any]:
    """Everything that a report is made of, by the name of the report's fields."""
    decomposition, func = read_decomposition(output, subject)
    stem = f"sub-{subject}_task-{decomposition['Task']}"

    def table(name: str) -> pd.DataFrame:
        return read_table(func / f"{stem}_{name}.tsv")

    voxels = decomposition["Dataset"]["Kind"] == "voxels"
    maps = None
    if voxels:
        from neurocca.io.volumes import load_image

        maps = load_image(func / f"{stem}_desc-cca_components.nii.gz")
    return {
        "decomposition": decomposition,
        "bold_variates": table("desc-cca_mixing"),
        "stimulus_variates": table("desc-ccaStimulus_timeseries"),
        "null": table("desc-cca_permutations"),
        "held_out_null": table("desc-ccaHeldOut_permutations"),
        "feature_loadings": table("desc-ccaStimulus_loadings"),
        "response_loadings": None if voxels else table("desc-cca_loadings"),
        "maps": maps,
        "recovery": table("desc-cca_recovery") if (func / f"{stem}_desc-cca_recovery.tsv").is_file() else None,
    }


def subjects_of(output: Path) -> list[str]:
    """Participants that have results in an output directory."""
    found = output.glob("sub-*/func/*_desc-cca_decomposition.json")
    return sorted({path.parent.parent.name.removeprefix("sub-") for path in found})


def _write_maps(func: Path, stem: str, results: Results) -> None:
    if results.mask is None:
        names = component_names(len(results.response_loadings))
        table = pd.DataFrame(results.response_loadings.T, columns=names)
        table.insert(0, "parcel", results.responses)
        _write_table(func / f"{stem}_desc-cca_loadings.tsv", table)
        return
    from neurocca.io.volumes import save_image, unmask

    save_image(unmask(results.response_loadings, results.mask), func / f"{stem}_desc-cca_components.nii.gz")
    save_image(unmask(results.cross_loadings, results.mask), func / f"{stem}_stat-r_desc-ccaStimulus_statmap.nii.gz")


def _write_dataset_files(folder: Path) -> None:
    description = {
        "Name": "neurocca: shared components of film features and BOLD",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "CC0",
        "GeneratedBy": [{"Name": "neurocca", "Version": neurocca.__version__}],
    }
    write_text(folder / "dataset_description.json", json_text(description))
    write_text(folder / ".bidsignore", BIDSIGNORE)
    write_text(folder / "descriptions.tsv", DESCRIPTIONS)
    write_text(folder / "README.md", README)


def _write_table(path: Path, table: pd.DataFrame) -> None:
    """TSV with seven significant digits: what float32 data can carry, and no rounding noise."""
    write_text(path, table.to_csv(sep="\t", index=False, float_format="%.7g", na_rep="n/a", lineterminator="\n"))
