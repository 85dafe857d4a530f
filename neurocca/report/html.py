"""Results in, one self-contained HTML page out: no network, no script, everything inlined."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import nibabel
import nibabel.affines
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from neurocca.report import figures, wording
from neurocca.report.methods import methods
from neurocca.report.moments import moments
from neurocca.report.record import ReportData
from neurocca.report.references import cited_in

_MNI = 4
"""What the header of a NIfTI calls MNI space."""


def render(data: ReportData) -> str:
    """One subject's page.

    Parameters
    ----------
    data : ReportData

    Returns
    -------
    str
        A whole HTML document; the same data give the same text.
    """
    return render_with_figures(data)[0]


def render_with_figures(data: ReportData) -> tuple[str, dict[str, bytes]]:
    """One subject's page, and its figures as files of their own.

    Returns
    -------
    page : str
        As `render` gives it.
    figures : dict of bytes
        SVG or PNG content by a camel-case name with the file's ending, for example ``cca00Features.svg``.
    """
    context = _context(data)
    return _environment().get_template("participant.html.jinja").render(**context), _figure_files(context)


def _context(data: ReportData) -> dict[str, Any]:
    """Everything that the template fills in."""
    d = data.decomposition
    paragraphs = methods(d, set(data.feature_loadings["feature"].astype(str)))
    limit = _threshold(_reference(data.held_out_null, d["Components"][0]["Name"], d))
    return dict(
        d=d,
        variant=wording.variant(d["Dataset"]),
        noun=wording.noun(d),
        nouns=wording.noun(d, 2),
        standard=_is_standard(data),
        without_mesh=_without_mesh(data),
        components=[_component(data, index) for index in range(len(d["Components"]))],
        verdict=wording.verdict(d),
        notes=wording.verdict_notes(d),
        overview=Markup(figures.held_out_overview(d["Components"], limit, name="overview")),
        recovery=None if data.recovery is None else data.recovery.to_dict("records"),
        shrinkage=_shrinkage(d),
        quality=_quality(d["Runs"]),
        lag=d.get("Lag"),
        lag_figure=_lag_figure(d.get("Lag")),
        methods=paragraphs,
        references=cited_in(" ".join(paragraphs)),
        config=toml_text(d["Config"]),
    )  # fmt: skip


def _figure_files(context: Mapping[str, Any]) -> dict[str, bytes]:
    drawn: dict[str, Any] = {
        "heldOut": context["overview"],
        "shrinkage": context["shrinkage"],
        "lag": context["lag_figure"],
    }
    for component in context["components"]:
        prefix = component["record"]["Name"].replace("_", "")
        drawn |= {f"{prefix}{name}": figure for name, figure in component["inference"].items()}
        for part in ("series", "features", "parcels", "brain", "surface"):
            drawn[f"{prefix}{part.capitalize()}"] = component[part]
    files = {}
    for name, figure in drawn.items():
        if figure is not None and figure.startswith("data:image/png"):
            files[f"{name}.png"] = base64.b64decode(figure.split(",", 1)[1])
        elif figure is not None:
            files[f"{name}.svg"] = f"{figure}\n".encode()
    return files


def render_index(rows: Sequence[Mapping[str, Any]]) -> str:
    """Page that lists the subjects.

    Parameters
    ----------
    rows : sequence of mappings
        One per subject, as `index_row` makes them.
    """
    ordered = sorted(rows, key=lambda row: (str(row["subject"]), str(row["task"]), row["variant"]))
    width = max((len(row["held_out"]) for row in rows), default=0)
    first = [row["held_out"][0] for row in rows if row["held_out"] and wording.is_known(row["held_out"][0])]
    return _environment().get_template("index.html.jinja").render(
        rows=ordered,
        n_shown=min(width, 3),
        n_subjects=len({row["subject"] for row in rows}),
        n_with=sum(row["n_found"] > 0 for row in rows),
        mean_first=float(np.mean(first)) if first else None,
        simulated=any(row["simulated"] for row in rows),
    )  # fmt: skip


def index_row(decomposition: Mapping[str, Any], *, href: str | None = None) -> dict[str, Any]:
    """What the index says about one subject.

    Parameters
    ----------
    decomposition : mapping
        Content of ``*_decomposition.json``.
    href : str, optional
        Link to the subject's page; ``sub-<Subject>.html`` beside the index if not given.
    """
    components = decomposition["Components"]
    return {
        "subject": decomposition["Subject"],
        "task": decomposition["Task"],
        "variant": wording.variant(decomposition["Dataset"]),
        "simulated": decomposition["Simulated"],
        "warnings": len(decomposition["Warnings"]),
        "n_found": sum(wording.is_found(c) for c in components),
        "n_components": len(components),
        "held_out": [c["HeldOutCorrelation"] for c in components],
        "p": [c["PValueHeldOut"] for c in components],
        "href": href or f"sub-{decomposition['Subject']}.html",
    }


def toml_text(tables: Mapping[str, Any], *, path: str = "") -> str:
    """Configuration as TOML; what is not set (None, which TOML lacks) stands in a comment.

    Parameters
    ----------
    tables : mapping
        Values and nested tables.
    path : str
        Dotted name of the table.
    """
    lines = [f"[{path}]"] if path else []
    for key, value in tables.items():
        if value is None:
            lines.append(f"# {key} is not set")
        elif not isinstance(value, Mapping):
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    for key, value in tables.items():  # after the plain values, which would otherwise fall into the last table
        if isinstance(value, Mapping):
            lines += ["", toml_text(value, path=f"{path}.{key}" if path else key)]
    return "\n".join(lines).strip()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("neurocca.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": wording.number, "p": wording.p_value, "listing": wording.listing}
    environment.filters |= {"counted": wording.counted}
    environment.tests["found"] = wording.is_found
    return environment


def _reference(null: pd.DataFrame, component: str, d: Mapping[str, Any]) -> NDArray[np.floating]:
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


def _threshold(null: NDArray[np.floating]) -> float | None:
    return float(np.quantile(null, 0.95)) if null.size else None


def _component(data: ReportData, index: int) -> dict[str, Any]:
    """Everything that the page shows of one component."""
    d, record = data.decomposition, data.decomposition["Components"][index]
    name, key = record["Name"], f"c{index}"
    series = figures.time_courses(
        data.stimulus_variates[name].to_numpy(float),
        data.bold_variates[name].to_numpy(float),
        runs=d["Runs"],
        t_r=d["RepetitionTime"],
        name=f"{key}-series",
    )
    features = figures.feature_loadings(data.feature_loadings, name, t_r=d["RepetitionTime"], name=f"{key}-features")
    return {
        "key": key,
        "record": record,
        "inference": {part: Markup(svg) for part, svg in _inference_figures(data, record, key).items()},
        "series": Markup(series),
        "features": Markup(features),
        "drivers": _drivers(data, name),
        "peaks": _strongest_peaks(data, name),
        "moments": moments(data, name),
        **_brain_figures(data, index, key),
    }


def _inference_figures(data: ReportData, record: Mapping[str, Any], key: str) -> dict[str, str]:
    """Held-out null, held-out runs, in-sample null; those that exist."""
    d, name = data.decomposition, record["Name"]
    drawn = {}
    held_out = _reference(data.held_out_null, name, d)
    if held_out.size and wording.is_known(record["HeldOutCorrelation"]):
        drawn["HeldOutNull"] = figures.null_histogram(
            held_out,
            record["HeldOutCorrelation"],
            p=record["PValueHeldOut"],
            label="held-out r, mean over runs",
            name=f"{key}-held",
        )
    per_run = {run: r for run, r in record["HeldOutCorrelationPerRun"].items() if wording.is_known(r)}
    if per_run and wording.is_known(record["HeldOutCorrelation"]):
        drawn["HeldOutRuns"] = figures.held_out_per_run(
            per_run, record["HeldOutCorrelation"], _threshold(held_out), name=f"{key}-runs"
        )
    # every step has a null of its own, from which the components before it are taken out
    in_sample = data.null[name].iloc[1:].to_numpy(float)
    in_sample = in_sample[np.isfinite(in_sample)]
    if in_sample.size:
        # the test's statistic, which is a correlation only where nothing was shrunk
        observed = float(data.null[name].iloc[0])
        label = "in-sample " + ("r" if abs(observed - record["InSampleCorrelation"]) < 1e-3 else "singular value")
        drawn["InSampleNull"] = figures.null_histogram(
            in_sample, observed, p=record["PValueInSample"], label=label, name=f"{key}-in"
        )
    return drawn


def _brain_figures(data: ReportData, index: int, key: str) -> dict[str, Any]:
    """Brain maps of one component or, where there is nothing to draw them on, bars."""
    name = data.decomposition["Components"][index]["Name"]
    drawn: dict[str, Any] = {"parcels": None, "brain": None, "threshold": None, "surface": None}
    if data.surfaces is not None and _has_mesh(data):
        drawn["surface"] = figures.surface_map(*(side[index] for side in data.surfaces))
    elif data.response_loadings is not None:
        nouns = wording.noun(data.decomposition, 2)
        bars = figures.parcel_loadings(data.response_loadings, name, nouns=nouns, name=f"{key}-parcels")
        drawn["parcels"] = Markup(bars)
    if data.maps is not None:
        volume = np.asarray(data.maps.dataobj[..., index], dtype=np.float32)
        image = nibabel.Nifti1Image(volume, data.maps.affine)
        drawn["brain"] = figures.brain_map(image, standard=_is_standard(data))
        drawn["limit"], drawn["threshold"] = figures.map_range(image)
    return drawn


def _has_mesh(data: ReportData) -> bool:
    n_vertices = [side.shape[1] for side in data.surfaces or ()]
    return figures.fits_mesh(data.decomposition["Dataset"].get("Space"), n_vertices)


def _without_mesh(data: ReportData) -> str:
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


def _is_standard(data: ReportData) -> bool:
    """Whether maps are in MNI space: by the name of their space or, where none is said, by the header."""
    space = data.decomposition["Dataset"].get("Space")
    if space is None:
        return data.maps is not None and int(data.maps.header["sform_code"]) == _MNI
    return str(space).startswith("MNI")


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
    if data.maps is None:
        return []
    index = [c["Name"] for c in data.decomposition["Components"]].index(name)
    volume = np.asarray(data.maps.dataobj[..., index], dtype=np.float32)
    found = []
    for word, at in (("highest", np.argmax(volume)), ("lowest", np.argmin(volume))):
        voxel = np.unravel_index(int(at), volume.shape)
        mm = ", ".join(wording.number(float(v), 0) for v in nibabel.affines.apply_affine(data.maps.affine, voxel))
        where = "MNI " if _is_standard(data) else ""
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


def _shrinkage(d: Mapping[str, Any]) -> Markup | None:
    """Heat map of the grid, or None where there was nothing to choose from."""
    s = d["Shrinkage"]
    score = np.array(s["Score"], dtype=float)
    if score.size < 2 or not np.isfinite(score).any():
        return None
    chosen = (s["Features"], s["BOLD"])
    return Markup(figures.shrinkage_curve(score, s["GridFeatures"], s["GridBOLD"], chosen=chosen, name="shrinkage"))


def _lag_figure(lag: Mapping[str, Any] | None) -> Markup | None:
    if lag is None:
        return None
    return Markup(figures.lag_curve(lag["Lags"], lag["HeldOutCorrelation"], name="lag"))


def _quality(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Largest value of each quality measure over runs: the full length of its bar."""
    keys = ("VarianceRemoved", "Autocorrelation", "MaxAbsZ")
    return {key: max((abs(run[key]) for run in runs if wording.is_known(run[key])), default=0.0) or 1.0 for key in keys}
