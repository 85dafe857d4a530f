"""Real data through the library, against an independent computation and the published figures."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import eigh

from neurocca import FeatureSeries, LinearCCA, held_out_test, permutation_test, stack_runs
from neurocca import studyforrest as sf
from neurocca.cli import main
from neurocca.config import AlignConfig, FeaturesConfig
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.stimuli import read_source
from neurocca.io.timeseries import read_parcels
from neurocca.temporal.align import align_bold, align_features
from neurocca.temporal.clean import clean, standardize
from neurocca.temporal.timing import lagged_correlation

pytestmark = pytest.mark.realdata

SUBJECTS = ("01", "02", "03", "04", "05")
# a first computation of component 1 and 2, mean over the eight left-out runs
PUBLISHED = np.array([[0.541, 0.655, 0.517, 0.531, 0.557], [0.545, 0.553, 0.529, 0.589, 0.549]])
ALIGN = AlignConfig(response="delays", delays=(1, 2, 3, 4), standardize="run")
ONE_RUN = LinearCCA(1, n_pca=(None, 20))
SURROGATES = ("circular_shift", "phase_randomize")


@pytest.fixture(scope="module")
def film(studyforrest_data) -> list[list[FeatureSeries]]:
    spaces, _ = read_source(studyforrest_data / "confoundsannotation", FeaturesConfig())
    return [[spaces["lowlevel"][run], spaces["audio"][run]] for run in sf.RUNS]


@pytest.fixture(scope="module")
def parcels(studyforrest_data) -> dict[str, list[pd.DataFrame]]:
    recordings = find_recordings(studyforrest_data / "aggregate", Query(SUBJECTS))
    runs = {
        r.subject: [pd.DataFrame(data, columns=labels) for data, labels in (read_parcels(f.bold[0]) for f in r.runs)]
        for r in recordings
    }
    common = [c for c in runs["03"][0] if all(c in subject[0] for subject in runs.values())]
    assert len(common) == 273
    return {subject: [run[common] for run in tables] for subject, tables in runs.items()}


def design(film, tables, align=ALIGN, trimmed=True):
    cuts = [sf.overlap_trim(run) if trimmed else (0, 0) for run in sf.RUNS]
    X = [align_features(f, n, sf.T_R, align, cut=cut) for f, n, cut in zip(film, sf.N_VOLUMES, cuts, strict=True)]
    Y = [align_bold(t.to_numpy(), sf.T_R, align, cut=cut) for t, cut in zip(tables, cuts, strict=True)]
    return stack_runs(X, Y, sf.RUNS, y_names=list(tables[0].columns))


def one_run(film, tables, r, s, high_pass=0.0):
    """Film of run r and BOLD of run s, as long as the shortest run; the BOLD is high-pass filtered."""
    n = min(sf.N_VOLUMES)
    X = align_features(film[r], n, sf.T_R, replace(ALIGN, high_pass=high_pass, max_excess=1e4))
    return X, align_bold(tables[s].to_numpy()[:n], sf.T_R, ALIGN)


def p_of_first(X, Y, scheme, t_r=sf.T_R):
    return permutation_test(ONE_RUN, X, Y, t_r=t_r, scheme=scheme, n_permutations=99).pvalues_stepdown[0]


def scaled(data: np.ndarray) -> np.ndarray:
    return (data - data.mean(0)) / data.std(0)


def independent(studyforrest_data, tables) -> np.ndarray:
    """Held-out correlations of two components by numpy and scipy alone, from the published files."""
    folder = studyforrest_data / "confoundsannotation" / "annotation"

    def published(modality, r, measure):
        table = pd.read_csv(folder / modality / f"fg_av_ger_seg{r}_{measure}.tsv", sep="\t")
        return table.iloc[:, 2].to_numpy(float)

    def means(values, n):
        return np.array([values[50 * v : 50 * v + 50].mean() for v in range(n)])

    def filtered(data):
        n = len(data)
        k = int(2 * n * 2.0 / 128)
        basis = np.cos(np.pi / n * np.outer(np.arange(n) + 0.5, np.arange(k + 1)))
        residual = data - basis @ np.linalg.lstsq(basis, data, rcond=None)[0]
        return (residual - residual.mean(0)) / residual.std(0)

    def cut(data, r):
        return data[4 * (r > 0) : len(data) - 4 * (r < 7)]

    def without_slow_periods(data):
        n = len(data)
        phase = 2 * np.pi / n * np.outer(np.arange(n), np.arange(int(n * 2.0 / 128) + 1))
        waves = np.hstack([np.cos(phase), np.sin(phase)])
        return data - waves @ np.linalg.lstsq(waves, data, rcond=None)[0]

    X, Y = [], []
    for r, n in enumerate(sf.N_VOLUMES):
        visual = [means(published("visual", r, m), n) for m in ("brmean", "brlr", "brud", "normdiff")]
        both, right_minus_left = published("audio", r, "rms"), published("audio", r, "lrdiff")
        left, right = (both - right_minus_left) / 2, (both + right_minus_left) / 2
        loudness = means(np.sqrt((left**2 + right**2) / 2), n)
        z = np.column_stack([*visual, np.log(loudness + 1e-4), means(right_minus_left, n)])
        z -= z.mean(0)
        delayed = cut(np.hstack([np.vstack([np.zeros((d, 6)), z[:-d]]) for d in (1, 2, 3, 4)]), r)
        X.append(scaled(without_slow_periods(delayed)))
        Y.append(scaled(cut(filtered(tables[r].to_numpy()), r)))
    per_run = []
    for r in range(8):
        A, B = np.vstack(X[:r] + X[r + 1 :]), np.vstack(Y[:r] + Y[r + 1 :])
        n, p, q = len(A), A.shape[1], B.shape[1]
        C = np.cov(np.hstack([A, B]).T)
        Sx = 0.9 * C[:p, :p] + 0.1 * np.trace(C[:p, :p]) / p * np.eye(p)
        Sy = 0.7 * C[p:, p:] + 0.3 * np.trace(C[p:, p:]) / q * np.eye(q)
        # canonical weights as a generalised eigenvalue problem, another road than whitening
        _, a = eigh(C[:p, p:] @ np.linalg.solve(Sy, C[p:, :p]), Sx, subset_by_index=(p - 2, p - 1))
        b = np.linalg.solve(Sy, C[p:, :p] @ a)
        per_run.append([np.corrcoef(X[r] @ a[:, i], Y[r] @ b[:, i])[0, 1] for i in (1, 0)])
    return np.mean(per_run, axis=0)


def test_held_out_correlations_of_five_subjects(film, parcels, studyforrest_data):
    ours = []
    for subject in SUBJECTS:
        d = design(film, parcels[subject])
        assert d.X.shape == (3543, 24)
        test = held_out_test(LinearCCA(2, shrinkage=(0.1, 0.3)), d.X, d.Y, runs=d.runs, t_r=sf.T_R, n_permutations=100)
        np.testing.assert_allclose(test.mean, independent(studyforrest_data, parcels[subject]), atol=0.01)
        assert np.all(test.pvalues == 1 / 101)
        assert abs(test.null[:, 0].mean()) < 0.03
        assert test.null.max() < 0.2
        ours.append(test.mean)
    # these were computed with the cosines of BOLD taken out of the film as well, which both sides then lack
    np.testing.assert_allclose(np.transpose(ours), PUBLISHED, atol=0.035)
    assert np.mean(ours) == pytest.approx(np.mean(PUBLISHED), abs=0.015)


def test_sound_and_motion_reach_the_brain_two_to_three_volumes_later(film, parcels):
    undelayed = replace(ALIGN, delays=(0,))
    per_subject = [design(film, parcels[s], undelayed, trimmed=False) for s in SUBJECTS]
    X, runs, names = per_subject[0].X, per_subject[0].runs, per_subject[0].y_names
    Y = np.mean([d.Y for d in per_subject], axis=0)
    features = [name for series in film[0] for name in series.names]
    lags = range(-4, 9)

    def peaks(feature, parcel):
        x, y = X[:, features.index(feature)], Y[:, names.index(parcel)]
        return [lags[int(lagged_correlation(x[runs == r], y[runs == r], lags).argmax())] for r in sf.RUNS]

    assert peaks("loudness", "56") == [2] * 8
    assert set(peaks("perceptual_difference", "153")) <= {2, 3}
    # the negative control: overall brightness drives no parcel at any lag
    x = X[:, features.index("luminance")]
    for j in range(len(names)):
        pooled = np.mean([lagged_correlation(x[runs == r], Y[runs == r, j], lags) for r in sf.RUNS], axis=0)
        assert np.abs(pooled).max() < 0.15, names[j]


def test_measures_that_were_cut_off_are_named(studyforrest_data, tmp_path, capsys):
    folder = tmp_path / "confounds"
    shutil.copytree(studyforrest_data / "confoundsannotation", folder)
    path = folder / "annotation" / "visual" / "fg_av_ger_seg3_brmean.tsv"
    path.chmod(0o644)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1001]))
    assert main(["features", str(folder), "-o", str(tmp_path / "f.h5")]) == 65
    assert "fg_av_ger_seg3_brmean.tsv: 1000 frames, expected at least the 24400" in capsys.readouterr().err
    assert not (tmp_path / "f.h5").exists()


def test_film_of_another_run_shares_nothing(film, parcels):
    """The wrong film, cut to length, must not correlate: what is found is about the film, not about films."""
    wrong = [film[(r + 1) % 8] for r in range(8)]
    n = min(sf.N_VOLUMES)
    X = [align_features(f, n, sf.T_R, replace(ALIGN, max_excess=1e4)) for f in wrong]
    Y = [align_bold(t.to_numpy()[:n], sf.T_R, ALIGN) for t in parcels["02"]]
    d = stack_runs(X, Y, sf.RUNS)
    test = held_out_test(LinearCCA(2, shrinkage=(0.1, 0.3)), d.X, d.Y, runs=d.runs, t_r=sf.T_R, n_permutations=100)
    assert test.mean.max() < 0.1
    assert test.pvalues.min() > 0.05


def test_own_film_is_found_in_every_subject(film, parcels):
    model = LinearCCA(2, shrinkage=(0.1, 0.3))
    for subject in SUBJECTS:
        d = design(film, parcels[subject])
        options = {"runs": d.runs, "t_r": sf.T_R, "n_permutations": 99, "n_components": 2}
        bases = model.whitened(d.X, d.Y)
        tests = [permutation_test(*bases, scheme=scheme, **options) for scheme in SURROGATES]
        tests.append(permutation_test(model, d.X, d.Y, scheme="prewhiten", **options))
        assert [test.pvalues_stepdown.tolist() for test in tests] == [[0.01, 0.01]] * 3


@pytest.mark.parametrize("scheme", SURROGATES)
def test_wrong_and_reversed_films_are_not_found(film, parcels, scheme):
    pairs = [(r, (r + 3) % 8) for r in range(8)]
    wrong = [p_of_first(*one_run(film, parcels["02"], *pair), scheme) for pair in pairs]
    assert np.sum(np.array(wrong) <= 0.05) <= 2  # binomial: more in 0.6 % of cases
    views = [one_run(film, parcels["02"], r, r) for r in range(8)]
    assert np.sum(np.array([p_of_first(X[::-1], Y, scheme) for X, Y in views]) <= 0.05) <= 2


@pytest.mark.parametrize("scheme", SURROGATES)
def test_rest_shares_nothing_with_a_film(studyforrest_data, scheme):
    song = studyforrest_data.parent / "song"
    features = np.load(song / "sitcomep1_input_pc.npy")[:, :20]
    rest, seen = (np.load(song / f"{name}_ts_subj_x_tr_x_schaefer200.npz")["ts"] for name in ("rest1", "sitcomep1"))
    window = slice(443, 1043)  # as long as the rest
    X, rest, seen = standardize(features[window]), rest[:12], seen[:4, window]
    found = [p_of_first(X, standardize(clean(Y.astype(float), 1.0, 128.0)), scheme, t_r=1.0) for Y in (*rest, *seen)]
    assert np.sum(np.array(found[:12]) <= 0.05) <= 3  # binomial: more in 0.2 % of cases
    assert found[12:] == [0.01] * 4


def test_the_two_commands_of_the_readme(studyforrest_data, tmp_path, capsys):
    store, out = tmp_path / "features.h5", tmp_path / "out"
    sources = [str(studyforrest_data / name) for name in ("confoundsannotation", "annotations")]
    assert main(["features", *sources, "-o", str(store)]) == 0
    command = [str(studyforrest_data / "aggregate"), str(out), "participant", "--participant-label", "02"]
    assert main([*command, "--features", str(store), "--n-permutations", "49"]) == 0
    loadings = pd.read_csv(out / "sub-02/func/sub-02_task-avmovie_desc-ccaStimulus_loadings.tsv", sep="\t")
    assert set(loadings["space"]) == {"audio", "emotions", "locations", "lowlevel", "music"}
    assert (out / "sub-02_task-avmovie.html").stat().st_size < 10_000_000
    assert "sub-02_task-avmovie.html" in capsys.readouterr().out


def test_a_truncated_run_is_told_from_the_published_length(studyforrest_data, tmp_path, capsys):
    source = studyforrest_data / "aggregate" / "sub-01" / "shen_fconn"
    for run in sf.RUNS:
        name = f"sub-01_task-avmovie_run-{run}_bold.csv"
        target = tmp_path / "data" / "sub-01" / "shen_fconn" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = (source / name).read_text().splitlines(keepends=True)
        target.write_text("".join(lines[:400] if run == "3" else lines))
    assert main(["features", str(studyforrest_data / "confoundsannotation"), "-o", str(tmp_path / "f.h5")]) == 0
    capsys.readouterr()
    assert (
        main([str(tmp_path / "data"), str(tmp_path / "out"), "participant", "--features", str(tmp_path / "f.h5")]) == 65
    )
    error = capsys.readouterr().err
    assert "run-3_bold.csv: 399 volumes, expected 438" in error
    assert not (tmp_path / "out").exists()
