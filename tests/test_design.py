import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocca import Design, FeatureSeries, split_runs, stack_runs


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_split_undoes_stack(lengths):
    rng = np.random.default_rng(sum(lengths))
    X = [rng.standard_normal((n, 3)) for n in lengths]
    Y = [rng.standard_normal((n, 2)) for n in lengths]
    design = stack_runs(X, Y, [f"r{i}" for i in range(len(lengths))])
    assert isinstance(design, Design)
    for stacked, runs in ((design.X, X), (design.Y, Y)):
        for back, run in zip(split_runs(stacked, design.runs), runs, strict=True):
            np.testing.assert_array_equal(back, run)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        ([np.ones((4, 2))] * 2, [np.ones((4, 3))], "2 runs and BOLD has 1"),
        ([np.ones((4, 2)), np.ones((5, 2))], [np.ones((4, 3)), np.ones((6, 3))], "run B: features have 5 rows.*6"),
        ([np.ones((4, 2)), np.ones((4, 1))], [np.ones((4, 3))] * 2, "run B: features have 1 columns.*run A has 2"),
        ([np.ones((4, 2)), np.full((4, 2), np.nan)], [np.ones((4, 3))] * 2, "run B: features hold 8 .* not finite"),
        ([np.ones((4, 2))] * 2, [np.ones((4, 3)), np.ones((0, 3))], r"run B: BOLD must be .*\(0, 3\)"),
        ([np.ones((4, 2))] * 2, [np.ones((4, 3)), np.ones(4)], r"run B: BOLD must be"),
        ([np.ones((4, 2), dtype=complex)], [np.ones((4, 3))], "real numbers, not complex128"),
        ([], [], "no runs"),
    ],
)
def test_what_does_not_belong_together_is_refused_by_run(X, Y, message):
    with pytest.raises(ValueError, match=message):
        stack_runs(X, Y, ["A", "B"][: len(X)])


def test_repeated_labels_and_scattered_runs_are_refused():
    with pytest.raises(ValueError, match="must be 2 different ones"):
        stack_runs([np.ones((4, 2))] * 2, [np.ones((4, 2))] * 2, ["1", "1"])
    with pytest.raises(ValueError, match="contiguous"):
        split_runs(np.ones((4, 1)), np.array([1, 2, 2, 1]))


def test_feature_series_checks_its_shape_and_times():
    with pytest.raises(ValueError, match=r"expected \(3, 1\)"):
        FeatureSeries(np.ones((2, 1)), np.arange(3.0), ("a",))
    with pytest.raises(ValueError, match="ascend"):
        FeatureSeries(np.ones((2, 1)), np.array([1.0, 1.0]), ("a",))
    assert FeatureSeries(np.ones((3, 1)), np.array([0.0, 0.5, 1.0]), ("a",)).duration == 1.5


def test_censored_volumes_are_part_of_the_design():
    X, Y = [np.ones((4, 2)), np.ones((3, 2))], [np.ones((4, 5)), np.ones((3, 5))]
    kept = [np.array([True, False, True, True]), np.ones(3, dtype=bool)]
    assert stack_runs(X, Y, kept=kept).kept.tolist() == [True, False, True, True, True, True, True]
    assert stack_runs(X, Y, kept=[np.ones(4, dtype=bool), np.ones(3, dtype=bool)]).kept is None
    with pytest.raises(ValueError, match="run 2: kept must be 3 truth values"):
        stack_runs(X, Y, kept=[kept[0], kept[0]])


def test_runs_that_lie_together_need_not_be_copied(rng):
    Y = rng.standard_normal((9, 3))
    X = [np.ones((4, 2)), np.ones((5, 2))]
    parts = np.split(Y, [4])
    assert np.shares_memory(stack_runs(X, parts, copy=False).Y, Y)
    assert not np.shares_memory(stack_runs(X, parts).Y, Y)
    for other in ([Y[:4], Y[4:].copy()], [Y[5:], Y[:5]], [Y[:4, :2], Y[4:, :2]], [Y.copy()[:4], Y[4:]]):
        design = stack_runs(X, other, copy=False)
        assert not np.shares_memory(design.Y, Y)
        np.testing.assert_array_equal(design.Y, np.concatenate(other))
