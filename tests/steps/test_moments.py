"""A film with planted events, from the front door to the moments and to a reel of them."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from neurocca import FeatureSeries
from neurocca.cli import main
from neurocca.io.analyses import Analysis
from neurocca.io.moments import read_for_report
from neurocca.io.movie import iter_frames, probe
from neurocca.io.movie_writing import write_movie
from neurocca.io.sound import read_audio
from neurocca.io.stills import still
from neurocca.io.store import write_store
from neurocca.temporal.hrf import convolve_hrf
from tests.io.films import SIZE, number_of, numbered

T_R, N, SECONDS, FPS, RATE = 2.0, 60, 120.0, 2, 8000
EVENTS = {"1": {25.25: 3.0, 60.5: -2.6, 95.0: 1.9}, "2": {40.0: 2.5, 80.75: -3.0}, "3": {30.0: -2.2, 70.5: 2.8}}
CONFIGS = {
    "hrf": 'response = "hrf"',
    "run": 'response = "hrf"\nhrf = "spm + derivative"\nstandardize = "run"',
    "delays": 'response = "delays"\ndelays = [1, 2, 3, 4]',
}


def pitch(seconds):
    """Hertz of the film's sound: another one every ten seconds."""
    return 300 + 100 * (np.asarray(seconds) // 10)


def make_film(path):
    t = np.arange(int(SECONDS * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * pitch(t) * t)
    return write_movie(
        path, lambda s: numbered(round(s * FPS)), SECONDS, FPS, SIZE, np.column_stack([tone, tone]), RATE
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("moments"), np.random.default_rng(3)
    times, spaces = np.arange(0, SECONDS, 0.25), {"planted": {}}
    for run, events in EVENTS.items():
        light = 0.05 * rng.standard_normal(len(times))
        for second, height in events.items():
            light[np.abs(times + 0.125 - second) < 0.75] += height
        film = np.column_stack([light, rng.standard_normal(len(times))])
        spaces["planted"][run] = FeatureSeries(film, times, ("light", "other"))
        response = convolve_hrf(film[:, :1], times, (np.arange(N) + 0.5) * T_R)
        bold = response / response.std() + rng.standard_normal((N, 4))
        table = folder / f"data/sub-01/func/sub-01_task-film_run-{run}_bold.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(bold, columns=list("abcd")).to_csv(table, sep="\t", index=False)
        (folder / "films").mkdir(exist_ok=True)
        make_film(folder / "films" / f"part_run-{run}.mp4")
    write_store(folder / "features.h5", spaces, {})
    for name, align in CONFIGS.items():
        toml = f"[align]\nt_r = {T_R}\nconfounds = []\n{align}\n[fit]\nn_components = 2\n"
        (folder / f"{name}.toml").write_text(f"{toml}[inference]\nn_permutations = 59\n")
        command = [str(folder / "data"), str(folder / name), "participant", "--features", str(folder / "features.h5")]
        assert main([*command, "--config-file", str(folder / f"{name}.toml")]) == 0
    return folder


def films(study):
    return [str(study / "films" / f"part_run-{run}.mp4") for run in EVENTS]


def reel(study, *options, name="hrf", component="0"):
    return main(["reel", str(study / name), "--participant", "01", "--component", component, *map(str, options)])


def table(study, name="hrf"):
    path = study / name / "sub-01/func/sub-01_task-film_desc-ccaStimulus_moments.tsv"
    return pd.read_csv(path, sep="\t", dtype={"run": str})


@pytest.mark.parametrize(("name", "tolerance"), [("hrf", 0.5), ("run", 0.5), ("delays", 1.2)])
def test_planted_events_are_the_moments(study, name, tolerance):
    found = table(study, name)
    first = found[found["component"] == "cca_00"]
    top = first[first["rank"] == 1].iloc[0]
    # the sign of a component is free
    sign = 1 if EVENTS[top["run"]][min(EVENTS[top["run"]], key=lambda s: abs(s - top["seconds"]))] > 0 else -1
    planted = {(run, second): sign * height for run, events in EVENTS.items() for second, height in events.items()}
    for word, side in (("high", 1), ("low", -1)):
        events = sorted(
            (place for place, height in planted.items() if side * height > 0), key=lambda p: -abs(planted[p])
        )
        rows = first[first["sign"] == word].head(len(events))
        assert (side * rows["value"] > 1).all()
        assert (side * rows["value"]).is_monotonic_decreasing
        assert list(rows["rank"]) == list(range(1, len(events) + 1))
        for run, second in events:
            near = rows.loc[(rows["run"] == run) & ((rows["seconds"] - second).abs() <= tolerance)]
            assert len(near) == 1, (word, run, second, rows)


def test_moments_keep_apart_and_inside_their_film(study):
    for name in CONFIGS:
        for _, moments in table(study, name).groupby(["component", "sign", "run"]):
            assert (np.diff(np.sort(moments["seconds"])) >= 9.99).all()
            assert moments["seconds"].between(0, SECONDS).all()
    sidecar = study / "hrf/sub-01/func/sub-01_task-film_desc-ccaStimulus_moments.json"
    about = json.loads(sidecar.read_text())
    assert set(table(study)) <= set(about)
    assert "without deconvolution" in about["Delay"]
    assert about["Films"] == {}


def test_the_page_names_the_times_where_there_is_no_film(study):
    page = (study / "hrf" / "sub-01_task-film.html").read_text()
    top = table(study).iloc[0]
    assert f"run {top['run']} at {int(top['seconds'] // 60)}:{top['seconds'] % 60:04.1f}" in page


def test_a_reel_shows_and_sounds_like_the_moments(study, tmp_path, capsys):
    target = tmp_path / "reel.mp4"
    assert reel(study, "-o", target, "--film", *films(study), "--seconds", "20") == 0
    assert capsys.readouterr().out.rstrip().endswith(str(target))
    info, first = probe(target), table(study)
    first = first[first["component"] == "cca_00"]
    chosen = pd.concat([first[first["sign"] == sign].head(2) for sign in ("high", "low")])
    assert info.duration == pytest.approx(20.0, abs=0.05)
    assert info.has_audio
    assert info.size[0] == 480
    sound, picture = read_audio(target, RATE)[:, 0], 480 * SIZE[1] // SIZE[0]
    for i, (_, moment) in enumerate(chosen.iterrows()):
        frame = still(target, 5 * i + 2.5, info.size)
        assert abs(number_of(frame[:picture]) - int(moment["seconds"] * FPS)) <= 1
        # from the moment on half a second, within the ten seconds of one pitch or beside their border
        heard = sound[int((5 * i + 2.5) * RATE) :][: RATE // 2]
        loudest = np.abs(np.fft.rfft(heard)).argmax() * 2
        assert min(abs(loudest - pitch(moment["seconds"] + s)) for s in (-0.3, 0.3, 0.6)) <= 4
    # each clip has a caption of its own, which does not move
    captions = [still(target, 5 * i + s, info.size)[picture:].astype(int) for i in range(2) for s in (1, 4)]
    assert (captions[0] > 200).mean() > 0.01
    assert np.abs(captions[0] - captions[1]).mean() < 0.5 < np.abs(captions[0] - captions[2]).mean()


def test_a_short_reel_is_of_one_moment_and_films_may_be_told_in_any_order(study, tmp_path):
    target, again = tmp_path / "one.mp4", tmp_path / "again.mp4"
    assert reel(study, "-o", target, "--film", *films(study)[::-1], "--seconds", "2") == 0
    assert reel(study, "-o", again, "--film", *films(study), "--seconds", "2") == 0
    assert probe(target).duration == pytest.approx(2.0, abs=0.05)
    assert target.read_bytes() == again.read_bytes()


def test_a_storyboard_is_written_from_films_that_are_given(study, tmp_path):
    from PIL import Image

    assert reel(study, "-o", tmp_path / "board.jpg", "--film", *films(study)) == 0
    with Image.open(tmp_path / "board.jpg") as image:
        assert image.size[0] == 1800
        assert np.asarray(image).std() > 30


def test_times_are_listed_without_a_film(study, capsys, tmp_path):
    assert reel(study) == 0
    listed = capsys.readouterr().out
    assert len(listed.splitlines()) == 1 + (table(study)["component"] == "cca_00").sum()
    assert reel(study, "-o", tmp_path / "reel.mp4") == 66
    said = capsys.readouterr()
    assert said.out == listed
    assert re.fullmatch(r"neurocca: error: no film of run 1, .* is known: give the films with --film.*\n", said.err)
    assert not list(tmp_path.iterdir())


def bad_inputs(study, tmp_path):
    short = make_film(tmp_path / "full.mp4").with_name("short.mp4")
    write_movie(short, lambda s: numbered(round(s * FPS)), 20, FPS, SIZE)
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    three = [str(short)] * 3
    good = tmp_path / "reel.mp4"
    return [
        (64, r"-o .*reel\.avi: its name must end in \.mp4", ["-o", tmp_path / "reel.avi"]),
        (64, r"--component 7: sub-01 has 2 components, 0 to 1\.", ["--component", "7"]),
        (64, r"--component -1: sub-01 has 2 components", ["--component", "-1"]),
        (64, r"--seconds 0: give a length", ["-o", good, "--seconds", "0"]),
        (64, r"--film: 1 films for 3 runs", ["-o", good, "--film", short]),
        (64, r"say with -o which", ["--film", short]),
        (18, r"no results of participant 09", ["--participant-label", "09"]),
        (18, r"no results of participant 01 task rest", ["-t", "rest"]),
        (65, r"short\.mp4: lasts 20\.0 s, but moments of run \d lie up to", ["-o", good, "--film", *three]),
        (65, r"ffmpeg finds no readable pictures|is an empty file", ["-o", good, "--film", *[tmp_path / "file"] * 3]),
        (66, r"gone\.mp4: no such file", ["-o", good, "--film", *[tmp_path / "gone.mp4"] * 3]),
        (73, r"a file is in its place|cannot be written", ["-o", tmp_path / "file" / "reel.mp4"]),
        (73, r"folder\.mp4: cannot be written: a directory", ["-o", tmp_path / "folder.mp4"]),
    ]


def test_bad_input_is_one_line_and_leaves_nothing(study, tmp_path, capsys):
    cases = bad_inputs(study, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for code, message, options in cases:
        assert reel(study, *options) == code, options
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert re.search(message, error), (message, error)
    assert main(["reel", str(tmp_path), "--participant", "01"]) == 66
    assert "no neurocca results" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_results_without_a_table_say_what_to_do(study, capsys):
    path = study / "run/sub-01/func/sub-01_task-film_desc-ccaStimulus_moments.tsv"
    away = path.rename(path.with_suffix(".away"))
    try:
        assert reel(study, name="run") == 66
        assert "run the participant level once more" in capsys.readouterr().err
        # of older results there are reports still
        assert read_for_report(study / "run", Analysis("01", "film"), ["cca_00"]) == {
            "moments": None,
            "storyboards": {},
        }
    finally:
        away.rename(path)


def test_frames_of_a_still(study):
    film = study / "films" / "part_run-1.mp4"
    assert number_of(still(film, 30.2, SIZE)) == 60
    assert number_of(still(film, SECONDS + 5, SIZE)) == number_of(list(iter_frames(film, FPS))[-1])
