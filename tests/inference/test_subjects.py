"""Agreement between subjects against brute force, its level, and what must not matter."""

import numpy as np
import pytest
from scipy.stats import binom

from neurocca.inference.schemes import BlockPermute, CircularShift
from neurocca.inference.subjects import intersubject_consistency, loading_consistency
from tests.conftest import ar1

RUNS = np.repeat(["a", "b"], [50, 70])


def film(seed: int, n_subjects: int = 5, strength: tuple[float, ...] = (0.7, 0.0)) -> list[np.ndarray]:
    """Variates of subjects, two runs of which the second has other levels; components that they share or not."""
    rng = np.random.default_rng(seed)
    shared = ar1(rng, len(RUNS), len(strength), 0.6) * strength
    level = 3.0 * (RUNS == "b")[:, None]
    return [shared + ar1(rng, len(RUNS), len(strength), 0.6) + level for _ in range(n_subjects)]


def zscored(series: np.ndarray) -> np.ndarray:
    parts = [series[run == RUNS] for run in ("a", "b")]
    return np.concatenate([(part - part.mean(0)) / part.std(0) for part in parts])


def leave_one_out(subjects: list[np.ndarray]) -> np.ndarray:
    """Correlations as one would write them down, shape (S, k)."""
    rows = []
    for s, own in enumerate(subjects):
        others = np.mean([x for t, x in enumerate(subjects) if t != s], axis=0)
        rows.append([np.corrcoef(a, b)[0, 1] for a, b in zip(own.T, others.T, strict=True)])
    return np.array(rows)


@pytest.mark.parametrize("scheme", [CircularShift(8), "phase_randomize", BlockPermute(10)])
def test_observed_and_null_equal_brute_force(scheme):
    subjects = film(0)
    test = intersubject_consistency(subjects, runs=RUNS, scheme=scheme, n_permutations=12, rng=4)
    standard = [zscored(x) for x in subjects]
    np.testing.assert_allclose(test.correlations, leave_one_out(standard))
    np.testing.assert_allclose(test.mean, leave_one_out(standard).mean(axis=0))
    from neurocca.inference.plan import plan_permutations

    plan = plan_permutations(scheme, (50, 70) * 5, 12, rng=4)
    for row, i in zip(test.null, range(12), strict=True):
        moved = plan.scheme.apply(np.concatenate(standard), plan[i], plan.lengths)
        np.testing.assert_allclose(row, leave_one_out(np.split(moved, 5)).mean(axis=0), atol=1e-12)


def test_every_run_of_every_subject_has_a_shift_of_its_own():
    """With all subjects turned alike, the null would be the observed agreement."""
    test = intersubject_consistency(film(1, strength=(3.0,)), runs=RUNS, n_permutations=200, scheme=CircularShift(8))
    assert test.mean[0] > 0.8
    assert test.null.max() < 0.8
    assert abs(test.null.mean()) < 0.1


def test_scales_levels_and_order_of_subjects_do_not_matter():
    subjects = film(2)
    scales = [1 + s + 10 * (RUNS == "b")[:, None] for s in range(5)]
    test = intersubject_consistency(subjects, runs=RUNS, n_permutations=5)
    other = intersubject_consistency(
        [x * c - c for x, c in zip(subjects, scales, strict=True)], runs=RUNS, n_permutations=5
    )
    np.testing.assert_allclose(other.correlations, test.correlations, atol=1e-10)
    turned = intersubject_consistency(subjects[::-1], runs=RUNS, n_permutations=5)
    np.testing.assert_allclose(turned.correlations, test.correlations[::-1], atol=1e-10)


def test_matched_signs_undo_flips_in_the_null_as_well():
    subjects = film(3)
    flips = np.array([[1, -1], [-1, 1], [1, 1], [-1, -1], [1, -1]])
    flipped = [x * f for x, f in zip(subjects, flips, strict=True)]
    options = {"runs": RUNS, "n_permutations": 60, "match_signs": True}
    test, other = (intersubject_consistency(x, **options) for x in (subjects, flipped))
    np.testing.assert_allclose(other.correlations, test.correlations, atol=1e-12)
    np.testing.assert_allclose(other.null, test.null, atol=1e-12)
    # matching makes unrelated series agree somewhat, in the null too
    as_they_are = intersubject_consistency(subjects, runs=RUNS, n_permutations=60)
    assert test.null.mean() > as_they_are.null.mean() + 0.03
    np.testing.assert_allclose(test.correlations[:, 0], as_they_are.correlations[:, 0])
    assert test.pvalues[0] == 1 / 61
    assert test.pvalues[1] > 0.05


@pytest.mark.parametrize("match_signs", [False, True])
def test_the_level_holds_over_components(match_signs):
    rejected = 0
    for seed in range(250):
        rng = np.random.default_rng(seed)
        subjects = [ar1(rng, 120, 3, 0.6) for _ in range(4)]
        test = intersubject_consistency(
            subjects, scheme=CircularShift(5), match_signs=match_signs, n_permutations=99, rng=seed
        )
        rejected += test.pvalues.min() <= 0.05
    assert binom.ppf(0.005, 250, 0.05) <= rejected <= binom.ppf(0.995, 250, 0.05)


def test_agreement_is_found_and_jobs_change_nothing():
    subjects = film(4)
    options = {"runs": RUNS, "n_permutations": 99, "scheme": CircularShift(8)}
    one, two = (intersubject_consistency(subjects, n_jobs=jobs, **options) for jobs in (1, 2))
    np.testing.assert_array_equal(one.null, two.null)
    assert one.pvalues[0] == 0.01
    assert one.pvalues[1] > 0.05


def test_a_constant_run_counts_for_nothing():
    subjects = film(5)
    subjects[0][RUNS == "a", 1] = 7.0
    test = intersubject_consistency(subjects, runs=RUNS, n_permutations=5)
    standard = [zscored(x) for x in subjects[1:]]
    with np.errstate(invalid="ignore"):
        own = np.nan_to_num(zscored(subjects[0]))
    np.testing.assert_allclose(test.correlations, leave_one_out([own, *standard]))


def test_unlike_subjects_are_refused_with_numbers():
    subjects = film(6)
    with pytest.raises(ValueError, match="1 subject"):
        intersubject_consistency(subjects[:1])
    with pytest.raises(ValueError, match=r"subject 2 have shape \(119, 2\), and those of subject 0 \(120, 2\)"):
        intersubject_consistency([*subjects[:2], subjects[2][1:]])
    subjects[1][4, 0] = np.inf
    with pytest.raises(ValueError, match="subject 1 hold 1 values that are not finite"):
        intersubject_consistency(subjects)


def test_loading_consistency_is_tuckers_coefficient_after_matching_signs():
    rng = np.random.default_rng(7)
    shared = rng.normal(0, 1, (40, 2))
    loadings = shared + rng.normal(0, [0.3, 30.0], (6, 40, 2))
    found = loading_consistency(loadings * rng.choice([-1, 1], (6, 1, 2)))
    assert found.shape == (6, 2)
    for s in range(6):
        a, b = loadings[s, :, 0], np.delete(loadings[:, :, 0], s, axis=0).mean(axis=0)
        np.testing.assert_allclose(found[s, 0], a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found[:, 0].min() > 0.9
    assert found[:, 1].max() < 0.7
    np.testing.assert_allclose(loading_consistency(np.repeat(loadings[:1], 3, axis=0)), 1)
