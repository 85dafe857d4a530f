"""Rates of rejection on real data: where film and BOLD belong together, and where they cannot.

    python benchmarks/calibration.py --only real --realdata FOLDER

A film's features against the BOLD of another run of the same film, features turned round in time, and features
against rest say how often the tests reject for nothing. All rates are at α = .05, of the first component.

A rate comes with its standard error. Tests of one run of the film are no independent tests: five people saw the
same run, and the features of a run are in seven pairs. The error is that of the jackknife which leaves out all tests
that have to do with one run (with one person for the SONG data, whose persons share nothing but the features).
"""

import itertools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from neurocca import LinearCCA, held_out_test, permutation_test
from neurocca import studyforrest as sf
from neurocca.config import AlignConfig, FeaturesConfig
from neurocca.design import FeatureSeries, stack_runs
from neurocca.inference.checks import InferenceWarning
from neurocca.io.layout import find_recordings
from neurocca.io.stimuli import read_source
from neurocca.io.timeseries import read_parcels
from neurocca.temporal.align import align_bold, align_features
from neurocca.temporal.clean import clean, standardize
from neurocca.temporal.nuisance import cosine_drift
from neurocca.temporal.periodic import periodic_filter

Row = dict[str, float | str]
Film = list[list[FeatureSeries]]
Pvalues = dict[str, float]
Test = tuple[frozenset[int], Pvalues]
"""What a test may share with others (numbers of runs, or of a subject), and its p-values."""

B, ALPHA, JOBS = 199, 0.05, 2
IN_SAMPLE = ("circular_shift", "phase_randomize")
HIGH_PASS = {"both": "film and BOLD", "bold": "BOLD", "periodic": "BOLD; film periodic", "none": "as nuisance"}
"""What the slow cosines are taken out of before the test, or that they are nuisance variables of it. Views without the
same cosines share a gap, which a rearranged view does not have, so that the null is a little too low. The other three
ways avoid that. A periodic filter takes out slow sines and cosines of whole periods and commutes with shifts."""
SCHEMES = {
    "both": (*IN_SAMPLE, "prewhiten", "row_shuffle"),
    "bold": (*IN_SAMPLE, "prewhiten"),
    "periodic": IN_SAMPLE,
    "none": ("prewhiten",),
}
ALIGN = AlignConfig(
    spaces=("lowlevel", "audio"), response="delays", delays=(1, 2, 3, 4), standardize="run", max_excess=1e4
)
UNFILTERED = replace(ALIGN, high_pass=0.0)
ONE_RUN = LinearCCA(1, n_pca=(None, 20))
ALL_RUNS = LinearCCA(1, shrinkage=(0.1, 0.3))


def real(folder: Path) -> list[Row]:
    """Rates and p-values of all parts, as rows of a table."""
    warnings.simplefilter("error", InferenceWarning)
    film, bold = studyforrest(folder / "studyforrest")
    rows = own_film(film, bold) + wrong_films(film, bold) + single_runs(film, bold) + song(folder / "song")
    for row in rows:
        print(row, flush=True)
    return rows


def studyforrest(folder: Path) -> tuple[Film, dict[str, list[NDArray]]]:
    """Per-frame measures of all runs, and every subject's runs over the parcels that all subjects have."""
    spaces, _ = read_source(folder / "confoundsannotation", FeaturesConfig())
    film = [[spaces["lowlevel"][run], spaces["audio"][run]] for run in sf.RUNS]
    tables = {r.subject: [read_parcels(f.bold[0]) for f in r.runs] for r in find_recordings(folder / "aggregate")}
    common = set.intersection(*(set(names) for runs in tables.values() for _, names in runs))
    return film, {
        subject: [data[:, [j for j, name in enumerate(names) if name in common]] for data, names in runs]
        for subject, runs in tables.items()
    }


