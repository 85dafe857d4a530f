"""Rearrangements: what they keep, how many there are, and that each can be had without the others."""

import math

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurocca.inference.plan import plan_permutations, run_lengths
from neurocca.inference.schemes import (
    SCHEMES,
    BlockPermute,
    CircularShift,
    PhaseRandomize,
    RowShuffle,
    SignFlip,
    as_scheme,
    rotation_order,
)
from tests.conftest import ar1

LENGTHS = (31, 40, 24)
INSIDE_RUNS = [CircularShift(5), PhaseRandomize(), BlockPermute(7), RowShuffle(), SignFlip()]


def view(columns: int = 4) -> np.ndarray:
    rng = np.random.default_rng(3)
    runs = [ar1(rng, n, columns, 0.7) for n in LENGTHS]
    return np.concatenate([run - run.mean(axis=0) for run in runs])


def pieces(array):
    return np.split(array, np.cumsum(LENGTHS)[:-1])


@pytest.mark.parametrize("scheme", INSIDE_RUNS, ids=lambda s: s.name)
def test_a_rearrangement_keeps_every_run_by_itself(scheme):
    """Products of a run's columns, and its means, are those of the observed run: whitening need not be repeated."""
    X = view() + 3
    plan = plan_permutations(scheme, LENGTHS, 5, rng=1)
    for arrangement in (plan[0], plan[1]):
        moved = scheme.apply(X, arrangement, LENGTHS)
        for before, after in zip(pieces(X), pieces(moved), strict=True):
            np.testing.assert_allclose(after.T @ after, before.T @ before, atol=1e-10)
            np.testing.assert_allclose(abs(after.mean(axis=0)), abs(before.mean(axis=0)), atol=1e-12)
        assert np.abs(moved - X).max() > 0.5


@pytest.mark.parametrize("scheme", INSIDE_RUNS, ids=lambda s: s.name)
def test_moving_coordinates_gives_the_products_of_moved_rows(scheme):
    X, Y = view(3), view(5)[::-1]
    plan = plan_permutations(scheme, LENGTHS, 3, rng=4)
    moved = scheme.move(scheme.prepare(X, LENGTHS), plan[1], LENGTHS)
    direct = scheme.apply(X, plan[1], LENGTHS).T @ Y
    np.testing.assert_allclose(moved.T @ scheme.prepare(Y, LENGTHS), direct, atol=1e-10)


@pytest.mark.parametrize("scheme", INSIDE_RUNS, ids=lambda s: s.name)
@pytest.mark.parametrize("asarray", [torch.asarray, array_api_strict.asarray], ids=["torch", "strict"])
def test_other_array_libraries_move_alike(scheme, asarray):
    X = view()
    plan = plan_permutations(scheme, LENGTHS, 3, rng=4)
    expected = scheme.move(scheme.prepare(X, LENGTHS), plan[0], LENGTHS)
    found = scheme.move(scheme.prepare(asarray(X), LENGTHS), plan[0], LENGTHS)
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-12)


def test_random_phases_keep_all_lagged_covariances_and_shifts_keep_the_order():
    X = view()
    for scheme in (CircularShift(5), PhaseRandomize()):
        moved = scheme.apply(X, plan_permutations(scheme, LENGTHS, 2, rng=0)[1], LENGTHS)
        for before, after in zip(pieces(X), pieces(moved), strict=True):
            for lag in (1, 4):
                a, b = (np.roll(run, lag, axis=0).T @ run for run in (before, after))
                np.testing.assert_allclose(b, a, atol=1e-10)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 100))
def test_rotation_keeps_every_run_and_its_cyclic_order(lengths, seed):
    lags = np.random.default_rng(seed).integers(0, lengths)
    order = rotation_order(lengths, lags)
    start = 0
    for n, lag in zip(lengths, lags, strict=True):
        rows = order[start : start + n]
        np.testing.assert_array_equal(rows, np.roll(np.arange(start, start + n), lag))
        start += n


@given(st.lists(st.integers(8, 20), min_size=1, max_size=4), st.integers(0, 1000))
def test_row_and_block_orders_stay_inside_runs(lengths, seed):
    for scheme in (RowShuffle(), BlockPermute(3)):
        order, start = plan_permutations(scheme, lengths, 1, rng=seed)[0], 0
        for n in lengths:
            assert sorted(order[start : start + n]) == list(range(start, start + n))
            start += n


def test_blocks_stay_whole():
    order = plan_permutations(BlockPermute(10.0), [45], 50, t_r=2.0, rng=0)[3]
    starts = [0, *(np.flatnonzero(np.diff(order) != 1) + 1)]
    lengths = np.diff([*starts, 45])
    assert set(lengths) <= {5, 10, 15, 20, 25, 30}  # blocks of 10 s are 5 volumes, and may meet again
    assert all(order[s] % 5 == 0 for s in starts)


def test_shifts_keep_away_from_no_shift_in_seconds_and_both_directions():
    scheme = CircularShift(20.0)
    assert scheme.lags(46, 2.0).tolist() == list(range(10, 37))
    assert scheme.guard(1.5) == 14
    plan = plan_permutations(scheme, [300, 350], 4000, t_r=2.0, rng=0)
    assert not plan.is_exhaustive
    lags = np.array([plan[i] for i in range(4000)])
    assert lags.min(axis=0).tolist() == [10, 10]
    assert lags.max(axis=0).tolist() == [290, 340]
    assert abs(np.corrcoef(lags.T)[0, 1]) < 0.05, "runs must shift independently"


