"""How much loadings vary from sample to sample: a bootstrap of runs or of blocks in time.

Everything is computed on the resample, the loadings too: they are a function of the sample like the weights, and
correlating the original columns with variates of resampled weights would leave out how much correlations themselves
vary. Components of a resample come in any order and with any sign, and where correlations are close they mix; so they
are matched to those of the fit on all samples first (Milan & Whittaker 1995).

References
----------
Efron & Tibshirani (1986), Bootstrap methods for standard errors, confidence intervals, and other measures of
statistical accuracy, Statistical Science 1:54-75, doi:10.1214/ss/1177013815.
McIntosh & Lobaugh (2004), Partial least squares analysis of neuroimaging data: applications and advances, NeuroImage
23:S250-S263, doi:10.1016/j.neuroimage.2004.07.020.
Milan & Whittaker (1995), Application of the parametric bootstrap to models that incorporate a singular value
decomposition, Applied Statistics 44:31-49, doi:10.2307/2986193.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from neurocca.inference.checks import check_rows
from neurocca.inference.fits import take_rows
from neurocca.inference.loading_null import Kind
from neurocca.inference.options import is_number, shown, whole_number
from neurocca.inference.parallel import CheckpointLike, Progress, over_permutations
from neurocca.inference.plan import check_t_r, child_seed, run_lengths, seed_sequence
from neurocca.inference.resampling import Fit, MovingBlocks, Pair, Resampling, WholeRuns

Unit = Literal["runs", "blocks"]
Match = Literal["signs", "procrustes"]
NO_VARIATION = 1e-6
"""Standard errors below it are single precision's rounding."""


@dataclass(frozen=True)
class BootstrapResult:
    """Loadings of the fit on all samples, and how they vary over resamples.

    Parameters
    ----------
    x_loadings, y_loadings : arrays, shapes (p, k) and (q, k)
        Of the fit on all samples.
    x_mean, y_mean, x_se, y_se : arrays, shapes (p, k) and (q, k)
        Mean and standard deviation (the standard error) over resamples.
    x_low, x_high, y_low, y_high : arrays, shapes (p, k) and (q, k)
        Percentile intervals, column by column.
    stability : array, shape (k,)
        Mean congruence of matched loadings with those of the fit on all samples, and of both views. A resample shares
        two thirds of its samples with all, so that noise is not near 0 either.
    correlations : array, shape (B, k)
        Of matched variates in each resample.
    unit, match, kind : str
    """

    x_loadings: NDArray[np.floating]
    y_loadings: NDArray[np.floating]
    x_mean: NDArray[np.floating]
    y_mean: NDArray[np.floating]
    x_se: NDArray[np.floating]
    y_se: NDArray[np.floating]
    x_low: NDArray[np.floating]
    x_high: NDArray[np.floating]
    y_low: NDArray[np.floating]
    y_high: NDArray[np.floating]
    stability: NDArray[np.floating]
    correlations: NDArray[np.floating]
    unit: str
    match: str
    kind: str

    @property
    def x_ratio(self) -> NDArray[np.floating]:
        """Bootstrap ratio, loading over standard error, shape (p, k); infinite where a loading does not vary."""
        return _ratio(self.x_loadings, self.x_se)

    @property
    def y_ratio(self) -> NDArray[np.floating]:
        """Bootstrap ratio, loading over standard error, shape (q, k); infinite where a loading does not vary."""
        return _ratio(self.y_loadings, self.y_se)


