"""Confounds against nilearn, motion files of FSL and AFNI, and tables that cannot be used."""

import json

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from neurocca.errors import DataError, NeuroccaError, NoInputError, UsageError
from neurocca.io.confounds import censored, read_confounds
from neurocca.io.motion import MOTION, expand_motion, framewise_displacement, read_motion

N = 60
STEM = "sub-01_task-film_run-1"


@pytest.fixture
def motion(rng):
    return rng.standard_normal((N, 6)).cumsum(axis=0) * [0.05, 0.05, 0.05, 5e-4, 5e-4, 5e-4]


@pytest.fixture
def fmriprep(tmp_path, rng, motion):
    """Table as fMRIPrep writes it, with its sidecar."""
    expanded, names = expand_motion(motion)
    table = pd.DataFrame(expanded, columns=names)
    for name in ("csf", "white_matter", "global_signal"):
        series = rng.standard_normal(N) + 100
        table[name], table[f"{name}_power2"] = series, series**2
        table[f"{name}_derivative1"] = np.diff(series, prepend=np.nan)
        table[f"{name}_derivative1_power2"] = table[f"{name}_derivative1"] ** 2
    for j in range(6):
        table[f"a_comp_cor_0{j}"] = rng.standard_normal(N)
    for j in range(3):
        table[f"cosine0{j}"] = np.cos((np.arange(N) + 0.5) * (j + 1) * np.pi / N)
    table["aroma_motion_01"] = rng.standard_normal(N)
    table["framewise_displacement"] = framewise_displacement(motion)
    table["std_dvars"] = np.abs(rng.standard_normal(N)) * 0.5 + 0.5
    table["framewise_displacement"] *= 0.3 / table["framewise_displacement"].max()
    table.loc[[20, 23, 50], "framewise_displacement"] = [0.9, 0.7, 0.6]
    table.loc[40, "std_dvars"] = 2.0
    table.loc[0, [c for c in table if "derivative1" in c or c in ("framewise_displacement", "std_dvars")]] = np.nan
    table["non_steady_state_outlier00"] = (np.arange(N) == 0).astype(float)
    path = tmp_path / f"{STEM}_desc-confounds_timeseries.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    meta = {f"a_comp_cor_0{j}": {"Mask": "combined", "Method": "aCompCor", "Retained": True} for j in range(6)}
    path.with_suffix(".json").write_text(json.dumps(meta))
    return path


def compare(found, expected, sample_mask):
    kept = np.ones(N, dtype=bool) if sample_mask is None else np.isin(np.arange(N), sample_mask)
    np.testing.assert_array_equal(found.kept, kept)
    assert sorted(found.names) == sorted(expected.columns)
    np.testing.assert_allclose(found.values, expected[list(found.names)], atol=1e-12)


@pytest.mark.parametrize(
    ("strategies", "options"),
    [
        (["motion6"], {"strategy": ("motion",), "motion": "basic"}),
        (["motion24"], {"strategy": ("motion",), "motion": "full"}),
        (["acompcor"], {"strategy": ("high_pass", "compcor"), "compcor": "anat_combined", "n_compcor": 5}),
        (["motion6", "ica_aroma"], {"strategy": ("motion", "high_pass", "wm_csf", "ica_aroma"), "ica_aroma": "basic",
                                    "motion": "basic", "wm_csf": "basic"}),
    ],
)  # fmt: skip
def test_strategies_are_nilearns(fmriprep, strategies, options):
    image = str(fmriprep.with_name(f"{STEM}_desc-preproc_bold.nii.gz"))
    compare(read_confounds(fmriprep, strategies, n_volumes=N), *load_confounds(image, demean=False, **options))


@pytest.mark.parametrize("name", ["simple", "scrubbing", "compcor"])
def test_named_strategies_are_nilearns(fmriprep, name):
    image = str(fmriprep.with_name(f"{STEM}_desc-preproc_bold.nii.gz"))
    compare(read_confounds(fmriprep, [name]), *load_confounds_strategy(image, name, demean=False))


@pytest.mark.parametrize("thresholds", [(0.5, 1.5), (0.25, 1.2), (0.65, 10.0)])
def test_censoring_is_nilearns(fmriprep, thresholds):
    image = str(fmriprep.with_name(f"{STEM}_desc-preproc_bold.nii.gz"))
    fd, dvars = thresholds
    found = read_confounds(fmriprep, ["motion6"], fd_threshold=fd, dvars_threshold=dvars)
    expected = load_confounds(
        image, ("motion", "scrub"), motion="basic", fd_threshold=fd, std_dvars_threshold=dvars, demean=False
    )
    compare(found, *expected)
    assert 0 < (~found.kept).sum() < N


