"""Group results on disk: which analyses belong together, and the files over all of their participants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from nibabel import Nifti1Image
from numpy.typing import NDArray

from neurocca.io.analyses import Analysis, analyses_of
from neurocca.io.dataset_files import BIDSIGNORE, DESCRIPTIONS, README
from neurocca.io.derivatives import component_names
from neurocca.io.files import json_text, write_text
from neurocca.io.names import parse_name
from neurocca.io.parcels import parcel_maps
from neurocca.io.records import read_record
from neurocca.io.table_sidecars import common_fields, map_columns, table_sidecar
from neurocca.io.timeseries import read_table, write_table

RECORD = "desc-ccaGroup_decomposition.json"
"""How the name of a group's record ends."""

_KEYS = ("ses", "task", "space", "seg", "res")
"""Keys of the labels in names, in the order of BIDS."""

TABLES = (
    "desc-ccaGroup_matches",
    "desc-ccaGroup_loadings",
    "desc-ccaGroup_permutations",
    "desc-ccaShared_loadings",
    "desc-ccaShared_timeseries",
    "desc-ccaSharedOneMap_permutations",
)
"""Tables of a group; those of what was not done are not there."""


@dataclass(frozen=True, order=True)
class GroupAnalysis:
    """Labels that analyses of several participants have in common.

    Parameters
    ----------
    task : str
    space, seg, res, session : str
        As of `neurocca.io.analyses.Analysis`; empty where names do not say them.
    """

    task: str
    space: str = ""
    seg: str = ""
    res: str = ""
    session: str = ""

    @classmethod
    def of(cls, analysis: Analysis) -> "GroupAnalysis":
        """Group that a participant's analysis belongs to."""
        return cls(analysis.task, analysis.space, analysis.seg, analysis.res, analysis.session)

    def member(self, subject: str) -> Analysis:
        """Analysis of one participant."""
        return Analysis(subject, self.task, self.space, self.seg, self.res, self.session)

    @property
    def stem(self) -> str:
        """Start of the names of all files, in the order of BIDS.

        >>> GroupAnalysis("film", "MNI152NLin2009cAsym", res="2").stem
        'task-film_space-MNI152NLin2009cAsym_res-2'
        """
        labels = (self.session, self.task, self.space, self.seg, self.res)
        return "_".join(f"{key}-{label}" for key, label in zip(_KEYS, labels, strict=True) if label)

    @property
    def page(self) -> str:
        """File name of the report."""
        return f"group_{self.stem}.html"

    def file(self, output: Path, name: str) -> Path:
        """Place of a file that is called ``name`` after the labels: beside the participants' folders."""
        return output / f"{self.stem}_{name}"


def groups_of(analyses: Iterable[Analysis]) -> dict[GroupAnalysis, list[Analysis]]:
    """Analyses by what they have in common, in order."""
    found: dict[GroupAnalysis, list[Analysis]] = {}
    for analysis in sorted(analyses):
        found.setdefault(GroupAnalysis.of(analysis), []).append(analysis)
    return dict(sorted(found.items()))


def group_results_of(output: Path) -> list[GroupAnalysis]:
    """Groups that have results in an output directory, in order."""
    names = filter(None, (parse_name(path.name) for path in output.glob(f"*task-*_{RECORD}")))
    labels = [{key: name.get(key) or "" for key in _KEYS} for name in names]
    return sorted(GroupAnalysis(n["task"], n["space"], n["seg"], n["res"], n["ses"]) for n in labels)


def groups_in(output: Path) -> dict[GroupAnalysis, list[Analysis]]:
    """Groups of participants that an output directory has results of."""
    return groups_of(analyses_of(output))


@dataclass(frozen=True)
class GroupResults:
    """Everything that the group level gives.

    Parameters
    ----------
    decomposition : dict
        Content of ``*_desc-ccaGroup_decomposition.json``.
    tables : dict of DataFrame
        By their names, of `TABLES`.
    maps : dict of array, each of shape (k, q)
        Maps over the voxels, vertices or parcels that all participants have, by the rest of their file's name.
    responses : sequence of str, length q
        Labels of what the maps lie over.
    mask : Nifti1Image, optional
        Where the columns of the maps lie, for voxels.
    """

    decomposition: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    maps: dict[str, NDArray]
    responses: Sequence[str]
    mask: Nifti1Image | None = None


