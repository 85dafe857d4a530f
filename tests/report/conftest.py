"""Simulated results that look like those of the studyforrest film, with parcels and with voxels."""

import copy
from collections.abc import Callable
from dataclasses import replace

import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_mni152_brain_mask
from numpy.typing import NDArray

from neurocca.report.record import ReportData
from neurocca.studyforrest import N_VOLUMES, RUNS, overlap_trim

NAMES = [f"cca_{i:02d}" for i in range(5)]
IN_SAMPLE = (0.80, 0.58, 0.41, 0.36, 0.33)
HELD_OUT = (0.57, 0.24, 0.062, 0.011, -0.018)
SPACES = {
    "lowlevel": ["brightness", "brightness_left_right", "brightness_up_down", "visual_change", "loudness", "stereo"],
    "speech": ["speech", "speech_onset", "narrator", "male", "female", "crowd", "nonspeech_vocal", "music"],
    "emotions": [f"emotion_{word}" for word in ("joy", "fear", "anger", "love", "pride", "shame", "hope", "relief")],
    "locations": [
        "indoor",
        "outdoor",
        "day",
        "night",
        "flow_of_time",
        "int_to_ext",
        "shot_cut",
        "flashback",
        "city",
        "home",
    ],
    "cnn_block5": [f"pc_{i:03d}" for i in range(22)],
}
B = 1000


def ar1(rng: np.random.Generator, n: int, coefficient: float = 0.75) -> NDArray[np.floating]:
    """Unit-variance AR(1) series, shape (n,)."""
    x = rng.normal(size=n)
    for i in range(1, n):
        x[i] = coefficient * x[i - 1] + np.sqrt(1 - coefficient**2) * x[i]
    return x