def bootstrap_loadings(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    runs: ArrayLike | None = None,
    t_r: float = 1.0,
    unit: Unit = "runs",
    block: float = 30.0,
    n_bootstraps: int = 1000,
    match: Match = "signs",
    kind: Kind = "own",
    confidence: float = 0.95,
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
    progress: Progress = None,
    checkpoint: CheckpointLike | None = None,
) -> BootstrapResult:
    """Standard errors and intervals of loadings by refitting on resampled runs or blocks.

    This says how precise a map is, not whether there is a component: of noise, too, some loading is the largest. That
    is what `permutation_test` and `loading_test` are for.

    Parameters
    ----------
    estimator : scikit-learn estimator with ``fit(X, y)`` and ``transform(X, y)``
        Cloned for every resample. One that leaves runs out itself (with a ``cv`` parameter, or whose ``fit`` takes
        ``groups``) gets the original run of every row as ``groups``: copies of a run have one label, and none of them
        is left out while another is fitted. Without run labels it may split copies of a block.
    X, y : arrays, shapes (n, p) and (n, q)
        The same rows are drawn of both.
    runs : array, shape (n,), optional
        Run label of each sample; one run by default.
    t_r : float
        Seconds per sample.
    unit : {"runs", "blocks"}
        runs: as many runs as there are, with replacement, but never a single one only; supposes nothing about time,
        and is coarse with few runs (R runs give a standard error that is too small by √(1 - 1/R)). blocks: every run
        from blocks of its own consecutive samples, its length kept; says nothing about how runs differ.
    block : float
        Length of a block in seconds: long beside the autocorrelation, short beside a run.
    n_bootstraps : int
        (p + q) k numbers of 4 bytes are kept for each: 1 GB for 50,000 columns, 5 components and 1000 resamples.
    match : {"signs", "procrustes"}
        signs: each component to one of the resample, with one sign for both views. procrustes: all components by one
        rotation for both views, which also undoes how close components mix, and leaves out what varies for that reason.
    kind : {"own", "cross"}
        Correlations with the variates of the same view, or of the other one, as `loading_test` has them.
    confidence : float
        Of the percentile intervals.
    rng : int, Generator or SeedSequence
    n_jobs : int
        Parallel jobs, on any joblib backend; the result does not depend on it.
    progress : callable or bool, optional
        Called with the number of resamples done since the last call; True shows a bar.
    checkpoint : object with ``load`` and ``save``, optional
        A bootstrap that was interrupted goes on from there.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    ValueError
        When there are fewer than three runs to draw from, a block is not shorter than every run, views do not fit each
        other, or a number or name is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((200, 1))
    >>> X, Y = Z + rng.standard_normal((200, 3)), rng.standard_normal((200, 4))
    >>> Y[:, :2] += Z
    >>> bootstrap = bootstrap_loadings(LinearCCA(1), X, Y, unit="blocks", block=10, n_bootstraps=50)
    >>> np.abs(bootstrap.y_ratio[:, 0]) > 4
    array([ True,  True, False, False])
    """
    _check_names(unit=unit, match=match, kind=kind)
    _check_numbers(n_bootstraps, confidence, block)
    check_t_r(t_r)
    views = check_rows(X, y)
    lengths = run_lengths(runs, views[0].shape[0])
    units: Resampling = MovingBlocks.of(lengths, block, t_r) if unit == "blocks" else WholeRuns.of(lengths)
    labels = None if runs is None else np.asarray(runs)
    # a data frame stays one: its names may say which columns belong to which space
    X, y = (v if getattr(v, "ndim", 1) == 2 and hasattr(v, "iloc") else a for v, a in zip((X, y), views, strict=True))
    reference = Fit.of(estimator, X, y, labels, kind)
    resampled = _Resampled(estimator, X, y, labels, units, seed_sequence(rng), match, kind, reference)
    found = over_permutations(
        resampled, n_bootstraps, n_jobs=n_jobs, prefer="processes", progress=progress, checkpoint=checkpoint,
        key=(resampled.key, n_bootstraps),
    )  # fmt: skip
    return _result(resampled, found, unit, confidence)


@dataclass
class _Resampled:
    """Matched loadings, correlations and congruences of resamples."""

    estimator: Any
    X: Any
    y: Any
    labels: NDArray | None
    units: Resampling
    seed: SeedSequence
    match: Match
    kind: Kind
    reference: Fit

    @property
    def key(self) -> tuple[Any, ...]:
        """What the rows depend on."""
        streams = (self.seed.entropy, self.seed.spawn_key, self.seed.pool_size)
        return self.estimator, self.X, self.y, self.labels, self.units, streams, self.match, self.kind

    def __call__(self, start: int, stop: int) -> NDArray[np.float32]:
        """One row per resample, shape (stop - start, (p + q) k + 2 k)."""
        return np.stack([self._row(i) for i in range(start, stop)])

    def _row(self, i: int) -> NDArray[np.float32]:
        rows = self.units.draw(np.random.default_rng(child_seed(self.seed, i)))
        labels = None if self.labels is None else self.labels[rows]
        found = Fit.of(self.estimator, take_rows(self.X, rows), take_rows(self.y, rows), labels, self.kind)
        R = rotation_to(self.reference.loadings, found.loadings, self.match)
        variates, lengths = [], []
        for w in found.variates:
            lengths.append(np.linalg.norm(w @ R, axis=0))
            variates.append(w @ R / np.where(lengths[-1] > 0, lengths[-1], 1))
        # loadings with a rotated variate are rotated loadings, over its length where variates correlate
        lengths = lengths if self.kind == "own" else lengths[::-1]
        loads = [a @ R / np.where(s > 0, s, 1) for a, s in zip(found.loadings, lengths, strict=True)]
        congruence = np.mean([_cosines(*pair) for pair in zip(loads, self.reference.loadings, strict=True)], axis=0)
        correlations = np.sum(variates[0] * variates[1], axis=0)
        return np.concatenate([loads[0].ravel(), loads[1].ravel(), correlations, congruence]).astype(np.float32)


