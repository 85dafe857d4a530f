"""What a page says of how good the data are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from neurocca.report import figures, wording
from neurocca.report.record import ReportData


@dataclass(frozen=True)
class Measure:
    """A number of every run that is drawn as a bar.

    Parameters
    ----------
    key : str
        In ``Runs`` of the decomposition.
    name, unit : str
    full : float
        Value of a full bar; of larger ones the largest.
    digits : int
    factor : float
        What values are shown in.
    limit : float or None
        Where worries begin: drawn in the bar, and what lies beyond is marked.
    is_upper : bool
        Whether they begin above or below it.
    """

    key: str
    name: str
    full: float
    digits: int = 2
    unit: str = ""
    factor: float = 1.0
    limit: float | None = None
    is_upper: bool = True

    def is_unusual(self, value: float | None) -> bool:
        """Whether a value lies beyond the limit."""
        if self.limit is None or value is None or not wording.is_known(value):
            return False
        return abs(value) > self.limit if self.is_upper else value < self.limit

    def text(self, value: float | None) -> str:
        """The value as it is shown."""
        if value is None or not wording.is_known(value):
            return "–"
        return f"{wording.number(self.factor * value, self.digits)}{self.unit}"


MEASURES = (
    Measure("Coverage", "coverage", 1.0, 0, " %", 100, limit=0.9, is_upper=False),
    Measure("VarianceRemoved", "variance removed", 1.0, 0, " %", 100),
    Measure("Autocorrelation", "autocorrelation", 1.0),
    Measure("MaxAbsZ", "largest |z|", 12.0, 1, limit=6.0),
    Measure("MeanDisplacement", "mean FD", 1.0, 2, " mm", limit=figures.DISPLACEMENT),
    Measure("MaxDisplacement", "largest FD", 3.0, 1, " mm", limit=2.0),
    Measure("TemporalSNR", "tSNR", 150.0, 0, limit=20.0, is_upper=False),
)
"""|z| of a Gaussian is above 6 once in half a billion values; other limits are those of usual quality control."""


def bars(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Columns of the table of runs: those that some run has a value of.

    Returns
    -------
    list of dict
        name, limit (share of the bar, or None) and cells, one per run: text, share (of a full bar) and unusual.
    """
    found = []
    for measure in MEASURES:
        values = [run.get(measure.key) for run in runs]
        known = [abs(value) for value in values if value is not None and wording.is_known(value)]
        if not known:
            continue
        full = max(measure.full, *known)
        cells = [
            {
                "text": measure.text(value),
                "share": abs(value) / full if value is not None and wording.is_known(value) else 0.0,
                "unusual": measure.is_unusual(value),
            }
            for value in values
        ]
        limit = None if measure.limit is None else measure.limit / full
        found.append({"name": measure.name, "limit": limit, "cells": cells})
    return found


def unusual(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Values beyond their limits, in words."""
    found = []
    for measure in MEASURES:
        labels = [str(run["Run"]) for run in runs if measure.is_unusual(run.get(measure.key))]
        if labels and measure.limit is not None:
            beyond = "above" if measure.is_upper else "below"
            limit = f"{measure.factor * measure.limit:g}{measure.unit}"
            found.append(f"{measure.name} {beyond} {limit} in run{'s' * (len(labels) > 1)} {wording.listing(labels)}")
    return found


def carpet(data: ReportData) -> Markup | None:
    """Figure of all volumes; None where results do not hold their quality."""
    if data.quality is None:
        return None
    d = data.decomposition
    return Markup(figures.carpet(data.quality, runs=d["Runs"], t_r=d["RepetitionTime"], name="carpet"))
