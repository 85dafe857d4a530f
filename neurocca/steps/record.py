"""What is written down of an analysis: the record beside its results."""

import logging
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import neurocca
from neurocca.cca.scoring import loadings, paired_correlations
from neurocca.config import Config
from neurocca.inference.fits import winner
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.result import PermutationResult
from neurocca.io.centroids import read_centroids
from neurocca.io.derivatives import Results, component_names
from neurocca.io.parcellation import AtlasParcels
from neurocca.io.recording import Recording
from neurocca.steps.assemble import Assembled
from neurocca.steps.estimators import METHODS
from neurocca.steps.further import Further
from neurocca.steps.inputs import analysis_of
from neurocca.steps.lag import LagCurve
from neurocca.steps.matching import what_lacks
from neurocca.steps.recovery import recovery

log = logging.getLogger(__name__)


def collect(
    recording: Recording,
    assembled: Assembled,
    config: Config,
    cca: Any,
    held: HeldOutResult,
    sample: PermutationResult | None,
    further: Further,
    notes: Sequence[str] = (),
) -> Results:
    """Tables, maps and the record of one subject's analysis.

    Parameters
    ----------
    recording : Recording
    assembled : Assembled
    config : Config
    cca : estimator
        Fitted on all runs.
    held, sample : results of the held-out and the in-sample test
        None where the estimator has no in-sample test.
    further : Further
        Maps, feature spaces and halves of the runs, of a linear estimator.
    notes : sequence of str
        What the tests warned of.
    """
    design, names = assembled.design, component_names(len(held.mean))
    stimulus, bold = cca.transform(design.X, design.Y)
    unseen_stimulus, unseen_bold = held.variates(design.X, design.Y)
    columns = pd.DataFrame(assembled.columns, columns=["space", "feature", "delay"])
    voxels, atlas = assembled.brain.kind == "voxels", config.align.label_atlas
    if assembled.wide is None:
        own, across = loadings(design.Y, bold), loadings(design.Y, stimulus)
    else:
        own, across = assembled.wide.loadings(bold, stimulus)
    if recording.missing:
        notes = [f"Runs without BOLD or without features were left out: {', '.join(recording.missing)}.", *notes]
    if assembled.lag is not None and assembled.lag.warning:
        notes = [assembled.lag.warning, *notes]
    peaks = _peaks(names, own.T, assembled) if voxels else None
    recovered = None
    if voxels and recording.simulated:
        recovered = recovery(recording, assembled, config.align, bold, own.T, held.mean)
    if peaks is not None and "label" in peaks and not peaks["label"].any():
        notes = [*notes, f"No peak lies in a parcel of {atlas}: is it in the space of the volumes?"]
    decomposition = {
        # all the arrangements there are, where that is less than was asked for
        **_description(recording, assembled, config, len(held.null), notes),
        "Shrinkage": _shrinkage(cca, held, config),
        "Components": _components(names, cca, design, held, sample),
        **further.record(names),
    }
    return Results(
        decomposition=decomposition,
        bold_variates=pd.DataFrame(bold, columns=names),
        stimulus_variates=pd.DataFrame(stimulus, columns=names),
        held_out_bold=pd.DataFrame(unseen_bold, columns=names),
        held_out_stimulus=pd.DataFrame(unseen_stimulus, columns=names),
        null=_in_sample_table(sample, names),
        held_out_null=_null_table(held.mean, held.null, names),
        feature_loadings=pd.concat([columns, pd.DataFrame(loadings(design.X, stimulus), columns=names)], axis=1),
        response_loadings=own.T,
        cross_loadings=across.T,
        map_pvalues=further.maps.pvalues.T,
        responses=list(assembled.responses),
        brain=assembled.brain,
        peaks=peaks,
        quality=assembled.quality,
        recovery=recovered,
    )


