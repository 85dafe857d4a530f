"""A user's copy of the studyforrest film beside published hashes; a film under a free licence stands for the film."""

import hashlib
import re
import subprocess

import numpy as np
import pandas as pd
import pytest

from neurocca import studyforrest
from neurocca.cli import main
from neurocca.errors import DataError, NoInputError
from neurocca.features.frame_offsets import likeness, match_frames
from neurocca.features.phash import hash_to_hex, perceptual_hash
from neurocca.io.ffmpeg import program
from neurocca.io.movie import iter_frames
from neurocca.steps.verify_film import verify_films

FPS = studyforrest.FPS


def _walk(rng, n):
    """Hashes that move like those of a film: a few bits from frame to frame, all of them at cuts."""
    hashes = np.empty((n, 144), dtype=bool)
    for k in range(n):
        if k == 0 or rng.random() < 0.01:
            hashes[k] = rng.random(144) < 0.5
        else:
            hashes[k] = hashes[k - 1]
            hashes[k, rng.integers(0, 144, 3)] ^= True
    return hashes


def _again(rng, hashes):
    return hashes ^ (rng.random(hashes.shape) < 0.04)


GREY = np.arange(144) == 0


@pytest.mark.parametrize("offset", [0, 1, -7, 40])
def test_offsets_are_found_to_the_frame(offset, rng):
    film, other = _walk(rng, 2000), _walk(rng, 2000)
    copy = _again(rng, np.r_[np.tile(GREY, (max(0, offset), 1)), film[max(0, -offset) :]])
    score, found = likeness(copy, film)
    assert found == offset
    assert score > 10 * likeness(copy, other)[0]
    match = match_frames(copy, film, found)
    assert match.pieces == ((0, offset),)
    assert match.met == 1 - max(0, -offset) / len(film)
    assert match_frames(copy, other, 0).met < 0.01


@pytest.mark.parametrize("n", [3, 12, 700])
def test_frames_that_are_missing_or_too_many_are_found_where_they_are(n, rng):
    film = _walk(rng, 3000)
    lacks = _again(rng, np.r_[film[:1100], film[1100 + n :]])
    assert match_frames(lacks, film, likeness(lacks, film)[1]).pieces == ((0, 0), (1100, -n))
    more = _again(rng, np.r_[film[:1100], _walk(rng, n), film[1100:]])
    (first, middle) = match_frames(more, film, likeness(more, film)[1]).pieces
    assert first == (0, 0)
    assert middle[1] == n
    assert 1100 <= middle[0] <= 1100 + n


@pytest.mark.parametrize("at", [50, 110, 2830, 2940])
@pytest.mark.parametrize("n", [3, 12])
def test_frames_that_are_missing_near_an_end_are_found_too(at, n, rng):
    film = _walk(rng, 3000)
    lacks = _again(rng, np.r_[film[:at], film[at + n :]])
    assert match_frames(lacks, film, likeness(lacks, film)[1]).pieces == ((0, 0), (at, -n))


def test_another_rate_is_followed(rng):
    film = _walk(rng, 6000)
    copy = _again(rng, film[np.arange(6250) * 24 // 25])  # 24 frames per second of it, shown at 25
    pieces = match_frames(copy, film, likeness(copy, film)[1]).pieces
    assert len(pieces) > 10
    assert pieces[0][1] < 10
    assert pieces[-1][1] > 240


def test_shots_that_stand_still_stay_where_they_are(rng):
    film = np.r_[_walk(rng, 500), np.tile(_walk(rng, 1), (1000, 1)), _walk(rng, 500)]
    copy = _again(rng, film)
    assert match_frames(copy, film, likeness(copy, film)[1]).pieces == ((0, 0),)


def test_grey_frames_neither_count_nor_mislead(rng):
    film = np.r_[np.tile(GREY, (25, 1)), _walk(rng, 600), np.tile(GREY, (900, 1))]
    copy = np.r_[np.tile(GREY, (500, 1)), film[25:625], np.tile(GREY, (100, 1))]
    match = match_frames(copy, film, likeness(copy, film)[1])
    assert match.pieces == ((0, 475),)
    assert (match.met, match.n_pictures) == (1, 600)
    grey = match_frames(film[:25], film[:25], 0)
    assert (grey.met, grey.n_pictures) == (0, 0)


# real films


@pytest.fixture(scope="module")
def segments(real_film, tmp_path_factory):
    """Two segments that share 4 s of a real film, with what would have been published of them."""
    folder = tmp_path_factory.mktemp("film")
    visual = folder / "clone" / "annotation" / "visual"
    visual.mkdir(parents=True)
    for k, start in enumerate((60, 72)):
        path = folder / f"fg_av_ger_seg{k}.mkv"
        grey = "color=0x808080:s=320x180:r=25:d=1,format=yuv420p[grey]"
        film = "[0:v]fps=25,scale=320:180,format=yuv420p[film]"
        graph = f"{grey};{film};[grey][film]concat=n=2[out]"
        _ffmpeg("-ss", start, "-t", 16, "-i", real_film, "-filter_complex", graph, "-map", "[out]", "-crf", "14", path)
        frames = [frame[22:158] for frame in iter_frames(path, FPS)]  # rows 90 to 630 of 720, here
        _publish(visual, k, "phash", hash_to_hex(perceptual_hash(np.stack(frames))))
        _publish(visual, k, "md5sum", [hashlib.md5(frame.tobytes()).hexdigest() for frame in frames])
    return folder


def _ffmpeg(*options):
    subprocess.run([program(), "-v", "error", "-y", *map(str, options)], check=True, stdin=subprocess.DEVNULL)


def _publish(folder, segment, name, values):
    table = pd.DataFrame({"onset": np.arange(len(values)) / FPS, "duration": 1 / FPS, name: values})
    table.to_csv(folder / f"fg_av_ger_seg{segment}_{name}.tsv", sep="\t", index=False, float_format="%.2f")


def test_the_published_film_itself(segments):
    films = [segments / f"fg_av_ger_seg{k}.mkv" for k in (0, 1)]
    table, faults = verify_films(films, segments / "clone", n_jobs=2)
    assert faults == []
    assert table["run"].tolist() == ["1", "2"]
    assert table["offset"].tolist() == ["0", "0"]
    assert table["pictures"].tolist() == ["100.0 %", "100.0 %"]
    assert table["frames"].tolist() == table["published"].tolist() == [425, 425]


def test_a_copy_of_another_size_and_encoding_that_begins_late(segments, tmp_path, caplog):
    copy = tmp_path / "copy run-2.mp4"
    options = (
        "-vf",
        "tpad=start=7:start_mode=add:color=black,scale=480:270,eq=brightness=0.05:contrast=1.1",
        "-crf",
        35,
    )
    _ffmpeg("-i", segments / "fg_av_ger_seg1.mkv", *options, copy)
    table, faults = verify_films([copy], segments / "clone")
    assert faults == []
    assert table.loc[0, ["run", "offset"]].tolist() == ["2", "+7"]
    assert "0.28 s late" in caplog.text


def test_bars_may_be_cut_off(segments, tmp_path):
    copy = tmp_path / "seg0.mkv"
    _ffmpeg("-i", segments / "fg_av_ger_seg0.mkv", "-vf", "scale=1280:720,crop=1280:546:0:87,scale=640:274", copy)
    table, faults = verify_films([copy], segments / "clone")
    assert faults == []
    assert table.loc[0, "offset"] == "0"


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("select='not(between(n,200,211))',setpts=N/25/TB", r"lacks 12 frames at 8.\d\d s"),
        ("trim=end=9,setpts=N/25/TB", "shows 5.* of the run's pictures"),
    ],
)
def test_what_is_wrong_with_a_copy_is_said(filters, message, segments, tmp_path):
    copy = tmp_path / "seg0.mkv"
    _ffmpeg("-i", segments / "fg_av_ger_seg0.mkv", "-vf", filters, "-r", 25, copy)
    _, faults = verify_films([copy], segments / "clone")
    assert re.search(message, "\n".join(faults))


