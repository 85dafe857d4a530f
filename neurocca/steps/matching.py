"""Which runs have both: BOLD, and features in every space that is asked for."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from neurocca.config import AlignConfig
from neurocca.design import FeatureSeries
from neurocca.errors import DataError, UsageError
from neurocca.io.recording import Recording, RunFiles, run_key
from neurocca.io.store import FeatureStore

log = logging.getLogger(__name__)


def match_runs(
    recording: Recording, store: FeatureStore, config: AlignConfig, *, asked: Sequence[str] = (), strict: bool = False
) -> Recording:
    """The recording with those of its runs for which there are features; the others count as missing.

    Onsets of the film are moved as the configuration says.

    Parameters
    ----------
    recording : Recording
    store : FeatureStore
    config : AlignConfig
    asked : sequence of str
        Labels of the runs that are asked for, all by default: that there are features of others is no matter.
    strict : bool
        Whether a run that has only BOLD or only features is an error; else it is named and left out.

    Raises
    ------
    UsageError
        When an asked space is not in the store.
    DataError
        When nothing is left, or, if strict, anything would be left out; when confounds are asked for that some of the
        runs do not have.
    """
    subject = recording.subject
    recorded = {run.label for run in recording.runs}
    wanted = {label.removeprefix("run-") for label in asked}
    shared, said = set(recorded), []
    for space in chosen_spaces(store, config):
        featured = set(store.runs(space))
        if missing := sorted(recorded - featured, key=run_key):
            said.append(
                f"features {store.path}: space {space!r} has no features for run {', '.join(missing)} of sub-{subject} "
                f"(it has runs {', '.join(store.runs(space))})"
            )
        # what other participants have is named already where recordings were looked up
        lacking = featured - recorded - set(recording.missing)
        # runs of several sessions are labelled session-run
        lacking = {label for label in lacking if not wanted or label.rpartition("-")[2] in wanted}
        if missing := sorted(lacking, key=run_key):
            said.append(
                f"sub-{subject} has no BOLD for run {', '.join(missing)}, for which {store.path} has features in space "
                f"{space!r}"
            )
        shared &= featured
    if said and (strict or not shared):
        raise DataError(f"{said[0]}.")
    for text in said:
        log.warning("%s: going on without.", text)
    left_out = sorted({*recording.missing, *recorded - shared}, key=run_key)
    runs = tuple(run for run in recording.runs if run.label in shared)
    check_companions(recording, runs, config)
    return replace(recording, runs=runs, missing=tuple(left_out)).shifted(config.onset_shift)


def check_companions(recording: Recording, runs: Sequence[RunFiles], config: AlignConfig) -> None:
    """Refuse runs of which only some could be cleaned, and name what is asked for but cannot be done.

    Raises
    ------
    DataError
        When some runs have confounds and others do not.
    """
    subject = f"sub-{recording.subject}"
    bare = [run.label for run in runs if run.confounds is None]
    if config.confounds and 0 < len(bare) < len(runs):
        raise DataError(
            f"{subject}: no confounds for run {', '.join(bare)}, which other runs have: leave them out of all runs "
            "with --confounds none, or the run itself with --run-label."
        )
    for text in what_lacks(recording, runs, config):
        log.warning("%s: %s", subject, text)
    unmasked = [run.label for run in runs if not run.masks]
    if 0 < len(unmasked) < len(runs):
        log.warning("%s: no mask for run %s: that of the other runs is taken.", subject, ", ".join(unmasked))


def what_lacks(recording: Recording, runs: Sequence[RunFiles], config: AlignConfig) -> list[str]:
    """What runs do not have, and what is done without it, for the terminal and the top of the report."""
    found, names = [], ", ".join(config.confounds)
    if all(run.confounds is None for run in runs):
        if config.fd_threshold or config.dvars_threshold:
            found.append("no confounds are there to censor volumes by: none is censored.")
        if config.confounds and recording.kind != "parcels":
            found.append(f"no confounds are there ({names}): drift alone is taken out, what the head moved stays in.")
        if recording.kind == "parcels" and config.confounds not in ((), AlignConfig().confounds):
            found.append(f"parcels are cleaned already: no confounds ({names}) are taken out.")
    # a log of frames says the onset and no film
    silent = [run.label for run in runs if run.film is None and run.onset in (0.0, config.onset_shift)]
    if 0 < len(silent) < len(runs):
        found.append(
            f"no events name the film of run {', '.join(silent)}, as they do for others: it is taken to have begun "
            "with the first volume."
        )
    return found


def read_features(store: FeatureStore, recording: Recording, config: AlignConfig) -> list[list[FeatureSeries]]:
    """Feature series of every run of a recording, one per space.

    Raises
    ------
    UsageError
        When an asked space is not in the store.
    DataError
        When runs have different features.
    """
    spaces = chosen_spaces(store, config)
    series = [[store.read(space, run.label) for space in spaces] for run in recording.runs]
    for run, of_run in zip(recording.runs, series, strict=True):
        for space, this, first in zip(spaces, of_run, series[0], strict=True):
            if this.names != first.names:
                raise DataError(
                    f"features {store.path}: space {space!r} has other features in run {run.label} "
                    f"({', '.join(this.names[:5])}…) than in run {recording.runs[0].label} "
                    f"({', '.join(first.names[:5])}…)."
                )
    return series


def chosen_spaces(store: FeatureStore, config: AlignConfig) -> list[str]:
    """The feature spaces of a store that are asked for; all of them by default.

    Raises
    ------
    UsageError
        When one is not there.
    """
    spaces = list(config.spaces) or store.spaces
    for space in spaces:
        if space not in store.spaces:
            raise UsageError(f"features {store.path}: no space {space!r}; there are {', '.join(store.spaces)}.")
    return spaces
