"""The group level: what it finds where it is known, what it must not depend on, and what it says of bad input."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from nibabel import Nifti1Image

from neurocca import LinearCCA, held_out_test
from neurocca.cli import main
from neurocca.config import Config, InferenceConfig
from neurocca.design import FeatureSeries
from neurocca.io.analyses import analyses_of
from neurocca.io.derivatives import write_results
from neurocca.io.files import staged
from neurocca.io.finished import mark_finished
from neurocca.io.group import GroupAnalysis, groups_in, read_group_record
from neurocca.io.layout import find_recordings
from neurocca.io.store import FeatureStore, write_store
from neurocca.steps.analysis import analyse
from neurocca.steps.assemble import assemble
from neurocca.steps.group_matching import match_members
from neurocca.steps.group_members import Member, _mask, common_columns, read_members
from neurocca.steps.group_report import draw_groups
from neurocca.steps.group_second_level import consistency, second_level
from neurocca.steps.report import write_index
from tests.conftest import ar1

SUBJECTS = ("01", "02", "03", "04", "05", "06")
SETTINGS = """\
[align]
t_r = 2.0
response = "delays"
delays = [1, 2]
[fit]
n_components = 2
shrinkage_x = [0.1]
shrinkage_y = [0.1]
[inference]
n_permutations = 99
"""


def write_dataset(folder: Path) -> None:
    """Six simulated participants: feature 0 moves parcels of all, feature 1 those of sub-01 alone."""
    rng = np.random.default_rng(20)
    films = {}
    for run in ("1", "2", "3"):
        film = ar1(rng, 90, 4, 0.5)
        films[run] = FeatureSeries(film, np.arange(90) * 2.0, ("shared", "own", "c", "d"))
        response = np.vstack([np.zeros((2, 4)), film[:-2]])
        for subject in SUBJECTS:
            bold = ar1(rng, 90, 8, 0.4)
            bold[:, :3] += 1.5 * response[:, :1] * [1, 0.8, -1]
            if subject == "01":
                bold[:, 4:6] += 1.5 * response[:, 1:2]
            path = folder / "dataset" / f"sub-{subject}" / "func" / f"sub-{subject}_task-film_run-{run}_bold.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            # the parcels that a participant has differ
            names = [f"p{j}" for j in range(8)] if subject != "02" else [*(f"p{j}" for j in range(7)), "p9"]
            pd.DataFrame(bold, columns=names).to_csv(path, index=False)
    write_store(folder / "features.h5", {"film": films}, {})


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("group")
    write_dataset(folder)
    participants(folder / "dataset", folder, SETTINGS)
    return folder


def participants(dataset: Path, folder: Path, settings: str) -> None:
    """What the participant level writes into ``out``, but for pages and figures, which take most of its time here."""
    (folder / "config.toml").write_text(settings)
    config = Config.from_toml(folder / "config.toml")
    with FeatureStore(folder / "features.h5") as store:
        for recording in find_recordings(dataset, t_r=config.align.t_r):
            results = analyse(recording, assemble(recording, store, config), config)
            with staged(folder / "out") as stage:
                write_results(stage, results, config)


@pytest.fixture
def copy(study, tmp_path) -> Path:
    """The participants' results, to be changed; the dataset stays where it is."""
    shutil.copytree(study / "out", tmp_path / "out")
    return tmp_path / "out"


def command(study: Path, out: Path, *extra: str, shared: bool = False) -> list[str]:
    fit = ["--features", str(study / "features.h5")] if shared else ["--no-shared-fit"]
    return [str(study / "dataset"), str(out), "group", *fit, *extra]


def record_of(out: Path) -> dict:
    return read_group_record(out, GroupAnalysis("film"))


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / f"task-film_{name}.tsv", sep="\t")


def page(out: Path) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", (out / "group_task-film.html").read_text()).split())


def fails(capsys, arguments: list[str], code: int, message: str) -> None:
    capsys.readouterr()
    assert main(arguments) == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, last), last


@pytest.fixture(scope="module")
def group(study, tmp_path_factory) -> Path:
    """Output with group results, all brains together as well."""
    out = tmp_path_factory.mktemp("whole") / "out"
    shutil.copytree(study / "out", out)
    assert main(command(study, out, shared=True)) == 0
    return out


