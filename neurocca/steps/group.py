"""Group level: from the participants' results in an output directory to those of the group."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from threadpoolctl import threadpool_limits

import neurocca
from neurocca.config import Config
from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError
from neurocca.io.analyses import Analysis
from neurocca.io.derivatives import check_output
from neurocca.io.files import sha256, staged
from neurocca.io.finished import is_finished, mark_finished
from neurocca.io.group import GroupAnalysis, GroupResults, read_group_record, write_group
from neurocca.io.layout import find_recordings
from neurocca.io.leftovers import remove_leftovers
from neurocca.io.query import Query
from neurocca.io.recording import Recording
from neurocca.steps.features import films_store
from neurocca.steps.group_choice import chosen_groups, reasons_of, without_results
from neurocca.steps.group_matching import match_members
from neurocca.steps.group_members import Member, check_alike, differing_keys, read_members
from neurocca.steps.group_record import GroupParts, collect_group, group_verdict
from neurocca.steps.group_report import draw_group
from neurocca.steps.group_second_level import consistency, second_level
from neurocca.steps.group_shared import SharedFit, fit_shared
from neurocca.steps.participant import shared_films
from neurocca.steps.report import write_index
from neurocca.steps.run_log import RunLog
from neurocca.steps.work_folder import WORK

log = logging.getLogger(__name__)

NOT_ASKED = "it was not asked for (--no-shared-fit)."


def run_group(
    bids_dir: Path,
    output_dir: Path,
    *,
    query: Query | None = None,
    settle: Callable[[Config], Config] = lambda recorded: recorded,
    features: Path | None = None,
    work_dir: Path | None = None,
    shared_fit: bool = True,
    tfce: bool = True,
    n_jobs: int | None = None,
    command: str = "",
    resume: bool = True,
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Group level of all participants' results of a task, in each space and with each atlas that there are.

    Parameters
    ----------
    bids_dir : Path
        The dataset, for participants that have no results yet, and for the BOLD of the shared fit.
    output_dir : Path
        Holds the participants' results, and gets those of the group.
    query : Query, optional
        Which participants, task, session, space and resolution; all by default.
    settle : callable
        From the participants' configuration to that of this level, which may have other permutations and another seed.
    features : Path, optional
        Feature store, for the shared fit; made from the films that events.tsv names when it is not given.
    work_dir : Path, optional
        Where such a store is kept; None is ``work``.
    shared_fit : bool
        Fit film and all brains together.
    tfce : bool
        Enhance clusters of voxels.
    n_jobs : int, optional
        Permutations at the same time, by default one on each core; results do not depend on it.
    command : str
        The command line, for the record.
    resume : bool
        Leave results as they are that were made of the same participants' results, options and version.

    Yields
    ------
    report : Path
        The group's page.
    verdict : DataFrame
        One row per component, see `neurocca.steps.group_record.group_verdict`; ``attrs["unchanged"]`` where results of
        before were left as they are.

    Raises
    ------
    NoInputError
        Where no two participants have results.
    NoMatchError
        Where none of the results is asked for.
    DataError
        Where results are damaged so that no two are left, or were made with different settings.
    UsageError
        Where the command line asks for other settings than the participants were analysed with.
    """
    query, n_jobs = query or Query(), effective_n_jobs(-1 if n_jobs is None else n_jobs)
    groups = chosen_groups(bids_dir, output_dir, query)
    check_output(output_dir)
    run_log = RunLog(output_dir, command)
    for group, analyses in groups.items():
        members, left_out, config = _ready(bids_dir, output_dir, group, analyses, query, settle)
        depends = _made_of(output_dir, group, members, left_out, config, features, shared_fit=shared_fit, tfce=tfce)
        if resume and is_finished(output_dir, group, depends):
            verdict = group_verdict(read_group_record(output_dir, group))
            verdict.attrs["unchanged"] = True
            yield output_dir / group.page, verdict
            continue

        def shared(
            members: Sequence[Member] = members, group: GroupAnalysis = group, config: Config = config
        ) -> SharedFit | str:
            if not shared_fit:
                return NOT_ASKED
            return _shared(bids_dir, group, members, config, query, features, work_dir, n_jobs)

        # linear algebra of several threads differs in its last digits from that of one
        with run_log.timed(group.stem), threadpool_limits(1):
            parts = _analyse(group, members, left_out, config, shared, tfce=tfce, n_jobs=n_jobs, command=command)
            results = collect_group(parts)
            for text in results.decomposition["Warnings"][len(left_out) :]:
                log.warning("%s: %s", group.stem, text)
            # data that are not there now may be there the next time
            is_whole = not shared_fit or isinstance(parts.shared, SharedFit)
            _publish(output_dir, group, results, depends if is_whole else None)
        yield output_dir / group.page, group_verdict(results.decomposition)
    run_log.write()


