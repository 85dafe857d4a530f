"""Small datasets in the layouts that labs have: real files of a few voxels, vertices or parcels."""

import json
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
N_VOLUMES = 6


def text(path: Path, content: str = "a\n1\n") -> Path:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def description(root: Path, name: str, generator: str | None = None) -> Path:
    """Write dataset_description.json."""
    content = {"Name": name, "BIDSVersion": "1.10.0"}
    if generator is not None:
        content |= {"DatasetType": "derivative", "GeneratedBy": [{"Name": generator}]}
    return text(root / "dataset_description.json", json.dumps(content))


def volume(path: Path, t_r: float | None = 2.0, shape: tuple[int, ...] = (3, 3, 3), seed: int = 0) -> Path:
    """Write a 4D image; without a repetition time the header keeps nibabel's default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(seed).normal(100, 5, (*shape, N_VOLUMES)).astype(np.float32)
    image = nib.Nifti1Image(data, np.diag([3, 3, 3, 1]))
    if t_r is not None:
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((3, 3, 3, t_r))
    image.to_filename(path)
    return path


def mask(path: Path, shape: tuple[int, ...] = (3, 3, 3)) -> Path:
    """Write a mask of all voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.ones(shape, np.uint8), np.diag([3, 3, 3, 1])).to_filename(path)
    return path


def surface(path: Path, seed: int = 0) -> Path:
    """Write a GIFTI time series of five vertices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(seed).normal(size=(N_VOLUMES, 5)).astype(np.float32)
    arrays = [nib.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES") for row in data]
    nib.GiftiImage(darrays=arrays).to_filename(path)
    return path


def grayordinates(path: Path, t_r: float = 2.0) -> Path:
    """Write a dense CIFTI series of four vertices."""
    return _cifti(path, BrainModelAxis.from_mask(np.ones(4, bool), name="CortexLeft"), t_r)


def cifti_parcels(path: Path, t_r: float = 2.0) -> Path:
    """Write a parcellated CIFTI series of two parcels."""
    whole = BrainModelAxis.from_mask(np.ones(4, bool), name="CortexLeft")
    return _cifti(path, ParcelsAxis.from_brain_models([("a", whole[:2]), ("b", whole[2:])]), t_r)


def _cifti(path: Path, columns: object, t_r: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(1).normal(size=(N_VOLUMES, len(columns))).astype(np.float32)
    nib.Cifti2Image(data, header=(SeriesAxis(0, t_r, N_VOLUMES), columns)).to_filename(path)
    return path


def table(path: Path, columns: Iterable[str] = ("a", "b")) -> Path:
    """Write a table with a row per volume."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(2).normal(size=(N_VOLUMES, len(tuple(columns))))
    frame = pd.DataFrame(data, columns=list(columns))
    frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def raw(
    root: Path, subjects: Iterable[str] = ("01",), runs: Iterable[str] = ("1", "2", "3"), session: str = ""
) -> Path:
    """Raw BIDS: volumes, a sidecar at the top, and events that name a film."""
    description(root, "raw study")
    text(root / "task-film_bold.json", json.dumps({"RepetitionTime": 2.0, "SliceTiming": [0, 1, 0.5]}))
    for subject in subjects:
        for run in runs:
            stem = _stem(root, subject, session, run)
            volume(Path(f"{stem}_bold.nii.gz"), shape=(4, 4, 2))
            text(Path(f"{stem}_events.tsv"), f"onset\tduration\tstim_file\n4.0\t8\tfilm_run-{run}.mp4\n")
    return root


