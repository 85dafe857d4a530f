"""Participant level: one subject's film features against the same subject's BOLD."""

import functools
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurocca.cca.selection import LinearCCACV
from neurocca.config import AlignConfig, Config
from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.inference.checks import InferenceWarning
from neurocca.inference.held_out import held_out_test
from neurocca.inference.permutation import permutation_test
from neurocca.inference.schemes import CircularShift, Scheme, as_scheme
from neurocca.io.analyses import Analysis
from neurocca.io.annex import check_here, is_unfetched
from neurocca.io.cleaned import RunCache
from neurocca.io.derivatives import Results, check_output, write_results
from neurocca.io.fetch_record import source_datasets
from neurocca.io.files import sha256, staged, sweep
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import Assembled, assemble, check_design
from neurocca.steps.content import MissingContent
from neurocca.steps.features import films_store
from neurocca.steps.kept_runs import Digest
from neurocca.steps.matching import match_runs, read_features
from neurocca.steps.record import collect
from neurocca.steps.report import draw_report, write_index
from neurocca.steps.several import each_participant
from neurocca.steps.terminal import progress_bar

log = logging.getLogger(__name__)

WORK = Path("work")
"""Where intermediate files go when nothing else is said."""

MAX_MEMORY = 2**31
"""Bytes that a table of lagged products may take; an eighth of them where memory is to be saved."""


def run_participants(
    bids_dir: Path,
    output_dir: Path,
    config: Config,
    *,
    query: Query | None = None,
    features: Path | None = None,
    work_dir: Path | None = None,
    low_memory: bool = False,
    n_jobs: int = 1,
    command: str = "",
    content: MissingContent | None = None,
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Analyse participants and write their derivatives and reports.

    Before the first is analysed, all are looked up and their runs compared with the features.

    Parameters
    ----------
    bids_dir, output_dir : Path
    config : Config
    query : Query, optional
        Which recordings; all by default. Runs without BOLD or without features are named and left out, or refused
        where the query is strict.
    features : Path, optional
        Feature store; made from the films that events.tsv names when it is not given.
    work_dir : Path, optional
        Where such a store is kept, and the cleaned runs of BOLD, which later calls take from there as long as they are
        made of the same. None is ``work``, for the store alone.
    low_memory : bool
        Have one cleaned run in memory at a time, the others in the working directory.
    n_jobs : int
        Participants at the same time, and permutations of each where there are more jobs than participants; results do
        not depend on it. Memory is that of one participant for each at the same time.
    command : str
        The command line, for the record.
    content : MissingContent, optional
        Gets the content of annexed inputs; without it, content that is not here is an error.

    Yields
    ------
    report : Path
        The participant's page.
    verdict : DataFrame
        r_in_sample, r_held_out, p_held_out, p_in_sample per component.
    """
    query = query or Query()
    check_folders(bids_dir, output_dir)
    read = content.reading if content is not None else lambda reading: reading()
    recordings = read(lambda: find_recordings(bids_dir, query, t_r=config.align.t_r))
    check_output(output_dir)
    if features is None:
        films = read(lambda: _shared_films(recordings))
        features = films_store(films, work_dir or WORK, config.features)
    cache = RunCache((work_dir or WORK) / "cleaned") if work_dir is not None or low_memory else None
    with FeatureStore(features) as store:
        recordings = [match_runs(recording, store, config.align, strict=query.strict) for recording in recordings]
        for recording in recordings:
            read_features(store, recording, config.align)
    folders = {path.parent for recording in recordings for run in recording.runs for path in run.files}
    sources = source_datasets([bids_dir, *sorted(folders)])
    one = _OneParticipant(bids_dir, output_dir, config, features, cache, low_memory, command, sources)
    is_new = not output_dir.exists()
    try:
        with closing(each_participant(one, recordings, n_jobs)) as verdicts:
            for page, verdict in verdicts:
                write_index(output_dir)
                yield output_dir / page, verdict
    except BaseException:
        sweep(output_dir, is_new)  # what processes that were given up have left
        raise


@dataclass(frozen=True)
class _OneParticipant:
    """From one participant's files to derivatives and a report; gives the name of the page, and the verdict."""

    bids_dir: Path
    output_dir: Path
    config: Config
    features: Path
    cache: RunCache | None
    low_memory: bool
    command: str
    sources: list[dict[str, str]]

    def __call__(self, recording: Recording, n_jobs: int) -> tuple[str, pd.DataFrame]:
        config, digest = self.config, functools.cache(sha256)
        with FeatureStore(self.features) as store:
            log.info(
                "sub-%s: %d runs of task %s, %s",
                recording.subject,
                len(recording.runs),
                recording.task,
                recording.source,
            )
            assembled = assemble(recording, store, config, cache=self.cache, low_memory=self.low_memory, digest=digest)
            results = analyse(recording, assembled, config, n_jobs=n_jobs)
            results.decomposition["Inputs"] = _digests(self.bids_dir, recording, config.align, store.path, digest)
            results.decomposition["FeatureSources"] = _feature_sources(store, results)
        results.decomposition["Command"] = self.command
        if self.sources:
            results.decomposition["SourceDatasets"] = self.sources
        analysis = Analysis.of(results.decomposition)
        with staged(self.output_dir) as folder:
            write_results(folder, results, config)
            draw_report(folder, analysis, folder)
        return analysis.page, verdict_table(results)


def check_folders(bids_dir: Path, output_dir: Path) -> None:
    """Refuse to write over the input."""
    if bids_dir.resolve().is_relative_to(output_dir.resolve()):
        relation = "is" if bids_dir.resolve() == output_dir.resolve() else f"{output_dir} holds"
        raise UsageError(
            f"the output directory {relation} the input directory {bids_dir}: choose for instance "
            f"{bids_dir / 'derivatives' / 'neurocca'}."
        )


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
    cca = LinearCCACV(
        config.fit.n_components,
        shrinkage_x=config.fit.shrinkage_x,
        shrinkage_y=config.fit.shrinkage_y,
        scale=True,
        y_columns=None if assembled.wide is None else assembled.wide.n_columns,
    )
    seeds = np.random.SeedSequence(test.seed).spawn(2)
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
        _noted("held-out test", notes),
        progress_bar(test.n_permutations, f"sub-{recording.subject} held-out test") as done,
    ):
        held = held_out_test(cca, design.X, design.Y, rng=seeds[0], progress=done, **shared)
    with (
        _noted("in-sample test", notes),
        progress_bar(test.n_permutations, f"sub-{recording.subject} in-sample test") as done,
    ):
        # of steps the largest root, which is a correlation, as the report shows them
        sample = permutation_test(
            held.estimator, design.X, design.Y, rng=seeds[1], progress=done, statistic="root", **shared
        )  # fmt: skip
    return collect(recording, assembled, config, held.estimator, held, sample, notes)