def test_exchanged_segments_and_other_films(segments, real_film, tmp_path):
    _, faults = verify_films([segments / "fg_av_ger_seg1.mkv"], segments / "clone", runs=["1"])
    assert faults == ["fg_av_ger_seg1.mkv: shows run 2, and stands for run 1."]
    other = tmp_path / "seg0.mkv"
    _ffmpeg("-ss", 200, "-t", 5, "-i", real_film, "-vf", "scale=320:180", other)
    table, faults = verify_films([other], segments / "clone")
    assert faults == ["seg0.mkv: shows none of the published pictures."]
    assert table.loc[0, "run"] == "none"


def test_frames_that_are_the_same_bit_for_bit(tmp_path, rng):
    film = tmp_path / "seg0.mkv"
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p", film)
    frames = np.stack([frame[90:630] for frame in iter_frames(film, FPS)])
    visual = tmp_path / "annotation" / "visual"
    visual.mkdir(parents=True)
    _publish(visual, 0, "phash", hash_to_hex(perceptual_hash(frames)))
    checksums = [hashlib.md5(frame.tobytes()).hexdigest() for frame in frames]
    _publish(visual, 0, "md5sum", [*checksums[:-5], *5 * ["0" * 32]])
    table, faults = verify_films([film], tmp_path)
    assert faults == []
    assert table.loc[0, "bit for bit"] == "80.0 %"


def test_bad_input(segments, tmp_path):
    film = segments / "fg_av_ger_seg0.mkv"
    with pytest.raises(NoInputError, match="neurocca fetch studyforrest DEST --what measures"):
        verify_films([film], tmp_path)
    with pytest.raises(NoInputError, match=r"seg9\.mkv"):
        verify_films([tmp_path / "seg9.mkv"], segments / "clone")
    square = tmp_path / "seg0.mkv"
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=s=90x90:r=25:d=1", square)
    with pytest.raises(DataError, match="90 x 90 is neither 16:9 nor"):
        verify_films([square], segments / "clone")
    visual = tmp_path / "annotation" / "visual"
    visual.mkdir(parents=True)
    _publish(visual, 0, "phash", ["8" + 35 * "0", "123"])
    with pytest.raises(DataError, match="hash 1 is '123'"):
        verify_films([film], tmp_path)


def test_the_command(tmp_path, capsys):
    film = tmp_path / "seg1.mkv"
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", film)
    visual = tmp_path / "stimulus" / "curated_annotations" / "src" / "confounds" / "annotation" / "visual"
    visual.mkdir(parents=True)
    frames = np.stack([frame[22:158] for frame in iter_frames(film, FPS)])
    _publish(visual, 1, "phash", hash_to_hex(perceptual_hash(frames)))
    command = ["features", str(film), "--verify-studyforrest", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out.split("\n")[1].split() == ["seg1.mkv", "2", "50", "50", "0", "100.0", "%", "n/a"]
    assert main([*command, "--runs", "1"]) == 65
    out, err = capsys.readouterr()
    assert "seg1.mkv: shows run 2, and stands for run 1." in out
    assert err == "neurocca: error: not as published; differences found (listed above): 1.\n"
    assert main(["features", str(visual), "--verify-studyforrest", str(tmp_path)]) == 64