MAPS = {
    "desc-ccaGroup_components": "Mean over participants of the correlation with the BOLD-side canonical variates",
    "stat-t_desc-ccaGroup_statmap": "t of that mean, of Fisher-transformed correlations",
    "stat-p_desc-ccaGroupFWE_statmap": "p of t, corrected over all columns and components; sign flips of participants",
    "stat-p_desc-ccaGroupTFCE_statmap": "p of threshold-free cluster enhancement, likewise corrected",
    "desc-ccaShared_components": "Mean over participants of the correlation with their variates of the shared fit",
}
"""What the maps are, by the rest of their file's name."""


def write_group(folder: Path, group: GroupAnalysis, results: GroupResults) -> None:
    """Write a group's derivatives into a folder, which may be staged.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    write_text(group.file(folder, RECORD), json_text(results.decomposition))
    for name, table in results.tables.items():
        write_table(group.file(folder, f"{name}.tsv"), table)
        sidecar = table_sidecar(name, list(table.columns), results.decomposition)
        write_text(group.file(folder, f"{name}.json"), json_text(sidecar))
    for name, maps in results.maps.items():
        about = {"Description": f"{MAPS[name]}."} | common_fields(results.decomposition)
        _write_maps(group.file(folder, name), maps, results, about)
    for name, text in ((".bidsignore", BIDSIGNORE), ("descriptions.tsv", DESCRIPTIONS), ("README.md", README)):
        write_text(folder / name, text)


def group_names(file: str, k: int) -> list[str]:
    """Names of components: those of fits of all participants are others than the participants' own.

    >>> group_names("desc-ccaGroup_components", 1), group_names("desc-ccaShared_components", 1)
    (['cca_00'], ['shared_00'])
    """
    kinds = {"desc-ccaSharedOneMap_": "onemap", "desc-ccaShared_": "shared"}
    kind = next((name for label, name in kinds.items() if label in file), "cca")
    return [name.replace("cca", kind) for name in component_names(k)]


def _write_maps(stem: Path, maps: NDArray, results: GroupResults, about: dict[str, Any]) -> None:
    names = group_names(stem.name, len(maps))
    if results.mask is not None:
        from neurocca.io.volumes import Voxels

        Voxels(results.mask).write(maps, stem, names, about)
        return
    write_table(stem.with_name(f"{stem.name}.tsv"), parcel_maps(maps, results.responses, names))
    # t has no limits, p begins at 0, and all others are correlations
    lowest = None if "stat-t_" in stem.name else 0 if "stat-p_" in stem.name else -1
    columns = map_columns(names, about["Description"].rstrip("."), lowest)
    write_text(stem.with_name(f"{stem.name}.json"), json_text({"MapNames": names, **about, **columns}))


def read_group_record(output: Path, group: GroupAnalysis) -> dict[str, Any]:
    """Content of a group's record.

    Raises
    ------
    NoInputError
        When there are no such results.
    DataError
        When the file is damaged.
    """
    needed = ("Task", "Dataset", "Participants", "Components", "Warnings", "LeftOut")
    return read_record(group.file(output, RECORD), needed)


def read_group_tables(output: Path, group: GroupAnalysis) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Tables and maps of a group, those that are there, by the names of `TABLES` and `MAPS`.

    Maps over voxels are images, others tables with a column ``parcel``.
    """
    tables = {name: group.file(output, f"{name}.tsv") for name in TABLES}
    maps: dict[str, Any] = {}
    for name in MAPS:
        image = group.file(output, f"{name}.nii.gz")
        if image.is_file():
            from neurocca.io.volumes import load_image

            maps[name] = load_image(image)
        elif (table := group.file(output, f"{name}.tsv")).is_file():
            maps[name] = read_table(table, text=("parcel",))
    return {name: read_table(path) for name, path in tables.items() if path.is_file()}, maps
