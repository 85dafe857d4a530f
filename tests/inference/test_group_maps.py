"""Sign flips of subjects' maps against enumeration, nilearn and the level of the test."""

from itertools import product

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.second_level import non_parametric_inference
from nilearn.maskers import NiftiMasker
from scipy.stats import binom, ttest_1samp

from neurocca.inference.checks import InferenceWarning
from neurocca.inference.group_maps import group_map_test

SHAPE = (5, 5, 4)


@pytest.fixture(scope="module")
def masker():
    inside = np.zeros(SHAPE, dtype=np.int8)
    inside[1:4, 1:5] = 1
    return NiftiMasker(mask_img=nib.Nifti1Image(inside, np.eye(4)), standardize=None).fit()


def blob(seed: int, n_subjects: int = 16, effect: float = 0.25) -> np.ndarray:
    """Maps of the mask's 48 voxels with an effect in 16 of them that lie together."""
    maps = np.random.default_rng(seed).normal(0, 0.3, (n_subjects, 3, 4, 4))
    maps[:, :, :2, :2] += effect
    return np.clip(maps.reshape(n_subjects, -1), -0.9, 0.9)


def enumerated(maps: np.ndarray, two_sided: bool) -> np.ndarray:
    """p-values from all sign flips, with the observed one among them."""
    signs = np.array(list(product([1, -1], repeat=len(maps))))
    t = np.array([ttest_1samp(maps * s[:, None], 0).statistic for s in signs])
    t = np.abs(t) if two_sided else t
    return np.mean(t.max(axis=1)[:, None] >= t[0] - 1e-9, axis=0)


@pytest.mark.parametrize("two_sided", [True, False])
def test_few_subjects_agree_with_all_sign_flips_enumerated(two_sided):
    maps = blob(0, n_subjects=7)[:, :9] + 0.2
    with pytest.warns(InferenceWarning, match=r"7 subjects have (64|128) distinct sign flips"):
        test = group_map_test(maps, two_sided=two_sided, fisher=False, n_permutations=8000)
    exact = enumerated(maps, two_sided)
    assert np.sum((exact > 0.02) & (exact < 0.98)) >= 4, "p-values at the floor would show less"
    np.testing.assert_allclose(test.t, ttest_1samp(maps, 0).statistic)
    np.testing.assert_allclose(test.pvalues, exact, atol=4 * np.sqrt(0.25 / 8000))


def test_p_is_never_finer_than_the_distinct_sign_flips():
    maps = np.full((6, 3), 0.5) + np.random.default_rng(1).normal(0, 0.01, (6, 3))
    for two_sided, distinct in ((True, 32), (False, 64)):
        with pytest.warns(InferenceWarning, match=f"6 subjects have {distinct} .* below {1 / distinct:.2g}"):
            test = group_map_test(maps, two_sided=two_sided, n_permutations=3000)
        assert test.smallest_p == 1 / distinct
        assert test.pvalues.min() >= 1 / distinct
        np.testing.assert_allclose(test.pvalues, 1 / distinct, rtol=0.3)


@pytest.mark.filterwarnings("ignore:Data array used to create a new image contains 64-bit ints")  # nilearn to itself
@pytest.mark.parametrize("tfce", [True, False])
def test_agrees_with_nilearns_second_level_inference(masker, tfce):
    maps = blob(2, effect=0.4)
    images = [masker.inverse_transform(m) for m in maps.astype(np.float64)]
    reference = non_parametric_inference(
        images, design_matrix=pd.DataFrame({"intercept": np.ones(len(maps))}), model_intercept=False, n_perm=200,
        two_sided_test=True, mask=masker, random_state=3, tfce=tfce, threshold=0.01, n_jobs=1,
    )  # fmt: skip
    test = group_map_test(
        maps, masker=masker, fisher=False, n_permutations=200, tfce=tfce, cluster_threshold=0.01, rng=3
    )
    expected = {name: masker.transform(image).ravel() for name, image in reference.items()}
    np.testing.assert_allclose(test.t, expected["t"], rtol=1e-4)
    np.testing.assert_allclose(-np.log10(test.pvalues), expected["logp_max_t"], rtol=1e-5)
    np.testing.assert_array_equal(test.size, expected["size"])
    np.testing.assert_allclose(test.mass, expected["mass"], rtol=1e-4)
    assert test.size.max() >= 12, "the blob is one cluster"
    # nilearn counts clusters as k / B, here as (1 + k) / (1 + B)
    for name in ("size", "mass"):
        k = np.round(10.0 ** -expected[f"logp_max_{name}"] * 200)
        inside = test.size > 0
        clusters = getattr(test, f"pvalues_{name}")
        np.testing.assert_allclose(clusters[inside], ((1 + k) / 201)[inside], atol=1.01 / 201)
        assert clusters[inside].min() < 0.05
        np.testing.assert_array_equal(clusters[~inside], 1)
    if tfce:
        np.testing.assert_allclose(test.tfce, expected["tfce"], rtol=1e-4)
        np.testing.assert_allclose(-np.log10(test.pvalues_tfce), expected["logp_max_tfce"], rtol=1e-5)
    else:
        assert test.tfce is None


