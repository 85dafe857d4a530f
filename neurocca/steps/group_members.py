"""Participants' results, as the group level reads them from an output directory."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel import Nifti1Image
from numpy.typing import NDArray

from neurocca.config import Config
from neurocca.errors import DataError, NeuroccaError
from neurocca.io.analyses import RECORD, Analysis
from neurocca.io.derivatives import read_tables
from neurocca.io.files import one_line, sha256
from neurocca.report.record import ReportData

log = logging.getLogger(__name__)

FREE = ("inference.n_permutations", "inference.seed")
"""What may differ between participants of a group: how often chance was looked at, and from which seed."""


@dataclass(frozen=True)
class Member:
    """What the group level needs of one participant.

    Parameters
    ----------
    subject : str
    decomposition : dict
        The participant's record.
    stimulus : array, shape (n, k)
        Stimulus-side variates of the fit on all runs.
    held_out_stimulus, held_out_bold : arrays, shape (n, k)
        Both sides' variates of each run by the fit that has not seen it.
    features : DataFrame, shape (p, k)
        Loadings of features, by space, feature and delay.
    maps : array, shape (k, q)
        Loadings of voxels, vertices or parcels.
    responses : tuple of str
        Labels of the columns of the maps.
    mask : Nifti1Image, optional
        Where they lie, for voxels.
    digest : str
        SHA-256 of the record.
    """

    subject: str
    decomposition: dict[str, Any]
    stimulus: NDArray
    held_out_stimulus: NDArray
    held_out_bold: NDArray
    features: pd.DataFrame
    maps: NDArray
    responses: tuple[str, ...]
    mask: Nifti1Image | None
    digest: str

    @property
    def config(self) -> Config:
        """Configuration of the participant's analysis."""
        return Config.from_dict(self.decomposition["Config"])

    @property
    def runs(self) -> dict[str, tuple[int, int, int]]:
        """First volume, number of volumes and of censored ones, by run."""
        return {run["Run"]: (run["FirstKept"], run["Kept"], run["Censored"]) for run in self.decomposition["Runs"]}

    def rows(self, runs: Sequence[str]) -> NDArray[np.intp]:
        """Rows of the variates that belong to runs."""
        ends = np.cumsum([run["Kept"] for run in self.decomposition["Runs"]])
        places = {
            run["Run"]: np.arange(end - run["Kept"], end)
            for run, end in zip(self.decomposition["Runs"], ends, strict=True)
        }
        return np.concatenate([places[run] for run in runs]) if runs else np.zeros(0, dtype=np.intp)


def read_members(output: Path, analyses: Sequence[Analysis]) -> tuple[list[Member], dict[str, str]]:
    """Results of participants; of those whose results are damaged, what is wrong with them, by label."""
    members, damaged = [], {}
    for analysis in analyses:
        try:
            members.append(read_member(output, analysis))
        except NeuroccaError as error:
            damaged[analysis.subject] = str(error)
    return members, damaged


def read_member(output: Path, analysis: Analysis) -> Member:
    """Results of one participant.

    Raises
    ------
    NoInputError, DataError
        The message names the file.
    """
    tables = read_tables(output, analysis)
    try:
        member = _member(ReportData(**tables), sha256(analysis.file(output, RECORD)))
        Config.from_dict(member.decomposition["Config"])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"the results of {analysis.stem} are damaged: {one_line(error) or repr(error)}.") from error
    for name, values in (("stimulus-side variates", member.stimulus), ("held-out variates", member.held_out_bold),
                         ("feature loadings", member.features), ("maps", member.maps)):  # fmt: skip
        if not np.isfinite(np.asarray(values, dtype=float)).all():
            raise DataError(f"the results of {analysis.stem} are damaged: values of the {name} are missing.")
    return member


