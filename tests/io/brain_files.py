"""One simulated subject, written as every kind of file."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ParcelsAxis, SeriesAxis
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

AFFINE = np.array([[-3.0, 0, 0, 12], [0, 3, 0, -9], [0, 0, 3, -6], [0, 0, 0, 1]])
SHAPE = (6, 7, 5)
N_LEFT, N_RIGHT, N_VOXELS = 14, 12, 10
N = N_LEFT + N_RIGHT + N_VOXELS
T_R = 1.5


def inside() -> np.ndarray:
    """Mask of N voxels that are no block, shape SHAPE."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask.flat[np.random.default_rng(0).choice(mask.size, N, replace=False)] = True
    return mask


def volume(columns: np.ndarray, mask: np.ndarray, outside: float = 0.0) -> np.ndarray:
    """Columns, shape (T, N), in the voxels of a mask, in its order C."""
    data = np.full((*mask.shape, len(columns)), outside, dtype=columns.dtype)
    data[mask] = columns.T
    return data


def save_nifti(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, t_r: float = T_R) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    image.to_filename(path)
    return path


def save_gifti(path: Path, columns: np.ndarray, t_r: float | None = T_R) -> Path:
    """As FreeSurfer writes it: one array per volume, TR in milliseconds."""
    meta = {} if t_r is None else {"TimeStep": f"{1000 * t_r:f}"}
    arrays = [
        GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32", meta=GiftiMetaData(meta))
        for row in columns.astype(np.float32)
    ]
    GiftiImage(darrays=arrays).to_filename(path)
    return path


def dense_axis(mask: np.ndarray) -> BrainModelAxis:
    left, right = np.zeros(20, dtype=bool), np.zeros(20, dtype=bool)
    left[3 : 3 + N_LEFT], right[:N_RIGHT] = True, True
    subcortical = np.zeros(SHAPE, dtype=bool)
    subcortical.flat[np.flatnonzero(mask)[:N_VOXELS]] = True
    return (
        BrainModelAxis.from_mask(left, "CIFTI_STRUCTURE_CORTEX_LEFT")
        + BrainModelAxis.from_mask(right, "CIFTI_STRUCTURE_CORTEX_RIGHT")
        + BrainModelAxis.from_mask(subcortical, "CIFTI_STRUCTURE_THALAMUS_LEFT", AFFINE)
    )


def parcels_axis(mask: np.ndarray) -> ParcelsAxis:
    dense = dense_axis(mask)
    return ParcelsAxis.from_brain_models([(f"p{i:02d}", dense[i : i + 1]) for i in range(N)])


def save_cifti(path: Path, columns: np.ndarray, axis: BrainModelAxis | ParcelsAxis) -> Path:
    image = Cifti2Image(columns.astype(np.float32), header=(SeriesAxis(0, T_R, len(columns)), axis))
    parcels = isinstance(axis, ParcelsAxis)
    image.nifti_header.set_intent("ConnParcelSries" if parcels else "ConnDenseSeries")
    image.to_filename(path)
    return path


def save_atlas(path: Path, mask: np.ndarray) -> Path:
    """Every voxel a parcel."""
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels[mask] = np.arange(1, N + 1)
    table = pd.DataFrame({"index": np.arange(N + 1), "name": ["Background", *(f"p{i:02d}" for i in range(N))]})
    table.to_csv(path.parent / "atlas-one_dseg.tsv", sep="\t", index=False)
    return save_nifti(path, labels)


def write_subject(root: Path, runs: list[np.ndarray]) -> dict[str, list[tuple[Path, ...]]]:
    """Runs, each of shape (T, N), in every kind; with a mask ``mask.nii.gz`` and an atlas."""
    mask = inside()
    save_nifti(root / "mask.nii.gz", mask.astype(np.uint8))
    save_atlas(root / "tpl-X_atlas-one_res-3_dseg.nii.gz", mask)
    kinds: dict[str, list[tuple[Path, ...]]] = {}
    for i, columns in enumerate(runs, 1):
        stem = f"sub-01_task-film_run-{i}"
        table = root / f"{stem}_timeseries.tsv"
        pd.DataFrame(columns, columns=[f"p{j:02d}" for j in range(N)]).to_csv(
            table, sep="\t", index=False, na_rep="n/a"
        )
        sides = np.split(columns, [N_LEFT], axis=1)
        files = {
            "nifti": (save_nifti(root / f"{stem}_bold.nii.gz", volume(columns, mask)),),
            "gifti": tuple(
                save_gifti(root / f"{stem}_hemi-{side}_space-fsaverage5_bold.func.gii", part)
                for side, part in zip("LR", sides, strict=True)
            ),
            "dense": (save_cifti(root / f"{stem}_bold.dtseries.nii", columns, dense_axis(mask)),),
            "parcellated": (save_cifti(root / f"{stem}_bold.ptseries.nii", columns, parcels_axis(mask)),),
            "table": (table,),
        }
        for kind, run in files.items():
            kinds.setdefault(kind, []).append(run)
    kinds["atlas"] = kinds["nifti"]
    return kinds