def views(film: list[FeatureSeries], bold: NDArray, n: int) -> dict[str, tuple[NDArray, NDArray]]:
    """Both views of one run of n volumes, by how they were high-pass filtered."""
    raw = align_features(film, n, sf.T_R, UNFILTERED)
    filtered = standardize(clean(raw, sf.T_R, ALIGN.high_pass))
    Y, Y_raw = (align_bold(bold[:n], sf.T_R, config) for config in (ALIGN, UNFILTERED))
    return {"both": (filtered, Y), "bold": (raw, Y), "periodic": (periodic(raw, sf.T_R), Y), "none": (raw, Y_raw)}


def periodic(view: NDArray, t_r: float) -> NDArray:
    """High-pass filter that takes the end of a run for the beginning of the next one."""
    return standardize(periodic_filter(view, t_r, ALIGN.high_pass))


def pvalues(
    estimator: LinearCCA, X: NDArray, Y: NDArray, *, runs: NDArray, t_r: float, seed: int, high_pass: str, n: int = B
) -> Pvalues:
    """Of the first component, by every scheme of the in-sample test that goes with the filter."""
    lengths = np.unique_counts(runs).counts
    drift = [cosine_drift(int(m), t_r, ALIGN.high_pass)[:, 1:] for m in lengths] if high_pass == "none" else None
    bases, found = estimator.whitened(X, Y), {}
    for scheme in SCHEMES[high_pass]:
        given = (estimator, X, Y) if scheme == "prewhiten" else bases
        with warnings.catch_warnings():
            if scheme == "row_shuffle":  # is here to show what the warning is about
                warnings.simplefilter("ignore", InferenceWarning)
            test = permutation_test(
                *given, runs=runs, t_r=t_r, scheme=scheme, n_permutations=n, n_components=1, rng=seed, nuisance=drift
            )
        found[scheme] = float(test.pvalues_stepdown[0])
    return found


def all_runs(film: Film, bold: list[NDArray], lengths: Sequence[int], high_pass: str, n: int) -> Pvalues:
    pairs = [views(f, b, length)[high_pass] for f, b, length in zip(film, bold, lengths, strict=True)]
    d = stack_runs([X for X, _ in pairs], [Y for _, Y in pairs], sf.RUNS)
    found = pvalues(ALL_RUNS, d.X, d.Y, runs=d.runs, t_r=sf.T_R, seed=0, high_pass=high_pass, n=n)
    if high_pass != "none":
        test = held_out_test(ALL_RUNS, d.X, d.Y, runs=d.runs, t_r=sf.T_R, n_permutations=n)
        found["held-out"] = float(test.pvalues[0])
    return found


def own_film(film: Film, bold: dict[str, list[NDArray]]) -> list[Row]:
    """The film that they saw, all runs: p-values of every subject."""
    cases = list(itertools.product(bold, HIGH_PASS))
    found = Parallel(n_jobs=JOBS)(
        delayed(all_runs)(film, bold[subject], sf.N_VOLUMES, high_pass, B) for subject, high_pass in cases
    )
    worst = {
        high_pass: {
            scheme: max(p[scheme] for p, (_, kind) in zip(found, cases, strict=True) if kind == high_pass)
            for scheme in found[[kind for _, kind in cases].index(high_pass)]
        }
        for high_pass in HIGH_PASS
    }
    text = f"studyforrest, own film, 8 runs: largest p of {len(bold)} subjects"
    return [{"data": text, "high-pass": HIGH_PASS[kind], **p} for kind, p in worst.items()]


def wrong_films(film: Film, bold: dict[str, list[NDArray]]) -> list[Row]:
    """All eight runs, the films of which have changed places by one to seven."""
    n = [min(sf.N_VOLUMES)] * len(film)
    cases = list(itertools.product(HIGH_PASS, range(1, len(film)), bold))
    found = Parallel(n_jobs=JOBS)(
        delayed(all_runs)(film[k:] + film[:k], bold[subject], n, high_pass, 99) for high_pass, k, subject in cases
    )
    rows = []
    for kind in HIGH_PASS:
        tests = [(frozenset([k]), p) for p, (high_pass, k, _) in zip(found, cases, strict=True) if high_pass == kind]
        rows.append(rates("studyforrest, wrong film, 8 runs", kind, tests))
    return rows


