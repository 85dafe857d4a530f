"""How often the tests reject: false positives where nothing is shared, and power where something is.

    python benchmarks/calibration.py [--only PART] [--simulations 1000] [--publish docs] [--realdata FOLDER]

Simulated views except in the last part; every rejection at α = .05 is counted. The parts are `false_positives`,
`min_shift`, `stepdown`, `nuisance`, `nuisance_series`, `power` and `real`.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.signal import lfilter
from tables import publish

from neurocca import CircularShift, LinearCCA, permutation_test
from neurocca.inference.checks import InferenceWarning
from neurocca.inference.nuisance import Nuisance

B, ALPHA, JOBS = 99, 0.05, 2
SCHEMES = ("circular_shift", "phase_randomize", "prewhiten", "block_permute", "row_shuffle")
WARNING_EXAMPLES = ("block_permute", "row_shuffle")  # fewer simulations are enough for what is far off
Row = dict[str, float | str]


class Bases:
    """Plain CCA without a fit: all that a test needs of an estimator."""

    n_components = 1

    def whitened(self, X: NDArray, y: NDArray) -> tuple[NDArray, ...]:
        return tuple(np.linalg.qr(view - view.mean(axis=0))[0] for view in (X, y))


def series(rng: np.random.Generator, noise: float | str, lengths: list[int], columns: int) -> NDArray:
    """Independent runs of AR(1) series with φ = noise, or of 1/f noise, of unit variance."""
    return np.concatenate([one_run(rng, noise, n, columns) for n in lengths])


def one_run(rng: np.random.Generator, noise: float | str, n: int, columns: int) -> NDArray:
    if noise != "1/f":
        start = 200  # lets the series forget how it began
        e = rng.standard_normal((n + start, columns)) * np.sqrt(1 - float(noise) ** 2)
        return lfilter([1.0], [1.0, -float(noise)], e, axis=0)[start:]
    # a piece of a longer series, as a run is
    spectrum = np.fft.rfft(rng.standard_normal((4 * n, columns)), axis=0)
    frequencies = np.fft.rfftfreq(4 * n)[:, None]
    frequencies[0] = frequencies[1]
    found = np.fft.irfft(spectrum / np.sqrt(frequencies), axis=0)[:n]
    return found / found.std(axis=0)


def labels(lengths: list[int]) -> NDArray:
    return np.repeat(np.arange(len(lengths)), lengths)


def pvalues(X: NDArray, Y: NDArray, runs: NDArray, scheme: str, seed: int, nuisance=None) -> tuple[float, float]:
    """Of the first component: by the product of all roots (Wilks), and by the largest root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        test = permutation_test(
            Bases(), X, Y, runs=runs, scheme=scheme, n_permutations=B, rng=seed, nuisance=nuisance
        )  # fmt: skip
    return float(test.pvalues_stepdown[0]), float(test.pvalues[0])


def rates(simulate: Callable[[int], dict[str, float]], n: int, alpha: float = ALPHA) -> dict[str, float]:
    """Share of simulations in which each test rejects."""
    found = Parallel(n_jobs=JOBS, batch_size=20)(delayed(simulate)(seed) for seed in range(n))
    return {name: float(np.mean([one[name] <= alpha for one in found])) for name in found[0]}


def one_null(
    seed: int, noise: float | str, lengths: list[int], size: tuple[int, int], schemes: tuple[str, ...]
) -> dict[str, float]:
    rng = np.random.default_rng([seed, 1])
    X, Y = (series(rng, noise, lengths, columns) for columns in size)
    return {scheme: pvalues(X, Y, labels(lengths), scheme, seed)[0] for scheme in schemes}


