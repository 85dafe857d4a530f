"""Everything that a page shows of one component."""

from collections.abc import Mapping
from typing import Any

import nibabel
import nibabel.affines
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from neurocca.report import figures, wording
from neurocca.report.moments import moments
from neurocca.report.record import ReportData

_MNI = 4
"""What the header of a NIfTI calls MNI space."""


_HEIGHTS = {"parcels": 350, "markers": 370, "surface": 400, "brain": 490}
"""Pixels that figures of the brain take below each other: features beside them fill what there is."""


def component_content(data: ReportData, index: int) -> dict[str, Any]:
    """What the template fills in for one component, figures included."""
    d, record = data.decomposition, data.decomposition["Components"][index]
    name, key = record["Name"], f"c{index}"
    series = figures.time_courses(
        data.held_out_stimulus[name].to_numpy(float),
        data.held_out_bold[name].to_numpy(float),
        runs=d["Runs"],
        t_r=d["RepetitionTime"],
        name=f"{key}-series",
    )
    brain, peaks = _brain_figures(data, index, key), _strongest_peaks(data, name)
    features = figures.feature_loadings(
        data.feature_loadings,
        name,
        t_r=d["RepetitionTime"],
        name=f"{key}-features",
        limit=_largest_loading(data),
        height=sum(_HEIGHTS[part] for part in _HEIGHTS if brain[part] is not None) - 34 * len(peaks),
    )
    return {
        "key": key,
        "record": record,
        "inference": {part: Markup(svg) for part, svg in _inference_figures(data, record, key).items()},
        "series": Markup(series),
        "features": Markup(features),
        "drivers": _drivers(data, name),
        "peaks": peaks,
        "moments": moments(data, name),
        **brain,
    }


def _largest_loading(data: ReportData) -> float:
    """Of any feature on any component: where the colours of all their figures end."""
    values = data.feature_loadings[[c["Name"] for c in data.decomposition["Components"]]].to_numpy(float)
    return float(np.nanmax(np.abs(values), initial=0))


def _inference_figures(data: ReportData, record: Mapping[str, Any], key: str) -> dict[str, str]:
    """Held-out null, held-out runs, in-sample null; those that exist."""
    d, name = data.decomposition, record["Name"]
    drawn = {}
    held_out = reference(data.held_out_null, name, d)
    if held_out.size and wording.is_known(record["HeldOutCorrelation"]):
        drawn["HeldOutNull"] = figures.null_histogram(
            held_out,
            record["HeldOutCorrelation"],
            p=record["PValueHeldOut"],
            title="Beyond chance in unseen runs?",
            label="held-out r, mean over runs",
            name=f"{key}-held",
        )
    per_run = {run: r for run, r in record["HeldOutCorrelationPerRun"].items() if wording.is_known(r)}
    if per_run and wording.is_known(record["HeldOutCorrelation"]):
        drawn["HeldOutRuns"] = figures.held_out_per_run(
            per_run, record["HeldOutCorrelation"], threshold(held_out), name=f"{key}-runs"
        )
    # every step has a null of its own, from which the components before it are taken out
    in_sample = data.null[name].iloc[1:].to_numpy(float)
    in_sample = in_sample[np.isfinite(in_sample)]
    if in_sample.size:
        observed, scale = record["InSampleCorrelation"], _to_correlation(data, record)
        drawn["InSampleNull"] = figures.null_histogram(
            in_sample * scale,
            observed,
            p=record["PValueInSample"],
            title="In-sample, step by step",
            label="in-sample r" if scale == 1 else "in-sample r (scaled to it)",
            name=f"{key}-in",
        )
    return drawn


def _to_correlation(data: ReportData, record: Mapping[str, Any]) -> float:
    """Factor that takes the in-sample test's statistic to the scale of the component's correlation.

    The statistic is a singular value of whitened views. With shrinkage it is no correlation, and can be ten times as
    large; how the observed one compares with those under permutation is the same in all units.
    """
    observed = float(data.null[record["Name"]].iloc[0])
    r = float(record["InSampleCorrelation"])
    return 1.0 if not observed or abs(observed - r) < 1e-3 else r / observed


def _brain_figures(data: ReportData, index: int, key: str) -> dict[str, Any]:
    """Brain maps of one component or, where there is nothing to draw them on, bars."""
    name = data.decomposition["Components"][index]["Name"]
    drawn: dict[str, Any] = {
        "parcels": None,
        "markers": None,
        "brain": None,
        "threshold": None,
        "surface": None,
        "viewer": None,
    }
    if data.surfaces is not None and _has_mesh(data):
        drawn["surface"] = figures.surface_map(*(side[index] for side in data.surfaces))
    elif data.response_loadings is not None:
        nouns = wording.noun(data.decomposition, 2)
        bars = figures.parcel_loadings(data.response_loadings, name, nouns=nouns, name=f"{key}-parcels")
        drawn["parcels"] = Markup(bars)
    centroids = data.decomposition.get("Centroids")
    if centroids and data.response_loadings is not None:
        drawn["markers"] = figures.parcel_markers(data.response_loadings[name].to_numpy(float), np.array(centroids))
    if data.maps is not None:
        volume = np.asarray(data.maps.dataobj[..., index], dtype=np.float32)
        image = nibabel.Nifti1Image(volume, data.maps.affine)
        drawn["brain"] = figures.brain_map(image, standard=is_standard(data))
        drawn["limit"], drawn["threshold"] = figures.map_range(image)
        if is_standard(data) and wording.is_found(data.decomposition["Components"][index]):
            sides = figures.projected(image)
            drawn["surface"] = None if sides is None else figures.surface_map(*sides)
            drawn["viewer"] = figures.interactive_viewer(image, title=f"{name}, loadings")
    return drawn