def single_runs(film: Film, bold: dict[str, list[NDArray]]) -> list[Row]:
    """Every run's film against every run's BOLD, and turned round."""
    found = Parallel(n_jobs=JOBS)(
        delayed(one_film)(i, film[i], runs) for i in range(len(film)) for runs in bold.values()
    )
    questions = {"wrong run": "wrong run", "reversed": "own run, reversed in time", "own": "own run"}
    return [
        rates(f"studyforrest, {text}", kind, [t for one in found for t in one[question, kind]])
        for question, text in questions.items()
        for kind in HIGH_PASS
    ]


def one_film(i: int, film: list[FeatureSeries], bold: list[NDArray]) -> dict[tuple[str, str], list[Test]]:
    """Tests of one run of the film with one subject's runs."""
    found: dict[tuple[str, str], list[Test]] = {
        (question, kind): [] for question in ("wrong run", "reversed", "own") for kind in HIGH_PASS
    }
    for j, run in enumerate(bold):
        n = min(sf.N_VOLUMES[i], len(run))
        for kind, (X, Y) in views(film, run, n).items():
            for question in ("own", "reversed") if i == j else ("wrong run",):
                x = X[::-1] if question == "reversed" else X
                p = pvalues(ONE_RUN, x, Y, runs=np.zeros(n), t_r=sf.T_R, seed=8 * i + j, high_pass=kind)
                found[question, kind].append((frozenset([i, j]), p))
    return found


def song(folder: Path) -> list[Row]:
    """A sitcom's features with the rest of those who saw it, in three windows, and with what they saw."""
    features = np.load(folder / "sitcomep1_input_pc.npy")[:, :20]
    rest, seen = (
        np.load(folder / f"{name}_ts_subj_x_tr_x_schaefer200.npz")["ts"].astype(float)
        for name in ("rest1", "sitcomep1")
    )
    n, rows = rest.shape[1], []
    windows = [int(start) for start in np.linspace(0, len(features) - n, 3)]
    for name, data in (("SONG, film's features and rest", rest), ("SONG, own film", seen)):
        cases = list(itertools.product(range(len(data)), windows))
        found = Parallel(n_jobs=JOBS)(
            delayed(one_window)(features[a : a + n], data[s][a : a + n] if data is seen else data[s], seed=a + s)
            for s, a in cases
        )
        for kind in HIGH_PASS:
            rows.append(
                rates(name, kind, [(frozenset([s]), one[kind]) for one, (s, _) in zip(found, cases, strict=True)])
            )
    return rows


def one_window(features: NDArray, bold: NDArray, seed: int) -> dict[str, Pvalues]:
    X, Y = (standardize(clean(view, 1.0, ALIGN.high_pass)) for view in (features, bold))
    raw = standardize(features)
    made = {"both": (X, Y), "bold": (raw, Y), "periodic": (periodic(raw, 1.0), Y), "none": (raw, standardize(bold))}
    return {
        kind: pvalues(ONE_RUN, x, y, runs=np.zeros(len(x)), t_r=1.0, seed=seed, high_pass=kind)
        for kind, (x, y) in made.items()
    }


def rates(data: str, high_pass: str, tests: Sequence[Test]) -> Row:
    """Share of rejections per scheme, with its standard error."""
    row: Row = {"data": data, "high-pass": HIGH_PASS[high_pass], "tests": str(len(tests))}
    for scheme in tests[0][1]:
        row[scheme] = shown([(units, p[scheme] <= ALPHA) for units, p in tests])
    return row


def shown(outcomes: Iterable[tuple[frozenset[int], bool]]) -> str:
    """Rate ± standard error by the jackknife over units: all tests that have to do with one unit are left out."""
    outcomes = list(outcomes)
    rate = np.mean([rejected for _, rejected in outcomes])
    units = sorted(frozenset.union(*(shared for shared, _ in outcomes)))
    without = np.array([np.mean([rejected for shared, rejected in outcomes if unit not in shared]) for unit in units])
    error = np.sqrt((len(units) - 1) * np.mean((without - without.mean()) ** 2))
    return f"{rate:.3f} ± {error:.3f}"
