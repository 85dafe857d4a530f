"""Raw BIDS datasets with derivatives, in the layouts of fMRIPrep, XCP-D and giga_connectome."""

import json
import logging

import pytest

from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query, named_folders, read_filters
from neurocca.io.recording import Recording
from tests.io import trees


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A raw dataset with outputs of fMRIPrep and XCP-D elsewhere; not to be written to."""
    root = tmp_path_factory.mktemp("study")
    trees.raw(root / "raw", ("01", "02"))
    trees.fmriprep(root / "fmriprep", ("01", "02"))
    trees.xcpd(root / "xcpd", ("01", "02"))
    return root


def only(root, **asked) -> Recording:
    (recording,) = find_recordings(root, Query(("01",), **asked))
    return recording


def test_volumes_of_fmriprep_with_masks_confounds_timing_and_film(study, caplog):
    given = {"fmriprep": study / "fmriprep"}
    found = only(study / "raw", derivatives=given, space="MNI152NLin2009cAsym")
    assert (found.kind, found.source, found.t_r, found.dataset) == ("voxels", "fmriprep", 2.0, "raw study")
    assert (found.space, found.res, found.desc) == ("MNI152NLin2009cAsym", "2", "preproc")
    variant = "space MNI152NLin2009cAsym, res 2, desc preproc"
    assert f"BOLD is taken from fmriprep, {variant}, not from {study / 'raw'} itself" in caplog.text
    func, run = study / "fmriprep/sub-01/func", found.runs[1]
    stem = "sub-01_task-film_run-2"
    assert run.bold == (func / f"{stem}_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz",)
    assert run.masks == (func / f"{stem}_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz",)
    assert (run.confounds, run.confounds_kind) == (func / f"{stem}_desc-confounds_timeseries.tsv", "fmriprep")
    assert (run.start_time, run.slice_timing) == (0.95, ())
    assert (run.film, run.onset) == (study / "raw/stimuli/film_run-2.mp4", 4.0)
    assert run.events == study / f"raw/sub-01/func/{stem}_events.tsv"


def test_hemispheres_are_one_run_left_first(study):
    found = only(study / "raw", derivatives={"fmriprep": study / "fmriprep"}, space="fsaverage5")
    assert found.kind == "surface"
    assert [[p.name.split("_")[3] for p in run.bold] for run in found.runs] == [["hemi-L", "hemi-R"]] * 3
    assert all(run.confounds and not run.masks for run in found.runs)


def test_dense_series_say_their_repetition_time(study):
    found = only(study / "raw", derivatives={"fmriprep": study / "fmriprep"}, space="fsLR")
    # no sidecar is beside them
    assert (found.kind, found.t_r, found.runs[0].start_time) == ("grayordinates", 2.0, None)


def test_a_derivative_can_be_the_dataset(study):
    found = only(study / "fmriprep", space="T1w")
    assert (found.source, found.kind, found.runs[0].film) == ("fMRIPrep", "voxels", None)
    with_events = only(study / "fmriprep", space="T1w", derivatives={"raw": study / "raw"})
    assert with_events.source == "fMRIPrep"
    assert with_events.runs[0].film == study / "raw/stimuli/film_run-1.mp4"


def test_raw_bold_takes_no_mask_of_another_space(study):
    found = only(study / "raw")
    assert (found.source, found.masks, found.runs[0].confounds) == ("raw", (), None)
    assert found.runs[0].slice_timing == (0.0, 1.0, 0.5)


def test_denoised_volumes_are_not_cleaned_twice(study):
    given = {"fmriprep": study / "fmriprep", "xcpd": study / "xcpd"}
    found = only(study / "raw", derivatives=given, space="MNI152NLin2009cAsym", desc="denoised")
    assert (found.source, found.desc, found.runs[0].confounds) == ("xcpd", "denoised", None)
    # XCP-D writes no masks: that of the volumes they were made of has their space
    assert found.runs[0].masks[0].parent == study / "fmriprep/sub-01/func"


def test_parcels_are_asked_for_by_a_filter(study):
    given = {"xcpd": study / "xcpd"}
    filters = {"timeseries": {"segmentation": "Gordon", "extension": ".tsv"}}
    found = only(study / "raw", derivatives=given, filters=filters)
    assert (found.kind, found.t_r, found.runs[0].confounds) == ("parcels", 2.0, None)
    assert [run.bold[0].name.split("_stat-")[1] for run in found.runs] == ["mean_timeseries.tsv"] * 3
    filters = {"timeseries": {"extension": ".ptseries.nii"}}
    found = only(study / "xcpd", filters=filters)
    assert (found.kind, found.t_r, len(found.runs)) == ("parcels", 2.0, 3)
    with pytest.raises(
        UsageError, match=r'seg 4S156Parcels, Gordon: choose with .*{"timeseries": {"segmentation": "4S'
    ):
        only(study / "raw", derivatives=given, filters={"timeseries": {"extension": ".tsv"}})


def test_parcels_of_giga_connectome(tmp_path):
    trees.description(tmp_path, "giga", "giga_connectome")
    for run in "12":
        stem = tmp_path / f"sub-01/func/sub-01_task-film_run-{run}"
        name = f"{stem}_seg-Schaefer20187Networks100Parcels_desc-denoiseSimple_timeseries"
        trees.table(tmp_path / f"{name}.tsv")
        trees.text(tmp_path / f"{name}.json", json.dumps({"SamplingFrequency": 0.5}))
    found = only(tmp_path)
    assert (found.kind, found.t_r, found.source, len(found.runs)) == ("parcels", 2.0, "giga_connectome", 2)
    (tmp_path / f"{name}.json").write_text(json.dumps({"SamplingFrequency": "TR"}))
    with pytest.raises(DataError, match=r"run-2_seg.*no RepetitionTime in a sidecar: set align\.t_r"):
        only(tmp_path)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, r"run 1: 5 BOLD files: space MNI152NLin2009cAsym, T1w, fsLR, fsaverage5: choose with --space\."),
        ({"space": "MNI152NLin2009cAsym"}, r"desc denoised, denoisedSmoothed, preproc: choose with --desc-label\."),
    ],
)
def test_choices_are_listed_with_their_option(study, asked, message):
    given = {"fmriprep": study / "fmriprep"} | ({"xcpd": study / "xcpd"} if asked else {})
    with pytest.raises(UsageError, match=message) as error:
        only(study / "raw", derivatives=given, **asked)
    assert "\n" not in str(error.value)


def test_names_without_an_entity_can_be_chosen(tmp_path):
    trees.raw(tmp_path)
    for run in "123":
        trees.volume(tmp_path / f"sub-01/func/sub-01_task-film_acq-fast_run-{run}_bold.nii.gz")
        trees.volume(tmp_path / f"derivatives/mine/sub-01/func/sub-01_task-film_run-{run}_desc-smooth_bold.nii.gz")
        trees.volume(tmp_path / f"derivatives/mine/sub-01/func/sub-01_task-film_run-{run}_bold.nii.gz")
    with pytest.raises(
        UsageError, match=r"desc none, smooth: choose with --desc-label \('none' for names without desc-"
    ):
        only(tmp_path)
    assert only(tmp_path, desc="none").runs[0].bold[0].name == "sub-01_task-film_run-1_bold.nii.gz"
    for folder in (tmp_path / "derivatives/mine/sub-01/func").iterdir():
        folder.unlink()
    with pytest.raises(UsageError, match=r'acq fast, none: .*{"bold": {"acquisition": "fast"}}'):
        only(tmp_path)
    assert "acq-fast" in only(tmp_path, filters={"bold": {"acquisition": "*"}}).runs[0].bold[0].name
    assert "acq-fast" not in only(tmp_path, filters={"bold": {"acquisition": None}}).runs[0].bold[0].name


def test_two_derivatives_with_the_same_files_are_not_told_apart(study, tmp_path):
    given = {"a": study / "fmriprep", "b": trees.fmriprep(tmp_path / "b")}
    with pytest.raises(UsageError, match=r"2 BOLD files, in a, b: name one of them alone with --derivatives"):
        only(study / "raw", derivatives=given, space="T1w")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"space": "MNI"}, "no BOLD with space 'MNI'; there are MNI152NLin2009cAsym, T1w, fsLR, fsaverage5"),
        ({"space": "T1w", "res": "1"}, "no BOLD with res '1'; there are none"),
        ({"desc": "raw"}, "no BOLD with desc 'raw'; there are none, preproc"),
        ({"sessions": ("2",)}, "no BOLD with ses '2'; there are none"),
        ({"runs": ("7",)}, "no BOLD with run '7'; there are 1, 2, 3"),
        ({"filters": {"bold": {"echo": 2}}}, "the filters of --bids-filter-file select no BOLD"),
    ],
)
def test_filters_that_select_nothing(study, asked, message):
    with pytest.raises(NoMatchError, match=message) as error:
        only(study / "fmriprep", **asked)
    assert error.value.exit_code == 18


def test_runs_are_chosen_whatever_their_zeros(study):
    assert [run.label for run in only(study / "raw", runs=("run-03", "1")).runs] == ["1", "3"]


def test_sessions_are_runs_in_order(tmp_path):
    for session, runs in (("2", "34"), ("10", "56"), ("1", "12")):
        trees.raw(tmp_path, runs=runs, session=session)
    found = only(tmp_path)
    assert [(run.session, run.label) for run in found.runs] == list(
        zip(["1", "1", "2", "2", "10", "10"], "123456", strict=True)
    )
    assert [run.label for run in only(tmp_path, sessions=("ses-2",)).runs] == ["3", "4"]


def test_sessions_with_the_same_run_labels(tmp_path):
    for session in ("pre", "post"):
        trees.raw(tmp_path, runs="12", session=session)
    with pytest.raises(
        UsageError, match=r"sessions post, pre have runs of the same labels: choose with --session-label"
    ):
        only(tmp_path)
    assert [run.label for run in only(tmp_path, sessions=("pre",)).runs] == ["1", "2"]
    assert [run.label for run in only(tmp_path, sessions=("pre", "post")).runs] == [
        "post-1",
        "post-2",
        "pre-1",
        "pre-2",
    ]


def test_a_hemisphere_that_is_missing(study, tmp_path):
    root = trees.fmriprep(tmp_path)
    (root / "sub-01/func/sub-01_task-film_run-2_hemi-R_space-fsaverage5_bold.func.gii").unlink()
    with pytest.raises(DataError, match=r"run-2_hemi-L.*: the other hemisphere is missing"):
        only(root, space="fsaverage5")


def test_runs_of_different_variants(tmp_path):
    trees.raw(tmp_path, runs="1")
    func = tmp_path / "derivatives/mine/sub-01/func"
    for run, space in (("1", "A"), ("2", "B")):
        trees.volume(func / f"sub-01_task-film_run-{run}_space-{space}_bold.nii.gz")
    with pytest.raises(DataError, match=r"run-1_space-A_bold\.nii\.gz and .*run-2_space-B.* differ in space"):
        find_recordings(tmp_path)
    trees.grayordinates(func / "sub-01_task-film_run-3_space-A_bold.dtseries.nii")
    with pytest.raises(DataError, match=r"run-1.* holds voxels, .*run-3.* grayordinates: all runs must be of one kind"):
        only(tmp_path, runs=("1", "3"))


def test_missing_runs_are_named(tmp_path, caplog):
    root = trees.raw(tmp_path, ("01", "02"))
    (root / "sub-02/func/sub-02_task-film_run-2_bold.nii.gz").unlink()
    first, second = find_recordings(root)
    assert (first.missing, second.missing, len(second.runs)) == ((), ("2",), 2)
    assert "sub-02 has no BOLD for run 2, which other participants have: going on without." in caplog.text
    with pytest.raises(DataError, match="sub-02 has no BOLD for run 2"):
        find_recordings(root, Query(strict=True))


def test_participants_without_the_task_are_left_out_unless_named(tmp_path):
    root = trees.raw(tmp_path, ("01", "02"))
    trees.volume(root / "sub-03/func/sub-03_task-rest_bold.nii.gz")
    assert [r.subject for r in find_recordings(root, Query(task="film"))] == ["01", "02"]
    with pytest.raises(NoMatchError, match="participant 03 has no BOLD of task 'film'"):
        find_recordings(root, Query(("03",), "film"))


def test_participants_without_preprocessed_bold(tmp_path, caplog):
    root = trees.raw(tmp_path / "raw", ("01", "02"))
    trees.fmriprep(root / "derivatives/fmriprep")
    assert [r.subject for r in find_recordings(root, Query(space="T1w"))] == ["01"]
    assert "fmriprep has no such BOLD of participant 02: going on without." in caplog.text
    with pytest.raises(NoMatchError, match="derivatives/fmriprep: no participant '02'; the dataset has 01"):
        find_recordings(root, Query(("02",), space="T1w"))


def test_what_is_broken_elsewhere_does_not_matter(tmp_path):
    root = trees.raw(tmp_path)
    trees.text(root / "sub-01/anat/sub-01_T1w.json", "{broken")
    trees.text(root / "sub-01/dwi/sub-01_dwi.json", "")
    trees.text(root / "dwi.json", "[")
    trees.text(root / "derivatives/broken/dataset_description.json", "{")
    trees.volume(root / "derivatives/broken/sub-01/func/sub-01_task-film_run-1_bold.nii.gz")
    trees.volume(root / "sourcedata/sub-09/func/sub-09_task-film_run-1_bold.nii.gz")
    own = trees.description(root / "derivatives/own", "results", "neurocca").parent
    trees.table(own / "sub-01/func/sub-01_task-film_run-1_seg-x_timeseries.tsv")
    (found,) = find_recordings(root)
    assert (found.subject, found.source, len(found.runs)) == ("01", "raw", 3)


def test_confounds_that_the_demo_makes_are_used(tmp_path):
    root = trees.raw(tmp_path)
    own = trees.description(root / "derivatives/motion", "motion", "neurocca").parent
    confounds = trees.table(own / "sub-01/func/sub-01_task-film_run-2_desc-confounds_timeseries.tsv", trees.MOTION)
    (found,) = find_recordings(root)
    assert [run.confounds for run in found.runs] == [None, confounds, None]


def test_repetition_times_that_contradict(tmp_path):
    root = trees.raw(tmp_path)
    bold = trees.volume(root / "sub-01/func/sub-01_task-film_run-2_bold.nii.gz", t_r=2.002)
    with pytest.raises(
        DataError, match=r"run-2_bold.*sidecar task-film_bold.json says .* 2\.0 s, the header says 2\.002 s"
    ):
        find_recordings(root)
    trees.volume(bold, t_r=2.0005)
    assert find_recordings(root)[0].t_r == 2.0
    trees.text(bold.with_name("sub-01_task-film_run-2_bold.json"), json.dumps({"RepetitionTime": 2.5}))
    trees.volume(bold, t_r=2.5)
    with pytest.raises(DataError, match=r"different repetition time: run 1 2 s, run 2 2\.5 s, run 3 2 s"):
        find_recordings(root)


def test_the_repetition_time_comes_from_the_header_where_no_sidecar_says_it(tmp_path):
    root = trees.raw(tmp_path)
    (root / "task-film_bold.json").unlink()
    assert find_recordings(root)[0].t_r == 2.0
    with pytest.raises(DataError, match=r"the header says a repetition time of 2\.0 s, --t-r .* says 1\.5 s"):
        find_recordings(root, t_r=1.5)
    for run in "123":
        trees.volume(root / f"sub-01/func/sub-01_task-film_run-{run}_bold.nii.gz", t_r=None)
    with pytest.raises(
        DataError, match=r"no RepetitionTime in a sidecar or the header: set align\.t_r \(seconds\), or --t-r"
    ):
        find_recordings(root)
    assert find_recordings(root, t_r=1.5)[0].t_r == 1.5


def test_the_nearest_sidecar_wins_key_by_key(tmp_path):
    root = trees.raw(tmp_path)
    for path in (root / "sub-01/func").glob("*.nii.gz"):
        trees.volume(path, t_r=1.5)
    trees.text(root / "sub-01/sub-01_task-film_bold.json", json.dumps({"RepetitionTime": 1.5}))
    trees.text(root / "sub-01/func/sub-01_task-other_bold.json", json.dumps({"RepetitionTime": 9}))
    (found,) = find_recordings(root)
    assert (found.t_r, found.runs[0].slice_timing) == (1.5, (0.0, 1.0, 0.5))


def test_bad_timing_in_sidecars(tmp_path):
    root = trees.raw(tmp_path)
    for content, message in (
        ({"RepetitionTime": "2"}, "RepetitionTime is '2'; seconds are expected"),
        ({"StartTime": -1}, "StartTime is -1; seconds are expected"),
        ({"SliceTiming": "ascending"}, "SliceTiming must be a list of seconds"),
        ([2.0], "expected a JSON object"),
    ):
        trees.text(root / "task-film_bold.json", json.dumps(content))
        with pytest.raises(DataError, match=message):
            find_recordings(root)


def test_motion_files_of_other_programs(tmp_path):
    root = trees.raw(tmp_path)
    func = root / "derivatives/motion/sub-01/func"
    trees.text(func / "sub-01_task-film_run-1_mcf.par", "0 0 0 0 0 0\n")
    trees.text(func / "sub-01_task-film_run-2_motion.1D", "0 0 0 0 0 0\n")
    trees.table(func / "sub-01_task-film_run-3_confounds.tsv")
    (found,) = find_recordings(root)
    assert [run.confounds_kind for run in found.runs] == ["fsl", "afni", "table"]


def test_derivatives_by_name(tmp_path):
    trees.text(tmp_path / "a.txt")
    assert named_folders([f"a={tmp_path}"]) == {"a": tmp_path}
    for texts, error, message in (
        ([f"a={tmp_path}", "a=/"], UsageError, "'a' is given twice"),
        ([str(tmp_path)], UsageError, "expected NAME=PATH"),
        ([f"a={tmp_path / 'x'}"], NoInputError, "a=.*: no such directory"),
        ([f"a={trees.text(tmp_path / 'file')}"], NoInputError, "a=.*: not a directory"),
        ([f"a={(tmp_path / 'empty').mkdir() or tmp_path / 'empty'}"], NoInputError, "a=.*: the directory is empty"),
    ):
        with pytest.raises(error, match=message):
            named_folders(texts)


def test_filter_files(tmp_path, study):
    good = trees.text(tmp_path / "good.json", '{"bold": {"space": "T1w", "desc": "*"}, "t1w": {"session": null}}')
    assert only(study / "fmriprep", filters=read_filters(good)).space == "T1w"
    for content, message in (
        ("{", "not valid JSON"),
        ("[]", "expected an object per suffix"),
        ('{"bold": 1}', "object"),
    ):
        with pytest.raises(DataError, match=message):
            read_filters(trees.text(tmp_path / "bad.json", content))
    for suffix in ("bolds", "confounds", "Bold"):
        with pytest.raises(UsageError, match=f"{suffix}: filtered are bold, timeseries, mask"):
            read_filters(trees.text(tmp_path / "bad.json", f'{{"{suffix}": {{"space": "T1w"}}}}'))
    with pytest.raises(NoInputError, match="cannot be read: No such file"):
        read_filters(tmp_path / "absent.json")
    with pytest.raises(UsageError, match=r"--bids-filter-file: filter 'bold': .*spice") as error:
        only(study / "fmriprep", filters={"bold": {"spice": "T1w"}})
    assert "\n" not in str(error.value)


def test_the_index_is_kept_and_belongs_to_its_dataset(study, tmp_path):
    asked = {"derivatives": {"fmriprep": study / "fmriprep"}, "database": tmp_path / "db", "space": "T1w"}
    first = only(study / "raw", **asked)
    assert sorted(p.name for p in (tmp_path / "db").iterdir()) == ["bids_dir", "fmriprep"]
    assert only(study / "raw", **asked) == first
    with pytest.raises(UsageError, match=r"db/bids_dir is the index of .*raw, not of .*xcpd"):
        only(study / "xcpd", database=tmp_path / "db", desc="denoised")


def test_an_index_that_cannot_be_used(tmp_path):
    root = trees.raw(tmp_path / "raw", runs="1")
    trees.text(tmp_path / "db/bids_dir/layout_index.sqlite", "no database")
    with pytest.raises(
        UsageError, match=r"db/bids_dir cannot be used \(remove it to start anew\): .*not a database"
    ) as error:
        only(root, database=tmp_path / "db")
    assert "\n" not in str(error.value)
    trees.text(tmp_path / "file")
    with pytest.raises(UsageError, match=r"file/bids_dir cannot be used"):
        only(root, database=tmp_path / "file")


def test_raw_bold_with_confounds_of_a_derivative_that_has_no_bold(tmp_path, caplog):
    root = trees.raw(tmp_path / "raw", runs="1")
    prep = trees.description(tmp_path / "prep", "prep", "fMRIPrep").parent
    trees.table(prep / "sub-01/func/sub-01_task-film_run-1_desc-confounds_timeseries.tsv", trees.MOTION)
    found = only(root, derivatives={"fmriprep": prep})
    assert (found.source, found.runs[0].confounds_kind) == ("raw", "fmriprep")
    assert f"No BOLD in fmriprep: it is taken from {root} itself" in caplog.text


def test_the_raw_studyforrest_tree(tmp_path):
    """Sessions, and events with a row for every frame that name no film."""
    root = trees.raw(tmp_path, runs="12", session="movie")
    for run in "12":
        events = root / f"sub-01/ses-movie/func/sub-01_ses-movie_task-film_run-{run}_events.tsv"
        frames = [f"{0.05 + k / 25:.2f}\t0.04\t{k + 1}\t{(k + 1) / 25:.2f}\r\n" for k in range(30)]
        events.write_bytes(f"onset\tduration\tframeidx\tvideotime\r\n{''.join(frames)}".encode())
    trees.text(root / "sub-01/ses-movie/func/sub-01_ses-movie_task-film_run-1_defacemask.nii.gz")
    trees.volume(root / "sub-01/ses-localizer/func/sub-01_ses-localizer_task-objects_run-1_bold.nii.gz")
    found = only(root, task="film")
    assert [(run.session, run.label, run.film) for run in found.runs] == [("movie", "1", None), ("movie", "2", None)]
    assert found.runs[0].events.name.endswith("run-1_events.tsv")
    assert found.runs[0].onset == pytest.approx(0.05, abs=1e-3)


def test_events_of_a_film_come_one_after_the_other(tmp_path):
    root = trees.raw(tmp_path, runs="1")
    events = root / "sub-01/func/sub-01_task-film_run-1_events.tsv"
    head, other = "onset\tduration\tstim_file\n", "1\t9\tn/a\n"  # another event, of no film
    for rows, message in (
        ("6\t2\tf.mp4\n2\t4\tf.mp4\n", r"run-1_events\.tsv: onset does not ascend: 2 on line 4 comes after 6"),
        (
            "2\t6\tf.mp4\n6\t2\tf.mp4\n",
            r"events overlap: the one on line 3 ends at 8 s, and the next one begins at 6 s",
        ),
    ):
        events.write_text(head + other + rows)
        with pytest.raises(DataError, match=message):
            find_recordings(root)
    events.write_text(head + other + "2\t4\tf.mp4\n6\t2\tf.mp4\n")
    assert only(root).runs[0].onset == 2.0


def test_nothing_is_logged_of_data_as_they_should_be(study, caplog):
    with caplog.at_level(logging.WARNING):
        find_recordings(study / "raw")
    assert caplog.text == ""