def _description(
    recording: Recording, assembled: Assembled, config: Config, n_permutations: int, notes: Sequence[str]
) -> dict[str, Any]:
    design = assembled.design
    spaces = [space for space, _, _ in assembled.columns]
    align, test = config.align, config.inference
    return {
        "Method": METHODS[config.fit.estimator],
        "Simulated": recording.simulated,
        "Subject": recording.subject,
        "Task": recording.task,
        "Dataset": {
            "Name": recording.dataset,
            "Kind": assembled.brain.kind,
            "Source": recording.source,
            "Session": recording.session,
            "Space": recording.space,
            "Segmentation": analysis_of(recording, align).seg or None,
            "Resolution": recording.res,
            "Mask": config.align.mask,
            "Atlas": config.align.atlas,
        },
        "RepetitionTime": recording.t_r,
        "NumberOfVolumes": len(design.X),
        "NumberOfFeatures": design.X.shape[1],
        "NumberOfResponses": len(assembled.responses),
        "FeatureSpaces": {space: spaces.count(space) for space in dict.fromkeys(spaces)},
        "DroppedFeatures": assembled.dropped_features,
        "DroppedResponses": assembled.dropped_responses,
        "Alignment": {
            "OnsetShift": align.onset_shift,
            "MinCoverage": align.min_coverage if align.atlas else None,
            "Response": align.response,
            "HRF": align.hrf,
            "Delays": list(align.delays),
            "Log": list(align.log),
            "Drift": align.drift,
            "HighPass": align.high_pass,
            "LowPass": align.low_pass,
            "SmoothingFWHM": align.smoothing_fwhm,
            "StandardizeBOLD": align.standardize_bold,
            "Confounds": list(align.confounds),
            "FDThreshold": align.fd_threshold,
            "DVARSThreshold": align.dvars_threshold,
            "Partial": align.partial,
            "Standardize": align.standardize,
        },
        "Centroids": _centroids(assembled.responses, align.centroids),
        "Lag": _lag(assembled.lag),
        "Inference": {
            "Scheme": test.scheme,
            "NumberOfPermutations": n_permutations,
            "MinShift": test.min_shift,
            "Seed": test.seed,
            "Correction": "maximum statistic over components",
            "CorrectionInSample": "step-down: largest root after removal of earlier components, cumulative maximum",
        },
        "Runs": assembled.qc,
        # what runs lack was said before anything was read
        "Warnings": [
            *(f"{text[0].upper()}{text[1:]}" for text in what_lacks(recording, recording.runs, align)),
            *_warnings(assembled, notes, partial=align.partial),
        ],
        "Config": asdict(config),
        "Software": _software(config.fit.estimator),
    }


def _peaks(names: Sequence[str], maps: NDArray, assembled: Assembled) -> pd.DataFrame:
    """Peaks of all maps, one below the other."""
    from neurocca.io.peaks import peak_table  # slow to import

    tables = [peak_table(row, assembled.brain, assembled.label_atlas) for row in maps]
    return pd.concat([table.assign(component=name) for name, table in zip(names, tables, strict=True)])[
        ["component", *tables[0].columns]
    ]


def _centroids(parcels: Sequence[str], table: str) -> list[list[float]] | None:
    """Places of the parcels in mm, in their order; None where they are not known."""
    if not table:
        return None
    return [[_rounded(mm) for mm in place] for place in read_centroids(Path(table), parcels)]