def false_positives(n: int) -> list[Row]:
    designs = {"1 × 300": [300], "8 × 200": [200] * 8}
    cases = [(name, size) for name in designs for size in ((3, 3), (5, 10), (50, 50))]
    cases += [("1 × 100", (5, 10)), ("3 × 100", (5, 10))]
    designs |= {"1 × 100": [100], "3 × 100": [100] * 3}
    rows = []
    for name, size in cases:
        # large views take long, and short runs are no promise
        some = n if size != (50, 50) and designs[name][0] >= 200 else 2 * n // 5
        for noise in (0.0, 0.5, 0.8, 0.9, 0.95, "1/f"):
            simulate = partial(one_null, noise=noise, lengths=designs[name], size=size)
            found = rates(partial(simulate, schemes=SCHEMES[:3]), some)
            found |= rates(partial(simulate, schemes=WARNING_EXAMPLES), max(n // 10, 20))
            row: Row = {"runs × volumes": name, "p, q": f"{size[0]}, {size[1]}", "noise": noise_name(noise)}
            rows.append(row | {"simulations": str(some)} | found)
            print(rows[-1], flush=True)
    return rows


def noise_name(noise: float | str) -> str:
    return noise if isinstance(noise, str) else f"φ = {noise:g}"


def one_guard(seed: int, noise: float) -> dict[str, float]:
    """One run, all its shifts: p-values by the shortest shift that is allowed."""
    rng = np.random.default_rng([seed, 6])
    X, Y = (series(rng, noise, [300], 3) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        tests = {g: permutation_test(Bases(), X, Y, scheme=CircularShift(g), n_permutations=B**2) for g in (1, 10, 20)}
    return {f"min_shift {g}": float(test.pvalues_stepdown[0]) for g, test in tests.items()}


def min_shift(n: int) -> list[Row]:
    rows = []
    for noise in (0.5, 0.8, 0.9):
        for alpha in (0.05, 0.01):
            found = rates(partial(one_guard, noise=noise), n, alpha)
            rows.append({"noise": noise_name(noise), "p at most": f"{alpha:g}"} | found)
            print(rows[-1], flush=True)
    return rows


def one_stepdown(seed: int, scheme: str, shrinkage: float, lengths: list[int], noise: float, shared: int) -> dict:
    """Components beside and after the shared ones; the naive test compares r_k with permuted r_k."""
    rng = np.random.default_rng([seed, 2])
    X, Y = (series(rng, noise, lengths, columns) for columns in (8, 10))
    Y[:, :shared] += 3 * X[:, :shared]
    k, cca = shared + 1, LinearCCA(8, shrinkage=shrinkage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        test = permutation_test(cca, X, Y, runs=labels(lengths), scheme=scheme, n_permutations=B, rng=seed)
    found = {
        "last shared": float(test.pvalues_stepdown[k - 2]),
        "first not shared": float(test.pvalues_stepdown[k - 1]),
    }
    found["second not shared"] = float(test.pvalues_stepdown[k])
    if scheme == "row_shuffle" and shrinkage == 0:
        U, V = cca.whitened(X, Y)
        nulls = np.array([np.linalg.svd(U[rng.permutation(len(U))].T @ V, compute_uv=False) for _ in range(B)])
        naive = (1 + np.sum(nulls >= test.correlations, axis=0)) / (1 + B)
        found |= {"naive, first not shared": float(naive[k - 1]), "naive, second": float(naive[k])}
    return found


def stepdown(n: int) -> list[Row]:
    rows = []
    iid, one, many = ([100], 0.0), ([400], 0.8), ([200] * 8, 0.8)
    cases = [("row_shuffle", 0.0, iid, 1), ("row_shuffle", 0.3, iid, 1), ("row_shuffle", 0.0, iid, 4)]
    cases += [(scheme, 0.0, one, c) for c in (1, 4) for scheme in SCHEMES[:3]]
    cases += [("circular_shift", 0.3, one, 1), ("circular_shift", 0.0, many, 1), ("circular_shift", 0.0, many, 4)]
    for scheme, shrinkage, (lengths, noise), shared in cases:
        simulate = partial(
            one_stepdown, scheme=scheme, shrinkage=shrinkage, lengths=lengths, noise=noise, shared=shared
        )  # fmt: skip
        row: Row = {"scheme": scheme, "shrinkage": f"{shrinkage:g}", "runs × volumes": f"{len(lengths)} × {lengths[0]}"}
        rows.append(row | {"noise": noise_name(noise), "shared": str(shared)} | rates(simulate, n))
        print(rows[-1], flush=True)
    return rows


def one_nuisance(seed: int, R: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, 3])
    n, runs = 100, np.zeros(100)
    Z = rng.standard_normal((n, R))
    X = rng.standard_normal((n, 8)) + Z @ rng.standard_normal((R, 8))
    Y = rng.standard_normal((n, 10)) + Z @ rng.standard_normal((R, 10))
    left = np.column_stack([np.ones(n), Z])
    residuals = [view - left @ np.linalg.lstsq(left, view)[0] for view in (X, Y)]
    return {
        "residuals permuted": pvalues(*residuals, runs, "row_shuffle", seed)[0],
        "Huh-Jhun": pvalues(X, Y, runs, "row_shuffle", seed, Z)[0],
        "Theil": pvalues(X, Y, runs, "row_shuffle", seed, Nuisance(Z, method="theil"))[0],
    }


def nuisance(n: int) -> list[Row]:
    rows = []
    for R in (15, 50):
        rows.append({"nuisance variables": R, **rates(partial(one_nuisance, R=R), n)})
        print(rows[-1], flush=True)
    return rows


def one_nuisance_series(
    seed: int, R: int, noise: float | str, phi_z: float, lengths: list[int], last_run: float = 1.0
) -> dict[str, float]:
    rng = np.random.default_rng([seed, 4])
    X, Y, Z = (series(rng, kind, lengths, m) for kind, m in ((noise, 5), (noise, 10), (phi_z, R)))
    X[-lengths[-1] :], Y[-lengths[-1] :] = last_run * X[-lengths[-1] :], last_run * Y[-lengths[-1] :]
    X, Y = X + Z @ rng.standard_normal((R, 5)) / 2, Y + Z @ rng.standard_normal((R, 10)) / 2
    left = np.column_stack([*(labels(lengths) == run for run in range(len(lengths))), Z])
    residuals = [view - left @ np.linalg.lstsq(left, view)[0] for view in (X, Y)]
    return {
        "residuals shifted": pvalues(*residuals, labels(lengths), "circular_shift", seed)[0],
        "prewhiten": pvalues(X, Y, labels(lengths), "prewhiten", seed, Z)[0],
    }


def nuisance_series(n: int) -> list[Row]:
    rows = []
    cases = [(0.9, z, R) for R in (15, 50) for z in (0.3, 0.9, 0.98)]
    cases += [(0.8, 0.8, 15), (0.95, 0.5, 50), ("1/f", 0.5, 15), ("1/f", 0.98, 15)]
    for noise, phi_z, R in cases:
        for name, lengths in (("2 × 300", [300] * 2), ("8 × 300", [300] * 8)):
            if name == "8 × 300" and (noise, R) != (0.9, 50):
                continue
            simulate = partial(one_nuisance_series, R=R, noise=noise, phi_z=phi_z, lengths=lengths)
            rows.append(
                {
                    "views": noise_name(noise),
                    "nuisance": f"{R} with φ = {phi_z:g}",
                    "runs × volumes": name,
                    **rates(simulate, n),
                }
            )
            print(rows[-1], flush=True)
    simulate = partial(one_nuisance_series, R=15, noise=0.8, phi_z=0.8, lengths=[150] * 4, last_run=3.0)
    row: Row = {"views": "φ = 0.8, last run × 3", "nuisance": "15 with φ = 0.8", "runs × volumes": "4 × 150"}
    rows.append(row | rates(simulate, n))
    print(rows[-1], flush=True)
    return rows


def one_power(seed: int, r: float, n: int, phi: float) -> dict[str, float]:
    rng = np.random.default_rng([seed, 5])
    X, Y = series(rng, phi, [n], 5), series(rng, phi, [n], 10)
    Y[:, 0] = r * X[:, 0] + np.sqrt(1 - r**2) * Y[:, 0]
    runs, found = np.zeros(n), {}
    schemes = ("circular_shift", "phase_randomize", "prewhiten") if phi else ("row_shuffle", "circular_shift")
    for scheme in schemes:
        found[f"{scheme}, Wilks"], found[f"{scheme}, largest root"] = pvalues(X, Y, runs, scheme, seed)
    # fit again in every permutation and compare the first correlation: what other packages do, on a valid null
    U, V = Bases().whitened(X, Y)
    moved = [np.roll(X, rng.integers(20, n - 19), axis=0) if phi else X[rng.permutation(n)] for _ in range(B)]
    nulls = [np.linalg.norm(Bases().whitened(view, Y)[0].T @ V, 2) for view in moved]
    found["refit, first correlation"] = (1 + np.sum(np.array(nulls) >= np.linalg.norm(U.T @ V, 2))) / (1 + B)
    return found


def power(n: int) -> list[Row]:
    rows = []
    for phi in (0.0, 0.8):
        for length in (100, 200, 400) if phi == 0 else (200, 400, 800):
            for r in (0.2, 0.3, 0.5):
                found = rates(partial(one_power, r=r, n=length, phi=phi), n)
                rows.append({"noise": noise_name(phi), "volumes": length, "population r": r, **found})
                print(rows[-1], flush=True)
    return rows


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "false_positives": false_positives,
    "min_shift": min_shift,
    "stepdown": stepdown,
    "nuisance": nuisance,
    "nuisance_series": nuisance_series,
    "power": power,
}


def tabled(rows: list[Row]) -> list[str]:
    """Rows as a Markdown table."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [row.get(name, "") for name in columns]
        lines.append("| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PARTS, "real"])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="where inference.md and .json are to be updated")
    parser.add_argument("--realdata", type=Path, metavar="FOLDER", help="for the part on real data")
    args = parser.parse_args()
    for name, part in PARTS.items():
        if args.only in (None, name):
            run(name, lambda part=part: part(args.simulations), args.publish)
    if args.realdata is not None and args.only in (None, "real"):
        from calibration_real import real

        run("real", lambda: real(args.realdata), args.publish)


def run(name: str, part: Callable[[], list[Row]], folder: Path | None) -> None:
    start = time.perf_counter()
    rows = part()
    print(f"\n{name} ({time.perf_counter() - start:.0f} s)", *tabled(rows), sep="\n", flush=True)
    if folder is not None:
        publish(f"calibration_{name}", tabled(rows), {"rows": rows}, folder, page="inference")


if __name__ == "__main__":
    main()
