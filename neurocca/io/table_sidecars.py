"""Sidecars of the tables: what each is, of what it was made, and what its columns are."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

Column = dict[str, Any]

_R = {"Minimum": -1, "Maximum": 1}

_OTHERS: dict[str, Column] = {
    "permutation": {"Description": "0: as observed; the others are numbered"},
    "space": {"Description": "Feature space"},
    "feature": {"Description": "Name of the feature in its space"},
    "delay": {"Description": "Volumes by which BOLD is later, or name of the basis function; n/a with one response"},
    "component": {"Description": "Component"},
    "cluster": {"Description": "Number of the cluster; a letter follows for further peaks of the same one"},
    **{axis: {"Description": "Coordinate in the space of the map", "Units": "mm"} for axis in "xyz"},
    "value": {"Description": "Loading at the peak", **_R},
    "volume": {"Description": "Size of the cluster; clusters are voxels of one sign that belong to the largest 5 %, "
               "joined by their faces", "Units": "mm^3"},
    "label": {"Description": "Parcel of the atlas that names peaks"},
    "planted": {"Description": "Component that was planted into the simulated data"},
    "map_r": {"Description": "Absolute correlation of the planted map with the loadings of the component"},
    "timecourse_r": {"Description": "Absolute correlation of the planted time course with the BOLD-side variate"},
    "held_out_r": {"Description": "Held-out correlation of the component"},
    "planted_r": {"Description": "Correlation of film and BOLD that was planted: what no analysis can exceed"},
    "parcel": {"Description": "Name of the parcel"},
    "run": {"Description": "Run"},
    "censored": {"Description": "1: left out of cleaning and fits", "Levels": {"0": "kept", "1": "left out"}},
    "framewise_displacement": {"Description": "How far the head moved since the volume before", "Units": "mm"},
    "dvars": {"Description": "Root mean square over columns of the change since the volume before, in their standard "
              "deviations"},
    "participant": {"Description": "Participant"},
    "own_component": {"Description": "The component in the participant's own results"},
    "sign": {"Description": "What the participant's own component is multiplied by", "Levels": {
        "1": "as it is", "-1": "turned"}},
    "similarity": {"Description": "Cosine of what the component holds of the film with the mean of the others'", **_R},
    "r_held_out": {"Description": "Held-out correlation in the participant's own results", **_R},
    "p_held_out": {"Description": "Its p, corrected over components", "Minimum": 0, "Maximum": 1},
    "r_others": {"Description": "Correlation of the BOLD side in unseen runs with the mean of the others'", **_R},
    "map_congruence": {"Description": "Congruence of the map with the mean of the others'", **_R},
    "global_signal": {"Description": "Mean over columns, each of unit variance"},
}  # fmt: skip
"""Columns that are no component."""

_TABLES = {
    "desc-cca_mixing": ("BOLD-side canonical variates of the fit to all runs", "BOLD-side canonical variate"),
    "desc-ccaStimulus_timeseries": (
        "Stimulus-side canonical variates of the fit to all runs", "stimulus-side canonical variate"
    ),
    "desc-ccaHeldOut_mixing": (
        "BOLD-side canonical variates of each run by the fit that has not seen it",
        "BOLD-side canonical variate in unseen runs",
    ),
    "desc-ccaHeldOutStimulus_timeseries": (
        "Stimulus-side canonical variates of each run by the fit that has not seen it",
        "stimulus-side canonical variate in unseen runs",
    ),
    "desc-cca_permutations": (
        "In-sample statistic under permutation: the largest singular value of the whitened views once the components "
        "before it are taken out", "in-sample statistic",
    ),
    "desc-ccaHeldOut_permutations": (
        "Held-out correlation, mean over left-out runs, under permutation", "mean held-out correlation"
    ),
    "desc-ccaStimulus_loadings": (
        "Correlation of each feature with the stimulus-side canonical variates",
        "correlation with the stimulus-side canonical variate",
    ),
    "desc-cca_peaks": ("Where the loadings of voxels are highest and lowest", ""),
    "desc-ccaQuality_timeseries": ("Quality of the cleaned BOLD, volume by volume", ""),
    "desc-ccaGroup_matches": ("Which of each participant's components is which of the group's", ""),
    "desc-ccaGroup_loadings": (
        "Mean over participants of the correlation of each feature with the stimulus-side canonical variates",
        "mean correlation",
    ),
    "desc-ccaGroup_permutations": (
        "Intersubject correlation of BOLD-side variates in unseen runs under permutation",
        "mean intersubject correlation",
    ),
    "desc-ccaShared_loadings": (
        "Correlation of each feature with the film's variates of the fit of film and all brains", "correlation"
    ),
    "desc-ccaShared_timeseries": ("Time courses that film and all brains share", "shared time course"),
    "desc-ccaSharedOneMap_permutations": (
        "Held-out correlation of film and left-out participants, mean over these, under permutation, with the same "
        "weights for all", "mean held-out correlation"
    ),
    "desc-cca_recovery": ("How well planted components were found (simulated data)", ""),
}  # fmt: skip
"""What a table is, and what its columns of components hold."""

_IS_COMPONENT = re.compile(r"(cca|shared|onemap)_\d+")

_ROWS = "One row per kept volume, the runs in the order of Runs in the decomposition."


def table_sidecar(name: str, columns: Sequence[str], decomposition: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the sidecar of a table.

    Parameters
    ----------
    name : str
        End of the file's name without extension, for example ``desc-cca_mixing``.
    columns : sequence of str
    decomposition : mapping
        Content of ``*_decomposition.json``.

    Raises
    ------
    KeyError
        When nothing is known of a table, or of one of its columns.
    """
    what, each = _TABLES[name]
    is_series = name.endswith(("_mixing", "_timeseries"))
    content: dict[str, Any] = {"Description": f"{what}. {_ROWS}" if is_series else f"{what}."}
    if is_series:
        content |= {"RepetitionTime": decomposition["RepetitionTime"], "SamplingFrequency": "TR"}
    content |= common_fields(decomposition)
    for column in columns:
        content[column] = _component(column, each) if _IS_COMPONENT.fullmatch(column) else _other(column)
    return content