def _lag(curve: LagCurve | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    return {
        "Lags": [_rounded(lag) for lag in curve.lags],
        "HeldOutCorrelation": [_rounded(r) for r in curve.correlations],
        "Peak": _rounded(curve.peak),
        "Warning": curve.warning,
    }


def _components(
    names: Sequence[str], cca: Any, design: Any, held: HeldOutResult, sample: PermutationResult | None
) -> list[dict[str, Any]]:
    in_sample = paired_correlations(*cca.transform(design.X, design.Y))
    return [
        {
            "Name": name,
            "InSampleCorrelation": _rounded(in_sample[i]),
            "HeldOutCorrelation": _rounded(held.mean[i]),
            "HeldOutCorrelationPerRun": {
                str(run): _rounded(r) for run, r in zip(held.fold_labels, held.correlations[:, i], strict=True)
            },
            "PValueInSample": None if sample is None else _rounded(sample.pvalues_stepdown[i]),
            "PValueHeldOut": _rounded(held.pvalues[i]),
        }
        for i, name in enumerate(names)
    ]


def _shrinkage(cca: Any, held: HeldOutResult, config: Config) -> dict[str, Any]:
    """What was chosen, on all runs and on those of every fold, and from what."""
    chosen = [_pair(winner(fitted)) for fitted in (held.estimator, *held.estimators)]
    x, y = ([one] for one in chosen[0])
    mean: Any = np.empty((0, 0))
    if hasattr(cca, "cv_scores_"):  # of the linear estimator, which has a grid of pairs
        x, y, mean = list(config.fit.shrinkage_x), list(config.fit.shrinkage_y), cca.cv_scores_.mean(axis=0)
    elif hasattr(held.estimator, "cv_results_"):  # of kernels, which have one shrinkage for both
        found = held.estimator.cv_results_
        x = y = [float(tried["shrinkage"]) for tried in found["params"]]
        mean = np.full((len(x), len(x)), np.nan)
        np.fill_diagonal(mean, found["mean_test_score"])
    return {
        "Features": chosen[0][0],
        "BOLD": chosen[0][1],
        "GridFeatures": x,
        "GridBOLD": y,
        "Score": [[None if np.isnan(r) else _rounded(r) for r in row] for row in mean],
        "PerFold": [
            {"LeftOut": str(run), "Features": pair[0], "BOLD": pair[1]}
            for run, pair in zip(held.fold_labels, chosen[1:], strict=True)
        ],
    }


def _pair(fitted: Any) -> tuple[float, float]:
    found = fitted.shrinkage_ if hasattr(fitted, "shrinkage_") else fitted.shrinkage
    x, y = found if isinstance(found, tuple | list) else (found, found)
    return float(x), float(y)


def _in_sample_table(sample: PermutationResult | None, names: Sequence[str]) -> pd.DataFrame:
    if sample is None:
        return _null_table(np.empty(len(names)), np.empty((0, len(names))), names)[:0]
    return _null_table(sample.observed, sample.null, names)


def _null_table(observed: NDArray, null: NDArray, names: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(np.vstack([observed, null]), columns=list(names))
    table.insert(0, "permutation", np.arange(len(table)))
    return table


def _warnings(assembled: Assembled, notes: Sequence[str], *, partial: bool) -> list[str]:
    found = list(notes)
    if partial:
        found.append(
            "Drift and confounds were taken out of film and BOLD alike (align.partial). Both then lie outside the same "
            "dimensions, a rearranged film does not quite, and p-values are too small: at 5 % some 10 % of unrelated "
            "pairs were taken for real in a simulation of four runs of 150 volumes (docs/inference.md)."
        )
    # a response without data in some run is dropped like a constant one; features without data are an error
    for what, dropped in (
        (
            f"constant or missing {'or barely covered ' * isinstance(assembled.brain, AtlasParcels)}responses",
            assembled.dropped_responses,
        ),
        ("constant features", assembled.dropped_features),
    ):
        if dropped:
            shown = ", ".join(dropped[:10]) + (", …" if len(dropped) > 10 else "")
            found.append(f"{len(dropped)} {what} were left out: {shown}.")
    for text in found:
        log.warning("%s", text)
    return found


def _software(estimator: str) -> dict[str, str]:
    libraries = ["numpy", "scipy", "scikit-learn", "pandas", "nilearn", "nibabel", "h5py"]
    libraries += ["torch"] * (estimator == "deep")
    versions = {library: version(library) for library in libraries}
    return {"neurocca": neurocca.__version__, "python": platform.python_version(), **versions}


def _rounded(value: float) -> float:
    """Six decimals: more would carry the rounding noise of one machine into the record."""
    return round(float(value), 6)
