"""Maps, feature spaces and halves of the runs, through the real command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurocca.cca.selection import LinearCCACV
from neurocca.cli import main
from neurocca.design import Design, FeatureSeries
from neurocca.io.parcels import ParcelTable
from neurocca.io.store import write_store
from neurocca.steps.assemble import Assembled
from neurocca.steps.stability import stability
from tests.conftest import ar1, results_of

CONFIG = """
[align]
t_r = 2.0
response = "delays"
delays = [1, 2]
[fit]
n_components = 2
[inference]
n_permutations = 59
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four runs of twelve parcels; pictures drive the first four, sound the next four, and smells nothing."""
    rng = np.random.default_rng(3)
    spaces: dict = {"pictures": {}, "sound": {}, "smell": {}}
    for run in ("1", "2", "3", "4"):
        film = ar1(rng, 100, 6, 0.3)
        for j, space in enumerate(spaces):
            series = film[:, 2 * j : 2 * j + 2]
            spaces[space][run] = FeatureSeries(series, np.arange(100) * 2.0, (f"{space}_a", f"{space}_b"))
        bold = ar1(rng, 100, 12, 0.2)
        bold[2:, :4] += 1.5 * film[:-2, [0]]
        bold[2:, 4:8] += 0.9 * film[:-2, [2]]
        path = tmp_path / "dataset/sub-01/func" / f"sub-01_task-film_run-{run}_bold.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(bold, columns=[f"p{j}" for j in range(12)]).to_csv(path, index=False)
    write_store(tmp_path / "features.h5", spaces, {})
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def analysed(folder: Path, name: str, *options: str) -> Path:
    files = ["--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml")]
    assert main([str(folder / "dataset"), str(folder / name), "participant", *files, *options]) == 0
    return folder / name


def test_the_record_says_what_is_planted(dataset):
    func = analysed(dataset, "out") / "sub-01/func"
    record = json.loads((func / "sub-01_task-film_desc-cca_decomposition.json").read_text())
    p = pd.read_csv(func / "sub-01_task-film_stat-p_desc-ccaFWE_statmap.tsv", sep="\t").set_index("parcel")
    assert (p.loc[["p0", "p1", "p2", "p3"], "cca_00"] <= 0.05).all()
    assert (p.loc[["p4", "p5", "p6", "p7"], "cca_01"] <= 0.05).all()
    assert (p.loc[["p8", "p9", "p10", "p11"]] > 0.05).all(axis=None)
    assert record["Maps"]["Significant"] == {"cca_00": 4, "cca_01": 4}
    first, second = record["Contributions"]["Components"]
    assert first["Spaces"]["pictures"]["Unique"] > 0.3
    assert second["Spaces"]["sound"]["Unique"] > 0.2
    for component in (first, second):
        spaces = component["Spaces"]
        assert abs(spaces["smell"]["Unique"]) < 0.03
        assert component["All"] == pytest.approx(
            component["Shared"] + sum(s["Unique"] for s in spaces.values()), abs=3e-4
        )
    per_run = np.array([list(c["HeldOutCorrelationPerRun"].values()) for c in record["Components"]])
    everything = [c["All"] for c in record["Contributions"]["Components"]]
    np.testing.assert_allclose(everything, (per_run * np.abs(per_run)).mean(axis=1), atol=1e-4)
    for component in record["Stability"]["Components"]:
        assert component["BOLD"]["Mean"] > 0.9 > 0.8 > component["BOLDChance"]["Mean"]
        assert component["BOLD"]["Low"] <= component["BOLD"]["Mean"] <= component["BOLD"]["High"]
    assert record["Stability"]["NumberOfSplits"] == 3


def test_no_byte_depends_on_jobs_and_one_space_has_no_shares(dataset):
    one, two = (
        {str(p.relative_to(out)): p.read_bytes() for p in results_of(out)}
        for out in (analysed(dataset, f"out{n}", "--n-jobs", str(n)) for n in (1, 2))
    )
    own = "desc-cca_decomposition.json", ".html", ".toml"  # hold the command
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if not name.endswith(own))
    records = [json.loads(found["sub-01/func/sub-01_task-film_desc-cca_decomposition.json"]) for found in (one, two)]
    for key in ("Maps", "Contributions", "Stability"):
        assert records[0][key] == records[1][key]
    (dataset / "config.toml").write_text(CONFIG.replace("[align]", '[align]\nspaces = ["pictures"]'))
    alone = analysed(dataset, "alone")
    record = json.loads((alone / "sub-01/func/sub-01_task-film_desc-cca_decomposition.json").read_text())
    assert record["Contributions"] is None
    assert "feature space contribute" not in (alone / "sub-01_task-film.html").read_text()


def test_where_halves_cannot_be_fitted_it_is_said(rng):
    """Events occur in two of four runs: the half of the others has none."""
    X, Y = ar1(rng, 400, 2, 0.3), ar1(rng, 400, 5, 0.3)
    X[200:] = 0
    runs = np.repeat(["1", "2", "3", "4"], 100)
    brain = ParcelTable(("a", "b", "c", "d", "e"), np.ones(5, dtype=bool))
    assembled = Assembled(Design(X, Y, runs), [("events", "a", ""), ("events", "b", "")], [], brain)
    cca = LinearCCACV(1, shrinkage_x=[0.1], shrinkage_y=[0.1]).fit(X, Y)
    options = {"runs": runs, "t_r": 2.0, "scheme": "circular_shift", "kept": None, "n_jobs": 1}
    notes: list[str] = []
    assert stability(assembled, cca, options, np.random.SeedSequence(0), notes) is None
    assert len(notes) == 1
    assert notes[0].startswith("Stability was not estimated, as half of the runs cannot be fitted: X: every column")
