import numpy as np
import pytest

from neurocca.steps.recovery import match_planted


def planted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((45, 2)), rng.standard_normal((2, 300))


def test_recovery_is_perfect_for_the_truth_in_any_order_sign_and_scale(rng):
    courses, maps = planted(rng)
    variates = np.column_stack([rng.standard_normal(45), 3 * courses[:, 1], -courses[:, 0]])
    found = np.vstack([rng.standard_normal(300), -2 * maps[1], maps[0]])
    table = match_planted(["a", "b"], courses, maps, variates, found)
    assert table["planted"].tolist() == ["a", "b"]
    assert table["component"].tolist() == ["cca_02", "cca_01"]
    np.testing.assert_allclose(table[["map_r", "timecourse_r"]], 1, atol=1e-4)


def test_one_component_cannot_stand_for_two_planted_ones(rng):
    courses, maps = planted(rng)
    table = match_planted(["a", "b"], courses, maps, courses[:, [1]], maps[[1]])
    assert table["component"].tolist() == ["none", "cca_00"]
    assert table.loc[0, ["map_r", "timecourse_r"]].isna().all()


def test_rows_must_agree(rng):
    courses, maps = planted(rng)
    with pytest.raises(ValueError, match=r"mismatch|shapes"):
        match_planted(["a", "b"], courses[:-1], maps, courses, maps)
