"""Replication in left-out subjects against brute force, and what chance looks like when subjects share a film."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from neurocca import LinearCCA, held_out_test
from neurocca.inference.left_out_subject import Together, leave_one_subject_out_test
from neurocca.inference.plan import plan_permutations
from neurocca.inference.schemes import BlockPermute, CircularShift, PhaseRandomize, RowShuffle
from tests.conftest import ar1

LENGTHS = (60, 80)
RUNS = np.repeat([7, 3], LENGTHS)
SHIFT = CircularShift(10)


def study(seed: int, *, film: float = 0.0, shared: float = 0.0, n_subjects: int = 4) -> tuple[np.ndarray, list]:
    """Film features, and subjects' responses to the first of them and to something else that they share."""
    rng = np.random.default_rng(seed)
    X, Z = ar1(rng, len(RUNS), 3, 0.6), ar1(rng, len(RUNS), 1, 0.6)
    signal = film * X[:, :1] + shared * Z
    return X, [signal + ar1(rng, len(RUNS), 4, 0.6) for _ in range(n_subjects)]


def replicated(X: np.ndarray, subjects: list[np.ndarray]) -> list[float]:
    """Correlation in each subject of the first variates of a fit to the others."""
    found = []
    for s, y in enumerate(subjects):
        others = [other for t, other in enumerate(subjects) if t != s]
        fit = LinearCCA(1).fit(np.tile(X, (len(others), 1)), np.concatenate(others))
        u, v = fit.transform(X, y)
        found.append(np.corrcoef(u[:, 0], v[:, 0])[0, 1])
    return found


def test_observed_and_null_equal_refitting_on_one_rearranged_film():
    X, subjects = study(0, film=0.5)
    test = leave_one_subject_out_test(LinearCCA(1), X, subjects, runs=RUNS, scheme=SHIFT, n_permutations=8, rng=2)
    np.testing.assert_allclose(test.correlations[:, 0], replicated(X, subjects), atol=1e-9)
    assert test.fold_labels == [0, 1, 2, 3]
    assert test.scheme == "circular_shift"
    plan = plan_permutations(SHIFT, LENGTHS, 8, rng=2)
    for row, i in zip(test.null, range(8), strict=True):
        moved = SHIFT.apply(X, plan[i], LENGTHS)
        np.testing.assert_allclose(row, np.mean(replicated(moved, subjects)), atol=1e-9)


def test_what_subjects_share_with_the_film_replicates():
    X, subjects = study(1, film=0.8)
    test = leave_one_subject_out_test(LinearCCA(2), X, subjects, runs=RUNS, scheme=SHIFT, n_permutations=99)
    assert test.correlations[:, 0].min() > 0.4
    assert test.pvalues[0] == 0.01
    assert test.pvalues[1] > 0.05


def test_what_one_subject_has_alone_does_not_replicate():
    X, subjects = study(2)
    subjects[0] = subjects[0] + 5 * X[:, :1]
    test = leave_one_subject_out_test(LinearCCA(1), X, subjects, runs=RUNS, scheme=SHIFT, n_permutations=99)
    assert test.pvalues[0] > 0.05


def test_a_shared_response_to_something_else_is_no_replication():
    """Shifts of one's own for every subject would reject here far too often: the reason for shifting together."""
    together = own = 0
    labels = np.repeat(np.arange(8), LENGTHS * 4)
    for seed in range(80):
        X, subjects = study(seed, shared=1.0)
        options = {"n_permutations": 39, "rng": seed}
        together += (
            leave_one_subject_out_test(LinearCCA(1), X, subjects, runs=RUNS, scheme=SHIFT, **options).pvalues[0] <= 0.05
        )
        stacked = np.tile(X, (4, 1)), np.concatenate(subjects)
        groups = np.repeat(np.arange(4), len(RUNS))
        own += (
            held_out_test(LinearCCA(1), *stacked, runs=labels, groups=groups, scheme=SHIFT, **options).pvalues[0]
            <= 0.05
        )
    assert together <= binom.ppf(0.995, 80, 0.05)
    assert own > 2 * binom.ppf(0.995, 80, 0.05)


