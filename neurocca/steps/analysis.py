"""One participant: features against BOLD, fitted, tested and written down."""

import functools
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurocca.config import Config
from neurocca.errors import DataError, OutputError
from neurocca.inference.fits import winner
from neurocca.inference.held_out import held_out_test
from neurocca.inference.permutation import permutation_test
from neurocca.inference.schemes import CircularShift, Scheme, as_scheme
from neurocca.io.cleaned import RunCache
from neurocca.io.derivatives import Results, verdict_table, write_results
from neurocca.io.files import sha256, staged
from neurocca.io.finished import mark_finished
from neurocca.io.leftovers import remove_leftovers
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import Assembled, assemble, check_design
from neurocca.steps.estimators import estimator_of
from neurocca.steps.further import Further
from neurocca.steps.inputs import analysis_of, made_of
from neurocca.steps.moments import add_moments, film_weights
from neurocca.steps.notes import noted
from neurocca.steps.record import collect
from neurocca.steps.report import draw_report
from neurocca.steps.terminal import progress_bar

log = logging.getLogger(__name__)

MAX_MEMORY = 2**31
"""Bytes that a table of lagged products may take; an eighth of them where memory is to be saved."""


@dataclass(frozen=True)
class ParticipantAnalysis:
    """From one participant's files to derivatives and a report; gives the name of the page, and the verdict.

    Where a report cannot be drawn, its error is raised when the results are in their place.

    Parameters
    ----------
    bids_dir, output_dir : Path
    config : Config
    features : Path
        The feature store.
    cleaned : Path, optional
        Where cleaned runs are kept.
    low_memory : bool
    command : str
    sources : list of dict
        Datasets that the files come from.
    links : mapping
        Folders of datasets by their names, relative to the output directory.
    """

    bids_dir: Path
    output_dir: Path
    config: Config
    features: Path
    cleaned: Path | None
    low_memory: bool
    command: str
    sources: list[dict[str, str]]
    links: dict[str, str]

    def __call__(self, recording: Recording, n_jobs: int) -> tuple[str, pd.DataFrame]:
        """Analyse one participant."""
        config, digest = self.config, functools.cache(sha256)
        cache = RunCache(self.cleaned) if self.cleaned is not None else None
        with FeatureStore(self.features) as store:
            log.info(
                "sub-%s: %d runs of task %s, %s",
                recording.subject,
                len(recording.runs),
                recording.task,
                recording.source,
            )
            assembled = assemble(recording, store, config, cache=cache, low_memory=self.low_memory, digest=digest)
            results = analyse(recording, assembled, config, n_jobs=n_jobs)
            depends = made_of(self.bids_dir, recording, config, store.path, self.sources, digest)
            results.decomposition["Inputs"] = depends["Inputs"]
            results.decomposition["FeatureSources"] = _feature_sources(store, results)
        results.decomposition["Command"] = self.command
        results.decomposition["DatasetLinks"] = self.links
        if self.sources:
            results.decomposition["SourceDatasets"] = self.sources
        analysis = analysis_of(recording, config.align)
        failure = None
        with staged(self.output_dir) as folder:
            files = write_results(folder, results, config)
            with FeatureStore(self.features) as store:
                files += add_moments(folder, results, recording, store, config, self.bids_dir)
            try:
                draw_report(folder, analysis, folder)
            except OutputError:
                raise
            except Exception as error:  # the results are good
                failure = error
            kept = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        remove_leftovers(self.output_dir, analysis, kept)
        if failure is not None:
            raise failure
        mark_finished(self.output_dir, analysis, depends, files)
        return analysis.page, verdict_table(results.decomposition, results.recovery)


def analyse(recording: Recording, assembled: Assembled, config: Config, *, n_jobs: int = 1) -> Results:
    """Fit and test the components of one subject.

    Shrinkage for the maps is chosen by leaving one run out of all; for the held-out correlations it is chosen
    anew on the training runs of every left-out run.
    """
    design, test = assembled.design, config.inference
    scheme = CircularShift(test.min_shift) if test.scheme == CircularShift.name else as_scheme(test.scheme)
    check_design(design, config.fit, scheme, recording.t_r)
    # the files themselves have been checked: what fails from here on is what they hold
    try:
        return _fit_and_test(recording, assembled, config, scheme, n_jobs)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DataError(f"sub-{recording.subject}, task {recording.task}: {error}") from error


def _fit_and_test(recording: Recording, assembled: Assembled, config: Config, scheme: Scheme, n_jobs: int) -> Results:
    design, test = assembled.design, config.inference
    y_columns = None if assembled.wide is None else assembled.wide.n_columns
    cca = estimator_of(config.fit, design.runs, y_columns=y_columns, seed=test.seed)
    seeds = np.random.SeedSequence(test.seed).spawn(3)
    shared: dict[str, Any] = {
        "runs": design.runs,
        "t_r": recording.t_r,
        "scheme": scheme,
        "kept": design.kept,
        "n_permutations": test.n_permutations,
        "n_jobs": n_jobs,
        "max_memory": MAX_MEMORY if assembled.wide is None else MAX_MEMORY // 8,
    }
    notes: list[str] = []
    with (
        noted("held-out test", notes),
        progress_bar(test.n_permutations, f"sub-{recording.subject} held-out test") as done,
    ):
        # maps of networks are tested by the same trainings
        keep = config.fit.estimator == "deep"
        held = held_out_test(cca, design.X, design.Y, rng=seeds[0], keep_variates=keep, progress=done, **shared)
    fitted, sample = winner(held.estimator), None
    if hasattr(fitted, "whitened"):  # without it each permutation would be a training of networks
        with (
            noted("in-sample test", notes),
            progress_bar(test.n_permutations, f"sub-{recording.subject} in-sample test") as done,
        ):
            # of steps the largest root, which is a correlation, as the report shows them
            sample = permutation_test(
                fitted, design.X, design.Y, rng=seeds[1], progress=done, statistic="root", **shared
            )  # fmt: skip
    further = Further.of(assembled, held, shared, seeds[2], notes)
    results = collect(recording, assembled, config, fitted, held, sample, further, notes)
    return replace(results, film_weights=film_weights(held, design.X))


def _feature_sources(store: FeatureStore, results: Results) -> dict[str, Any]:
    """What each feature space was made from, as the store says of its first run."""
    spaces = results.decomposition["FeatureSpaces"]
    return {space: store.provenance(space, store.runs(space)[0]) for space in spaces}