def test_the_shared_component_is_found_in_all_and_the_other_in_one(group):
    first, second = record_of(group)["Components"]
    assert first["ShownBy"] == [f"sub-{s}" for s in SUBJECTS]
    assert second["ShownBy"] == ["sub-01"]
    assert first["IntersubjectCorrelation"] > 0.6
    assert first["PValueIntersubject"] == 0.01
    assert second["PValueIntersubject"] > 0.05
    assert first["Similarity"] > 0.9
    assert table(group, "desc-ccaGroup_matches").groupby("component").size().tolist() == [6, 6]


def test_maps_show_where_the_shared_component_is_and_no_other_place(group):
    p = table(group, "stat-p_desc-ccaGroupFWE_statmap").set_index("parcel")
    assert list(p.index) == [f"p{j}" for j in range(7)]  # what sub-02 lacks, and what it alone has, is not there
    assert (p.loc[["p0", "p1", "p2"], "cca_00"] < 0.05).all()
    assert (p["cca_01"] > 0.05).all()
    mean = table(group, "desc-ccaGroup_components").set_index("parcel")["cca_00"]
    assert np.sign(mean["p0"]) == np.sign(mean["p1"]) == -np.sign(mean["p2"])
    strongest = table(group, "desc-ccaGroup_loadings").set_index(["feature", "delay"])["cca_00"]
    assert strongest.idxmax() == ("shared", 2)


def test_film_and_all_brains_share_one_component(group):
    shared = record_of(group)["Shared"]
    assert shared["Skipped"] is None
    assert shared["ColumnsPerParticipant"] == {f"sub-{s}": 8 for s in SUBJECTS}
    first, second = shared["Components"]
    assert first["HeldOutFilmBrain"] > 0.6
    assert second["HeldOutFilmBrain"] < 0.3
    assert first["MostAlike"] == "onemap_00"
    one, other = shared["OneMap"]["Components"]
    assert one["PValue"] == 0.01
    assert other["PValue"] > 0.05
    assert len(table(group, "desc-ccaSharedOneMap_permutations")) == 100
    assert len(table(group, "desc-ccaShared_timeseries")) == 270


