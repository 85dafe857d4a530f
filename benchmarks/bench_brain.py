"""Reading and cleaning of a subject's volumes: neurocca, a loop of nibabel and numpy, and nilearn's NiftiMasker.

Eight runs of 450 volumes of 64 x 86 x 45 voxels (3 mm), int16, as in aligned studyforrest, are simulated and written
once. Every way reads them run by run, takes a linear trend and the mean out of every voxel of the brain, and scales it
to unit variance; all runs are in memory at the end, as the analysis needs them. Every way runs in a process of its own,
in turn, several times; figures are medians. Run it on an otherwise idle machine:

    python benchmarks/bench_brain.py --publish docs
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE, N_RUNS, N_VOLUMES, T_R = (64, 86, 45), 8, 450, 2.0


def write_data(folder: Path, n_runs: int, n_volumes: int) -> None:
    """Runs of an ellipsoid brain with drift and noise, as scanners write them, and its mask."""
    import nibabel as nib

    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    brain = np.sum((places / 0.8) ** 2, axis=0) < 1
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    nib.Nifti1Image(brain.astype(np.uint8), affine).to_filename(folder / "mask.nii.gz")
    rng = np.random.default_rng(0)
    base = np.where(brain, 800 + 200 * places[0], 20).astype(np.float32)
    slope = rng.normal(0, 10, SHAPE).astype(np.float32)
    noise = np.where(brain, 10, 4).astype(np.float32)
    for run in range(n_runs):
        data = np.empty((*SHAPE, n_volumes), dtype=np.int16)
        for t in range(n_volumes):
            grain = rng.standard_normal(SHAPE, dtype=np.float32)
            data[..., t] = base + slope * (2 * t / n_volumes - 1) * brain + noise * grain
        image = nib.Nifti1Image(data, affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((3, 3, 3, T_R))
        image.to_filename(folder / f"run-{run + 1}.nii.gz")


def runs_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("run-*.nii.gz"))


def with_neurocca(folder: Path) -> list[np.ndarray]:
    from neurocca.io.brains import open_brain
    from neurocca.temporal.clean import clean_run
    from neurocca.temporal.nuisance import nuisance_basis

    runs = [(path,) for path in runs_in(folder)]
    brain = open_brain(runs, [folder / "mask.nii.gz"])
    cleaned = []
    for run in runs:
        data = brain.read(run)
        basis = nuisance_basis(len(data), T_R, drift="polynomial:1")
        cleaned.append(clean_run(data, basis, overwrite=True).data)
    return cleaned


def by_hand(folder: Path) -> list[np.ndarray]:
    """What one would write: all of a run from nibabel, the mask, a line by least squares, z-scores."""
    import nibabel as nib

    mask = np.asarray(nib.load(folder / "mask.nii.gz").dataobj) > 0
    cleaned = []
    for path in runs_in(folder):
        data = np.asarray(nib.load(path).dataobj)[mask].T.astype(np.float32)
        line = np.linspace(-1, 1, len(data), dtype=np.float32)[:, None]
        basis = np.hstack([np.ones_like(line), line])
        data -= basis @ np.linalg.lstsq(basis, data, rcond=None)[0]
        cleaned.append(data / data.std(axis=0))
    return cleaned


def with_nilearn(folder: Path) -> list[np.ndarray]:
    from nilearn.maskers import NiftiMasker

    masker = NiftiMasker(
        folder / "mask.nii.gz", detrend=True, standardize="zscore_sample", t_r=T_R, dtype=np.float32, memory_level=0
    ).fit()
    return [masker.transform(path) for path in runs_in(folder)]


def reading_alone(folder: Path) -> list[np.ndarray]:
    """All voxels of every run, one after the other, and nothing kept: what nibabel itself takes."""
    import nibabel as nib

    return [np.asarray(nib.load(path).dataobj)[:1, 0, 0].T.astype(np.float32) for path in runs_in(folder)]


WRITE = "write"
HAND, OWN, ALONE = "nibabel and numpy", "neurocca", "nibabel, reading alone"
WAYS = {HAND: by_hand, OWN: with_neurocca, "nilearn NiftiMasker": with_nilearn, ALONE: reading_alone}


def child(way: str, folder: Path) -> None:
    """Run one way and print what it took; the start of Python and the imports of libraries are not counted."""
    import nibabel  # noqa: F401
    import nilearn.maskers  # noqa: F401

    import neurocca.io.brains
    import neurocca.io.volumes
    import neurocca.temporal.clean  # noqa: F401

    start_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    cleaned = WAYS[way](folder)
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "seconds": seconds,
                "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "start_mib": start_mib,
                "data_mib": sum(run.size for run in cleaned) * 4 / 2**20,
                # all ways must have done the same
                "check": [round(float(np.abs(run[:, ::100]).mean(dtype=np.float64)), 3) for run in cleaned],
            }
        )
    )


def measure(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Medians of every way; the ways take turns, so that all meet the same machine."""
    found: dict[str, list[dict]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--data", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{way} failed: {done.stderr.strip().splitlines()[-1]}")
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    checks = {way: runs[0]["check"] for way, runs in found.items() if way != ALONE}
    for way, check in checks.items():
        if not np.allclose(check, checks[HAND], atol=0.01):
            raise SystemExit(f"{way} gives other data than {HAND}: {check}, {checks[HAND]}.")
    return {
        way: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "mib", "start_mib", "data_mib")}
        for way, runs in found.items()
    }


def table(figures: dict[str, dict[str, float]]) -> list[str]:
    """Lines of the table, in Markdown."""
    hand, size = figures[HAND]["seconds"], figures[OWN]["data_mib"]
    lines = [
        f"| way | seconds | times {HAND} | peak MiB | times the data, {size:.0f} MiB |",
        "|---|---|---|---|---|",
    ]
    for way, row in figures.items():
        times = f"{row['mib'] / size:.2f}" if way != ALONE else ""
        lines.append(
            f"| {way} | {row['seconds']:.1f} | {row['seconds'] / hand:.2f} | {row['mib']:.0f}, of which "
            f"{row['start_mib']:.0f} at the start | {times} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where the runs are kept for the next time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=N_RUNS)
    parser.add_argument("--volumes", type=int, default=N_VOLUMES)
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="put the table into FOLDER/benchmarks.md")
    args = parser.parse_args()
    if args.way == WRITE:
        write_data(args.data, args.runs, args.volumes)
        return
    if args.way:
        child(args.way, args.data)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not runs_in(folder):
            # a process of its own: children inherit the peak memory of their parent
            size = ["--runs", str(args.runs), "--volumes", str(args.volumes)]
            subprocess.run([sys.executable, __file__, "--way", WRITE, "--data", str(folder), *size], check=True)
        figures = measure(folder, args.repeats)
    lines = table(figures)
    print("\n".join(lines))
    if args.publish:
        from tables import publish

        publish("bench_brain", lines, figures, args.publish)


if __name__ == "__main__":
    main()
