"""False positives of the tests on independent autocorrelated series.

    python benchmarks/error_rates.py [--simulations 300] [--runs 3] [--volumes 100] [--phi 0.8]

X (3 columns) and Y (5 columns) are independent AR(1) series. Every rejection at α = .05 is a false one.
"""

import argparse

import numpy as np
from scipy.signal import lfilter

from neurocca import LinearCCACV, held_out_test, permutation_test
from neurocca.inference.result import max_statistic_pvalues

PERMUTATIONS = 199
MIN_SHIFT = 10


def ar1(rng: np.random.Generator, shape: tuple[int, int], phi: float) -> np.ndarray:
    """Series of unit variance; the first hundred samples let them forget their start."""
    noise = rng.standard_normal((shape[0] + 100, shape[1])) * np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)[100:]


def rotated_only(held, X: np.ndarray, Y: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """p-values of the null that rotates left-out variates and does not fit again."""
    null = np.zeros_like(held.null)
    for i, (label, fitted) in enumerate(zip(held.run_labels, held.estimators, strict=True)):
        U, V = (a / np.linalg.norm(a, axis=0) for a in centred(*fitted.transform(X[runs == label], Y[runs == label])))
        null += [np.sum(np.roll(U, lags[i], axis=0) * V, axis=0) for lags in held.lags]
    return max_statistic_pvalues(held.correlations, null / len(held.run_labels))


def centred(*arrays: np.ndarray) -> list[np.ndarray]:
    return [a - a.mean(axis=0) for a in arrays]


def simulate(seed: int, n_runs: int, n_volumes: int, phi: float) -> dict[str, float]:
    rng = np.random.default_rng([seed, 5])
    n = n_runs * n_volumes
    X, Y, runs = ar1(rng, (n, 3), phi), ar1(rng, (n, 5), phi), np.repeat(np.arange(n_runs), n_volumes)
    options = {"runs": runs, "min_shift": MIN_SHIFT, "n_permutations": PERMUTATIONS, "rng": seed}
    cca = LinearCCACV(2, scale=True)
    held = held_out_test(cca, X, Y, **options)
    cca.fit(X, Y, groups=runs)
    U, V = cca.whitened(X, Y)
    observed = np.linalg.norm(U.T @ V, 2)
    shuffled = [np.linalg.norm(U[rng.permutation(n)].T @ V, 2) for _ in range(PERMUTATIONS)]
    return {
        "held-out": held.pvalues[0],
        "held-out, any component": held.pvalues.min(),
        "held-out variates rotated, not refitted": rotated_only(held, X, Y, runs)[0],
        "in-sample, shrinkage chosen on the same data": permutation_test(cca, X, Y, **options).pvalues[0],
        "in-sample, rows shuffled": (1 + np.sum(shuffled >= observed)) / (1 + PERMUTATIONS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--phi", type=float, default=0.8)
    args = parser.parse_args()
    simulations = [simulate(seed, args.runs, args.volumes, args.phi) for seed in range(args.simulations)]
    margin = 1.96 * np.sqrt(0.05 * 0.95 / args.simulations)
    print(f"{args.simulations} simulations, {args.runs} runs of {args.volumes} volumes, AR(1) with phi = {args.phi}")
    print(f"a valid test rejects .05, here within ± {margin:.3f}")
    for name in simulations[0]:
        rate = np.mean([p[name] <= 0.05 for p in simulations])
        print(f"  {rate:.3f}  {name}")


if __name__ == "__main__":
    main()