def test_files_are_valid_bids_and_the_pages_stand_alone(group):
    program = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([program, group, "--format", "json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    html = (group / "group_task-film.html").read_text()
    assert not re.search(r'(src|href)="https?://(?!doi\.org)', html)
    assert len(re.findall("<svg", html)) == len(re.findall('<svg[^>]*aria-label="[^"]{20,}"', html)) > 5
    assert 'href="group_task-film.html"' in (group / "index.html").read_text()


def test_the_index_says_when_a_participant_was_analysed_anew(group, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(group, out)
    analysis = next(one for one in analyses_of(out) if one.subject == "01")
    files = sorted(path.relative_to(out) for path in (out / "sub-01/func").iterdir())
    mark_finished(out, analysis, {}, files)
    write_index(out)
    before = (out / "index.html").read_text()
    assert "Out of date" not in before
    assert "Not in it" not in before
    shutil.rmtree(out / "sub-02")
    for path in sorted((out / "sub-01").rglob("*.*")):  # a participant who came later
        place = out / path.relative_to(out).as_posix().replace("sub-01", "sub-99")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    write_index(out)
    after = (out / "index.html").read_text()
    assert "Not in it: sub-99." in after
    assert "not here any more: sub-02." in after
    changed = out / "sub-01/func/sub-01_task-film_desc-cca_mixing.tsv"
    changed.write_text(changed.read_text() + "\n")
    mark_finished(out, analysis, {}, files)
    write_index(out)
    assert "<strong>Out of date</strong>: sub-01 has been analysed anew" in (out / "index.html").read_text()


def test_the_same_command_gives_the_same_bytes_and_reports_can_be_made_again(group, study, tmp_path):
    again = tmp_path / "out"
    shutil.copytree(study / "out", again)
    assert main(command(study, again, "--n-jobs", "2", shared=True)) == 0
    names = sorted(path.name for path in group.glob("*task-film*"))
    assert names == sorted(path.name for path in again.glob("*task-film*"))
    for name in names:
        one, other = (group / name).read_bytes(), (again / name).read_bytes()
        one, other = one.replace(str(group).encode(), b""), other.replace(str(again).encode(), b"")
        assert one == other.replace(b" --n-jobs 2", b""), name
    before = (again / "group_task-film.html").read_bytes()
    (again / "group_task-film.html").unlink()
    assert draw_groups(again) == [again / "group_task-film.html"]
    assert (again / "group_task-film.html").read_bytes() == before


def scramble(out: Path, subject: str, order: list[int], signs: list[int]) -> None:
    """Give a participant's components another order and other signs, in all files."""
    folder = out / f"sub-{subject}" / "func"
    names = [f"cca_{i:02d}" for i in range(len(order))]
    for path in folder.glob("*.tsv"):
        content = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        if not set(names) <= set(content):
            continue
        flips = [1] * len(order) if "permutations" in path.name else signs
        new = {
            name: [f"{float(value) * sign:.7g}" for value in content[names[source]]]
            for name, source, sign in zip(names, order, flips, strict=True)
        }
        content.assign(**new).to_csv(path, sep="\t", index=False)
    path = next(folder.glob("*desc-cca_decomposition.json"))
    record = json.loads(path.read_text())
    record["Components"] = [{**record["Components"][i], "Name": names[j]} for j, i in enumerate(order)]
    path.write_text(json.dumps(record))


def test_what_is_there_is_not_done_again_and_what_changed_is(group, study, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(group, out)
    capsys.readouterr()
    assert main(command(study, out, shared=True)) == 0
    assert "as before: nothing has changed" in capsys.readouterr().out
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == sorted(
        path.name for path in group.rglob("*") if path.is_file()
    )
    (log,) = out.glob("logs/*_*/neurocca.log")
    assert "task-film: done in" in log.read_text()
    # without the fit of all brains, its maps and tables are not left beside the new record
    assert list(out.glob("task-film_desc-ccaShared*"))
    assert main(command(study, out)) == 0
    assert "as before" not in capsys.readouterr().out
    assert not list(out.glob("task-film_desc-ccaShared*"))
    assert len(list(out.glob("logs/*_*/neurocca.log"))) == 2
    loadings = next(out.glob("sub-03/func/*_desc-ccaStimulus_loadings.tsv"))
    loadings.write_text(loadings.read_text().replace("shared\t1\t", "shared\t1\t-"))
    assert main(command(study, out)) in (0, 65)
    assert "as before" not in capsys.readouterr().out


def test_bold_that_is_other_than_what_participants_were_analysed_with_is_refused(study, copy, capsys, tmp_path):
    shutil.copytree(study / "dataset", tmp_path / "dataset")
    record = copy / "sub-02/func/sub-02_task-film_desc-cca_decomposition.json"
    content = json.loads(record.read_text())
    content["Inputs"] = [{"Path": "sub-02/func/sub-02_task-film_run-1_bold.csv", "SHA256": "0" * 64}]
    record.write_text(json.dumps(content))
    fails(capsys, command(study, copy, shared=True), 65, "run-1_bold.csv: was changed since sub-02 was analysed")


def test_maps_of_the_group_lie_in_the_space_of_the_participants(rng):
    images = []
    for _ in range(2):
        image = Nifti1Image(rng.normal(size=(4, 4, 4, 2)).astype(np.float32), np.diag([2.0, 2, 2, 1]))
        image.set_sform(image.affine, 4)
        images.append(image)
    members = [SimpleNamespace(subject=str(i), mask=_mask(np.ones((4, 4, 4), bool), image), maps=np.ones((2, 64)))
               for i, image in enumerate(images)]  # fmt: skip
    _, _, mask = common_columns(members)
    assert int(mask.header["sform_code"]) == int(mask.header["qform_code"]) == 4


def test_order_and_signs_of_a_participants_components_do_not_matter(study, group, copy):
    scramble(copy, "01", [1, 0], [-1, 1])
    scramble(copy, "03", [0, 1], [-1, -1])
    scramble(copy, "06", [1, 0], [1, 1])
    assert main(command(study, copy)) == 0
    assert record_of(copy)["Components"] == record_of(group)["Components"]
    for name in ("desc-ccaGroup_components", "desc-ccaGroup_loadings", "desc-ccaGroup_permutations",
                 "stat-t_desc-ccaGroup_statmap", "stat-p_desc-ccaGroupFWE_statmap"):  # fmt: skip
        pd.testing.assert_frame_equal(table(copy, name), table(group, name), rtol=1e-5, atol=1e-6)


def members_of(study: Path) -> list[Member]:
    ((_, analyses),) = groups_in(study / "out").items()
    members, damaged = read_members(study / "out", analyses)
    assert not damaged
    return members


def test_neither_maps_nor_the_order_of_participants_decide_about_the_match(study):
    members = members_of(study)
    found = match_members(members)
    turned = match_members([replace(m, maps=m.maps * (-1) ** i, held_out_bold=-m.held_out_bold) for i, m in
                            enumerate(members)])  # fmt: skip
    backwards = match_members(members[::-1])
    for other, step in ((turned, 1), (backwards, -1)):
        np.testing.assert_array_equal(other.order[::step], found.order)
        np.testing.assert_array_equal(other.signs[::step], found.signs)
        np.testing.assert_allclose(other.similarity[::step], found.similarity)


def noise_members(rng: np.random.Generator, n: int = 5) -> list[Member]:
    """Participants whose brains have nothing to do with the film that all of them saw."""
    runs = np.repeat(["1", "2", "3"], 80)
    film = ar1(rng, 240, 4, 0.5)
    index = pd.MultiIndex.from_product([["film"], list("abcd"), [""]], names=["space", "feature", "delay"])
    made = []
    for i in range(n):
        bold = ar1(rng, 240, 6, 0.5)
        test = held_out_test(LinearCCA(2, shrinkage=0.1), film, bold, runs=runs, n_permutations=1, rng=0)
        stimulus, own = test.estimator.transform(film, bold)
        loadings = [np.corrcoef(z.T, view.T)[:2, 2:] for z, view in ((stimulus, film), (own, bold))]
        made.append(
            Member(
                str(i),
                {
                    "RepetitionTime": 1.0,
                    "Components": [{"HeldOutCorrelation": r} for r in test.mean],
                    "Runs": [{"Run": run, "FirstKept": 0, "Kept": 80, "Censored": 0} for run in "123"],
                },
                stimulus,
                *test.variates(film, bold),
                pd.DataFrame(loadings[0].T, index=index),
                loadings[1],
                tuple("pqrstu"),
                None,
                "",
            )
        )
    return made


def test_noise_is_called_a_finding_as_rarely_as_it_says():
    """Thirty groups of five, of which one or two are expected to err in either test."""
    rng = np.random.default_rng(5)
    inference = InferenceConfig(n_permutations=39, min_shift=5.0)
    agree = places = 0
    for i in range(30):
        members, seed = noise_members(rng), np.random.SeedSequence(i)
        matching = match_members(members)
        result, runs, _ = consistency(members, matching, inference, seed)
        assert result is not None
        assert runs == ["1", "2", "3"]
        agree += bool((result.pvalues <= 0.05).any())
        test = second_level(members, matching, replace(inference, n_permutations=199), seed).test
        assert test is not None
        places += bool((test.pvalues <= 1 / 16).any())
    assert agree <= 4
    assert places <= 6


def test_five_cannot_be_significant_and_the_page_says_so(study, copy, capsys):
    assert main(command(study, copy, "--participant-label", *SUBJECTS[:5])) == 0
    assert "smallest two-sided p is 1/16 = 0.0625" in page(copy)
    assert "the smallest two-sided p is 1/16" in capsys.readouterr().err
    maps = record_of(copy)["Maps"]
    assert maps["SmallestP"] == 0.0625
    assert table(copy, "stat-p_desc-ccaGroupFWE_statmap")["cca_00"].min() >= 0.0625


def test_four_have_means_and_no_test(study, copy):
    assert main(command(study, copy, "--participant-label", *SUBJECTS[:4])) == 0
    assert "Maps were not tested: 4 participants have 8 distinct sign flips" in page(copy)
    assert record_of(copy)["Maps"]["Test"] is None
    assert not list(copy.glob("task-film_stat-*"))
    assert (copy / "task-film_desc-ccaGroup_components.tsv").is_file()


def test_whoever_is_damaged_or_has_no_results_is_named(study, copy, capsys):
    shutil.rmtree(copy / "sub-05")
    broken = next((copy / "sub-03" / "func").glob("*ccaStimulus_timeseries.tsv"))
    broken.write_text("".join(broken.read_text().splitlines(keepends=True)[:100]))
    assert main(command(study, copy)) == 0
    record = record_of(copy)
    assert {one["Subject"]: one["Reason"] for one in record["LeftOut"]}.keys() == {"03", "05"}
    assert "stimulus_variates has 99 rows" in record["LeftOut"][0]["Reason"]
    assert "sub-05 is left out: no results of task-film." in page(copy)
    assert len(record["Participants"]) == 4
    said = capsys.readouterr().err
    assert "sub-03 is left out" in said
    assert "sub-05 is left out" in said


def test_bold_that_is_not_there_skips_the_shared_fit_only(study, copy, tmp_path):
    nowhere = tmp_path / "nowhere"
    options = ["group", "--features", str(study / "features.h5"), "--n-permutations", "9"]
    assert main([str(nowhere), str(copy), *options]) == 0
    assert record_of(copy)["Shared"] == {"Skipped": f"{nowhere}: no such directory."}
    assert f"The film and all brains were not fitted together: {nowhere}" in page(copy)
    shutil.copytree(study / "dataset", tmp_path / "dataset")
    spoilt = tmp_path / "dataset" / "sub-06" / "func" / "sub-06_task-film_run-2_bold.csv"
    spoilt.write_text("p0,p1\n1,\n")
    assert main([str(tmp_path / "dataset"), str(copy), *options]) == 0
    (left,) = record_of(copy)["Shared"]["LeftOut"]
    assert left["Subject"] == "06"
    assert "run-2_bold.csv" in left["Reason"]


def test_without_participants_results_the_command_to_run_first_is_named(study, copy, capsys, tmp_path):
    first = "run the participant level first: neurocca .*dataset .* participant"
    fails(capsys, command(study, tmp_path / "new"), 66, f"no neurocca results: {first}")
    assert not (tmp_path / "new").exists()
    fails(capsys, command(study, copy, "--task-id", "rest"), 18, first)
    fails(capsys, command(study, copy, "--participant-label", "09", "10"), 18, first)
    fails(capsys, command(study, copy, "--participant-label", "01"), 66, "two participants or more.*sub-01")
    assert not list(copy.glob("*group*"))


def test_a_participant_that_nobody_knows_is_refused(study, copy, capsys):
    fails(capsys, command(study, copy, "--participant-label", "01", "02", "99"), 18, "no participant 99")


def test_results_of_different_settings_are_refused(study, copy, capsys):
    path = next((copy / "sub-04" / "func").glob("*desc-cca_decomposition.json"))
    record = json.loads(path.read_text())
    record["Config"]["inference"]["n_permutations"] = 7  # may differ
    path.write_text(json.dumps(record))
    assert main(command(study, copy)) == 0
    record["Config"]["align"]["high_pass"] = 100.0
    path.write_text(json.dumps(record))
    fails(capsys, command(study, copy), 65, r"sub-01 and sub-04 .*align\.high_pass: 128\.0 and 100\.0")
    fails(capsys, command(study, study / "out", "--high-pass", "90"), 64, "align.high_pass: other than in the")


def test_other_bad_input_is_one_line(study, copy, capsys, tmp_path):
    nothing = ["--features", str(tmp_path / "none.h5")]
    fails(capsys, [str(study / "dataset"), str(copy), "group", *nothing], 66, "none.h5: no such file")
    for subject in SUBJECTS[1:]:
        next((copy / f"sub-{subject}" / "func").glob("*desc-cca_decomposition.json")).write_text("{")
    fails(capsys, command(study, copy), 65, "fewer than two participants can be read: sub-02: .*not valid JSON")
    assert not list(copy.glob("*group*"))
    capsys.readouterr()
    assert main(command(study, study / "out", "--dry-run")) == 0
    assert capsys.readouterr().out.strip() == "task-film: 6 participants (01, 02, 03, 04, 05, 06)"


@pytest.mark.realdata
def test_loudness_and_visual_change_are_in_all_five_brains(studyforrest_data, tmp_path):
    store, out = tmp_path / "features.h5", tmp_path / "out"
    assert main(["features", str(studyforrest_data / "confoundsannotation"), "-o", str(store)]) == 0
    settings = (
        '[align]\nspaces = ["lowlevel", "audio"]\nresponse = "delays"\nstandardize = "run"\n'
        "[fit]\nn_components = 2\nshrinkage_x = [0.01]\nshrinkage_y = [0.1]\n[inference]\nn_permutations = 20\n"
    )
    participants(studyforrest_data / "aggregate", tmp_path, settings)
    assert main([str(studyforrest_data / "aggregate"), str(out), "group", "--features", str(store)]) == 0
    record = read_group_record(out, GroupAnalysis("avmovie"))
    assert record["Maps"]["Columns"] == 273
    for component in record["Components"]:
        assert len(component["ShownBy"]) == 5
        assert component["HeldOutCorrelation"] > 0.5
        assert component["IntersubjectCorrelation"] > 0.6
    features = pd.read_csv(out / "task-avmovie_desc-ccaGroup_loadings.tsv", sep="\t").set_index("feature")
    assert features["cca_00"].idxmax() == "loudness"
    assert features["cca_01"].idxmax() == "perceptual_difference"
    shared = record["Shared"]
    assert shared["OneMap"]["Components"][0]["PValue"] == pytest.approx(1 / 21, abs=1e-6)
    assert min(c["HeldOutFilmBrain"] for c in shared["Components"]) > 0.4
    assert min(c["HeldOutBrainBrain"] for c in shared["Components"]) > 0.6
