import numpy as np
import pandas as pd
import pytest

from neurocca.steps.quality import BLOCK, GROUPS, group_names, quality_table, temporal_snr
from neurocca.temporal.clean import Cleaned, clean_run
from neurocca.temporal.nuisance import nuisance_basis


def cleaned(rng, n=2 * BLOCK + 7, q=250, scale="zscore", mean=100.0, kept=None) -> Cleaned:
    data = (mean + rng.standard_normal((n, q))).astype(np.float32)
    data[:, 3] = 5.0
    return clean_run(data, nuisance_basis(n, 2.0), kept=kept, scale=scale)


def test_every_number_is_that_of_its_definition(rng):
    kept = np.ones(2 * BLOCK + 7, dtype=bool)
    kept[40] = False
    run = cleaned(rng, kept=kept)
    table = quality_table("2", run, np.linspace(0, 1, len(run.data)))
    unit = run.data[:, run.usable].astype(float)
    unit /= np.sqrt((unit**2).sum(axis=0) / kept.sum())
    change = np.sqrt((np.diff(unit, axis=0) ** 2).mean(axis=1))
    np.testing.assert_allclose(table["dvars"][1:], change, atol=1e-4)
    assert np.isnan(table["dvars"][0])
    np.testing.assert_allclose(table["global_signal"], unit.mean(axis=1), atol=1e-4)
    assert table["censored"].tolist() == (~kept).astype(int).tolist()
    assert set(table["run"]) == {"2"}
    np.testing.assert_allclose(table["framewise_displacement"], np.linspace(0, 1, len(run.data)), atol=1e-4)
    parts = np.split(np.arange(250), np.linspace(0, 250, GROUPS + 1).astype(int)[1:-1])
    groups = [run.data[:, part].mean(axis=1) for part in parts]  # column 3 is 0, and adds nothing
    shown = table.filter(regex="^group_").to_numpy()
    assert min(np.corrcoef(mean, row)[0, 1] for mean, row in zip(groups, shown.T, strict=True)) > 0.99
    assert np.abs(table.filter(regex="^group_").std(ddof=0) - 1).max() < 0.05


def test_a_column_in_other_units_changes_nothing(rng):
    run = cleaned(rng, scale="none")
    other = Cleaned(run.data * np.linspace(1, 50, 250, dtype=np.float32), *list(vars(run).values())[1:])
    pd.testing.assert_frame_equal(quality_table("1", run, None), quality_table("1", other, None), atol=0.11)


def test_few_columns_are_groups_of_their_own_and_motion_may_be_unknown(rng):
    table = quality_table("1", cleaned(rng, q=7), None)
    assert list(table)[5:] == group_names(7) == [f"group_0{i}" for i in range(7)]
    assert table["framewise_displacement"].isna().all()


def test_signal_to_noise_is_that_of_the_data_before_cleaning(rng):
    assert temporal_snr(cleaned(rng)) == pytest.approx(100, rel=0.1)
    assert temporal_snr(cleaned(rng, mean=0.0)) is None  # no baseline: centred before
