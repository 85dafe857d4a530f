"""Participant level: one subject's film features against the same subject's BOLD."""

import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import neurocca
from neurocca.cca.scoring import loadings
from neurocca.cca.selection import LinearCCACV
from neurocca.config import Config
from neurocca.errors import NoInputError, UsageError
from neurocca.inference.held_out import held_out_test
from neurocca.inference.permutation import permutation_test
from neurocca.inference.result import HeldOutResult, PermutationResult
from neurocca.io.derivatives import Results, component_names, write_results
from neurocca.io.files import sha256
from neurocca.io.layout import find_recordings
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import Assembled, assemble, check_design
from neurocca.steps.features import films_store
from neurocca.steps.progress import progress_bar
from neurocca.steps.recovery import recovery
from neurocca.steps.report import write_report

log = logging.getLogger(__name__)


def run_participants(
    bids_dir: Path,
    output_dir: Path,
    config: Config,
    *,
    labels: Sequence[str] = (),
    task: str | None = None,
    features: Path | None = None,
    work_dir: Path = Path("work"),
    n_jobs: int = 1,
    command: str = "",
) -> dict[str, pd.DataFrame]:
    """Analyse participants one after the other and write their derivatives and reports.

    Parameters
    ----------
    bids_dir, output_dir : Path
    config : Config
    labels : sequence of str
        Participants; all by default.
    task : str, optional
    features : Path, optional
        Feature store; made from the films that events.tsv names when it is not given.
    work_dir : Path
        Where such a store is kept.
    n_jobs : int
        Parallel jobs; results do not depend on it.
    command : str
        The command line, for the record.

    Returns
    -------
    dict of DataFrame
        Verdict table by participant: r_in_sample, r_held_out, p_held_out, p_in_sample per component.
    """
    if output_dir.resolve() == bids_dir.resolve():
        raise UsageError(
            f"the output directory is the input directory {bids_dir}: choose for instance "
            f"{bids_dir / 'derivatives' / 'neurocca'}."
        )
    recordings = find_recordings(bids_dir, labels, task=task, t_r=config.align.t_r)
    stores = [features or films_store(_films(r), work_dir, config.features) for r in recordings[:1]]
    verdicts = {}
    with FeatureStore(stores[0]) as store:
        for recording in recordings:
            if features is None and _films(recording) != _films(recordings[0]):
                raise UsageError(f"sub-{recording.subject} saw other films than sub-{recordings[0].subject}.")
            log.info("sub-%s: %d runs of task %s", recording.subject, len(recording.runs), recording.task)
            assembled = assemble(recording, store, config)
            results = analyse(recording, assembled, config, n_jobs=n_jobs)
            results.decomposition["Inputs"] = _digests(bids_dir, recording, store.path)
            results.decomposition["Command"] = command
            write_results(output_dir, results, config)
            write_report(output_dir, recording.subject)
            verdicts[recording.subject] = verdict_table(results)
    return verdicts


def analyse(recording: Recording, assembled: Assembled, config: Config, *, n_jobs: int = 1) -> Results:
    """Fit and test the components of one subject.

    Shrinkage for the maps is chosen by leaving one run out of all; for the held-out correlations it is chosen
    anew on the training runs of every left-out run.
    """
    design, test = assembled.design, config.inference
    min_shift = int(np.ceil(test.min_shift / recording.t_r))
    check_design(design, config.fit.n_components, min_shift)
    cca = LinearCCACV(
        config.fit.n_components,
        shrinkage_x=config.fit.shrinkage_x,
        shrinkage_y=config.fit.shrinkage_y,
        scale=True,
    )
    seeds = np.random.SeedSequence(test.seed).spawn(2)
    total = len(recording.runs) + test.n_permutations
    with progress_bar(total, f"sub-{recording.subject} held-out test") as done:
        held = held_out_test(
            cca, design.X, design.Y, runs=design.runs, min_shift=min_shift, n_permutations=test.n_permutations,
            rng=np.random.default_rng(seeds[0]), n_jobs=n_jobs, progress=done,
        )  # fmt: skip
    cca.fit(design.X, design.Y, groups=design.runs)
    with progress_bar(test.n_permutations, f"sub-{recording.subject} in-sample test") as done:
        sample = permutation_test(
            cca, design.X, design.Y, runs=design.runs, min_shift=min_shift, n_permutations=test.n_permutations,
            rng=np.random.default_rng(seeds[1]), n_jobs=n_jobs, progress=done,
        )  # fmt: skip
    return _results(recording, assembled, config, cca, held, sample)


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


def _results(
    recording: Recording,
    assembled: Assembled,
    config: Config,
    cca: LinearCCACV,
    held: HeldOutResult,
    sample: PermutationResult,
) -> Results:
    design, names = assembled.design, component_names(len(held.correlations))
    stimulus, bold = cca.transform(design.X, design.Y)
    columns = pd.DataFrame(assembled.columns, columns=["space", "feature", "delay"])
    voxels = recording.kind == "voxels"
    decomposition = {
        **_description(recording, assembled, config),
        "Shrinkage": _shrinkage(cca, held, config),
        "Components": _components(names, cca, design, held, sample),
    }
    return Results(
        decomposition=decomposition,
        bold_variates=pd.DataFrame(bold, columns=names),
        stimulus_variates=pd.DataFrame(stimulus, columns=names),
        null=_null_table(sample, names),
        held_out_null=_null_table(held, names),
        feature_loadings=pd.concat([columns, pd.DataFrame(cca.x_loadings_, columns=names)], axis=1),
        response_loadings=cca.y_loadings_.T,
        cross_loadings=loadings(design.Y, stimulus).T,
        responses=list(design.y_names),
        mask=assembled.mask,
        recovery=recovery(recording, assembled, bold, cca.y_loadings_.T) if voxels and recording.simulated else None,
    )