def test_components_are_corrected_by_their_joint_maximum():
    """Flips must be alike for all components: then two maps side by side are two components."""
    maps = np.stack([blob(3), blob(4, effect=-0.3)], axis=1)
    both = group_map_test(maps, n_permutations=500, rng=5)
    beside = group_map_test(maps.reshape(len(maps), -1), n_permutations=500, rng=5)
    np.testing.assert_allclose(both.null, beside.null)
    np.testing.assert_array_equal(both.pvalues.ravel(), beside.pvalues)
    alone = group_map_test(maps[:, 0], n_permutations=500, rng=5)
    assert both.pvalues.shape == (2, 48)
    assert np.all(both.pvalues[0] >= alone.pvalues)
    assert both.pvalues[0].mean() > alone.pvalues.mean()


def test_turning_all_subjects_turns_t_and_nothing_else():
    maps = blob(5)
    test, turned = (group_map_test(m, n_permutations=99) for m in (maps, -maps))
    np.testing.assert_allclose(turned.t, -test.t)
    np.testing.assert_array_equal(turned.pvalues, test.pvalues)


def test_fisher_makes_correlations_arctanh():
    maps = blob(6)
    z = group_map_test(np.arctanh(maps), fisher=False, n_permutations=50)
    np.testing.assert_array_equal(group_map_test(maps, n_permutations=50).t, z.t)


def test_jobs_change_nothing():
    maps = np.stack([blob(7), blob(8)], axis=1)
    one, two = (group_map_test(maps, n_permutations=50, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.null, two.null)


def test_the_family_wise_level_holds_over_voxels_and_components():
    found = sum(
        group_map_test(np.random.default_rng(seed).normal(0, 0.3, (20, 2, 10)), fisher=False, n_permutations=99)
        .pvalues.min() <= 0.05
        for seed in range(200)
    )  # fmt: skip
    assert binom.ppf(0.005, 200, 0.05) <= found <= binom.ppf(0.995, 200, 0.05)


def test_unusable_maps_are_refused_with_numbers():
    with pytest.raises(ValueError, match=r"4 subjects have 8 distinct sign flips.*below 0\.125.*5 subjects"):
        group_map_test(blob(0, n_subjects=4))
    maps = blob(0)
    for value, text in ((np.nan, "1 values that are not finite"), (1.5, r"largest loading is 1\.5")):
        broken = maps.copy()
        broken[2, 3] = value
        with pytest.raises(ValueError, match=text):
            group_map_test(broken)
    maps[:, [1, 5]] = 0
    with pytest.raises(ValueError, match="2 columns of the maps are 0 in all subjects"):
        group_map_test(maps)
    with pytest.raises(ValueError, match="need a fitted masker"):
        group_map_test(blob(0), tfce=True)
    with pytest.raises(ValueError, match=r"of shape \(16,\)"):
        group_map_test(blob(0)[:, 0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_permutations": 0}, ValueError, "n_permutations=0 must be a whole number, at least 1"),
        ({"n_permutations": -1}, ValueError, "n_permutations=-1"),
        ({"n_permutations": 9.5}, ValueError, "n_permutations=9.5"),
        ({"n_permutations": True}, ValueError, "n_permutations=True"),
        ({"rng": True}, TypeError, "rng must be an integer seed"),
        ({"rng": None}, TypeError, "rng must be an integer seed"),
        ({"rng": -1}, ValueError, "rng=-1 must not be negative"),
        ({"n_jobs": 0}, ValueError, "n_jobs=0"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs=1.5"),
        ({"masker": "mask.nii", "tfce": True}, TypeError, "inverse_transform and mask_img_, and this str lacks one"),
        ({"masker": NiftiMasker(standardize=None), "tfce": True}, TypeError, "masker must be a fitted NiftiMasker"),
    ],
)
def test_wrong_options_are_refused_with_numbers(options, error, message):
    with pytest.raises(error, match=message):
        group_map_test(blob(0), **{"n_permutations": 9, **options})


def test_seeds_of_any_size_flip_differently():
    nulls = [group_map_test(blob(0), n_permutations=20, rng=rng).null for rng in (5, np.int64(5), 2**32 + 5, 2**100)]
    np.testing.assert_array_equal(nulls[0], nulls[1])
    assert len({null.tobytes() for null in nulls}) == 3