def _drivers(data: ReportData, name: str, n: int = 3) -> dict[str, list[str]]:
    """The strongest features (each once) and parcels of a component, in words."""
    table = data.feature_loadings
    order = table[name].abs().sort_values(ascending=False, kind="stable").index
    best = table.loc[order].drop_duplicates(["space", "feature"]).head(n)
    variants = figures.variant_labels(best, data.decomposition["RepetitionTime"])
    film = [
        f"{feature} ({wording.number(r)}{f' at {v}' if v.endswith(' s') else f', {v}' if v else ''})"
        for feature, r, v in zip(best["feature"], best[name], variants, strict=True)
    ]
    if data.response_loadings is None:
        return {"film": film, "brain": [], "peaks": _peaks(data, name)}
    parcels = data.response_loadings
    strongest = parcels.loc[parcels[name].abs().sort_values(ascending=False, kind="stable").index[:n]]
    brain = [f"{parcel} ({wording.number(r)})" for parcel, r in zip(strongest["parcel"], strongest[name], strict=True)]
    return {"film": film, "brain": brain, "peaks": []}


def _peaks(data: ReportData, name: str) -> list[str]:
    """Where a map is largest and smallest, in mm of its space."""
    if data.maps is None or data.response_loadings is not None:
        return []
    index = [c["Name"] for c in data.decomposition["Components"]].index(name)
    volume = np.asarray(data.maps.dataobj[..., index], dtype=np.float32)
    found = []
    for word, at in (("highest", np.argmax(volume)), ("lowest", np.argmin(volume))):
        voxel = np.unravel_index(int(at), volume.shape)
        mm = ", ".join(wording.number(float(v), 0) for v in nibabel.affines.apply_affine(data.maps.affine, voxel))
        where = "MNI " if is_standard(data) else ""
        found.append(f"{word} loading {wording.number(float(volume[voxel]))} at {where}({mm}) mm")
    return found


def _strongest_peaks(data: ReportData, name: str, n: int = 10) -> list[dict[str, Any]]:
    """The largest peaks of a map, positive ones first, one of each cluster."""
    if data.peaks is None:
        return []
    table = data.peaks[data.peaks["component"] == name].dropna(subset="volume")
    strongest = table.loc[table["value"].abs().sort_values(ascending=False, kind="stable").index[:n]]
    ordered = strongest.sort_values("value", ascending=False, kind="stable")
    return [dict(zip(ordered.columns, row, strict=True)) for row in ordered.itertuples(index=False)]


def reference(null: pd.DataFrame, component: str, d: Mapping[str, Any]) -> NDArray[np.floating]:
    """Null values that a component's p-value was computed from, shape (B,); empty where there was no test.

    Under the maximum statistic all components are held against the largest one of each permutation.
    """
    permuted = null.iloc[1:]
    if "maximum" in d["Inference"]["Correction"]:
        names = [c["Name"] for c in d["Components"] if c["Name"] in permuted]
        values = permuted[names].max(axis=1).to_numpy(float)
    else:
        values = permuted[component].to_numpy(float)
    return values[np.isfinite(values)]


def threshold(null: NDArray[np.floating]) -> float | None:
    """What 95 % of the null values lie below; None without any."""
    return float(np.quantile(null, 0.95)) if null.size else None


def _has_mesh(data: ReportData) -> bool:
    n_vertices = [side.shape[1] for side in data.surfaces or ()]
    return figures.fits_mesh(data.decomposition["Dataset"].get("Space"), n_vertices)


def without_mesh(data: ReportData) -> str:
    """Why maps over vertices are shown as bars; nothing where they are drawn, or are of something else."""
    dataset = data.decomposition["Dataset"]
    if dataset["Kind"] not in ("surface", "grayordinates") or _has_mesh(data):
        return ""
    space = dataset.get("Space")
    if data.surfaces is not None and str(space).startswith("fsaverage"):
        found = " and ".join(f"{side.shape[1]:,}" for side in data.surfaces)
        return f"Not drawn on a surface: the hemispheres have {found} vertices, and {space} has others."
    where = f"space {space}" if space else "this space"
    return f"Not drawn on a surface: the mesh of {where} does not come with neurocca. The maps are in the files beside."


def is_standard(data: ReportData) -> bool:
    """Whether maps are in MNI space: by the name of their space or, where none is said, by the header."""
    space = data.decomposition["Dataset"].get("Space")
    if space is None:
        return data.maps is not None and int(data.maps.header["sform_code"]) == _MNI
    return str(space).startswith("MNI")
