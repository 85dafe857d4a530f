"""Halves of the runs agree about what is planted, and no more than chance about noise."""

import numpy as np
import pytest

from neurocca.cca.coordinates import coordinates
from neurocca.cca.linear import LinearCCA
from neurocca.inference.split_half import _halves, split_half
from tests.conftest import ar1

RUNS = np.repeat(np.arange(6), 80)


def related(rng, strength=(1.2, 0.6), q=30):
    """Two features drive ten columns each, as strongly as asked for."""
    X, Y = ar1(rng, 480, 4, 0.4), ar1(rng, 480, q, 0.4)
    for j, size in enumerate(strength):
        Y[:, 10 * j : 10 * (j + 1)] += size * X[:, [j]]
    return X, Y


def test_planted_components_are_stable_and_noise_is_as_unstable_as_chance(rng):
    X, Y = related(rng)
    found = split_half(LinearCCA(3, shrinkage=0.1), X, Y, runs=RUNS)
    assert found.n_possible == 10
    assert found.y.shape == found.x_chance.shape == (10, 3)
    assert found.y[:, :2].mean(axis=0).min() > 0.85
    assert found.x[:, :2].mean(axis=0).min() > 0.85
    assert found.y_chance.mean() < 0.5
    assert found.y[:, 2].mean() < 0.6
    noise = split_half(LinearCCA(2, shrinkage=0.1), *related(rng, (0, 0)), runs=RUNS)
    assert abs(noise.y.mean() - noise.y_chance.mean()) < 0.3
    assert noise.y.mean() < 0.5


def test_coordinates_agree_as_the_columns_do(rng):
    X, Y = related(rng, q=600)
    Y = np.concatenate([(run - run.mean(axis=0)) / run.std(axis=0) for run in np.split(Y, 6)])
    options = {"runs": RUNS, "n_splits": 4}
    columns = split_half(LinearCCA(2, shrinkage=(0.1, 0.5)), X, Y, **options)
    wide = split_half(
        LinearCCA(2, shrinkage=(0.1, 0.5), y_columns=600), X, coordinates([Y], 480), coordinates=True, **options
    )
    np.testing.assert_allclose(wide.y, columns.y, atol=1e-6)
    np.testing.assert_allclose(wide.x_chance, columns.x_chance, atol=1e-6)


@pytest.mark.parametrize(("n_runs", "n_possible"), [(2, 1), (3, 3), (4, 3), (5, 10), (8, 35)])
def test_every_split_is_another_one(n_runs, n_possible):
    seed = np.random.SeedSequence(1)
    for n_splits in (2, 50):
        halves, possible = _halves(n_runs, n_splits, seed)
        assert possible == n_possible
        assert len(halves) == min(n_splits, n_possible)
        assert all(sorted(a + b) == list(range(n_runs)) and abs(len(a) - len(b)) < 2 for a, b in halves)
        assert len({frozenset((tuple(a), tuple(b))) for a, b in halves}) == len(halves)


def test_no_byte_depends_on_jobs_and_seeds_matter(rng):
    X, Y = related(rng)
    one, two, other = (
        split_half(LinearCCA(2, shrinkage=0.1), X, Y, runs=RUNS, n_splits=3, rng=seed, n_jobs=jobs)
        for seed, jobs in ((0, 1), (0, 2), (1, 1))
    )
    for name in ("x", "y", "x_chance", "y_chance"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert not np.array_equal(one.y_chance, other.y_chance)


def test_one_run_has_no_halves(rng):
    with pytest.raises(ValueError, match="one run only: halves take at least two"):
        split_half(LinearCCA(2), *related(rng), runs=np.zeros(480))
