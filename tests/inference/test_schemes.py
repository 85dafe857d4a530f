import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocca.inference.schemes import allowed_lags, circular_lags, n_arrangements, rotation_order


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 100))
def test_rotation_keeps_every_run_and_its_cyclic_order(lengths, seed):
    lags = np.random.default_rng(seed).integers(0, lengths)
    order = rotation_order(lengths, lags)
    start = 0
    for n, lag in zip(lengths, lags, strict=True):
        rows = order[start : start + n]
        np.testing.assert_array_equal(rows, np.roll(np.arange(start, start + n), lag))
        start += n


def test_lags_keep_away_from_no_shift_in_both_directions():
    assert allowed_lags(10, 3).tolist() == [3, 4, 5, 6, 7]
    lags = circular_lags([30, 50], 500, min_shift=10, rng=0)
    assert lags.min() >= 10
    assert (np.array([30, 50]) - lags).min() >= 10
    assert abs(np.corrcoef(lags.T)[0, 1]) < 0.15, "runs must shift independently"


def test_first_permutations_do_not_depend_on_how_many_follow():
    few, many = (circular_lags([100, 120], n, min_shift=5, rng=3) for n in (20, 50))
    np.testing.assert_array_equal(few, many[:20])


def test_all_arrangements_are_used_when_there_are_fewer_than_asked():
    lags = circular_lags([12, 10], 1000, min_shift=4, rng=0)
    assert n_arrangements([12, 10], 4) == len(lags) == 15
    assert len({tuple(row) for row in lags.tolist()}) == 15


def test_runs_that_are_too_short_are_refused_with_numbers():
    with pytest.raises(ValueError, match=r"run of 19 volumes .* at least 10 .* at least 20 volumes"):
        circular_lags([100, 19], 10, min_shift=10, rng=0)
    with pytest.raises(ValueError, match="min_shift=0"):
        allowed_lags(10, 0)
