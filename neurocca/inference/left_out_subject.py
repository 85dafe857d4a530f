"""Replication of components in a subject that the fit has not seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.checks import check_rows
from neurocca.inference.fits import plain, with_names
from neurocca.inference.held_out import HeldOutResult, held_out_test
from neurocca.inference.parallel import CheckpointLike, Progress
from neurocca.inference.plan import run_lengths
from neurocca.inference.schemes import Lengths, Scheme, as_scheme

Array = Any


def leave_one_subject_out_test(
    estimator: Any,
    X: ArrayLike,
    subjects: Sequence[ArrayLike],
    *,
    runs: ArrayLike | None = None,
    t_r: float = 1.0,
    scheme: str | Scheme = "circular_shift",
    n_permutations: int = 1000,
    rng: int | Generator = 0,
    n_jobs: int = 1,
    progress: Progress = None,
    checkpoint: CheckpointLike | None = None,
) -> HeldOutResult:
    """Fit all subjects but one, and correlate the variates of the one left out.

    Subjects' rows are stacked below one another, beside the film's features repeated for each of them. In every
    permutation the features are rearranged inside runs, in the same way for all subjects, and all models are fitted
    again. Subjects share the film, and what else of it than these features moves their brains: where the features go
    along with that by chance they do so in the left-out subject as well. Rearrangements that differ between subjects
    would take that away too, and call chance a replication (42 % of tests at a level of 5 %, of 5 subjects with half
    of each response's variance in common).

    A small p-value hence says that the features of this film and these brains belong together, in a way that goes over
    to other subjects; that it goes over to other films, no test that knows one film can say.

    Parameters
    ----------
    estimator : scikit-learn estimator with ``fit(X, y)`` and ``transform(X, y)``
        As for `held_out_test`.
    X : array or data frame, shape (n, p)
        Features of the film, the same for all subjects.
    subjects : sequence of S arrays or data frames, each of shape (n, q), or (n,) for one column
        Responses to that film; columns must mean the same in all subjects.
    runs : array, shape (n,), optional
        Run label of each sample; one run by default.
    t_r : float
        Seconds per sample.
    scheme : str or Scheme
    n_permutations : int
    rng : int or Generator
    n_jobs : int
        The result does not depend on it.
    progress : callable or bool, optional
    checkpoint : object with ``load`` and ``save``, optional

    Returns
    -------
    HeldOutResult
        With one fold per subject, labelled by the subject's number from 0.

    Raises
    ------
    ValueError
        With fewer than two subjects, responses that differ in their columns or do not fit the film, or values that are
        not finite; the message names the subject.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> film = rng.standard_normal((200, 3))
    >>> subjects = [film[:, :1] + rng.standard_normal((200, 4)) for _ in range(4)]
    >>> test = leave_one_subject_out_test(LinearCCA(2), film, subjects, n_permutations=99)
    >>> test.correlations.shape, test.pvalues < 0.05
    ((4, 2), array([ True, False]))
    """
    subjects = list(subjects)
    features, responses = _checked(X, subjects)
    (n, S), lengths = (len(features), len(responses)), run_lengths(runs, len(features))
    return held_out_test(
        estimator,
        with_names(np.tile(features, (S, 1)), X),
        with_names(np.concatenate(responses), subjects[0]),
        runs=np.repeat(np.arange(S * len(lengths)), lengths * S),
        groups=np.repeat(np.arange(S), n),
        t_r=t_r,
        scheme=Together(as_scheme(scheme), S),
        n_permutations=n_permutations,
        rng=rng,
        n_jobs=n_jobs,
        progress=progress,
        checkpoint=checkpoint,
    )


def _checked(X: Any, subjects: list[Any]) -> tuple[NDArray, list[NDArray]]:
    """Features, and responses of every subject, as arrays of finite numbers."""
    if len(subjects) < 2:
        raise ValueError(f"{len(subjects)} subject(s): leaving one out takes at least two.")
    pairs = [check_rows(X, y, ("X", f"subject {i}")) for i, y in enumerate(subjects)]
    responses, names = [plain(y) for _, y in pairs], [list(getattr(y, "columns", ())) for y in subjects]
    for i, y in enumerate(responses):
        if y.shape[1] != responses[0].shape[1] or (names[i] and names[0] and names[i] != names[0]):
            raise ValueError(
                f"subject {i}: responses have {_columns(y, names[i])}, and subject 0 has "
                f"{_columns(responses[0], names[0])}: columns must mean the same in all subjects, such as parcels or "
                "voxels of one template."
            )
    return plain(pairs[0][0]), responses


def _columns(y: NDArray, names: list[Any]) -> str:
    return f"{y.shape[1]} columns" + (f" ({', '.join(map(str, names[:4]))}{', …' * (len(names) > 4)})" if names else "")


@dataclass(frozen=True)
class Together(Scheme):
    """The same arrangement for all subjects, whose rows follow one another.

    Parameters
    ----------
    scheme : Scheme
        How one subject's runs are rearranged.
    n_subjects : int
    """

    scheme: Scheme
    n_subjects: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.scheme.name)

    def _one(self, lengths: Lengths) -> Lengths:
        return lengths[: len(lengths) // self.n_subjects]

    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        """Those of one subject."""
        return self.scheme.n_arrangements(self._one(lengths), t_r)

    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        """One random arrangement of one subject's runs."""
        return self.scheme.draw(stream, self._one(lengths), t_r)

    def everything(self, lengths: Lengths, t_r: float) -> Iterator[NDArray]:
        """All arrangements of one subject's runs."""
        return self.scheme.everything(self._one(lengths), t_r)

    def prepare(self, view: Array, lengths: Lengths) -> Array:
        """The scheme's coordinates, subject by subject."""
        return self._below(self.scheme.prepare(self._beside(view), self._one(lengths)))

    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        """Rearranged rows, in the same coordinates."""
        return self._below(self.scheme.move(self._beside(prepared), arrangement, self._one(lengths)))

    def apply(self, view: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        """Rearranged rows of a view, shape (S n, m)."""
        return self._below(self.scheme.apply(self._beside(view), arrangement, self._one(lengths)))

    def _beside(self, rows: Array) -> Array:
        """Subjects' rows, shape (S n, m), as columns of one array: shape (n, S m)."""
        n = rows.shape[0] // self.n_subjects
        return array_namespace(rows).concat([rows[i * n : (i + 1) * n, :] for i in range(self.n_subjects)], axis=1)

    def _below(self, columns: Array) -> Array:
        m = columns.shape[1] // self.n_subjects
        return array_namespace(columns).concat([columns[:, i * m : (i + 1) * m] for i in range(self.n_subjects)])