def variates(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Film and brain variates with the in-sample correlations."""
    film = {name: ar1(rng, n) for name in NAMES}
    brain = {name: r * film[name] + np.sqrt(1 - r**2) * ar1(rng, n) for name, r in zip(NAMES, IN_SAMPLE, strict=True)}
    return pd.DataFrame(film), pd.DataFrame(brain)


def null_table(rng: np.random.Generator, observed: tuple[float, ...], centre: float, spread: float) -> pd.DataFrame:
    """Permutation table, row 0 = observed, later components a little lower."""
    null = np.sort(rng.normal(centre, spread, size=(B, len(observed))), axis=1)[:, ::-1]
    table = pd.DataFrame(np.vstack([observed, null]), columns=NAMES)
    table.insert(0, "permutation", range(B + 1))
    return table


def p_values(table: pd.DataFrame) -> list[float]:
    """Corrected by the maximum statistic."""
    largest = table[NAMES].iloc[1:].max(axis=1).to_numpy()
    return [float((1 + np.sum(largest >= r)) / (1 + B)) for r in table[NAMES].iloc[0]]


def feature_table(rng: np.random.Generator, delays: tuple[int, ...]) -> pd.DataFrame:
    """Loadings with a haemodynamic profile over the delays, or one per feature where there are none."""
    shape = {1: 0.5, 2: 1.0, 3: 0.9, 4: 0.55}
    peaks = {(s, f): rng.laplace(0, 0.12, len(NAMES)).clip(-0.6, 0.6) for s, fs in SPACES.items() for f in fs}
    peaks["lowlevel", "loudness"][0], peaks["speech", "speech"][0], peaks["lowlevel", "visual_change"][1] = (
        0.78,
        0.66,
        -0.62,
    )
    return pd.DataFrame(
        [
            {"space": space, "feature": feature, "delay": delay, **dict(zip(NAMES, peak * gain, strict=True))}
            for (space, feature), peak in peaks.items()
            for delay, gain in ([(d, shape[d]) for d in delays] or [(np.nan, 1.0)])
        ]
    )


def run_records(rng: np.random.Generator) -> list[dict]:
    """Runs of the film with its real lengths and trims."""
    return [
        {
            "Run": run,
            "Volumes": n,
            "Kept": n - sum(overlap_trim(run)),
            "FirstKept": overlap_trim(run)[0],
            "Confounds": 6,
            "VarianceRemoved": float(rng.uniform(0.09, 0.24)),
            "Autocorrelation": float(rng.uniform(0.38, 0.52)),
            "MaxAbsZ": float(rng.uniform(4.5, 8)),
            "FilmSeconds": n * 2.0 + 4.2,
        }
        for run, n in zip(RUNS, N_VOLUMES, strict=True)
    ]


def component_records(rng: np.random.Generator, null: pd.DataFrame, held_out: pd.DataFrame) -> list[dict]:
    """Components with the p-values of the null tables."""
    return [
        {
            "Name": name,
            "InSampleCorrelation": r,
            "HeldOutCorrelation": h,
            "HeldOutCorrelationPerRun": {
                run: float(h + e) for run, e in zip(RUNS, rng.normal(0, 0.05, 8), strict=True)
            },
            "PValueInSample": p,
            "PValueHeldOut": q,
        }
        for name, r, h, p, q in zip(NAMES, IN_SAMPLE, HELD_OUT, p_values(null), p_values(held_out), strict=True)
    ]


def decomposition(
    rng: np.random.Generator, delays: tuple[int, ...], null: pd.DataFrame, held_out: pd.DataFrame
) -> dict:
    """The content of a ``*_decomposition.json``."""
    width = max(1, len(delays))
    grid = [0.01, 0.1, 0.3, 0.6, 0.9]
    score = [[0.21 - 0.05 * (i - 1) ** 2 / 4 - 0.03 * (j - 2) ** 2 / 4 for j in range(5)] for i in range(5)]
    return {
        "Method": "regularised canonical correlation analysis",
        "Simulated": False,
        "Subject": "01",
        "Task": "avmovie",
        "Dataset": {"Name": "studyforrest-data-aggregate", "Kind": "parcels"},
        "RepetitionTime": 2.0,
        "NumberOfVolumes": sum(run["Kept"] for run in run_records(rng)),
        "NumberOfFeatures": 54 * width,
        "NumberOfResponses": 273,
        "FeatureSpaces": {space: len(names) * width for space, names in SPACES.items()},
        "DroppedFeatures": ["emotion_disgust"],
        "DroppedResponses": ["13", "76", "126", "174", "219"],
        "Shrinkage": {
            "Features": 0.1,
            "BOLD": 0.3,
            "GridFeatures": grid,
            "GridBOLD": grid,
            "Score": score,
            "PerFold": [{"LeftOut": run, "Features": 0.1, "BOLD": 0.3 if run != "4" else 0.6} for run in RUNS],
        },
        "Components": component_records(rng, null, held_out),
        "Inference": {
            "Scheme": "circular_shift",
            "NumberOfPermutations": B,
            "MinShift": 20.0,
            "Seed": 0,
            "Correction": "maximum statistic over components",
        },
        "Alignment": {
            "Response": "delays" if delays else "hrf",
            "HRF": "spm",
            "Delays": list(delays) or [1, 2, 3, 4],
            "Log": ["loudness"],
            "HighPass": 128.0,
            "Standardize": "train",
        },
        "Runs": run_records(rng),
        "Warnings": ["Run 8: the film is 4.2 s longer than the recording; the surplus was cut."],
        "Config": {
            "features": {"rate": 5.0, "annotation_rate": 10.0},
            "align": {"spaces": [], "response": "delays" if delays else "hrf", "delays": list(delays), "trim": None},
            "fit": {"n_components": 5, "shrinkage_x": grid, "shrinkage_y": grid},
            "inference": {"scheme": "circular_shift", "n_permutations": B, "min_shift": 20.0, "seed": 0},
        },
        "Software": {"neurocca": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "scipy": "1.17.0", "nilearn": "0.14.1"},
        "Inputs": [
            {"Path": f"sub-01/shen_fconn/sub-01_task-avmovie_run-{run}_bold.csv", "SHA256": f"{int(run):x}" * 64}
            for run in RUNS
        ],
        "Command": "neurocca studyforrest out participant --participant-label 01 --n-permutations 1000",
    }  # fmt: skip


def make_report(*, delays: tuple[int, ...] = (1, 2, 3, 4), seed: int = 0) -> ReportData:
    """Results with 273 parcels."""
    rng = np.random.default_rng(seed)
    null, held_out = null_table(rng, IN_SAMPLE, 0.31, 0.015), null_table(rng, HELD_OUT, 0.0, 0.028)
    record = decomposition(rng, delays, null, held_out)
    film, brain = variates(rng, record["NumberOfVolumes"])
    labels = [i for i in range(1, 279) if str(i) not in record["DroppedResponses"]]
    parcels = pd.DataFrame({"parcel": labels} | {name: rng.normal(0.04, 0.14, 273).clip(-0.7, 0.8) for name in NAMES})
    unseen_film, unseen_brain = (side + rng.standard_normal(side.shape) for side in (film, brain))
    tables = (brain, film, unseen_brain, unseen_film, null, held_out, feature_table(rng, delays))
    return ReportData(record, *tables, parcels)


def blob_maps(rng: np.random.Generator, k: int) -> nibabel.Nifti1Image:
    """Smooth loading maps in MNI space at 8 mm."""
    mask = load_mni152_brain_mask(resolution=8)
    inside = np.asarray(mask.dataobj) > 0
    xyz = nibabel.affines.apply_affine(mask.affine, np.moveaxis(np.indices(mask.shape), 0, -1))
    maps = np.zeros((*mask.shape, k), dtype=np.float32)
    for component in range(k):
        maps[..., component] = rng.normal(0, 0.03, mask.shape)
        for x, y, z, r in ((-54, -22, 8, 0.6), (54, -20, 6, 0.66), (8, -84, 4, -0.45)):
            shift = 14 * component
            distance = np.linalg.norm(xyz - (x, y + shift, z + shift), axis=-1)
            maps[..., component] += r * np.exp(-(distance**2) / (2 * 12**2))
    maps[~inside] = 0
    image = nibabel.Nifti1Image(maps, mask.affine)
    image.set_sform(mask.affine, code="mni")
    return image


def make_voxel_report() -> ReportData:
    """Simulated voxels with a response model and planted components."""
    base = make_report(delays=(), seed=1)
    record = copy.deepcopy(base.decomposition)
    maps = blob_maps(np.random.default_rng(2), len(NAMES))
    record |= {
        "Simulated": True,
        "Task": "demo",
        "Dataset": {"Name": "neurocca demo", "Kind": "voxels"},
        "NumberOfResponses": int(np.count_nonzero(np.asarray(maps.dataobj)[..., 0])),
        "DroppedResponses": [],
    }
    recovery = pd.DataFrame(
        {"planted": ["sound", "motion"], "component": NAMES[:2], "map_r": [0.93, 0.81], "timecourse_r": [0.97, 0.9]}
    )
    return replace(base, decomposition=record, response_loadings=None, maps=maps, recovery=recovery)


@pytest.fixture(scope="session")
def parcels() -> ReportData:
    """273 parcels, features at four delays."""
    return make_report()


@pytest.fixture(scope="session")
def voxels() -> ReportData:
    """Simulated voxels in MNI space, features through a response model."""
    return make_voxel_report()


@pytest.fixture(scope="session")
def changed(parcels: ReportData) -> Callable[..., ReportData]:
    """Factory: the parcels' report with other top-level values of the decomposition."""

    def make(**values: object) -> ReportData:
        record = copy.deepcopy(parcels.decomposition) | values
        return ReportData(record, *[getattr(parcels, f) for f in list(parcels.__dataclass_fields__)[1:]])

    return make