def fmriprep(
    root: Path, subjects: Iterable[str] = ("01",), runs: Iterable[str] = ("1", "2", "3"), session: str = ""
) -> Path:
    """Outputs as of fMRIPrep in two volume spaces, on fsaverage5 and as CIFTI, with masks and confounds."""
    description(root, "fMRIPrep - fMRI PREProcessing workflow", "fMRIPrep")
    sidecar = json.dumps({"RepetitionTime": 2.0, "SliceTimingCorrected": True, "StartTime": 0.95})
    for subject in subjects:
        for run in runs:
            stem = _stem(root, subject, session, run)
            for space in ("MNI152NLin2009cAsym_res-2", "T1w"):
                volume(Path(f"{stem}_space-{space}_desc-preproc_bold.nii.gz"))
                text(Path(f"{stem}_space-{space}_desc-preproc_bold.json"), sidecar)
                mask(Path(f"{stem}_space-{space}_desc-brain_mask.nii.gz"))
            for hemi in "RL":
                surface(Path(f"{stem}_hemi-{hemi}_space-fsaverage5_bold.func.gii"))
                text(Path(f"{stem}_hemi-{hemi}_space-fsaverage5_bold.json"), sidecar)
            grayordinates(Path(f"{stem}_space-fsLR_den-91k_bold.dtseries.nii"))
            table(Path(f"{stem}_desc-confounds_timeseries.tsv"), MOTION)
        text(root / f"sub-{subject}/figures/sub-{subject}_task-film_run-1_desc-carpet_bold.svg", "<svg/>")
        mask(root / f"sub-{subject}/anat/sub-{subject}_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz")
    return root


def xcpd(root: Path, subjects: Iterable[str] = ("01",), runs: Iterable[str] = ("1", "2", "3")) -> Path:
    """Outputs as of XCP-D: denoised volumes, with and without smoothing, and parcels of two atlases."""
    description(root, "XCP-D", "xcp_d")
    for subject in subjects:
        for run in runs:
            stem = _stem(root, subject, "", run)
            for desc in ("denoised", "denoisedSmoothed"):
                volume(Path(f"{stem}_space-MNI152NLin2009cAsym_res-2_desc-{desc}_bold.nii.gz"))
            for atlas in ("Gordon", "4S156Parcels"):
                name = f"{stem}_space-MNI152NLin2009cAsym_seg-{atlas}_stat-"
                table(Path(f"{name}mean_timeseries.tsv"))
                table(Path(f"{name}coverage_bold.tsv"))
            cifti_parcels(Path(f"{stem}_space-fsLR_seg-Gordon_den-91k_stat-mean_timeseries.ptseries.nii"))
            table(Path(f"{stem}_motion.tsv"), MOTION)
    return root


def aligned(root: Path, subjects: Iterable[str] = ("01",), runs: Iterable[str] = "12345678") -> Path:
    """The tree of studyforrest-data-aligned: no description, no sidecars, a motion file beside every run."""
    for subject in subjects:
        for run in runs:
            path = root / f"sub-{subject}/in_bold3Tp2/sub-{subject}_task-avmovie_run-{run}_bold.nii.gz"
            volume(path)
            motion = np.random.default_rng(int(run)).normal(size=(N_VOLUMES, 6)) * ([1e-3] * 3 + [0.1] * 3)
            np.savetxt(path.with_name(path.name.replace(".nii.gz", "_mcparams.txt")), motion)
        volume(root / f"sub-{subject}/in_bold3Tp2/sub-{subject}_task-retmapexp_run-1_bold.nii.gz", seed=9)
    return root


def templatetransforms(root: Path, subjects: Iterable[str] = ("01",)) -> Path:
    """The masks of studyforrest-data-templatetransforms."""
    for subject in subjects:
        mask(root / f"sub-{subject}/bold3Tp2/brain_mask.nii.gz")
    return root


def aggregate(root: Path, subjects: Iterable[str] = ("01",), runs: Iterable[str] = "12345678") -> Path:
    """The tree of studyforrest-data-aggregate."""
    for subject in subjects:
        for run in runs:
            table(root / f"sub-{subject}/shen_fconn/sub-{subject}_task-avmovie_run-{run}_bold.csv", ("1", "2"))
    return root


def _stem(root: Path, subject: str, session: str, run: str) -> Path:
    folder = root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "func"
    names = [f"sub-{subject}", *([f"ses-{session}"] if session else []), "task-film", f"run-{run}"]
    return folder / "_".join(names)
