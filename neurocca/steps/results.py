"""One participant from Python: the same analysis as the command's, and its results as tables and figures."""

import shlex
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from neurocca.config import Config
from neurocca.errors import NoInputError, NoMatchError, UsageError
from neurocca.io.analyses import Analysis, analyses_of
from neurocca.io.derivatives import component_names, read_decomposition, read_tables, verdict_table
from neurocca.io.moments import read_for_report
from neurocca.io.query import Query
from neurocca.report.record import ReportData
from neurocca.steps.participant import run_participants

_NOT_DRAWN = {
    "shrinkage": "no shrinkage was chosen, so that there are no scores to draw",
    "lag": "film and BOLD could not be compared at other lags",
    "Storyboard": "frames are drawn of components that were found, where the film is at hand",
}
"""Why a figure may be missing."""


@dataclass(frozen=True)
class FigureFile:
    """A figure of the report; notebooks show it.

    Parameters
    ----------
    path : Path
        SVG, PNG or JPEG.
    """

    path: Path

    def _repr_svg_(self) -> str | None:
        return self.path.read_text(encoding="utf-8") if self.path.suffix == ".svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.path.read_bytes() if self.path.suffix == ".png" else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.path.read_bytes() if self.path.suffix == ".jpg" else None

    def save(self, path: Path | str) -> Path:
        """Copy the figure, whose format stays as it is; returns the copy's path."""
        target = Path(path)
        if target.suffix != self.path.suffix:
            raise UsageError(f"{target}: this figure is {self.path.suffix}: give it a name that ends so.")
        shutil.copyfile(self.path, target)
        return target


@dataclass(frozen=True)
class ParticipantResults:
    """Results of one participant, as they lie in an output directory.

    Parameters
    ----------
    output_dir : Path
    analysis : Analysis
        Participant, task and space.
    """

    output_dir: Path
    analysis: Analysis

    @cached_property
    def data(self) -> ReportData:
        """Everything that the report is made of: record, variates, null distributions, loadings or maps, moments."""
        tables = read_tables(self.output_dir, self.analysis)
        names = component_names(len(tables["decomposition"]["Components"]))
        return ReportData(**tables, **read_for_report(self.output_dir, self.analysis, names))

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.output_dir / self.analysis.page

    def to_dataframe(self) -> pd.DataFrame:
        """One row per component: component, r_in_sample, r_held_out, p_held_out, p_in_sample.

        Of simulated data, ``attrs["recovery"]`` says how well planted components were found.
        """
        return verdict_table(self.data.decomposition, self.data.recovery)

    def plot_held_out(self) -> FigureFile:
        """Held-out correlations of all components, by run, beside what chance gives."""
        return self._figure("heldOut", "svg")

    def plot_lag(self) -> FigureFile:
        """At which lag of film against BOLD the other half of the data is explained best."""
        return self._figure("lag", "svg")

    def plot_shrinkage(self) -> FigureFile:
        """Cross-validated scores of the shrinkages that were tried."""
        return self._figure("shrinkage", "svg")

    def plot_null(self, component: int = 0) -> FigureFile:
        """A component's held-out correlation beside those of permutations."""
        return self._figure("HeldOutNull", "svg", component)

    def plot_time_courses(self, component: int = 0) -> FigureFile:
        """Both variates of a component over time."""
        return self._figure("Series", "svg", component)

    def plot_features(self, component: int = 0) -> FigureFile:
        """Loadings of the film's features on a component."""
        return self._figure("Features", "svg", component)

    def plot_brain(self, component: int = 0) -> FigureFile:
        """Loadings of voxels, vertices or parcels: a map where there is something to draw it on, else bars."""
        for part, ending in (("Brain", "png"), ("Surface", "png"), ("Parcels", "svg")):
            path = self._place(part, ending, component)
            if path.is_file():
                return FigureFile(path)
        raise NoInputError(f"{self.report}: there is no figure of the brain.")

    def plot_moments(self, component: int = 0) -> FigureFile:
        """Frames of the film where a component is highest and lowest; only of those that were found, with a film."""
        return self._figure("Storyboard", "jpg", component)

    def _figure(self, part: str, ending: str, component: int | None = None) -> FigureFile:
        path = self._place(part, ending, component)
        if not path.is_file():
            why = _NOT_DRAWN.get(part, "there is no such figure of these results")
            raise NoInputError(f"{self.report}: {why} ({path.name}).")
        return FigureFile(path)

    def _place(self, part: str, ending: str, component: int | None) -> Path:
        k = len(self.data.decomposition["Components"])
        if component is not None and not 0 <= component < k:
            raise UsageError(f"component {component}: there are {k}, 0 to {k - 1}.")
        label = part if component is None else f"cca{component:02d}{part}"
        folder = self.output_dir / f"sub-{self.analysis.subject}" / "figures"
        return folder / f"{self.analysis.stem}_desc-{label}_plot.{ending}"