def map_columns(names: Sequence[str], what: str, lowest: float | None = -1) -> dict[str, Column]:
    """Columns of a table of parcels that holds one map per component: from lowest to 1, or of any size (None)."""
    limits: Column = {} if lowest is None else {"Minimum": lowest, "Maximum": 1}
    return {"parcel": _OTHERS["parcel"], **{name: {**_component(name, what), **limits} for name in names}}


def _other(column: str) -> Column:
    if column.startswith("group_"):
        return {"Description": "Mean of columns of BOLD that lie beside each other, in its standard deviations"}
    return _OTHERS[column]


def _component(name: str, what: str) -> Column:
    return {"Description": f"Component {name}: {what}"}


def common_fields(decomposition: Mapping[str, Any]) -> dict[str, Any]:
    """What BIDS asks of every sidecar: the files it was made of, and what its space and resolution are.

    The space is that of the BOLD, so that a BOLD file is its reference.
    """
    fields: dict[str, Any] = {}
    dataset = decomposition["Dataset"]
    if found := sources(decomposition):
        fields["Sources"] = found
        if dataset.get("Space") and decomposition.get("Level") != "group":
            fields["SpatialReference"] = found[0]
    if dataset.get("Resolution"):
        fields["Resolution"] = dataset["Resolution"]
    return fields


def sources(decomposition: Mapping[str, Any]) -> list[str]:
    """Input files as BIDS URIs, ``bids:NAME:PATH`` with a name of ``DatasetLinks``; others are left out."""
    if decomposition.get("Level") == "group":  # made of results that lie beside it
        return [f"bids::{entry['Path']}" for entry in decomposition["Inputs"]]
    links = decomposition.get("DatasetLinks", {})
    if not links:
        return []
    found = []
    for entry in decomposition.get("Inputs", ()):
        path = posixpath.normpath(posixpath.join(links["input"], entry["Path"]))
        inside = [name for name, folder in links.items() if path.startswith(f"{folder}/")]
        if inside and not path.endswith(".h5"):  # a feature store's name does not say where it is
            name = max(inside, key=lambda name: len(links[name]))
            found.append(f"bids:{name}:{path.removeprefix(f'{links[name]}/')}")
    return found
