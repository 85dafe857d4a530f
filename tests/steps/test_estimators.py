"""Kernel and deep components through the command line: the same record, tests and report."""

import json

import numpy as np
import pandas as pd
import pytest

from neurocca.cli import main
from neurocca.config import FitConfig
from neurocca.errors import UsageError
from neurocca.steps.estimators import METHODS, estimator_of


def command(folder, *options):
    files = ("--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml"))
    return [str(folder / "dataset"), str(folder / "out"), "participant", "--participant-label", "01", *files, *options]


def record_of(folder):
    func = folder / "out/sub-01/func"
    return json.loads((func / "sub-01_task-film_desc-cca_decomposition.json").read_text()), func


def test_kernels_find_what_is_shared_and_choose_their_shrinkage(parcel_dataset):
    assert main(command(parcel_dataset, "--estimator", "kernel", "--n-permutations", "39")) == 0
    record, func = record_of(parcel_dataset)
    assert record["Method"] == METHODS["kernel"]
    first = record["Components"][0]
    assert first["HeldOutCorrelation"] > 0.5
    assert (first["PValueHeldOut"], first["PValueInSample"]) == (0.025, 0.025)
    assert record["Shrinkage"]["Features"] == record["Shrinkage"]["BOLD"] in FitConfig().shrinkage_x
    assert len(record["Shrinkage"]["PerFold"]) == 3
    assert record["Shrinkage"]["GridFeatures"] == list(FitConfig().shrinkage_x)
    tried = np.diag(np.array(record["Shrinkage"]["Score"], dtype=float))
    assert FitConfig().shrinkage_x[np.argmax(tried)] == record["Shrinkage"]["Features"]
    loadings = pd.read_csv(func / "sub-01_task-film_desc-cca_components.tsv", sep="\t")
    assert set(loadings.loc[loadings["cca_00"].abs().nlargest(1).index, "parcel"]) <= {"p0", "p1"}
    pvalues = pd.read_csv(func / "sub-01_task-film_stat-p_desc-ccaFWE_statmap.tsv", sep="\t", index_col="parcel")
    assert set(pvalues.index[pvalues["cca_00"] <= 0.05]) == {"p0", "p1"}
    stable = record["Stability"]["Components"][0]
    assert stable["BOLD"]["Mean"] > stable["BOLDChance"]["High"]
    assert record["Contributions"] is None
    page = (parcel_dataset / "out/sub-01_task-film.html").read_text()
    assert "Kernel canonical correlation analysis" in page
    assert "scikit-learn 1" in page
    assert (parcel_dataset / "out/sub-01/figures/sub-01_task-film_desc-shrinkage_plot.svg").is_file()


def test_networks_have_maps_of_left_out_runs_and_no_test_in_sample(parcel_dataset):
    options = ("--estimator", "deep", "--n-permutations", "1", "--n-components", "1")
    (parcel_dataset / "config.toml").write_text(
        (parcel_dataset / "config.toml").read_text().replace("[fit]", "[fit]\nepochs = 2")
    )
    assert main(command(parcel_dataset, *options)) == 0
    record, func = record_of(parcel_dataset)
    (component,) = record["Components"]
    assert component["PValueInSample"] is None
    assert component["PValueHeldOut"] >= 0.5
    assert np.isfinite(component["HeldOutCorrelation"])
    assert len(pd.read_csv(func / "sub-01_task-film_desc-cca_permutations.tsv", sep="\t")) == 0
    assert record["Maps"]["LeftOut"]
    assert len(pd.read_csv(func / "sub-01_task-film_stat-p_desc-ccaFWE_statmap.tsv", sep="\t")) == 6
    page = (parcel_dataset / "out/sub-01_task-film.html").read_text()
    assert "beyond chance in left-out runs" in page
    assert "Deep canonical correlation analysis" in page
    assert "shrunk" not in page
    assert "with the shrinkage" not in page
    assert "PyTorch 2" in page
    assert main(["report", str(parcel_dataset / "out")]) == 0
    assert (parcel_dataset / "out/sub-01_task-film.html").read_text() == page


@pytest.mark.parametrize(
    "values", [{"shrinkage_x": (0.1,), "shrinkage_y": (0.3,)}, {"shrinkage_x": (0.0,), "shrinkage_y": (0.0,)}]
)
def test_shrinkage_that_kernels_cannot_have(values):
    with pytest.raises(UsageError, match="shrinkage"):
        estimator_of(FitConfig(estimator="kernel", **values), np.repeat([1, 2, 3], 9))
