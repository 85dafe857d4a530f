"""What is written down of the group level: the record, the tables and the maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.config import Config
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.subjects import ConsistencyResult
from neurocca.io.analyses import RECORD
from neurocca.io.derivatives import component_names
from neurocca.io.group import GroupAnalysis, GroupResults, group_names
from neurocca.steps.group_matching import WEAK, Matching
from neurocca.steps.group_members import Member
from neurocca.steps.group_second_level import SecondLevel
from neurocca.steps.group_shared import SharedFit

ALPHA = 0.05
"""Level at which components and places are counted."""


@dataclass(frozen=True)
class GroupParts:
    """What was computed for a group.

    Parameters
    ----------
    group : GroupAnalysis
    members : list of Member
    left_out : dict of str
        Participants without usable results, and why.
    matching : Matching
    maps : SecondLevel
    consistency : ConsistencyResult or None
    runs : list of str
        That ``consistency`` is of.
    shared : SharedFit, or str
        A text says why it was not done.
    config : Config
        With the number of permutations and the seed of this level.
    notes : list of str
    command : str
    """

    group: GroupAnalysis
    members: list[Member]
    left_out: dict[str, str]
    matching: Matching
    maps: SecondLevel
    consistency: ConsistencyResult | None
    runs: list[str]
    shared: SharedFit | str
    config: Config
    notes: list[str]
    command: str = ""


def collect_group(parts: GroupParts) -> GroupResults:
    """Record, tables and maps of a group."""
    k = parts.matching.order.shape[1]
    names = component_names(k)
    matches = _matches(parts, names)
    features = parts.matching.features.set_axis(names, axis=1).reset_index()
    tables = {"desc-ccaGroup_matches": matches, "desc-ccaGroup_loadings": features}
    if parts.consistency is not None:
        tables["desc-ccaGroup_permutations"] = _null(parts.consistency.mean, parts.consistency.null, names)
    maps: dict[str, NDArray] = {"desc-ccaGroup_components": parts.maps.mean}
    if parts.maps.test is not None:
        maps["stat-t_desc-ccaGroup_statmap"] = parts.maps.test.t
        maps["stat-p_desc-ccaGroupFWE_statmap"] = parts.maps.test.pvalues
    if parts.maps.tfce is not None and parts.maps.tfce.pvalues_tfce is not None:
        maps["stat-p_desc-ccaGroupTFCE_statmap"] = parts.maps.tfce.pvalues_tfce
    if isinstance(parts.shared, SharedFit):
        tables |= _shared_tables(parts.shared)
        if parts.shared.maps is not None and parts.shared.responses == parts.maps.responses:
            maps["desc-ccaShared_components"] = parts.shared.maps
    return GroupResults(_record(parts, matches, names), tables, maps, parts.maps.responses, parts.maps.mask)


def _matches(parts: GroupParts, names: Sequence[str]) -> pd.DataFrame:
    """One line per participant and component: who shows which."""
    rows = []
    for i, member in enumerate(parts.members):
        for j, name in enumerate(names):
            own = member.decomposition["Components"][parts.matching.order[i, j]]
            rows.append(
                {
                    "participant": f"sub-{member.subject}",
                    "component": name,
                    "own_component": own["Name"],
                    "sign": int(parts.matching.signs[i, j]),
                    "similarity": parts.matching.similarity[i, j],
                    "r_held_out": own["HeldOutCorrelation"],
                    "p_held_out": own["PValueHeldOut"],
                    "r_others": np.nan if parts.consistency is None else parts.consistency.correlations[i, j],
                    "map_congruence": parts.maps.congruence[i, j],
                }
            )
    return pd.DataFrame(rows)


def _null(observed: NDArray, null: NDArray, names: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(np.vstack([observed, null]), columns=list(names))
    table.insert(0, "permutation", range(len(table)))
    return table


def _shared_tables(fit: SharedFit) -> dict[str, pd.DataFrame]:
    names = group_names("desc-ccaShared_", fit.shared.shape[1])
    columns = pd.DataFrame(fit.columns, columns=["space", "feature", "delay"])
    tables = {
        "desc-ccaShared_timeseries": pd.DataFrame(fit.shared, columns=names),
        "desc-ccaShared_loadings": pd.concat([columns, pd.DataFrame(fit.film_loadings, columns=names)], axis=1),
    }
    if fit.one_map is not None:
        tables["desc-ccaSharedOneMap_permutations"] = _null(
            fit.one_map.mean, fit.one_map.null, _one_map_names(len(fit.one_map.mean))
        )
    return tables


def _record(parts: GroupParts, matches: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    first, test = parts.members[0].decomposition, parts.config.inference
    dataset = first["Dataset"]
    keys = ("Name", "Kind", "Session", "Space", "Segmentation", "Resolution", "Atlas", "Mask")
    maps, enough = parts.maps, parts.maps.test is not None
    return {
        "Method": "Components of single participants, matched by their film side; tests over participants",
        "Level": "group",
        "Simulated": any(m.decomposition["Simulated"] for m in parts.members),
        "Task": first["Task"],
        "Dataset": {key: dataset.get(key) for key in keys},
        "RepetitionTime": first["RepetitionTime"],
        "Participants": [
            {"Subject": m.subject, "Warnings": len(m.decomposition["Warnings"]), "Runs": list(m.runs)}
            for m in parts.members
        ],
        "LeftOut": [{"Subject": subject, "Reason": reason} for subject, reason in parts.left_out.items()],
        "Components": [_component(parts, matches, name, j) for j, name in enumerate(names)],
        "Maps": {
            "Columns": maps.mean.shape[1],
            "ColumnsNotInAll": maps.n_dropped,
            "Test": "one sample t of Fisher-transformed loadings, sign flips of participants, maximum over columns "
            "and components" if enough else None,
            "NumberOfPermutations": test.n_permutations if enough else 0,
            "SmallestP": _rounded(maps.test.smallest_p) if maps.test is not None else None,
            "NumberOfPermutationsTFCE": len(maps.tfce.null) if maps.tfce is not None else 0,
        },
        "Intersubject": None if parts.consistency is None else {
            "Runs": parts.runs,
            "Scheme": parts.consistency.scheme,
            "NumberOfPermutations": len(parts.consistency.null),
            "MinShift": test.min_shift,
            "Correction": "maximum statistic over components",
        },
        "Shared": {"Skipped": parts.shared} if isinstance(parts.shared, str) else _shared(parts.shared),
        "Seed": test.seed,
        "Warnings": _warnings(parts, matches, names),
        "Inputs": [
            {"Path": parts.group.member(m.subject).file(Path(), RECORD).as_posix(), "SHA256": m.digest}
            for m in parts.members
        ],
        "Config": asdict(parts.config),
        "Software": first["Software"],
        "Command": parts.command,
    }  # fmt: skip


def _component(parts: GroupParts, matches: pd.DataFrame, name: str, j: int) -> dict[str, Any]:
    own = matches[matches["component"] == name]
    agreement, test, tfce = parts.consistency, parts.maps.test, parts.maps.tfce
    return {
        "Name": name,
        "Similarity": _rounded(own["similarity"].mean()),
        "HeldOutCorrelation": _rounded(own["r_held_out"].mean()),
        "ShownBy": [p for p, chance in zip(own["participant"], own["p_held_out"], strict=True) if chance < ALPHA],
        "IntersubjectCorrelation": None if agreement is None else _rounded(agreement.mean[j]),
        "PValueIntersubject": None if agreement is None else _rounded(agreement.pvalues[j]),
        "MapCongruence": _rounded(own["map_congruence"].mean()),
        "SignificantColumns": None if test is None else int(np.sum(test.pvalues[j] < ALPHA)),
        "SmallestPMap": None if test is None else _rounded(test.pvalues[j].min()),
        "SignificantColumnsTFCE": None
        if tfce is None or tfce.pvalues_tfce is None
        else int(np.sum(tfce.pvalues_tfce[j] < ALPHA)),
    }


def _shared(fit: SharedFit) -> dict[str, Any]:
    names = group_names("desc-ccaShared_", fit.shared.shape[1])
    test = fit.one_map
    components = [
        {
            "Name": name,
            "InSampleCorrelation": _rounded(fit.in_sample[:, j].mean()),
            "HeldOutFilmBrain": _rounded(fit.film_brain[:, j].mean()),
            "HeldOutFilmBrainPerParticipant": _named(fit.subjects, fit.film_brain[:, j]),
            "HeldOutBrainBrain": _rounded(fit.brain_brain[j]),
            "MostAlike": None if fit.order is None else _one_map_names(len(names))[int(fit.order[j])],
            "Alike": None if fit.alike is None else _rounded(fit.alike[j]),
        }
        for j, name in enumerate(names)
    ]
    return {
        "Skipped": None,
        "Method": "MAXVAR multiset canonical correlation analysis: the film and every participant's BOLD are views",
        "Participants": fit.subjects,
        "Runs": fit.runs,
        "ShrinkageFilm": fit.shrinkage[0],
        "ShrinkageBOLD": fit.shrinkage[1],
        "ColumnsPerParticipant": _named(fit.subjects, fit.n_columns),
        "LeftOut": [{"Subject": subject, "Reason": reason} for subject, reason in fit.left_out.items()],
        "Components": components,
        "OneMap": {"Skipped": fit.skipped["OneMap"]} if test is None else _one_map(test, fit),
    }


def _one_map_names(k: int) -> list[str]:
    return group_names("desc-ccaSharedOneMap_", k)


def _one_map(test: HeldOutResult, fit: SharedFit) -> dict[str, Any]:
    return {
        "Skipped": None,
        "Method": "Linear CCA with the same weights for all participants, each left out in turn",
        "Columns": len(fit.responses),
        "Scheme": test.scheme,
        "NumberOfPermutations": len(test.null),
        "Correction": "maximum statistic over components",
        "Components": [
            {
                "Name": name,
                "HeldOutCorrelation": _rounded(test.mean[j]),
                "PerParticipant": _named(fit.subjects, test.correlations[:, j]),
                "PValue": _rounded(test.pvalues[j]),
            }
            for j, name in enumerate(_one_map_names(len(test.mean)))
        ],
    }


def _named(subjects: Sequence[str], values: Sequence[float] | NDArray) -> dict[str, float]:
    return {f"sub-{subject}": _rounded(value) for subject, value in zip(subjects, values, strict=True)}


def _warnings(parts: GroupParts, matches: pd.DataFrame, names: Sequence[str]) -> list[str]:
    found = [f"sub-{subject} is left out: {reason}" for subject, reason in parts.left_out.items()]
    found += parts.maps.notes
    similarity = matches.groupby("component")["similarity"].mean()
    weak = [name for name in names if similarity[name] < WEAK]
    if weak:
        found.append(
            f"{', '.join(weak)}: participants' components are matched, but hardly alike on the film's side (mean "
            f"similarity below {WEAK}); what is said of them as one component of the group means little."
        )
    dataset = parts.members[0].decomposition["Dataset"]
    if dataset["Kind"] == "voxels" and not dataset.get("Space"):
        found.append(
            "Names of the BOLD say no space: maps are averaged voxel by voxel because their grids are the same. Are "
            "they in one space?"
        )
    if isinstance(parts.shared, str):
        found.append(f"The film and all brains were not fitted together: {parts.shared}")
    else:
        found += [
            f"sub-{subject} is not in the fit of film and all brains: {reason}"
            for subject, reason in parts.shared.left_out.items()
        ]
        found += [
            f"Components with one map for all were not tested: {reason}" for reason in parts.shared.skipped.values()
        ]
        found += parts.shared.notes
    return found + parts.notes


def group_verdict(decomposition: Mapping[str, Any]) -> pd.DataFrame:
    """One row per matched component, for the terminal."""
    n = len(decomposition["Participants"])
    return pd.DataFrame(
        {
            "component": c["Name"],
            "found_in": f"{len(c['ShownBy'])} of {n}",
            "similarity": c["Similarity"],
            "r_held_out": c["HeldOutCorrelation"],
            "r_intersubject": c["IntersubjectCorrelation"],
            "p_intersubject": c["PValueIntersubject"],
        }
        for c in decomposition["Components"]
    )


def _rounded(value: float) -> float:
    """Six decimals: more would carry the rounding noise of one machine into the record."""
    return round(float(value), 6)