def _member(data: ReportData, digest: str) -> Member:
    d = data.decomposition
    names = [component["Name"] for component in d["Components"]]
    index = pd.MultiIndex.from_frame(data.feature_loadings[["space", "feature", "delay"]].fillna("").astype(str))
    mask = None
    responses: tuple[str, ...] = ()
    if data.maps is not None:
        volumes = np.asarray(data.maps.dataobj, dtype=np.float32)
        inside = np.asarray(volumes.any(axis=3))
        mask = _mask(inside, data.maps)
        maps = volumes[inside].T.astype(float)
    elif data.response_loadings is not None:
        maps = data.response_loadings[names].to_numpy(float).T
        responses = tuple(data.response_loadings["parcel"].astype(str))
    else:
        raise DataError("there are no maps.")
    return Member(
        d["Subject"],
        d,
        data.stimulus_variates[names].to_numpy(float),
        data.held_out_stimulus[names].to_numpy(float),
        data.held_out_bold[names].to_numpy(float),
        data.feature_loadings[names].set_index(index),
        maps,
        responses,
        mask,
        digest,
    )


def check_alike(members: Sequence[Member]) -> Config:
    """The one configuration of all participants.

    Raises
    ------
    DataError
        Where participants' configurations differ in more than `FREE`.
    """
    first = members[0]
    known = _flat(first.decomposition["Config"])
    for member in members[1:]:
        other = _flat(member.decomposition["Config"])
        for key in sorted(known.keys() | other.keys()):
            if key not in FREE and known.get(key) != other.get(key):
                raise DataError(
                    f"sub-{first.subject} and sub-{member.subject} were analysed with different settings "
                    f"({key}: {known.get(key)!r} and {other.get(key)!r}): run the participant level again for one of "
                    "them, or choose by --participant-label."
                )
    return first.config


def differing_keys(one: Config, other: Config) -> list[str]:
    """Dotted names of what two configurations differ in, but for `FREE`."""
    first, second = _flat(asdict(one)), _flat(asdict(other))
    return [key for key in first if key not in FREE and first[key] != second[key]]


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted name; tuples as lists, which they are in JSON."""
    return {
        f"{table}.{key}": list(value) if isinstance(value, tuple) else value
        for table, values in tables.items()
        for key, value in values.items()
    }


def common_runs(members: Sequence[Member]) -> list[str]:
    """Runs of which all participants have the same volumes, none of them censored."""
    first = members[0].runs
    return [run for run, size in first.items() if size[2] == 0 and all(m.runs.get(run) == size for m in members)]


def common_columns(members: Sequence[Member]) -> tuple[NDArray, tuple[str, ...], Nifti1Image | None]:
    """Maps over the columns that all participants have, shape (S, k, q), with labels or the mask of these.

    Raises
    ------
    DataError
        Where there are none, or images lie on different grids.
    """
    if members[0].mask is None:
        shared = [label for label in members[0].responses if all(label in m.responses for m in members[1:])]
        places = [dict(zip(m.responses, range(len(m.responses)), strict=True)) for m in members]
        _check_any(len(shared))
        stack = [m.maps[:, [place[label] for label in shared]] for m, place in zip(members, places, strict=True)]
        return np.stack(stack), tuple(shared), None
    reference = members[0].mask
    for member in members[1:]:
        mask = member.mask
        if mask is None or mask.shape != reference.shape or not np.allclose(mask.affine, reference.affine, atol=1e-4):
            raise DataError(
                f"maps of sub-{members[0].subject} and sub-{member.subject} lie on different grids: a group needs them "
                "in one space, with the same voxels."
            )
    insides = [np.asarray(m.mask.dataobj, dtype=bool) for m in members if m.mask is not None]
    inside = np.all(insides, axis=0)
    _check_any(int(inside.sum()))
    stack = [m.maps[:, inside[own]] for m, own in zip(members, insides, strict=True)]
    return np.stack(stack), (), _mask(inside, reference)


def _mask(inside: NDArray[np.bool_], grid: Nifti1Image) -> Nifti1Image:
    """Image of the voxels that are inside, in the space that the grid says it is in."""
    made = Nifti1Image(inside.astype(np.uint8), grid.affine)
    code = int(grid.header["sform_code"])
    if code:
        made.set_sform(grid.affine, code)
        made.set_qform(grid.affine, code)
    return made


def _check_any(n: int) -> None:
    if n == 0:
        raise DataError("no voxel, vertex or parcel is in the results of all participants.")
