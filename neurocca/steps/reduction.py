"""How the features of a network are reduced: what is fitted on which films, and what is stored of it."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurocca.errors import UsageError
from neurocca.io.store import FeatureStore

if TYPE_CHECKING:
    from neurocca.features.reduce import Reduction

Transform = Callable[[NDArray], NDArray]

SEED = 0
"""Of random projections: those of equal size are the same in all films."""

_TAKEN = "from "


@dataclass(frozen=True)
class Projection:
    """What a configuration asks for.

    Parameters
    ----------
    text : str
        As configured, for messages and the record.
    srp : int
        Components of a random projection, 0 for none. It depends on no data: rows are projected before they are saved.
    pca : int or float
        Components of a principal component analysis after it, or the share of variance that they keep; 0 for none.
        It is fitted when all rows are there.
    fitted_on : tuple of str
        SHA-256 of the films that it is fitted on, in the order of their runs.
    source : Path, optional
        A store whose projections are applied instead.
    """

    text: str = ""
    srp: int = 0
    pca: float = 0
    fitted_on: tuple[str, ...] = ()
    source: Path | None = None

    @classmethod
    def read(cls, text: str) -> "Projection":
        """From its text, such as "srp:2000+pca:100" or "pca:0.9".

        Examples
        --------
        >>> Projection.read("srp:2000+pca:0.9")
        Projection(text='srp:2000+pca:0.9', srp=2000, pca=0.9, fitted_on=(), source=None)
        """
        match = re.fullmatch(r"(?:srp:(\d+))?(\+)?(?:pca:(\d+(?:\.\d+)?|\.\d+))?", text)
        both = match is not None and bool(match[1] and match[3])
        if match is None or bool(match[2]) is not both:
            raise UsageError(f"reduction {text!r}: expected pca:K, srp:K or srp:K+pca:K.")
        srp, pca = int(match[1] or 0), float(match[3] or 0)
        # "1.0" may mean one component or all of the variance: let the user say
        if (match[1] and srp < 1) or (match[3] and not (0 < pca < 1 or (pca >= 1 and "." not in match[3]))):
            raise UsageError(
                f"reduction {text!r}: components must be a whole number, or for pca a share of variance below 1."
            )
        return cls(text, srp, pca if pca < 1 else int(pca))

    def settings(self, space: str) -> dict[str, Any]:
        """What the features of a space depend on."""
        if self.source is not None:
            return {"reduction": taken_from(self.source, space)}
        fitted = {"reduction_fitted_on": list(self.fitted_on)} if self.pca else {}
        return {"reduction": self.text, **fitted} if self.text else {}

    def check(self, space: str, n_features: int) -> None:
        """Raise UsageError where so many features have no such projection."""
        self.before_saving(space, n_features)
        if self.pca > (left := self.srp or n_features):
            raise UsageError(f"reduction {self.text!r}: space {space!r} has only {left} features.")

    def before_saving(self, space: str, n_features: int) -> Transform:
        """What rows of a space go through when they come from the network."""
        if self.source is not None:
            return stored_reduction(self.source, space).transform
        return self._random(n_features).transform if self.srp else unchanged

    def afterwards(
        self, space: str, names: Sequence[str], blocks: Callable[[], Iterable[NDArray]]
    ) -> tuple[Transform, tuple[str, ...], "Reduction | None"]:
        """What saved rows go through, the names of what comes out, and the whole projection where there is one.

        Parameters
        ----------
        space : str
        names : sequence of str
            Of the features before any reduction.
        blocks : callable
            Gives the saved rows of all films that a fit may see.
        """
        if self.source is not None:
            whole = stored_reduction(self.source, space)
            return unchanged, whole.names, whole
        if not self.text:
            return unchanged, tuple(names), None
        random = self._random(len(names)) if self.srp else None
        if not self.pca:
            assert random is not None
            return unchanged, random.names, random
        from neurocca.features.reduce import fit_pca

        pca = fit_pca(blocks, self.pca)
        return pca.transform, pca.names, pca if random is None else random.then(pca)

    def once_more(self, store: Path, space: str) -> tuple[Transform, tuple[str, ...]]:
        """As `afterwards`, by the projection that was fitted, on the same films, for runs that a store has already."""
        whole = stored_reduction(store, space)
        return replace(whole, projection=None).transform, whole.names  # the random part came before saving

    def _random(self, n_features: int) -> "Reduction":
        from neurocca.features.reduce import sparse_projection

        return sparse_projection(n_features, self.srp, seed=SEED)


def stored_reduction(path: Path, space: str) -> "Reduction":
    """The projection of one space that a store holds.

    Raises
    ------
    UsageError
        When it holds none.
    """
    from neurocca.features.reduce import Reduction

    return Reduction.from_state(*_stored(path, space))


def _stored(path: Path, space: str) -> tuple[dict[str, NDArray], dict[str, Any]]:
    with FeatureStore(path) as store:
        found = store.reduction(space)
    if found is None:
        raise UsageError(f"{path}: holds no projection of space {space!r}.")
    return found


def taken_from(path: Path, space: str) -> str:
    """The setting that stands for the projection of a space in a store, by its content.

    Raises
    ------
    UsageError
        When the store holds none.
    """
    arrays, _ = _stored(path, space)
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"{_TAKEN}{digest.hexdigest()}"


def as_taken_from(settings: Mapping[str, Any], asked: Mapping[str, Any], store: Path, space: str) -> Mapping[str, Any]:
    """Settings of a store's run as they would read had its projection been taken from the store, where that is asked.

    A projection is the same whether the store fitted it or others take it from there.
    """
    own = settings.get("reduction", _TAKEN)
    if own.startswith(_TAKEN) or not asked.get("reduction", "").startswith(_TAKEN):
        return settings
    others = {key: value for key, value in settings.items() if key != "reduction_fitted_on"}
    return others | {"reduction": taken_from(store, space)}


def unchanged(rows: NDArray) -> NDArray:
    """Rows as they are."""
    return rows
