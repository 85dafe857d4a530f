"""Participant level: one subject's film features against the same subject's BOLD."""

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from neurocca.config import Config
from neurocca.errors import DataError, NoInputError, ParticipantsFailedError, UsageError
from neurocca.io.analyses import analyses_of
from neurocca.io.annex import check_here, is_unfetched
from neurocca.io.derivatives import check_output, read_verdict
from neurocca.io.fetch_record import source_datasets
from neurocca.io.files import sha256, sweep
from neurocca.io.finished import is_finished, other_options, was_finished
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore
from neurocca.steps.content import MissingContent, named_inputs
from neurocca.steps.estimate import Estimate, estimate
from neurocca.steps.inputs import analysis_of, made_of
from neurocca.steps.matching import match_runs, read_features
from neurocca.steps.run_log import RunLog
from neurocca.steps.several import Outcome, each_participant
from neurocca.steps.work_folder import CLEANED, WORK, clean_work

if TYPE_CHECKING:
    from neurocca.steps.analysis import ParticipantAnalysis

log = logging.getLogger(__name__)

"""Where intermediate files go when nothing else is said."""


def run_participants(
    bids_dir: Path,
    output_dir: Path,
    config: Config,
    *,
    query: Query | None = None,
    features: Path | None = None,
    work_dir: Path | None = None,
    clean_work_dir: bool = False,
    low_memory: bool = False,
    memory: int | None = None,
    n_jobs: int | None = None,
    command: str = "",
    resume: bool = True,
    stop_on_first_crash: bool = False,
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
    clean_work_dir : bool
        Remove what earlier calls have left there, once it is known that there is something to do.
    low_memory : bool
        Have one cleaned run in memory at a time, the others in the working directory.
    memory : int, optional
        Bytes that there are: where participants would take more, by `neurocca.steps.estimate`, the same as low_memory.
    n_jobs : int, optional
        Participants at the same time, and permutations of each where there are more jobs than participants; by default
        one participant at a time, with permutations on all cores. Results do not depend on it. Memory is that of one
        participant for each at the same time.
    command : str
        The command line, for the record.
    resume : bool
        Leave results as they are that were made of the same files, options and version, and are undamaged.
    stop_on_first_crash : bool
        End with the first participant that fails; by default the others are analysed first.
    content : MissingContent, optional
        Gets the content of annexed inputs; without it, content that is not here is an error.

    Yields
    ------
    report : Path
        The participant's page.
    verdict : DataFrame
        r_in_sample, r_held_out, p_held_out, p_in_sample per component; ``attrs["unchanged"]`` where results of before
        were left as they are.

    Raises
    ------
    ParticipantsFailedError
        When some participants failed, and the others are done.
    """
    query = query or Query()
    check_folders(bids_dir, output_dir)
    recordings, unmatched, features, sources = _inputs(
        bids_dir, output_dir, config, query, features, work_dir or WORK, content, clean=clean_work_dir
    )
    to_do = recordings
    if resume:
        digest = functools.cache(sha256)
        to_do = []
        for recording in recordings:
            analysis = analysis_of(recording, config.align)
            if was_finished(output_dir, analysis) and is_finished(
                output_dir, analysis, made_of(bids_dir, recording, config, features, sources, digest)
            ):
                yield output_dir / analysis.page, read_verdict(output_dir, analysis)
            else:
                to_do.append(recording)
    if not to_do and not unmatched:
        return
    for recording in to_do:
        _say_replaced(output_dir, recording, config)
    from neurocca.steps.analysis import ParticipantAnalysis  # late: nothing else takes as long to import

    if memory is not None and not low_memory:
        low_memory = _is_scarce(memory, [estimate(recording, config, features) for recording in to_do], n_jobs)
    cache = (work_dir or WORK) / CLEANED if work_dir is not None or low_memory else None
    datasets = {**query.derivatives, "input": bids_dir}
    links = {name: Path(os.path.relpath(folder, output_dir)).as_posix() for name, folder in datasets.items()}
    one = ParticipantAnalysis(bids_dir, output_dir, config, features, cache, low_memory, command, sources, links)
    run_log = RunLog(output_dir, command, unmatched)
    yield from _analysed(one, to_do, n_jobs, run_log, stop=stop_on_first_crash or len(recordings) == 1)
    run_log.write()
    if run_log.failures:
        raise ParticipantsFailedError.of(run_log.failures, len(recordings) + len(unmatched))


def _is_scarce(memory: int, expected: Sequence[Estimate], n_jobs: int | None) -> bool:
    """Whether participants take more memory than there is in the usual way; said where they do so in any way."""
    at_once = min(n_jobs or 1, len(expected)) if (n_jobs or 1) > 0 else len(expected)
    least = max((one.low_memory for one in expected), default=0) * at_once
    if least > memory:
        log.warning("some %.1f GiB are needed even with --low-mem, more than --mem says.", least / 2**30)
    return max((one.memory for one in expected), default=0) * at_once > memory


def _say_replaced(output_dir: Path, recording: Recording, config: Config) -> None:
    """Say so where results of other options, which no name tells apart, are there and will be written over."""
    analysis = analysis_of(recording, config.align)
    if others := other_options(output_dir, analysis, asdict(config)):
        log.warning(
            "%s: results with another %s are replaced; another output folder would keep both.",
            output_dir / analysis.page,
            ", ".join(others),
        )


def _inputs(
    bids_dir: Path,
    output_dir: Path,
    config: Config,
    query: Query,
    features: Path | None,
    work_dir: Path,
    content: MissingContent | None,
    *,
    clean: bool,
) -> tuple[list[Recording], list[Outcome[Any]], Path, list[dict[str, str]]]:
    """Recordings with the runs that features go with, those that have none, the store, and where all comes from."""
    read = content.reading if content is not None else lambda reading: reading()
    recordings = read(lambda: find_recordings(bids_dir, query, t_r=config.align.t_r))
    check_output(output_dir)
    named = read(lambda: named_inputs(features, config.align))
    if clean:
        clean_work(work_dir, features)
    if features is None:
        from neurocca.steps.features import films_store

        features = films_store(read(lambda: shared_films(recordings)), work_dir, config.features)
    with FeatureStore(features) as store:
        matched: list[Recording] = []
        unmatched: list[Outcome[Any]] = []
        for recording in recordings:
            try:
                found = match_runs(recording, store, config.align, asked=query.runs, strict=query.strict)
                read_features(store, found, config.align)
            except DataError as error:  # of this participant's runs: the others go on
                if query.strict or len(recordings) == 1:
                    raise
                unmatched.append(Outcome(recording, None, error, 0.0))
            else:
                matched.append(found)
    if not matched:
        raise DataError(str(unmatched[0].error))
    folders = {path.parent for recording in matched for run in recording.runs for path in run.files}
    return matched, unmatched, features, source_datasets([bids_dir, *sorted(folders), *(path.parent for path in named)])


def _analysed(
    one: "ParticipantAnalysis",
    recordings: Sequence[Recording],
    n_jobs: int | None,
    run_log: RunLog,
    *,
    stop: bool,
) -> Iterator[tuple[Path, pd.DataFrame]]:
    from neurocca.steps.report import write_index

    output, is_new = one.output_dir, not one.output_dir.exists()
    try:
        with closing(each_participant(one, recordings, n_jobs)) as outcomes:
            for outcome in outcomes:
                run_log.add(outcome)
                if outcome.result is not None:
                    page, verdict = outcome.result
                    write_index(output)
                    yield output / page, verdict
                elif stop:
                    break
        if run_log.failures and analyses_of(output):
            write_index(output, run_log.failed)
    finally:
        sweep(output, is_new)  # what processes that were given up have left


def check_folders(bids_dir: Path, output_dir: Path) -> None:
    """Refuse to write over the input."""
    if bids_dir.resolve().is_relative_to(output_dir.resolve()):
        relation = "is" if bids_dir.resolve() == output_dir.resolve() else f"{output_dir} holds"
        raise UsageError(
            f"the output directory {relation} the input directory {bids_dir}: choose for instance "
            f"{bids_dir / 'derivatives' / 'neurocca'}."
        )
    root, output = bids_dir.resolve(), output_dir.resolve()
    if output.is_relative_to(root) and not (
        output != root / "derivatives" and output.is_relative_to(root / "derivatives")
    ):
        raise UsageError(
            f"the output directory {output_dir} lies in the input directory {bids_dir}: there, choose a folder of its "
            "derivatives."
        )


def shared_films(recordings: Sequence[Recording]) -> dict[str, Path]:
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