@contextmanager
def _noted(test: str, notes: list[str]) -> Iterator[None]:
    """Collect what a test warns of; other warnings go where they would."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InferenceWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, InferenceWarning):
            notes.append(f"The {test} says: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def verdict_table(results: Results) -> pd.DataFrame:
    """One row per component: correlations and p-values; what was planted, if anything, in ``attrs["recovery"]``."""
    rows = [
        {
            "component": c["Name"],
            "r_in_sample": c["InSampleCorrelation"],
            "r_held_out": c["HeldOutCorrelation"],
            "p_held_out": c["PValueHeldOut"],
            "p_in_sample": c["PValueInSample"],
        }
        for c in results.decomposition["Components"]
    ]
    table = pd.DataFrame(rows)
    if results.recovery is not None:
        table.attrs["recovery"] = results.recovery
    return table


def _shared_films(recordings: Sequence[Recording]) -> dict[str, Path]:
    """Films by run label; all participants must have seen the same."""
    films: dict[str, Path] = {}
    for recording in recordings:
        theirs = _films(recording)
        if any(films.setdefault(run, film) != film for run, film in theirs.items()):
            raise UsageError(f"sub-{recording.subject} saw other films than sub-{recordings[0].subject}.")
    return films


def _films(recording: Recording) -> dict[str, Path]:
    films = {run.label: run.film for run in recording.runs if run.film is not None}
    if len(films) < len(recording.runs):
        missing = [run.label for run in recording.runs if run.film is None]
        raise NoInputError(
            f"sub-{recording.subject}: no --features given, and no events.tsv names a film (stim_file) for run "
            f"{', '.join(missing)}."
        )
    for run, film in films.items():
        if is_unfetched(film):
            check_here(films.values())
        if not film.is_file():
            raise NoInputError(f"{film}: no such file; events.tsv of sub-{recording.subject}, run {run} names it.")
    return films


def _feature_sources(store: FeatureStore, results: Results) -> dict[str, Any]:
    """What each feature space was made from, as the store says of its first run."""
    spaces = results.decomposition["FeatureSpaces"]
    return {space: store.provenance(space, store.runs(space)[0]) for space in spaces}


def _digests(root: Path, recording: Recording, align: AlignConfig, store: Path, digest: Digest) -> list[dict[str, str]]:
    files = list(dict.fromkeys(path for run in recording.runs for path in run.files))
    # an atlas that goes by its name is nilearn's, and no file of the user's
    files += [path for path in map(Path, (align.mask, align.atlas, align.label_atlas, align.kernel)) if path.is_file()]
    inside = [{"Path": Path(os.path.relpath(path, root)).as_posix(), "SHA256": digest(path)} for path in files]
    return [*inside, {"Path": store.name, "SHA256": digest(store)}]