def rotation_to(reference: Pair, found: Pair, match: Match) -> NDArray[np.floating]:
    """What makes the components of one fit those of another when variates or loadings are multiplied by it.

    Both views count the same, however many columns they have.

    Parameters
    ----------
    reference, found : pairs of arrays, shapes (p, k) and (q, k), and (p, m) and (q, m)
        Loadings of both views.
    match : {"signs", "procrustes"}

    Returns
    -------
    array, shape (m, k)
        A signed permutation, or orthonormal columns; of the components that are lacking where m < k, zeros.
    """
    if match == "procrustes":
        pairs = zip(found, reference, strict=True)
        products = sum(a.T @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300) for a, b in pairs)
        left, _, right = np.linalg.svd(products, full_matrices=False)
        return left @ right
    congruence = sum(_unit(a).T @ _unit(b) for a, b in zip(found, reference, strict=True))
    R = np.zeros_like(congruence)
    pairs = linear_sum_assignment(-np.abs(congruence))
    R[pairs] = np.where(congruence[pairs] < 0, -1, 1)
    return R


def _result(resampled: _Resampled, found: NDArray[np.float32], unit: Unit, confidence: float) -> BootstrapResult:
    x, y = resampled.reference.loadings
    k = x.shape[1]
    xs, ys, correlations, congruence = np.split(found, np.cumsum([x.size, y.size, k]), axis=1)
    x_mean, x_se, x_low, x_high = _summary(xs.reshape(-1, *x.shape), confidence)
    y_mean, y_se, y_low, y_high = _summary(ys.reshape(-1, *y.shape), confidence)
    return BootstrapResult(
        x_loadings=x,
        y_loadings=y,
        x_mean=x_mean,
        y_mean=y_mean,
        x_se=x_se,
        y_se=y_se,
        x_low=x_low,
        x_high=x_high,
        y_low=y_low,
        y_high=y_high,
        stability=congruence.mean(axis=0, dtype=float),
        correlations=correlations,
        unit=unit,
        match=resampled.match,
        kind=resampled.kind,
    )


def _summary(values: NDArray[np.float32], confidence: float) -> list[NDArray[np.float64]]:
    """Mean, standard deviation and interval, shapes (p, k), of loadings, shape (B, p, k); one component at a time."""
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    found = []
    for j in range(values.shape[2]):
        one = values[:, :, j].astype(float)
        found.append([one.mean(axis=0), one.std(axis=0, ddof=1), *np.quantile(one, tails, axis=0)])
    return [np.stack(columns, axis=1) for columns in zip(*found, strict=True)]


def _ratio(loads: NDArray, se: NDArray) -> NDArray[np.floating]:
    varies = se > NO_VARIATION
    endless = np.where(loads == 0, 0.0, np.copysign(np.inf, loads))
    return np.where(varies, loads / np.where(varies, se, 1.0), endless)


def _check_names(*, unit: str, match: str, kind: str) -> None:
    for name, value, known in (("unit", unit, Unit), ("match", match, Match), ("kind", kind, Kind)):
        if value not in get_args(known):
            raise ValueError(f"{name}={value!r} is none of {', '.join(get_args(known))}.")


def _check_numbers(n_bootstraps: int, confidence: float, block: float) -> None:
    whole_number(n_bootstraps, "n_bootstraps", 2)
    if not (is_number(confidence) and 0 < confidence < 1):
        raise ValueError(f"confidence={shown(confidence)} must be between 0 and 1.")
    if not (is_number(block) and 0 < block < np.inf):
        raise ValueError(f"block={shown(block)} must be seconds, above 0 and finite.")


def _unit(columns: NDArray) -> NDArray:
    norm = np.linalg.norm(columns, axis=0)
    return columns / np.where(norm > 0, norm, 1)


def _cosines(A: NDArray, B: NDArray) -> NDArray:
    return np.sum(_unit(A) * _unit(B), axis=0)
