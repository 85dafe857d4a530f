"""Peak memory and time of the whole command on one subject, with and without --low-mem.

A subject of eight runs (3,599 volumes, as in studyforrest, or --volumes each) is simulated and written once: int16,
`.nii.gz`, so many voxels inside its mask, and a film of so many features, two of which the voxels follow. The command
reads, cleans, chooses between two shrinkages, fits, tests by 99 permutations and draws. Every way runs in a process of
its own; memory is the whole process's largest resident size.

    python benchmarks/bench_memory.py --voxels 120000 --publish docs
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from neurocca.studyforrest import N_VOLUMES

T_R, N_PERMUTATIONS = 2.0, 99
USUAL, LOW, AGAIN = "usual", "low-mem", "low-mem-again"
WAYS = {USUAL: [], LOW: ["--low-mem", "-w", "{work}"], AGAIN: ["--low-mem", "-w", "{work}"]}
CONFIG = """
[align]
trim = [0, 0]
confounds = []
response = "none"
standardize = "run"
[fit]
n_components = 3
shrinkage_x = [0.1]
shrinkage_y = [0.1, 0.5]
"""

CALL = """
import resource, sys
from neurocca.cli import main
code = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
sys.exit(code)
"""


def write_data(folder: Path, n_voxels: int, n_features: int, n_volumes: int) -> None:
    """A brain of so many voxels, its mask, and the features of the film."""
    import nibabel as nib

    from neurocca.design import FeatureSeries
    from neurocca.io.store import write_store

    side = int(np.ceil((1.5 * n_voxels) ** (1 / 3)))
    shape, affine = (side, side, side), np.diag([3.0, 3.0, 3.0, 1.0])
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij"))
    inside = np.zeros(side**3, dtype=bool)
    inside[np.argsort(np.sum(places**2, axis=0), axis=None, kind="stable")[:n_voxels]] = True
    inside = inside.reshape(shape)
    mask = folder / "tnt/sub-01/bold3Tp2/brain_mask.nii.gz"
    mask.parent.mkdir(parents=True)
    nib.Nifti1Image(inside.astype(np.uint8), affine).to_filename(mask)
    maps = [np.exp(-np.sum((places - 0.5 * sign) ** 2, axis=0) / 0.1) for sign in (-1, 1)]
    rng, spaces = np.random.default_rng(0), {"film": {}}
    nib.openers.Opener.default_compresslevel = 1
    for run, n in enumerate((n_volumes,) * 8 if n_volumes else N_VOLUMES, start=1):
        film = rng.standard_normal((n + 1, n_features))
        film = (film[1:] + film[:-1]) / 2**0.5
        names = tuple(f"feature{j}" for j in range(n_features))
        spaces["film"][str(run)] = FeatureSeries(film, np.arange(n) * T_R, names)
        data, before = np.zeros((*shape, n), dtype=np.int16), 0.0
        for t in range(n):
            before = 0.5 * before + rng.standard_normal(shape, dtype=np.float32)
            signal = 1000 + 10 * (before + film[t, 0] * maps[0] + film[t, 1] * maps[1])
            data[..., t] = np.where(inside, signal, 0)
        image = nib.Nifti1Image(data, affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((3, 3, 3, T_R))
        path = folder / f"aligned/sub-01/in_bold3Tp2/sub-01_task-avmovie_run-{run}_bold.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.to_filename(path)
    write_store(folder / "features.h5", spaces, {})
    (folder / "config.toml").write_text(CONFIG)


def measure(folder: Path, out: Path, way: str, n_permutations: int) -> dict[str, float]:
    """Seconds and MiB of one call of the command, and what it finds."""
    target = out / way
    call = [str(folder / "aligned"), str(target), "participant", "--features", str(folder / "features.h5")]
    call += ["-d", f"templatetransforms={folder / 'tnt'}", "--config-file", str(folder / "config.toml")]
    call += ["--n-permutations", str(n_permutations), "-v"]
    call += [option.format(work=out / "work") for option in WAYS[way]]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CALL, *call], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{way} failed ({done.returncode}): {done.stderr.strip().splitlines()[-1:]}")
    (path,) = target.glob("sub-01/func/*_desc-cca_decomposition.json")
    record = json.loads(path.read_text())
    components = record["Components"]
    return {
        "seconds": seconds,
        "mib": float(done.stdout.split()[-1]),
        "volumes": record["NumberOfVolumes"],
        "voxels": record["NumberOfResponses"],
        "r": [component["HeldOutCorrelation"] for component in components],
        "p": [component["PValueHeldOut"] for component in components],
    }


def table(figures: dict[str, dict]) -> list[str]:
    """Lines of the table, in Markdown."""
    lines = ["| volumes x voxels | way | seconds | peak MiB | held-out r | p |", "|---|---|---|---|---|---|"]
    for name, row in figures.items():
        size, shown = f"{row['volumes']:,} x {row['voxels']:,}", [" ".join(f"{x:.3f}" for x in row[k]) for k in "rp"]
        lines.append(
            f"| {size} | {name.split(': ')[1]} | {row['seconds']:.0f} | {row['mib']:.0f} | {' | '.join(shown)} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where the subject is kept for the next time")
    parser.add_argument("--voxels", type=int, default=120_000)
    parser.add_argument("--volumes", type=int, default=0, help="of every run; those of studyforrest by default")
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--permutations", type=int, default=N_PERMUTATIONS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--add-to", type=Path, metavar="JSON", help="figures of other sizes and ways, to go beside")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="put the table into FOLDER/benchmarks.md")
    args = parser.parse_args()
    figures = json.loads(args.add_to.read_text()) if args.add_to and args.add_to.is_file() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data or Path(temporary) / "data"
        if not (folder / "config.toml").is_file():
            write_data(folder, args.voxels, args.features, args.volumes)
        for way in args.ways:
            figures[f"{args.volumes or sum(N_VOLUMES)} x {args.voxels}: {way}"] = measure(
                folder, Path(temporary), way, args.permutations
            )
            print("\n".join(table(figures)), flush=True)
            if args.add_to:
                args.add_to.write_text(json.dumps(figures, indent=1))
    if args.publish:
        from tables import publish

        publish("bench_memory", table(figures), figures, args.publish)


if __name__ == "__main__":
    main()