def run_participant(
    bids_dir: Path | str,
    output_dir: Path | str,
    participant_label: str,
    *,
    config: Config | None = None,
    features: Path | str | None = None,
    work_dir: Path | str | None = None,
    task: str | None = None,
    n_jobs: int | None = None,
) -> ParticipantResults:
    """Analyse one participant, as ``neurocca BIDS_DIR OUTPUT_DIR participant --participant-label LABEL`` does.

    Derivatives and report are written into the output directory. Results that are there already, of the same files,
    options and version, are taken as they are.

    Parameters
    ----------
    bids_dir, output_dir : path
        The dataset, and where derivatives go.
    participant_label : str
        With or without ``sub-``.
    config : Config, optional
        Such as ``Config().with_values({"fit.n_components": 3})`` or ``Config.from_toml(path)``.
    features : path, optional
        Feature store; made from the films that events.tsv names when it is not given.
    work_dir : path, optional
        Where such a store and cleaned BOLD are kept; ``work``, for the store alone, by default.
    task : str, optional
        Where the dataset has several.
    n_jobs : int, optional
        Jobs; permutations on all cores by default. Results do not depend on it.

    Returns
    -------
    ParticipantResults

    Raises
    ------
    NeuroccaError
        What the command would end with; the message names the file or option.

    Examples
    --------
    >>> results = run_participant("dataset", "derivatives/neurocca", "01")  # doctest: +SKIP
    >>> results.to_dataframe()  # doctest: +SKIP
    >>> results.plot_time_courses(0)  # doctest: +SKIP
    """
    output, label = Path(output_dir), participant_label.removeprefix("sub-")
    verdicts = run_participants(
        Path(bids_dir),
        output,
        config or Config(),
        query=Query(participants=(label,), task=task),
        features=None if features is None else Path(features),
        work_dir=None if work_dir is None else Path(work_dir),
        n_jobs=n_jobs,
        command=shlex.join(["neurocca.run_participant", str(bids_dir), str(output_dir), label]),
    )
    page = [page for page, _ in verdicts][-1]
    return ParticipantResults(output, next(one for one in analyses_of(output) if one.page == page.name))


def load_participant(output_dir: Path | str, participant_label: str, *, task: str | None = None) -> ParticipantResults:
    """Results of one participant that an output directory holds.

    Parameters
    ----------
    output_dir : path
    participant_label : str
        With or without ``sub-``.
    task : str, optional
        Where there are results of several.

    Raises
    ------
    NoMatchError
        When there are none of that participant and task.
    UsageError
        When there are several, of other tasks or spaces.
    """
    output, label = Path(output_dir), participant_label.removeprefix("sub-")
    found = [one for one in analyses_of(output) if one.subject == label and task in (None, one.task)]
    if not found:
        raise NoMatchError(f"{output}: no results of participant {label}{f', task {task}' if task else ''}.")
    if len(found) > 1:
        raise UsageError(f"{output}: several results of participant {label}: {', '.join(one.stem for one in found)}.")
    results = ParticipantResults(output, found[0])
    read_decomposition(output, found[0])  # damage is told here, not when the first table is asked for
    return results