def _ready(
    bids_dir: Path,
    output_dir: Path,
    group: GroupAnalysis,
    analyses: Sequence[Analysis],
    query: Query,
    settle: Callable[[Config], Config],
) -> tuple[list[Member], dict[str, str], Config]:
    """Participants with results, those without, and why, and the configuration of the group level."""
    members, left_out = read_members(output_dir, analyses)
    left_out |= without_results(bids_dir, group, query, {analysis.subject for analysis in analyses})
    for subject, reason in left_out.items():
        log.warning("%s: sub-%s is left out: %s", group.stem, subject, reason)
    if len(members) < 2:
        raise DataError(f"{output_dir}: results of fewer than two participants can be read: {reasons_of(left_out)}")
    recorded = check_alike(members)
    config = settle(recorded)
    if differing := differing_keys(config, recorded):
        raise UsageError(
            f"{', '.join(differing)}: other than in the participants' results; at the group level only the number "
            "of permutations and the seed can be chosen."
        )
    return members, left_out, config


def _publish(output_dir: Path, group: GroupAnalysis, results: GroupResults, depends: dict[str, Any] | None) -> None:
    """Results and page in their place, nothing of before beside them."""
    with staged(output_dir) as folder:
        write_group(folder, group, results)
        draw_group(folder, group, folder)
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    remove_leftovers(output_dir, group, files)
    if depends is not None:
        mark_finished(output_dir, group, depends, [path for path in files if path.name.startswith(group.stem)])
    write_index(output_dir)


def _made_of(
    output_dir: Path,
    group: GroupAnalysis,
    members: Sequence[Member],
    left_out: dict[str, str],
    config: Config,
    features: Path | None,
    *,
    shared_fit: bool,
    tfce: bool,
) -> dict[str, Any]:
    """All that the results of a group depend on; BOLD by what the participants' records say of it."""
    digests = {}
    for member in members:
        analysis = group.member(member.subject)
        folder = analysis.file(output_dir, "x").parent
        digests[member.subject] = {path.name: sha256(path) for path in sorted(folder.glob(f"{analysis.stem}_*"))}
    return {
        "Version": neurocca.__version__,
        "Config": asdict(config),
        "Participants": digests,
        "LeftOut": left_out,
        "SharedFit": shared_fit,
        "TFCE": tfce,
        "Features": sha256(features) if features is not None and features.is_file() else None,
    }


def _analyse(
    group: GroupAnalysis,
    members: list[Member],
    left_out: dict[str, str],
    config: Config,
    shared: Callable[[], SharedFit | str],
    *,
    tfce: bool,
    n_jobs: int,
    command: str,
) -> GroupParts:
    log.info("group %s: %d participants", group.stem, len(members))
    seeds = np.random.SeedSequence(config.inference.seed).spawn(3)
    matching = match_members(members)
    maps = second_level(members, matching, config.inference, seeds[0], tfce=tfce, n_jobs=n_jobs)
    agreement, runs, notes = consistency(members, matching, config.inference, seeds[1], n_jobs=n_jobs)
    return GroupParts(group, members, left_out, matching, maps, agreement, runs, shared(), config, notes, command)


def _shared(
    bids_dir: Path,
    group: GroupAnalysis,
    members: Sequence[Member],
    config: Config,
    query: Query,
    features: Path | None,
    work_dir: Path | None,
    n_jobs: int,
) -> SharedFit | str:
    """The shared fit, or why the data for it are not there."""
    if features is not None and not features.is_file():
        raise NoInputError(f"features {features}: no such file.")
    seed = np.random.SeedSequence(config.inference.seed).spawn(3)[2]
    try:
        recordings = _recordings(bids_dir, group, members, config, query)
        _check_unchanged(bids_dir, members, recordings)
        store = features or films_store(shared_films(recordings), work_dir or WORK, config.features)
        return fit_shared(members, recordings, store, config, seed, n_jobs=n_jobs)
    except (NoInputError, NoMatchError, UsageError) as error:
        return str(error)
    except (DataError, ValueError, np.linalg.LinAlgError) as error:
        raise DataError(f"film and all brains: {error}") from error


def _check_unchanged(bids_dir: Path, members: Sequence[Member], recordings: Sequence[Recording]) -> None:
    """Refuse BOLD that is not what the participants' results were made of."""
    known = {m.subject: {file["Path"]: file["SHA256"] for file in m.decomposition.get("Inputs", ())} for m in members}
    for recording in recordings:
        for path in (path for run in recording.runs for path in run.bold):
            then = known[recording.subject].get(Path(os.path.relpath(path, bids_dir)).as_posix())
            if then is not None and path.is_file() and sha256(path) != then:
                raise DataError(
                    f"{path}: was changed since sub-{recording.subject} was analysed; run the participant level again."
                )


def _recordings(
    bids_dir: Path, group: GroupAnalysis, members: Sequence[Member], config: Config, query: Query
) -> list[Recording]:
    """The members' recordings, of the files that their results were made of."""
    chosen = replace(query, participants=tuple(m.subject for m in members), task=group.task)
    if group.session:
        chosen = replace(chosen, sessions=(group.session,))
    if query.space is None and group.space:
        chosen = replace(chosen, space=group.space)
    return find_recordings(bids_dir, chosen, t_r=config.align.t_r)
