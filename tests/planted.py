"""One simulated subject who watched a film in four runs, written in every kind and layout of BOLD that is read.

Two components are planted: features of the film through a haemodynamic response, in smooth maps. Over them lie ongoing
activity of the same areas, which limits the correlation in all kinds alike; noise of blocks of voxels and of single
ones; drift; artefacts that follow the motion parameters; and spikes, which do not.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, SeriesAxis
from nilearn.glm.first_level import spm_hrf

from neurocca.design import FeatureSeries
from neurocca.io.store import write_store
from tests.conftest import ar1
from tests.io import trees
from tests.io.brain_files import save_gifti, save_nifti

T_R, N_RUNS, N_VOLUMES, RATE = 2.0, 4, 150, 10
RUNS = tuple(str(run) for run in range(1, N_RUNS + 1))
FEATURES = ("speech", "faces", "cuts", "music", "motion", "brightness")
SHAPE, AFFINE = (10, 11, 8), np.array([[-6.0, 0, 0, 27], [0, 6, 0, -50], [0, 0, 6, -10], [0, 0, 0, 1]])
ONGOING = (0.3, 0.8)
"""Of each component, relative to its response to the film: no correlation exceeds 1 / sqrt(1 + ONGOING ** 2)."""

MEDIAL_WALL = 7
"""Vertices of each hemisphere that hold nothing."""

MOTION_SCALE = np.array([0.3, 0.3, 0.5, 0.004, 0.003, 0.003])


@dataclass(frozen=True)
class Run:
    """BOLD of one run, shape (n, q), as it is measured and as a denoiser leaves it."""

    measured: np.ndarray
    denoised: np.ndarray
    motion: np.ndarray
    displacement: np.ndarray


@dataclass(frozen=True)
class Subject:
    """Mask of q voxels, planted maps of shape (2, q), and the runs."""

    mask: np.ndarray
    maps: np.ndarray
    runs: list[Run]

    @property
    def parcels(self) -> np.ndarray:
        """Label of every voxel, shape (q,): blocks of up to eight voxels."""
        return block_labels(self.mask)


def block_labels(mask: np.ndarray) -> np.ndarray:
    """Number of the block of two by two by two voxels, from 1 on, that every voxel of a mask is in, shape (q,)."""
    return np.unique(np.argwhere(mask) // 2, axis=0, return_inverse=True)[1].ravel() + 1


def simulate(store: Path, seed: int = 4) -> Subject:
    """A subject, and the feature store of the film."""
    rng = np.random.default_rng(seed)
    places = np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2
    mask = np.sum((places / (np.array(SHAPE) / 2)) ** 2, axis=-1) < 0.75
    inside = places[mask]
    centres = np.array([[-2.5, -1.0, 0.0], [1.5, 2.5, 1.0]])
    maps = 1.5 * np.exp(-np.sum((inside - centres[:, None]) ** 2, axis=-1) / (2 * 1.8**2))
    leak = rng.standard_normal((6, mask.sum()))
    spaces: dict = {"film": {}}
    runs = []
    for run in RUNS:
        film = ar1(rng, N_VOLUMES * round(T_R) * RATE, len(FEATURES), 0.97)
        spaces["film"][run] = FeatureSeries(film, np.arange(len(film)) / RATE, FEATURES)
        runs.append(_run(rng, film, maps, leak, block_labels(mask)))
    write_store(store, spaces, {})
    return Subject(mask, maps, runs)


def _run(rng: np.random.Generator, film: np.ndarray, maps: np.ndarray, leak: np.ndarray, blocks: np.ndarray) -> Run:
    kernel = spm_hrf(1 / RATE, oversampling=1)
    response = np.stack([np.convolve(film[:, j], kernel)[: len(film)] for j in (0, 1)], axis=1)
    # a volume stands for its middle
    response = response[np.arange(N_VOLUMES) * round(T_R * RATE) + round(T_R * RATE / 2)]
    response /= response.std(axis=0)
    signal = (response + ar1(rng, N_VOLUMES, 2, 0.5) * ONGOING) @ maps
    signal += 0.6 * ar1(rng, N_VOLUMES, blocks.max(), 0.4)[:, blocks - 1] + 0.6 * ar1(rng, N_VOLUMES, len(blocks), 0.4)
    time = np.linspace(-1, 1, N_VOLUMES)
    slow = np.stack([time, np.cos(np.pi * time), np.sin(np.pi * time)])
    drift = rng.standard_normal((3, maps.shape[1])).T @ slow * 2
    motion = np.cumsum(rng.standard_normal((N_VOLUMES, 6)), axis=0)
    motion = (motion - motion.mean(axis=0)) / motion.std(axis=0)
    spikes = np.sort(rng.choice(np.arange(10, N_VOLUMES - 10, 10), 2, replace=False))
    motion[spikes] += 4 * rng.choice([-1, 1], (2, 6))
    measured = signal + drift.T + motion @ leak
    measured[spikes] += 15 * rng.standard_normal((2, maps.shape[1]))
    motion = motion * MOTION_SCALE
    steps = np.abs(np.diff(motion, axis=0, prepend=motion[:1]))
    displacement = steps[:, :3].sum(axis=1) + 50 * steps[:, 3:].sum(axis=1)
    return Run(1000 + 10 * measured, _denoised(measured, motion, displacement), motion, displacement)


def _denoised(measured: np.ndarray, motion: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Drift and motion out, in one regression of the volumes without much motion; the others interpolated."""
    kept = np.flatnonzero(displacement <= 1)
    orders = np.arange(int(2 * N_VOLUMES * T_R / 128) + 1)
    cosines = np.cos(np.pi / N_VOLUMES * np.outer(np.arange(N_VOLUMES) + 0.5, orders))
    regressors = np.column_stack([cosines, motion])
    left = measured[kept] - regressors[kept] @ np.linalg.lstsq(regressors[kept], measured[kept], rcond=None)[0]
    return np.stack([np.interp(np.arange(N_VOLUMES), kept, column) for column in left.T], axis=1)


