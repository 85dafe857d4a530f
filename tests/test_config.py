import dataclasses

import pytest

from neurocca.config import AlignConfig, Config
from neurocca.errors import DataError, NoInputError, UsageError


def test_toml_round_trip(tmp_path):
    config = Config.from_dict({"align": {"delays": [2, 3], "standardize": "run"}, "fit": {"n_components": 7}})
    path = tmp_path / "c.toml"
    path.write_text(config.to_toml())
    assert Config.from_toml(path) == config
    assert Config.from_toml(path) != Config()


def test_command_line_values_replace_and_none_does_not():
    config = Config().with_values({"fit.n_components": 2, "inference.seed": None})
    assert config.fit.n_components == 2
    assert dataclasses.replace(config, fit=Config().fit) == Config()


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"fit": {"n_componets": 2}}, "'fit.n_componets'.*'fit.n_components'"),
        ({"inferense": {}}, "'inferense'.*'inference'"),
        ({"fit": {"n_components": 2.5}}, "n_components=2.5 must be of type int"),
        ({"fit": {"n_components": True}}, "n_components=True must be of type int"),
        ({"fit": {"n_components": 0}}, "at least 1"),
        ({"fit": {"shrinkage_x": [0.1, 1.5]}}, "between 0"),
        ({"fit": {"shrinkage_x": []}}, "between 0"),
        ({"align": {"hrf": "gamma"}}, "hrf='gamma' is none of spm"),
        ({"align": {"response": "fir"}}, "response='fir' is none of 'hrf', 'delays'"),
        ({"align": {"response": "kernel"}}, "needs a file in align.kernel"),
        ({"align": {"drift": "polynomial"}}, "drift='polynomial' must be 'cosine' or 'polynomial:K'"),
        ({"align": {"low_pass": 200.0}}, "leave no period in"),
        ({"align": {"fd_threshold": -1}}, "fd_threshold=-1.0 must be a positive number, or 0"),
        ({"align": {"slice_reference": 1.5}}, "a fraction of the repetition time"),
        ({"align": {"confounds": ["csf", "csf"]}}, "confounds=.* repeat"),
        ({"align": {"standardize_bold": "percent"}}, "none of 'zscore', 'psc', 'none'"),
        ({"align": {"delays": [-1]}}, "volumes >= 0"),
        ({"align": {"trim": [4]}}, "trim"),
        ({"inference": {"n_permutations": 0}}, "at least 1"),
        ({"inference": {"min_shift": 0}}, "above 0"),
        ({"fit": 3}, "must be a table"),
    ],
)
def test_wrong_values_are_refused_by_name(tables, message):
    with pytest.raises(UsageError, match=message):
        Config.from_dict(tables)


def test_broken_and_missing_files(tmp_path):
    with pytest.raises(NoInputError, match="no such file"):
        Config.from_toml(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("[fit\n")
    with pytest.raises(DataError, match="not valid TOML"):
        Config.from_toml(tmp_path / "broken.toml")


def test_defaults_are_documented():
    for field in dataclasses.fields(AlignConfig):
        assert f"{field.name} :" in AlignConfig.__doc__
