"""Permutation tests of neurocca and of other libraries, side by side: seconds, per permutation, and peak memory.

Every measurement is a process of its own on the same files. The table has medians and ratios within this run; where a
row stands for more permutations than were computed it says so. Times of permutations are without the first fit.

    python benchmarks/bench_inference.py --publish docs
    python benchmarks/bench_inference.py --gpu

permcca is no dependency, and needs `pip install --no-deps --target FOLDER permcca==0.1.3` and PYTHONPATH=FOLDER.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bench_cca import SIZES, K, peak_mib, processor
from planted import planted_views
from tables import publish

LENGTHS = (451, 441, 438, 488, 462, 439, 542, 338)  # of the eight runs of studyforrest
GPU_SIZES = {"full": (3599, 2047, 3598, 10_000), "tiny": (240, 20, 60, 200)}  # n, ranks, permutations
JOBS = 2
TILE_MEMORY = 2**32
PACKAGES = ("neurocca", "cca-zoo", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Measurement:
    """One row of the table."""

    case: str
    system: str
    data: str
    run: Callable[..., Any]  # gives its own seconds where not all of its time counts
    count: int  # permutations that it computes
    total: int  # that the row stands for
    bound: float | None = None  # seconds that the row must not exceed
    dtype: str = "float64"
    repeats: int = 5
    limit: int = 600
    needs: str = "neurocca.inference.permutation"
    threads: int = 1  # of every job; packages that know no jobs get as many as there are jobs


def in_sample(scheme: str, count: int, *, runs: bool = False, **options: float) -> Callable[..., Any]:
    """Of whitened bases."""

    def run(U, V):
        from neurocca.inference.permutation import permutation_test
        from neurocca.inference.schemes import SCHEMES

        how: Any = {"scheme": SCHEMES[scheme](**options), "runs": run_labels() if runs else None}
        permutation_test(U, V, **how, n_permutations=count, n_components=K, n_jobs=JOBS)

    return run


def beyond_first(test: Callable[[int], Any], more: int) -> float:
    """Seconds of some permutations, without what a test does before the first."""
    times = [time.perf_counter()]
    for count in (1, 1 + more):
        test(count)
        times.append(time.perf_counter())
    return times[2] - 2 * times[1] + times[0]


def zoo(X, Y):
    from cca_zoo.linear import RidgeCCA
    from cca_zoo.model_selection import permutation_test_significance

    model = RidgeCCA(n_components=K, shrinkage=0.1)
    return beyond_first(lambda n: permutation_test_significance(model, [X, Y], n_permutations=n, random_state=0), 3)


def permcca(U, V):
    from permcca.inference import permutation_inference
    from sklearn.cross_decomposition import CCA

    return beyond_first(lambda n: permutation_inference(U, V, model=CCA(n_components=K, scale=False), n_perms=n), 2)


def held_out(X, Y):
    """Seconds of the test beyond those of its fits, of every fold and of all samples."""
    from neurocca import LinearCCA
    from neurocca.inference.held_out import held_out_test

    runs, model = run_labels(), LinearCCA(K, shrinkage=0.1)
    start = time.perf_counter()
    for kept in (runs >= 0, *(runs != left for left in range(len(LENGTHS)))):
        model.fit(X[kept], Y[kept])
    fitted = time.perf_counter()
    held_out_test(model, X, Y, runs=runs, n_permutations=1000, n_jobs=JOBS)
    return (time.perf_counter() - fitted) - (fitted - start)


def shifts(way: str, count: int) -> Callable[..., Any]:
    """Shifts of one run on one thread, which may take `TILE_MEMORY`."""

    def run(U, V):
        from threadpoolctl import threadpool_limits

        from neurocca.inference.plan import plan_permutations
        from neurocca.inference.products import RowProducts, ShiftProducts
        from neurocca.inference.schemes import CircularShift
        from neurocca.inference.stepdown import StepDown

        step, plan = StepDown.of(U, V, K), plan_permutations(CircularShift(1.0), (len(U),), len(U))
        tiles = way == "tiles"
        products: Any = ShiftProducts(U, V, step, plan, TILE_MEMORY) if tiles else RowProducts(U, V, step, plan)
        start = time.perf_counter()
        with threadpool_limits(1):
            products(0, count)
        return time.perf_counter() - start

    return run


LAGS, RUNWISE = "all 3,598 circular shifts, PCA(50)²", "10,000 run-wise circular shifts, PCA(100)²"
RIDGE, SMALL = "1,000 permutations, ridge (a)", "1,000 permutations, PCA(50)²"
HELD = "held-out test beyond its fits, 1,000 shifts, 24 × 273"
TILES = "all 3,598 circular shifts, ridge (a), float32, 1 thread"
SHUFFLE, BLOCKS = in_sample("row_shuffle", 100), in_sample("block_permute", 100, length=30.0)
MEASUREMENTS = [
    Measurement(LAGS, "neurocca", "pca50", in_sample("circular_shift", 3598, min_shift=1), 3598, 3598, 0.6, repeats=9),
    Measurement(RUNWISE, "neurocca", "pca100", in_sample("circular_shift", 10_000, runs=True), 10_000, 10_000, 20),
    Measurement(RIDGE, "cca-zoo", "views", zoo, 3, 1000, repeats=3, needs="cca_zoo.model_selection", threads=JOBS),
    Measurement(RIDGE, "neurocca, rows", "ridge", SHUFFLE, 100, 1000),
    Measurement(RIDGE, "neurocca, blocks", "ridge", BLOCKS, 100, 1000),
    Measurement(RIDGE, "neurocca, rows, float32", "ridge", SHUFFLE, 100, 1000, dtype="float32"),
    Measurement(RIDGE, "neurocca, blocks, float32", "ridge", BLOCKS, 100, 1000, dtype="float32"),
    Measurement(SMALL, "permcca", "pca50", permcca, 2, 1000, repeats=3, needs="permcca.inference", threads=JOBS),
    Measurement(SMALL, "neurocca, rows", "pca50", in_sample("row_shuffle", 1000), 1000, 1000, repeats=7),
    Measurement(HELD, "neurocca", "parcels", held_out, 1000, 1000, 2, repeats=7),
    Measurement(TILES, "neurocca, row by row", "ridge", shifts("rows", 200), 200, 3598, dtype="float32", repeats=1),
    Measurement(TILES, "neurocca, tiles", "ridge", shifts("tiles", 3598), 3598, 3598, dtype="float32", repeats=1),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="where inference.md and .json are to be updated")
    parser.add_argument("--only", default="", metavar="CASE", help="cases whose name contains this")
    parser.add_argument("--repeats", type=int, help="at most so many of each, to try the script out")
    parser.add_argument("--gpu", action="store_true", help="row permutations at p = 2048, q = 20,000 on a CUDA card")
    parser.add_argument("--size", choices=GPU_SIZES, default="full", help="tiny tries --gpu out on the processor")
    parser.add_argument("--one", nargs=3, metavar=("INDEX", "FOLDER", "REPEATS"), help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, metavar=("DATA", "DTYPE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(MEASUREMENTS[int(args.one[0])], Path(args.one[1]), int(args.one[2]))
    elif args.make:
        make(args.make[0], args.make[1], Path(args.make[2]))
    elif args.gpu:
        on_card(args.size, args.publish)
    else:
        report(run_all(args.only, args.repeats or sys.maxsize), args.publish)


def run_labels() -> Any:
    return np.repeat(np.arange(len(LENGTHS)), LENGTHS)


def make(data: str, dtype: str, folder: Path) -> None:
    """Write two views or their whitened bases; in a process of its own, whose memory nobody counts."""
    from neurocca import LinearCCA

    n, p, q = SIZES["a"]
    X, Y = planted_views(n, *((40, 273) if data == "parcels" else (p, q)))[0]
    if data == "parcels":
        X = X[:, :24]  # fewer columns than there are factors
    if data.startswith("pca"):
        X, Y = LinearCCA(K, n_pca=int(data[3:])).whitened(X, Y)
    if data == "ridge":
        X, Y = LinearCCA(K, shrinkage=0.1).whitened(X, Y)
    for name, view in (("X", X), ("Y", Y)):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(view, dtype=dtype))


def measure(m: Measurement, folder: Path, repeats: int) -> None:
    """Print what the permutations took as JSON."""
    import_module(m.needs)
    X, Y = np.load(folder / "X.npy"), np.load(folder / "Y.npy")
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        own = m.run(X, Y)
        seconds.append(time.perf_counter() - start if own is None else own)
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib(), "input_mib": (X.nbytes + Y.nbytes) / 2**20}))


def run_all(only: str, repeats: int) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        made: tuple[str, str] | None = None
        for index, m in enumerate(MEASUREMENTS):
            if only not in m.case:
                continue
            if find_spec(m.needs.split(".")[0]) is None:
                print(f"{m.case}: no {m.system} here, so its row is left out.", file=sys.stderr)
                continue
            if made != (m.data, m.dtype):
                call(["--make", m.data, m.dtype, tmp], 1, None)
                made = (m.data, m.dtype)
            rows.append(run_one(m, index, tmp, min(repeats, m.repeats)))
            print(as_row(rows[-1], rows), flush=True)
    return rows


def run_one(m: Measurement, index: int, folder: str, repeats: int) -> dict:
    row = {name: getattr(m, name) for name in ("case", "system", "count", "total", "bound", "limit")}
    try:
        printed = call(["--one", str(index), folder, str(repeats)], m.threads, m.limit * repeats)
    except subprocess.TimeoutExpired:
        return row | {"median_s": None}
    found = json.loads(printed.splitlines()[-1])
    return row | found | {"median_s": statistics.median(found["seconds"]) * m.total / m.count}


def call(args: list[str], threads: int, limit: int | None) -> str:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | {"PYTHONWARNINGS": "ignore"} | dict.fromkeys(names, str(threads))
    command = [sys.executable, __file__, *args]
    return subprocess.run(command, env=environment, timeout=limit, check=True, stdout=subprocess.PIPE, text=True).stdout


def as_row(row: dict, rows: list[dict]) -> str:
    if row["median_s"] is None:
        return f"| {row['case']} | {row['system']} | > {row['limit']} (stopped) | | | | |"
    first = next(r for r in rows if r["case"] == row["case"])
    same = row is first or first["median_s"] is None or row["total"] != first["total"]
    faster = "" if same else f"{first['median_s'] / row['median_s']:,.1f} ×"
    scaled = "" if row["count"] == row["total"] else f" (from {row['count']})"
    bound = "" if row["bound"] is None else f"≤ {row['bound']:g}"
    each = f"{1000 * row['median_s'] / row['total']:.3g}"
    memory = f"{row['peak_mib']:,.0f} (input {row['input_mib']:,.0f})"
    return (
        f"| {row['case']} | {row['system']} | {row['median_s']:,.2f}{scaled} | {bound} | {each} | {faster} | {memory} |"
    )


def report(rows: list[dict], folder: Path | None) -> None:
    if folder is None:
        return
    about: dict[str, Any] = {"python": platform.python_version(), "processor": processor()}
    about |= {"versions": {name: version(name) for name in PACKAGES}, "rows": rows}
    head = [
        "| case | system | median seconds | bound | ms per permutation | faster | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    publish("bench_inference", [*head, *(as_row(r, rows) for r in rows)], about, folder, "inference")


def on_card(size: str, folder: Path | None) -> None:
    """Row permutations of bases of the ranks that views of 2,048 and 20,000 columns have, in single precision."""
    import torch

    from neurocca.inference.permutation import permutation_test

    device = "cpu" if size == "tiny" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print("no CUDA card")
        return
    n, p, q, count = GPU_SIZES[size]
    draw = torch.Generator(device).manual_seed(0)
    # ridge leaves whitened bases short of orthonormal
    U, V = (torch.linalg.qr(torch.randn(n, m, generator=draw, device=device)).Q / 2 for m in (p, q))
    options = {"scheme": "row_shuffle", "n_components": K}
    permutation_test(U, V, n_permutations=16, **options)
    start = time.perf_counter()
    permutation_test(U, V, n_permutations=count, **options)  # its results are in the processor's memory
    seconds = time.perf_counter() - start
    card = torch.cuda.get_device_name() if device == "cuda" else processor()
    table = [
        "| card | permutations | ranks | seconds | bound | ms per permutation |",
        "|---|---|---|---|---|---|",
        f"| {card} | {count:,} | {p:,} and {q:,} | {seconds:.1f} | ≤ 60 | {1000 * seconds / count:.3g} |",
    ]
    print("\n".join(table))
    if folder:
        figures = {"card": card, "torch": torch.__version__, "count": count, "seconds": seconds}
        publish("bench_inference_gpu", table, figures, folder, "inference")


if __name__ == "__main__":
    main()
