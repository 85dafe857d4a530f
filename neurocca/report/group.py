"""A group's results in, one self-contained HTML page out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from markupsafe import Markup

from neurocca.report import figures, wording
from neurocca.report.group_methods import group_methods
from neurocca.report.page import environment, toml_text
from neurocca.report.references import cited_in

_MNI = 4
"""What the header of a NIfTI calls MNI space."""


@dataclass(frozen=True)
class GroupReportData:
    """Results of a group, as they lie on disk.

    Parameters
    ----------
    record : dict
        Content of ``*_desc-ccaGroup_decomposition.json``.
    tables : dict of DataFrame
        By the rest of their file's name, see `neurocca.io.group.TABLES`.
    maps : dict of DataFrame or Nifti1Image
        Likewise, see `neurocca.io.group.MAPS`; tables have a column ``parcel``.
    """

    record: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    maps: dict[str, Any]


def render_group(data: GroupReportData) -> str:
    """The group's page, a whole HTML document; the same data give the same text."""
    d, matches = data.record, data.tables["desc-ccaGroup_matches"]
    names = [component["Name"] for component in d["Components"]]
    paragraphs = group_methods(d)
    shared = d["Shared"]
    return environment().get_template("group.html.jinja").render(
        d=d,
        variant=wording.variant(d["Dataset"]),
        nouns=wording.noun(d, 2),
        verdict=group_verdict(d),
        overview=Markup(figures.participants_overview(matches, names, name="overview")),
        rows=_rows(d, matches),
        components=[_component(data, i) for i in range(len(names))],
        shared=shared,
        shared_components=[] if shared["Skipped"] else [_shared_component(data, c) for c in shared["Components"]],
        one_map=None if shared["Skipped"] or shared["OneMap"]["Skipped"] else _one_map(data),
        methods=paragraphs,
        references=cited_in(" ".join(paragraphs)),
        config=toml_text(d["Config"]),
    )  # fmt: skip


def group_row(
    record: Mapping[str, Any], *, href: str, there: Sequence[str] = (), anew: Sequence[str] = ()
) -> dict[str, Any]:
    """What the index says about one group.

    Parameters
    ----------
    record : mapping
    href : str
        The group's page.
    there : sequence of str
        Participants who have results that would go into it.
    anew : sequence of str
        Of those in it, who has been analysed anew since.
    """
    members = [participant["Subject"] for participant in record["Participants"]]
    return {
        "task": record["Task"],
        "variant": wording.variant(record["Dataset"]),
        "n_participants": len(record["Participants"]),
        "warnings": len(record["Warnings"]),
        "href": href,
        "anew": [f"sub-{participant}" for participant in anew],
        "without": [f"sub-{participant}" for participant in there if participant not in members],
        "gone": [f"sub-{participant}" for participant in members if participant not in there],
    }


def group_verdict(d: Mapping[str, Any]) -> str:
    """What was found, in plain words."""
    n = len(d["Participants"])
    shown = [c for c in d["Components"] if c["ShownBy"]]
    if not shown:
        return f"In none of {n} participants a component of the film was found in runs that were left out of the fit."
    parts = [f"{c['Name']} in {len(c['ShownBy'])} of {n}" for c in shown]
    text = f"Components found in runs that were left out of the fit: {wording.listing(parts)} participants."
    known = [c for c in d["Components"] if wording.is_known(c["PValueIntersubject"])]
    if not known:
        return text
    alike = [c for c in known if c["PValueIntersubject"] < wording.ALPHA]
    if not alike:
        return f"{text} In none of them participants' time courses go along with each other beyond chance."
    rs = [f"{c['Name']} (r = {wording.number(c['IntersubjectCorrelation'])})" for c in alike]
    return (
        f"{text} Their unseen time courses go along with those of the others beyond chance for {wording.listing(rs)}."
    )


def _rows(d: Mapping[str, Any], matches: pd.DataFrame) -> list[dict[str, Any]]:
    """One per participant: own components in the group's order."""
    warned = {f"sub-{p['Subject']}": p["Warnings"] for p in d["Participants"]}
    return [
        {"participant": subject, "warnings": warned[str(subject)], "cells": own.to_dict("records")}
        for subject, own in matches.groupby("participant", sort=False)
    ]


def _component(data: GroupReportData, index: int) -> dict[str, Any]:
    d, record = data.record, data.record["Components"][index]
    name, key = record["Name"], f"g{index}"
    features = figures.feature_loadings(
        data.tables["desc-ccaGroup_loadings"], name, t_r=d["RepetitionTime"], name=f"{key}-features"
    )
    return {
        "key": key,
        "record": record,
        "found": bool(record["ShownBy"]),
        "features": Markup(features),
        "null": _null(data, "desc-ccaGroup_permutations", name, record["IntersubjectCorrelation"],
                      record["PValueIntersubject"], "r with the others, mean", f"{key}-null"),
        **_map(data, "desc-ccaGroup_components", index, name, key),
    }  # fmt: skip


def _shared_component(data: GroupReportData, record: Mapping[str, Any]) -> dict[str, Any]:
    name = record["Name"]
    features = figures.feature_loadings(
        data.tables["desc-ccaShared_loadings"], name, t_r=data.record["RepetitionTime"], name=f"{name}-features"
    )
    return {"record": record, "features": Markup(features)}


def _one_map(data: GroupReportData) -> dict[str, Any]:
    record = data.record["Shared"]["OneMap"]
    first = record["Components"][0]
    null = _null(data, "desc-ccaSharedOneMap_permutations", first["Name"], first["HeldOutCorrelation"],
                 first["PValue"], "r in left-out participants", "onemap-null")  # fmt: skip
    return {"record": record, "null": null}


def _null(
    data: GroupReportData, table: str, component: str, observed: float | None, p: float | None, label: str, name: str
) -> Markup | None:
    """Histogram of the largest component of each permutation, which every component is held against."""
    if table not in data.tables or not wording.is_known(observed):
        return None
    largest = data.tables[table].iloc[1:].drop(columns="permutation").max(axis=1).to_numpy(float)
    return Markup(
        figures.null_histogram(largest, float(observed or 0), p=p, title="Beyond chance?", label=label, name=name)
    )


def _map(data: GroupReportData, table: str, index: int, name: str, key: str) -> dict[str, Any]:
    """Mean map of one component: an image, or bars."""
    found = data.maps[table]
    if isinstance(found, pd.DataFrame):
        nouns = wording.noun(data.record, 2)
        return {"brain": None, "parcels": Markup(figures.parcel_loadings(found, name, nouns=nouns, name=f"{key}-map"))}
    volume = np.asarray(found.dataobj[..., index], dtype=np.float32)
    image = nibabel.Nifti1Image(volume, found.affine)
    space = data.record["Dataset"].get("Space")
    standard = int(found.header["sform_code"]) == _MNI if space is None else str(space).startswith("MNI")
    limit, threshold = figures.map_range(image)
    drawn = figures.brain_map(image, standard=standard)
    return {"brain": drawn, "limit": limit, "threshold": threshold, "standard": standard, "parcels": None}
