"""The published per-frame measures of the studyforrest film, and the definitions of the same measures here.

The film itself is not public. What is published pins the definitions: their units, their bounds, their grey frames, the
hashes that a difference was taken of, and the 16 s of film that neighbouring segments share in two encodings.
"""

import io

import numpy as np
import pandas as pd
import pytest

from neurocca import studyforrest
from neurocca.features.lowlevel import studyforrest_measures
from neurocca.features.phash import hamming, hex_to_hash, perceptual_hash

pytestmark = pytest.mark.realdata

# fg_av_ger_seg0_phash.tsv of studyforrest-data-confoundsannotation (PDDL), around the first frames of the film
PUBLISHED_HASHES = """onset	duration	phash
1.00	0.04	800000000000000000000000000000000000
1.04	0.04	cccccc333333000cccccc333333333cccccc
1.08	0.04	9cc98cb33f33cceccc4cc633233946946d1b
1.12	0.04	9ccdcc733b33dce4cc099b331264e6bc8f01
1.16	0.04	9cc9ec6b3f73f4c4ec099b11f24086b49f09
1.20	0.04	9cc9e46b3bdbf444e6099b11d240e6b49f0d
1.24	0.04	9ccb646b3bfbf444a409bb11d240e6b49f2c
1.28	0.04	9ccb446b3bfbf444a409bf51d24066b49f2c
1.32	0.04	9ccb446b1bfbf444a40dbf51d24166b49f24
1.36	0.04	9ccb444b1bfbe444a41fbf51d24166b49f24
"""


@pytest.fixture(scope="module")
def published(studyforrest_data):
    """Per-frame measures of every run, one array each."""
    folder = studyforrest_data / "confoundsannotation" / "annotation" / "visual"

    def values(segment, measure):
        return pd.read_csv(folder / f"fg_av_ger_seg{segment}_{measure}.tsv", sep="\t").iloc[:, 2].to_numpy(float)

    names = ("brmean", "brlr", "brud", "normdiff")
    return [{name: values(k, name) for name in names} for k in range(len(studyforrest.RUNS))]


def test_brightness_is_made_of_four_rounded_quadrants(published):
    for run in published:
        total, left_right, up_down = 4 * run["brmean"], run["brlr"], run["brud"]
        for values in (total, left_right, up_down):
            np.testing.assert_array_equal(values, np.rint(values))
        # sums and differences of the same four whole numbers are even or odd together
        assert not np.any((total + left_right) % 2)
        assert not np.any((total + up_down) % 2)
        assert total.min() >= 0
        assert np.all(np.maximum(np.abs(left_right), np.abs(up_down)) <= np.minimum(total, 4 * 255 - total))
        # their sum is twice the difference of two quadrants across the middle
        assert np.all(np.abs(left_right) + np.abs(up_down) <= 2 * 255)


def test_skies_are_up(published):
    assert all(run["brud"].mean() > 5 for run in published)


def test_segments_begin_and_end_grey(published):
    grey = studyforrest_measures([np.full((720, 1280, 3), 128, dtype=np.uint8)] * 2)[0][1]
    for run in published:
        for frame in (0, 1, -1, -100):
            assert [run[name][frame] for name in ("brmean", "brlr", "brud", "normdiff")] == grey.tolist()


def test_differences_count_bits_of_which_every_picture_sets_half(published):
    for run in published:
        bits = run["normdiff"] * 144
        np.testing.assert_allclose(bits, np.rint(bits), atol=1e-4)  # published to six decimals
        assert bits.max() < 144
        # two hashes of 72 bits each differ in an even number; an odd one comes of a grey frame beside a picture
        assert np.sum(np.rint(bits) % 2) <= 4
    pictures = np.random.default_rng(0).integers(0, 256, (5, 54, 128, 3), dtype=np.uint8)
    assert perceptual_hash(pictures).sum(axis=1).tolist() == [72] * 5


def test_published_hashes_give_the_published_differences(published):
    table = pd.read_csv(io.StringIO(PUBLISHED_HASHES), sep="\t")
    hashes = hex_to_hash(table["phash"])
    frames = np.rint(table["onset"].to_numpy() * studyforrest.FPS).astype(int)
    # each to the frame before, written on its own row
    np.testing.assert_allclose(hamming(hashes[1:], hashes[:-1]), published[0]["normdiff"][frames[1:]], atol=1e-6)
    grey = perceptual_hash(np.full((1, 540, 1280, 3), 128, dtype=np.uint8))
    np.testing.assert_array_equal(hashes[0], grey[0])


def test_two_encodings_of_the_same_frames_agree(published):
    """How closely a copy of the film should meet the published measures: as closely as they meet each other."""
    shared = np.arange(30, 300)  # between the fade into a run and the fade out of the one before
    for k in range(len(published) - 1):
        starts = studyforrest.SEGMENT_START_FRAMES
        earlier = shared + starts[k + 1] - starts[k] + studyforrest.SEGMENT_LEAD_FRAMES
        later = shared + studyforrest.SEGMENT_LEAD_FRAMES

        def apart(name, k=k, earlier=earlier, later=later):
            return np.abs(published[k][name][earlier] - published[k + 1][name][later]).max()

        assert apart("brmean") <= 0.75
        assert max(apart("brlr"), apart("brud")) <= 2
        assert apart("normdiff") <= 6.001 / 144
        assert apart("normdiff", later=later + 1) > 50 / 144  # one frame off, cuts fall on others