@pytest.mark.parametrize("scheme", [SHIFT, PhaseRandomize(), BlockPermute(20), RowShuffle()])
def test_together_is_the_scheme_in_every_subject(scheme):
    view = np.random.default_rng(3).standard_normal((3 * len(RUNS), 2))
    plan = plan_permutations(Together(scheme, 3), LENGTHS * 3, 4, rng=1)
    own = plan_permutations(scheme, LENGTHS, 4, rng=1)
    for i in range(4):
        np.testing.assert_array_equal(plan[i], own[i])
        expected = [scheme.apply(part, own[i], LENGTHS) for part in np.split(view, 3)]
        np.testing.assert_allclose(plan.scheme.apply(view, plan[i], plan.lengths), np.concatenate(expected))
        # products of rearranged with other rows, subject by subject, are the same in the scheme's coordinates
        prepared = plan.scheme.prepare(view, plan.lengths)
        moved = plan.scheme.move(prepared, plan[i], plan.lengths)
        for parts in zip(*(np.split(a, 3) for a in (moved, prepared, view)), expected, strict=True):
            np.testing.assert_allclose(parts[0].T @ parts[1], parts[3].T @ parts[2], atol=1e-10)


def test_few_arrangements_of_one_subject_are_all_there_are():
    plan = plan_permutations(Together(CircularShift(5), 6), (12,) * 6, 100)
    assert plan.is_exhaustive
    assert [arrangement.tolist() for arrangement in plan.listed] == [[5], [6], [7]]


X, SUBJECTS = study(4)


def spoilt(view: np.ndarray) -> np.ndarray:
    view = view.copy()
    view[7, 1] = np.nan
    return view


def frames(*names: str) -> list[pd.DataFrame]:
    return [pd.DataFrame(y, columns=list(name)) for y, name in zip(SUBJECTS, names, strict=False)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subjects": [*SUBJECTS[:2], SUBJECTS[2][:, :3]]}, "subject 2: responses have 3 columns, and subject 0 has 4"),
        ({"subjects": [SUBJECTS[0], SUBJECTS[1][1:]]}, "X has 140 rows and subject 1 has 139"),
        ({"subjects": SUBJECTS[:1]}, r"1 subject\(s\)"),
        ({"subjects": [SUBJECTS[0], spoilt(SUBJECTS[1])]}, "subject 1 holds 1 values .* row 7, column 1"),
        ({"subjects": [SUBJECTS[0], SUBJECTS[1].astype(str)]}, "subject 1 must hold real numbers"),
        ({"subjects": frames("abcd", "abdc")}, r"4 columns \(a, b, d, c\), and subject 0 has 4 columns \(a, b, c, d\)"),
        ({"X": spoilt(X)}, "X holds 1 values that are not finite, the first in row 7, column 1"),
        ({"runs": RUNS[1:]}, r"runs has shape \(139,\), but there are 140"),
        ({"scheme": "sign_flip"}, "sign_flip turns whole runs"),
        ({"scheme": "prewhiten"}, "in-sample test only"),
    ],
)
def test_wrong_calls_are_refused_with_numbers(changes, message):
    given = {"X": X, "subjects": SUBJECTS, "runs": RUNS, "scheme": SHIFT, "n_permutations": 5, **changes}
    with pytest.raises(ValueError, match=message):
        leave_one_subject_out_test(LinearCCA(1), **given)


def test_single_responses_frames_and_tensors_are_taken():
    options = {"runs": RUNS, "scheme": SHIFT, "n_permutations": 5}
    one = leave_one_subject_out_test(LinearCCA(1), X, [y[:, :1] for y in SUBJECTS], **options)
    for subjects in ([y[:, 0] for y in SUBJECTS], (torch.asarray(y[:, 0]) for y in SUBJECTS)):
        found = leave_one_subject_out_test(LinearCCA(1), X, subjects, **options)
        np.testing.assert_array_equal(found.null, one.null)
    numbers, names = (
        LinearCCA(1, x_spaces={"u": u, "v": v}, y_spaces={"w": w, "z": z})
        for u, v, w, z in (([0, 2], [1], [0, 1], [2, 3]), (["e", "g"], ["f"], ["a", "b"], ["c", "d"]))
    )
    expected = leave_one_subject_out_test(numbers, X, SUBJECTS, **options)
    film = pd.DataFrame(X, columns=["e", "f", "g"])
    found = leave_one_subject_out_test(names, film, frames(*["abcd"] * 4), **options)
    np.testing.assert_allclose(found.null, expected.null, atol=1e-12)