def volumes(columns: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Columns, shape (n, q), as images with noise outside the mask."""
    outside = np.random.default_rng(1).normal(10, 3, (*mask.shape, len(columns)))
    data = outside.astype(np.float32)
    data[mask] = columns.T
    return data


def write_fmriprep(root: Path, subject: Subject) -> None:
    """Raw BIDS with fMRIPrep's derivatives in it: volumes, surfaces and grayordinates, and an atlas beside."""
    trees.description(root, "planted")
    trees.text(root / "task-film_bold.json", json.dumps({"RepetitionTime": T_R}))
    prep = root / "derivatives/fmriprep"
    trees.description(prep, "fMRIPrep", "fMRIPrep")
    sidecar = json.dumps({"RepetitionTime": T_R, "SliceTimingCorrected": True, "StartTime": T_R / 2})
    half = int(subject.mask.sum()) // 2
    wall = np.zeros((N_VOLUMES, MEDIAL_WALL))
    for run, bold in zip(RUNS, subject.runs, strict=True):
        name = f"sub-01/func/sub-01_task-film_run-{run}"
        events = f"onset\tduration\tstim_file\n0.0\t{N_VOLUMES * T_R:g}\tfilm_run-{run}.mp4\n"
        trees.text(root / f"{name}_events.tsv", events)
        volume = f"{name}_space-MNI152NLin2009cAsym_res-2"
        trees.text(prep / f"{volume}_desc-preproc_bold.json", sidecar)
        save_nifti(prep / f"{volume}_desc-preproc_bold.nii.gz", volumes(bold.measured, subject.mask), AFFINE, T_R)
        save_nifti(prep / f"{volume}_desc-brain_mask.nii.gz", subject.mask.astype(np.uint8), AFFINE)
        sides = np.split(bold.measured, [half], axis=1)
        for hemisphere, columns in zip("LR", sides, strict=True):
            surface = f"{name}_hemi-{hemisphere}_space-fsaverage5_bold"
            trees.text(prep / f"{surface}.json", sidecar)
            save_gifti(prep / f"{surface}.func.gii", np.hstack([wall, columns]), T_R)
        dense = f"{name}_space-fsLR_den-91k_bold"
        trees.text(prep / f"{dense}.json", sidecar)
        header = (SeriesAxis(0, T_R, N_VOLUMES), _grayordinates(subject.mask))
        image = Cifti2Image(bold.measured.astype(np.float32), header=header)
        image.nifti_header.set_intent("ConnDenseSeries")
        image.to_filename(prep / f"{dense}.dtseries.nii")
        _confounds(prep / f"{name}_desc-confounds_timeseries.tsv", bold)
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels[subject.mask] = subject.parcels
    save_nifti(root.parent / "atlas.nii.gz", labels, AFFINE)


def _grayordinates(mask: np.ndarray) -> BrainModelAxis:
    """A third of the voxels in each hemisphere, as vertices, and the rest below the cortex."""
    third = int(mask.sum()) // 3
    cortex = np.zeros(third + MEDIAL_WALL, dtype=bool)
    cortex[MEDIAL_WALL:] = True
    below = np.zeros(mask.shape, dtype=bool)
    below.flat[np.flatnonzero(mask)[2 * third :]] = True
    return (
        BrainModelAxis.from_mask(cortex, "CIFTI_STRUCTURE_CORTEX_LEFT")
        + BrainModelAxis.from_mask(cortex, "CIFTI_STRUCTURE_CORTEX_RIGHT")
        + BrainModelAxis.from_mask(below, "CIFTI_STRUCTURE_THALAMUS_LEFT", AFFINE)
    )


def _confounds(path: Path, bold: Run) -> None:
    table = pd.DataFrame(bold.motion, columns=list(trees.MOTION))
    table["framewise_displacement"] = bold.displacement
    change = np.abs(np.diff(bold.measured, axis=0, prepend=np.nan)).mean(axis=1)
    table["std_dvars"] = change / np.nanmedian(change)
    table.loc[0, ["framewise_displacement", "std_dvars"]] = np.nan
    table["global_signal"] = bold.measured.mean(axis=1)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


def write_xcpd(root: Path, subject: Subject) -> None:
    """Parcels as of XCP-D: denoised, and one that the scan does not cover."""
    trees.description(root, "XCP-D", "xcp_d")
    for run, bold in zip(RUNS, subject.runs, strict=True):
        stem = root / f"sub-01/func/sub-01_task-film_run-{run}_space-MNI152NLin2009cAsym_seg-Blocks_stat-mean"
        trees.text(stem.with_name(f"{stem.name}_timeseries.json"), json.dumps({"SamplingFrequency": 1 / T_R}))
        table = pd.DataFrame(bold.denoised, columns=parcel_names(subject))
        table["Nowhere"] = np.nan
        table.to_csv(stem.with_name(f"{stem.name}_timeseries.tsv"), sep="\t", index=False, na_rep="n/a")


def write_aligned(root: Path, masks: Path, subject: Subject) -> None:
    """The tree of studyforrest-data-aligned, the repetition time in headers only, and the masks of another dataset."""
    for run, bold in zip(RUNS, subject.runs, strict=True):
        path = root / f"sub-01/in_bold3Tp2/sub-01_task-avmovie_run-{run}_bold.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_nifti(path, volumes(bold.measured, subject.mask), AFFINE, T_R)
        rotations_first = np.hstack([bold.motion[:, 3:], bold.motion[:, :3]])
        np.savetxt(path.with_name(path.name.replace(".nii.gz", "_mcparams.txt")), rotations_first, fmt="%.8g")
    folder = masks / "sub-01/bold3Tp2"
    folder.mkdir(parents=True)
    save_nifti(folder / "brain_mask.nii.gz", subject.mask.astype(np.uint8), AFFINE)


def write_aggregate(root: Path, subject: Subject) -> None:
    """The tree of studyforrest-data-aggregate: tables and nothing else."""
    for run, bold in zip(RUNS, subject.runs, strict=True):
        path = root / f"sub-01/shen_fconn/sub-01_task-avmovie_run-{run}_bold.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(bold.denoised, columns=parcel_names(subject)).to_csv(path, index=False)


def parcel_names(subject: Subject) -> list[str]:
    """A name for every column."""
    return [f"p{j:03d}" for j in range(int(subject.mask.sum()))]


def read_map(func: Path, name: str, subject: Subject) -> np.ndarray:
    """Maps that were written, whatever their kind, shape (k, q), in the order of the columns."""
    files = sorted(path for path in func.glob(f"*_{name}.*") if path.suffix != ".json")
    ends = {path.name.partition(".")[2] for path in files}
    if "tsv" in ends:
        table = pd.read_csv(next(p for p in files if p.suffix == ".tsv"), sep="\t").set_index("parcel")
        return table.to_numpy().T
    if ends == {"func.gii"}:
        sides = [np.stack([array.data for array in nib.load(path).darrays]) for path in files]
        assert all(not side[:, :MEDIAL_WALL].any() for side in sides)
        return np.hstack([side[:, MEDIAL_WALL:] for side in sides])
    image = nib.load(files[0])
    return image.get_fdata() if ends == {"dscalar.nii"} else image.get_fdata()[subject.mask].T