def test_columns_are_taken_by_name(fmriprep):
    found = read_confounds(fmriprep, ["motion6", "csf", "csf_derivative1"])
    assert found.names == (*MOTION, "csf", "csf_derivative1")
    assert found.values[0, 7] == found.values[1, 7], "the first derivative takes the second value"
    assert read_confounds(fmriprep, []).values.shape == (N, 0)


def test_motion_files_of_fsl_and_afni_are_the_table(tmp_path, motion):
    rotations_first = np.hstack([motion[:, 3:], motion[:, :3]])
    fsl, studyforrest = tmp_path / "mc.par", tmp_path / f"{STEM}_bold_mcparams.txt"
    np.savetxt(fsl, rotations_first, fmt="%.12g", delimiter="  ")
    np.savetxt(studyforrest, rotations_first, fmt="%.12g", newline="\r\n")
    afni = tmp_path / "dfile.1D"
    degrees = np.hstack([np.rad2deg(motion[:, 3:]), motion[:, :3]])
    np.savetxt(afni, degrees, fmt="%.12g", header="roll pitch yaw dS dL dP")
    for path in (fsl, studyforrest, afni):
        np.testing.assert_allclose(read_motion(path), motion, atol=1e-9)
    found = read_confounds(fsl, ["motion24"], fd_threshold=0.2)
    np.testing.assert_allclose(found.values, expand_motion(motion)[0], atol=1e-9)
    displacement = np.abs(np.diff(motion, axis=0)) @ [1, 1, 1, 50, 50, 50]
    np.testing.assert_allclose(framewise_displacement(motion)[1:], displacement)
    np.testing.assert_array_equal(found.kept, ~censored(np.r_[False, displacement > 0.2]))


def test_short_runs_between_outliers_are_censored_too():
    assert not censored(np.zeros(4, dtype=bool)).any()
    outliers = np.zeros(30, dtype=bool)
    outliers[[10, 16, 21, 27]] = True
    assert np.flatnonzero(censored(outliers)).tolist() == [10, 16, 17, 18, 19, 20, 21, 27, 28, 29]


def broken(path, change):
    table = pd.read_csv(path, sep="\t", na_values="n/a")
    change(table).to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


@pytest.mark.parametrize(
    ("strategies", "options", "change", "message"),
    [
        (["motion6"], {"n_volumes": 61}, lambda t: t, "60 rows of confounds for 61 volumes"),
        (["motion6"], {}, lambda t: t.assign(rot_x="moved"), "column 'rot_x' holds values that are not numbers"),
        (["motion6"], {}, lambda t: t.drop(columns="rot_x"), r"no column 'rot_x'\. There are trans_x, trans_y"),
        (["CSF"], {}, lambda t: t, r"no column 'CSF'\. There are .* and \d+ more"),
        (["csf"], {}, lambda t: t.assign(csf=t.csf.where(t.index != 7)), "'csf' is missing or infinite on line 9"),
        (["motion6"], {"fd_threshold": 0.001}, lambda t: t, "all 60 volumes are censored by thresholds of 0.001 mm"),
        (["motion6"], {"dvars_threshold": 1.0}, lambda t: t.drop(columns="std_dvars"), "no column 'std_dvars'"),
        (
            ["simple"],
            {},
            lambda t: t.drop(columns="csf"),
            "confounds 'simple' cannot be had: .*csf.* There are trans_x",
        ),
    ],
)
def test_tables_that_cannot_be_used_end_in_one_line(fmriprep, strategies, options, change, message):
    with pytest.raises(DataError, match=message) as error:
        read_confounds(broken(fmriprep, change), strategies, **options)
    assert str(fmriprep) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.par", "0 0 0 0 0\n", "5 values on line 1, six motion parameters"),
        ("a.par", "0 0 0 0 0 0\n0 0 x 0 0 0\n", "line 2 holds words"),
        ("a.1D", "# nothing\n", "holds no motion parameters"),
        ("a.par", "0 0 0 0 0 nan\n", "on line 1 is NaN"),
        ("a.xml", "0 0 0 0 0 0\n", "not a known kind of motion file"),
    ],
)
def test_motion_files_that_cannot_be_used_end_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_confounds(path)


def test_strategies_that_take_more_than_there_is(tmp_path, fmriprep, motion):
    plain = tmp_path / "motion.tsv"
    pd.DataFrame(motion, columns=MOTION).to_csv(plain, sep="\t", index=False)
    np.testing.assert_allclose(read_confounds(plain).values, motion, atol=1e-12)
    with pytest.raises(UsageError, match="'compcor' take a table of fMRIPrep"):
        read_confounds(plain, ["compcor"])
    fmriprep.with_suffix(".json").unlink()
    with pytest.raises(DataError, match="Could not find associated json"):
        read_confounds(fmriprep, ["acompcor"])
    with pytest.raises(NoInputError, match="no such file"):
        read_confounds(tmp_path / "absent.par")
    assert issubclass(DataError, NeuroccaError)
