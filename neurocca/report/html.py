"""Results in, one self-contained HTML page out: no network, no script, everything inlined."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from neurocca.report import figures, wording
from neurocca.report.component import component_content, is_standard, reference, threshold, without_mesh
from neurocca.report.methods import methods
from neurocca.report.page import environment, toml_text
from neurocca.report.quality import bars, carpet, unusual
from neurocca.report.record import ReportData
from neurocca.report.references import cited_in


def render(data: ReportData, *, figures_at: str | None = None) -> str:
    """One subject's page.

    Parameters
    ----------
    data : ReportData
    figures_at : str, optional
        Start of the addresses of figures that are files of their own, as ``sub-01/figures/sub-01_task-film_desc-``.
        Without it the page does not refer to any.

    Returns
    -------
    str
        A whole HTML document; the same data give the same text.
    """
    return render_with_figures(data, figures_at=figures_at)[0]


def render_with_figures(data: ReportData, *, figures_at: str | None = None) -> tuple[str, dict[str, bytes]]:
    """One subject's page, and its figures as files of their own.

    Parameters
    ----------
    data, figures_at
        As for `render`.

    Returns
    -------
    page : str
        As `render` gives it.
    figures : dict of bytes
        SVG, PNG or HTML content by a camel-case name with the file's ending, for example ``cca00Features.svg``.
    """
    context = _context(data) | {"figures_at": figures_at and quote(figures_at)}
    return environment().get_template("participant.html.jinja").render(**context), _figure_files(context)


def _context(data: ReportData) -> dict[str, Any]:
    """Everything that the template fills in."""
    d = data.decomposition
    paragraphs = methods(d, set(data.feature_loadings["feature"].astype(str)))
    ordered = wording.by_held_out(d["Components"])
    limit = threshold(reference(data.held_out_null, d["Components"][0]["Name"], d))
    return dict(
        d=d,
        variant=wording.variant(d["Dataset"]),
        noun=wording.noun(d),
        nouns=wording.noun(d, 2),
        standard=is_standard(data),
        without_mesh=without_mesh(data),
        components=[component_content(data, d["Components"].index(record)) for record in ordered],
        verdict=wording.verdict(d),
        notes=wording.verdict_notes(d),
        overview=Markup(figures.held_out_overview(ordered, limit, name="overview")),
        recovery=None if data.recovery is None else data.recovery.to_dict("records"),
        shrinkage=_shrinkage(d),
        quality=bars(d["Runs"]),
        unusual=unusual(d["Runs"]),
        carpet=carpet(data),
        lag=d.get("Lag"),
        lag_figure=_lag_figure(d.get("Lag")),
        maps=d.get("Maps"),
        **_further(d),
        methods=paragraphs,
        references=cited_in(" ".join(paragraphs)),
        config=toml_text(d["Config"]),
    )  # fmt: skip


def _figure_files(context: Mapping[str, Any]) -> dict[str, bytes]:
    drawn: dict[str, Any] = {
        "heldOut": context["overview"],
        "shrinkage": context["shrinkage"],
        "lag": context["lag_figure"],
        "carpet": context["carpet"],
        "contributions": context["contributions"],
        "stability": context["stability"],
    }
    for component in context["components"]:
        prefix = component["record"]["Name"].replace("_", "")
        drawn |= {f"{prefix}{name}": figure for name, figure in component["inference"].items()}
        for part in ("series", "features", "parcels", "markers", "brain", "surface"):
            drawn[f"{prefix}{part.capitalize()}"] = component[part]
    files = {
        f"{part['record']['Name'].replace('_', '')}Viewer.html": part["viewer"].encode()
        for part in context["components"]
        if part["viewer"] is not None
    }
    for name, figure in drawn.items():
        if figure is not None and figure.startswith("data:image/png"):
            files[f"{name}.png"] = base64.b64decode(figure.split(",", 1)[1])
        elif figure is not None:
            files[f"{name}.svg"] = f"{figure}\n".encode()
    return files


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


def _further(d: Mapping[str, Any]) -> dict[str, Markup | None]:
    """Figures of feature spaces and of halves of the runs; None where they were not compared."""
    return {
        name: Markup(draw(d[key]["Components"], name=name)) if d.get(key) else None
        for name, key, draw in (
            ("contributions", "Contributions", figures.contributions),
            ("stability", "Stability", figures.stability),
        )
    }
