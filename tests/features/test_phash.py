import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import fftpack

from neurocca.features.phash import hamming, hash_to_hex, hex_to_hash, perceptual_hash


def _photo(name):
    from skimage import data

    return np.ascontiguousarray(getattr(data, name)()[..., :3])


def _reference(frame):
    """What ImageHash does: Pillow's grey and Lanczos scaling, cosine transform, median."""
    small = np.asarray(Image.fromarray(frame).convert("L").resize((48, 48), Image.Resampling.LANCZOS))
    low = fftpack.dct(fftpack.dct(small, axis=0), axis=1)[:12, :12]
    return (low > np.median(low)).ravel()


@pytest.mark.parametrize("size", [(1280, 540), (320, 180), (128, 72), (48, 48), (160, 96), (31, 17), (1, 1)])
def test_against_pillow_and_scipy(size):
    width, height = size
    rng = np.random.default_rng(width)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(_photo("astronaut")).resize(size))
    smooth = np.clip(128 + rng.standard_normal((height, width, 3)).cumsum(axis=1), 0, 255).astype(np.uint8)
    frames = np.stack([noise, photo, smooth, np.full_like(noise, 77)])
    np.testing.assert_array_equal(perceptual_hash(frames), [_reference(frame) for frame in frames])


def test_a_bit_for_each_frequency_above_the_median():
    hashes = perceptual_hash(np.stack([_photo("chelsea"), _photo("chelsea")[::-1, ::-1]]))
    assert hashes.shape == (2, 144)
    assert hashes.sum(axis=1).tolist() == [72, 72]
    black = np.zeros((1, 20, 20, 3), dtype=np.uint8)
    assert perceptual_hash(black).sum() == 0
    assert hash_to_hex(perceptual_hash(black + np.uint8(9))) == ["8" + 35 * "0"]
    assert perceptual_hash(np.empty((0, 9, 9, 3), dtype=np.uint8)).shape == (0, 144)


@pytest.mark.parametrize(("quality", "bits"), [(75, 2), (30, 4), (10, 8)])
def test_encoding_anew_changes_few_bits(quality, bits, tmp_path):
    photo = _photo("astronaut")
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=quality)
    again = np.asarray(Image.open(tmp_path / "photo.jpg"))
    dimmed = (photo * 0.8).astype(np.uint8)
    halved = np.asarray(Image.fromarray(photo).resize((256, 256)))
    for version in (again, dimmed, halved):
        assert hamming(perceptual_hash(version[None]), perceptual_hash(photo[None]))[0] <= bits / 144


def test_other_pictures_differ_in_about_half_of_the_bits():
    photos = [_photo(name) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    hashes = np.stack([perceptual_hash(photo[None])[0] for photo in photos])
    distances = hamming(hashes[:, None], hashes)[np.triu_indices(4, 1)]
    assert distances.min() > 0.3
    assert distances.mean() == pytest.approx(0.5, abs=0.1)


bits = st.binary(min_size=18, max_size=18).map(lambda packed: np.unpackbits(np.frombuffer(packed, np.uint8)).tolist())


@given(bits, bits, bits)
def test_distance_is_a_metric_of_144ths(a, b, c):
    ab = float(hamming(a, b))
    assert ab == hamming(b, a)
    assert (ab == 0) == (a == b)
    assert hamming(a, c) <= ab + hamming(b, c) + 1e-12
    assert round(ab * 144) == np.sum(np.array(a) != np.array(b))


@given(st.lists(bits, max_size=3))
def test_text_gives_the_bits_back(rows):
    hashes = np.array(rows, dtype=bool).reshape(-1, 144)
    np.testing.assert_array_equal(hex_to_hash(hash_to_hex(hashes)), hashes)


def test_text_begins_with_the_first_bit():
    first = np.arange(144) == 0
    assert hash_to_hex([first, ~first]) == ["8" + 35 * "0", "7" + 35 * "f"]
    np.testing.assert_array_equal(hex_to_hash(["7" + 35 * "F"])[0], ~first)


@pytest.mark.parametrize("text", ["", "12", 36 * "g", 37 * "0", 18 * " 1"])
def test_refuses_what_is_no_hash(text):
    with pytest.raises(ValueError, match=r"hash 1 is .*: expected 36 hexadecimal digits"):
        hex_to_hash([36 * "0", text])