def _description(recording: Recording, assembled: Assembled, config: Config) -> dict[str, Any]:
    design = assembled.design
    spaces = [space for space, _, _ in assembled.columns]
    align, test = config.align, config.inference
    return {
        "Method": "Linear canonical correlation analysis with shrinkage chosen by cross-validation",
        "Simulated": recording.simulated,
        "Subject": recording.subject,
        "Task": recording.task,
        "Dataset": {"Name": recording.dataset, "Kind": recording.kind},
        "RepetitionTime": recording.t_r,
        "NumberOfVolumes": len(design.X),
        "NumberOfFeatures": design.X.shape[1],
        "NumberOfResponses": design.Y.shape[1],
        "FeatureSpaces": {space: spaces.count(space) for space in dict.fromkeys(spaces)},
        "DroppedFeatures": assembled.dropped_features,
        "DroppedResponses": assembled.dropped_responses,
        "Alignment": {
            "Response": align.response,
            "HRF": align.hrf,
            "Delays": list(align.delays),
            "Log": list(align.log),
            "HighPass": align.high_pass,
            "Standardize": align.standardize,
        },
        "Inference": {
            "Scheme": test.scheme,
            "NumberOfPermutations": test.n_permutations,
            "MinShift": test.min_shift,
            "Seed": test.seed,
            "Correction": "maximum statistic over components",
        },
        "Runs": assembled.qc,
        "Warnings": _warnings(assembled),
        "Config": asdict(config),
        "Software": _software(),
    }


def _components(
    names: Sequence[str], cca: LinearCCACV, design: Any, held: HeldOutResult, sample: PermutationResult
) -> list[dict[str, Any]]:
    from neurocca.cca.scoring import paired_correlations

    in_sample = paired_correlations(*cca.transform(design.X, design.Y))
    return [
        {
            "Name": name,
            "InSampleCorrelation": _rounded(in_sample[i]),
            "HeldOutCorrelation": _rounded(held.correlations[i]),
            "HeldOutCorrelationPerRun": {
                str(run): _rounded(r) for run, r in zip(held.run_labels, held.per_run[:, i], strict=True)
            },
            "PValueInSample": _rounded(sample.pvalues[i]),
            "PValueHeldOut": _rounded(held.pvalues[i]),
        }
        for i, name in enumerate(names)
    ]


def _shrinkage(cca: LinearCCACV, held: HeldOutResult, config: Config) -> dict[str, Any]:
    return {
        "Features": cca.shrinkage_[0],
        "BOLD": cca.shrinkage_[1],
        "GridFeatures": list(config.fit.shrinkage_x),
        "GridBOLD": list(config.fit.shrinkage_y),
        "Score": [[_rounded(r) for r in row] for row in cca.cv_scores_.mean(axis=0)],
        "PerFold": [
            {"LeftOut": str(run), "Features": fitted.shrinkage_[0], "BOLD": fitted.shrinkage_[1]}
            for run, fitted in zip(held.run_labels, held.estimators, strict=True)
        ],
    }


def _null_table(test: PermutationResult, names: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(np.vstack([test.correlations, test.null]), columns=list(names))
    table.insert(0, "permutation", np.arange(len(table)))
    return table


def _warnings(assembled: Assembled) -> list[str]:
    found = []
    for what, dropped in (("responses", assembled.dropped_responses), ("features", assembled.dropped_features)):
        if dropped:
            shown = ", ".join(dropped[:10]) + (", …" if len(dropped) > 10 else "")
            found.append(f"{len(dropped)} constant {what} were left out: {shown}.")
    for text in found:
        log.warning("%s", text)
    return found


def _films(recording: Recording) -> dict[str, Path]:
    films = {run.label: run.film for run in recording.runs if run.film is not None}
    if len(films) < len(recording.runs):
        missing = [run.label for run in recording.runs if run.film is None]
        raise NoInputError(
            f"sub-{recording.subject}: no --features given, and no events.tsv names a film (stim_file) for run "
            f"{', '.join(missing)}."
        )
    return films


def _digests(root: Path, recording: Recording, store: Path) -> list[dict[str, str]]:
    files = [p for run in recording.runs for p in (run.bold, run.confounds) if p is not None]
    inside = [{"Path": Path(os.path.relpath(path, root)).as_posix(), "SHA256": sha256(path)} for path in files]
    return [*inside, {"Path": store.name, "SHA256": sha256(store)}]


def _software() -> dict[str, str]:
    libraries = ("numpy", "scipy", "scikit-learn", "pandas", "nilearn", "nibabel", "h5py")
    versions = {library: version(library) for library in libraries}
    return {"neurocca": neurocca.__version__, "python": platform.python_version(), **versions}


def _rounded(value: float) -> float:
    """Six decimals: more would carry the rounding noise of one machine into the record."""
    return round(float(value), 6)
