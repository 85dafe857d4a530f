"""The analysis from Python gives what the command gives."""

import pandas as pd
import pytest

from neurocca import Config, load_participant, run_participant
from neurocca.cli import main
from neurocca.errors import NoInputError, NoMatchError, UsageError
from tests.conftest import make_parcel_dataset


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = make_parcel_dataset(tmp_path_factory.mktemp("results"))
    config = Config.from_toml(folder / "config.toml")
    store = folder / "features.h5"
    return run_participant(folder / "dataset", folder / "python", "sub-01", config=config, features=store)


def test_numbers_are_those_of_the_command(results):
    folder = results.output_dir.parent
    command = [str(folder / "dataset"), str(folder / "command"), "participant", "--participant-label", "01"]
    command += ["--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml")]
    assert main(command) == 0
    theirs = load_participant(folder / "command", "01")
    pd.testing.assert_frame_equal(results.to_dataframe(), theirs.to_dataframe(), check_exact=True)
    assert list(results.to_dataframe()) == ["component", "r_in_sample", "r_held_out", "p_held_out", "p_in_sample"]
    own, other = results.output_dir, theirs.output_dir
    files = [p.relative_to(own) for p in own.rglob("*") if p.suffix in (".tsv", ".svg")]
    assert files
    assert all((own / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_figures_are_those_of_the_report(results):
    page = results.report.read_text()
    for figure in (
        results.plot_held_out(),
        results.plot_lag(),
        results.plot_null(1),
        results.plot_time_courses(),
        results.plot_features(1),
        results.plot_brain(),
    ):
        assert figure._repr_svg_().strip() in page
        assert figure._repr_png_() is figure._repr_jpeg_() is None
    saved = results.plot_lag().save(results.output_dir.parent / "lag.svg")
    assert saved.read_text() == results.plot_lag()._repr_svg_()
    with pytest.raises(UsageError, match=r"this figure is \.svg"):
        results.plot_lag().save("lag.png")


def test_moments_and_variates_are_tables(results):
    assert set(results.data.moments["component"]) == {"cca_00", "cca_01"}
    assert len(results.data.held_out_bold) == len(results.data.held_out_stimulus) == 270


def test_what_is_not_there_is_said(results):
    with pytest.raises(
        NoInputError, match=r"frames are drawn of components that were found, where the film is at hand \("
    ):
        results.plot_moments()  # there is no film
    with pytest.raises(UsageError, match="component 2: there are 2, 0 to 1"):
        results.plot_null(2)
    with pytest.raises(NoMatchError, match="no results of participant 02"):
        load_participant(results.output_dir, "02")
    with pytest.raises(NoMatchError, match="task rest"):
        load_participant(results.output_dir, "01", task="rest")
    folder = results.output_dir.parent
    with pytest.raises(NoMatchError, match="07"):
        run_participant(folder / "dataset", folder / "none", "07", config=Config().with_values({"align.t_r": 2.0}))
    assert not (folder / "none").exists()