@pytest.mark.parametrize("scheme", INSIDE_RUNS[:4], ids=lambda s: s.name)
def test_first_permutations_do_not_depend_on_how_many_follow(scheme):
    few, many = (plan_permutations(scheme, [100, 120], n, rng=3) for n in (20, 50))
    for i in (0, 7, 19):
        np.testing.assert_array_equal(few[i], many[i])
    assert not np.array_equal(many[0], plan_permutations(scheme, [100, 120], 50, rng=4)[0])


@pytest.mark.parametrize(
    ("scheme", "lengths", "count"),
    [
        (CircularShift(4), [12, 10], 5 * 3),
        (BlockPermute(5), [15, 9], 6 * 2 - 1),
        (RowShuffle(), [4, 3], 24 * 6 - 1),
        (SignFlip(), [5, 6, 7, 5], 7),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_all_arrangements_are_listed_once_when_there_are_fewer_than_asked(scheme, lengths, count):
    plan = plan_permutations(scheme, lengths, 1000, rng=0)
    assert scheme.n_arrangements(tuple(lengths), 1.0) == len(plan) == count
    assert plan.is_exhaustive
    X = np.random.default_rng(0).standard_normal((sum(lengths), 2))
    made = {scheme.apply(X, plan[i], tuple(lengths)).round(9).tobytes() for i in range(count)}
    assert len(made) == count
    assert X.round(9).tobytes() not in made


def test_what_nobody_would_count_is_infinite():
    assert RowShuffle().n_arrangements((200,), 1.0) == math.inf
    assert PhaseRandomize().n_arrangements((50,), 1.0) == math.inf
    assert CircularShift(1).n_arrangements((450,) * 8, 1.0) == math.inf


def test_generators_give_other_streams_at_every_call_and_seeds_the_same():
    rng = np.random.default_rng(0)
    first, second = (plan_permutations(RowShuffle(), [30], 5, rng=rng)[0] for _ in range(2))
    assert not np.array_equal(first, second)
    again = plan_permutations(RowShuffle(), [30], 5, rng=np.random.default_rng(0))[0]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(
        plan_permutations(RowShuffle(), [30], 5, rng=7)[0], plan_permutations(RowShuffle(), [30], 5, rng=np.int64(7))[0]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plan_permutations(CircularShift(20), [100, 19], 10, t_r=2.0),
            r"run of 19 volumes .* at least 10 volumes \(20 s\) .* at least 20 volumes",
        ),
        (
            lambda: plan_permutations("circular", [100], 10),
            r"'circular' is none of circular_shift, .* and prewhiten \(in-sample test only\)",
        ),
        (lambda: plan_permutations(["circular_shift"], [100], 10), r"scheme=\['circular_shift'\] is none of"),
        (lambda: plan_permutations(CircularShift, [100], 10), "CircularShift'> is none of"),
        (lambda: plan_permutations(RowShuffle(), [100], 0), "n_permutations=0"),
        (lambda: plan_permutations(RowShuffle(), [100], 10.5), "n_permutations=10.5"),
        (lambda: plan_permutations(RowShuffle(), [100], 10, t_r=0), "t_r=0"),
        (lambda: plan_permutations(RowShuffle(), [100], 10, t_r="2"), "t_r='2' must be seconds per sample"),
        (lambda: plan_permutations(RowShuffle(), [100], 10, t_r=None), "t_r=None"),
        (lambda: plan_permutations(RowShuffle(), [100], True), "n_permutations=True"),
        (lambda: plan_permutations(RowShuffle(), [1, 1], 10), "one arrangement only"),
        (lambda: plan_permutations(BlockPermute(60), [50], 10), "50 volumes holds one block of 60 volumes"),
        (lambda: plan_permutations(SignFlip(), [50], 10), "at least two subjects"),
        (lambda: plan_permutations(PhaseRandomize(), [50, 2], 10), "run of 2 volumes"),
        (lambda: CircularShift(-1), "min_shift=-1"),
        (lambda: CircularShift("a"), "min_shift='a' must be seconds"),
        (lambda: CircularShift(math.nan), "min_shift=nan"),
        (lambda: BlockPermute(0), "length=0"),
        (lambda: BlockPermute("a"), "length='a' of a block must be seconds"),
        (lambda: plan_permutations(RowShuffle(), [100], 10, rng=-1), "rng=-1"),
        (lambda: run_lengths([1, 1, 2, 1], 4), "contiguous"),
        (lambda: run_lengths([1, 1], 3), "one label per row"),
        (lambda: run_lengths([1, 1, math.nan, math.nan], 4), "runs holds 2 labels that are NaN, the first in row 2"),
        (lambda: run_lengths(np.array(["a", math.nan], dtype=object), 2), "1 labels that are NaN, the first in row 1"),
    ],
)
def test_wrong_calls_are_refused_with_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("rng", [None, 1.5, "0", True, np.random.RandomState(0)])
def test_only_seeds_and_generators_are_random_sources(rng):
    with pytest.raises(TypeError, match="integer seed or a numpy Generator"):
        plan_permutations(RowShuffle(), [100], 10, rng=rng)


def test_names_give_schemes_with_their_defaults():
    assert as_scheme("circular_shift") == CircularShift(20.0)
    assert set(SCHEMES) == {"circular_shift", "phase_randomize", "block_permute", "row_shuffle", "sign_flip"}
