"""What features share with BOLD, as an objective of fine-tuning: heads by linear CCA, and the losses around them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurocca.cca.deep.losses import correlation_loss, eckart_young_loss, held_out_correlations
from neurocca.cca.solvers import solve_cca
from neurocca.errors import UsageError
from neurocca.features.finetune_objectives import Head, Objective, Pair

LOSSES = ("held_out", "eckart_young", "correlation")

_SHORTEST = 10
"""Volumes of a stretch or run; fewer have next to nothing left about their own mean."""

_RIDGE = 1e-3  # of the correlations that choose the best epoch


class SharedResponse(Objective):
    """The components that the head's outputs, after the haemodynamic response, share with BOLD.

    BOLD is reduced to principal components of the training runs; linear CCA gives a head on either side, and with it
    the components. What the network learns by is one of three losses:

    ``held_out``: half of a step's stretches says which weighted sums of the features predict the components (ridge
    regression, solved for, through which gradients pass), the other half how well: minus the correlations, both ways.
    Features are numerous and runs are short, so that heads which were trained would fit the runs that they are trained
    on perfectly, and leave nothing for the network to learn. The heads of every epoch are linear CCA anew.

    ``eckart_young``: both heads are trained, from linear CCA on, together with the network; its minimum is minus the
    sum of the squared canonical correlations. ``correlation``: the same with minus the sum of the correlations.

    The best epoch has the largest sum of correlations on the stopping runs, by weights from the training runs.

    Parameters
    ----------
    n_components : int
    n_pca : int
        Principal components of BOLD.
    shrinkage : float in [0, 1]
        Of the linear CCA and the ridge regression.
    loss : {"held_out", "eckart_young", "correlation"}
        Stretches are taken about their own means: those of fewer than some fifty volumes lose slow components.

    References
    ----------
    Bertinetto, Henriques, Torr & Vedaldi (2019), Meta-learning with differentiable closed-form solvers, ICLR,
    arXiv:1805.08136. Chapman, Wells & Lawry Aguila (2024), Unconstrained stochastic CCA, ICLR, arXiv:2310.01012.
    """

    axes: Tensor

    def __init__(self, n_components: int = 3, n_pca: int = 20, shrinkage: float = 0.3, loss: str = "held_out") -> None:
        super().__init__()
        if loss not in LOSSES:
            raise UsageError(f"loss {loss!r} must be one of {', '.join(LOSSES)}.")
        if not 0 <= shrinkage <= 1 or (loss == "held_out" and shrinkage == 0):
            raise UsageError(f"shrinkage={shrinkage} must be above 0 and at most 1 (0 without the held-out loss).")
        if not 1 <= n_components <= n_pca:
            raise UsageError(f"n_components={n_components} must be between 1 and n_pca={n_pca}.")
        self.n_components, self.n_pca, self.shrinkage, self.loss_name = n_components, n_pca, shrinkage, loss
        self.closed_form = loss == "held_out"

    def fit(self, targets: Sequence[Tensor]) -> int:
        """Principal axes of the training runs, each scaled to unit variance."""
        for target in targets:
            if target.ndim != 2 or not bool(torch.isfinite(target).all()):
                raise UsageError("BOLD must be (volumes, columns) arrays of finite numbers.")
        Y = torch.cat([_centred(target) for target in targets])
        axes = _axes(Y, self.n_pca)
        if axes.shape[1] < self.n_components:
            raise UsageError(f"BOLD has {axes.shape[1]} principal components, but n_components={self.n_components}.")
        self.register_buffer("axes", axes)
        self.weights = nn.Parameter(torch.eye(axes.shape[1], self.n_components, dtype=axes.dtype, device=axes.device))
        return self.n_components

    def start(self, head: Head, pairs: Sequence[Pair]) -> None:
        """Linear CCA of features and BOLD."""
        U = torch.cat([_centred(features.double()) for features, _ in pairs])
        V = torch.cat([_centred(target) @ self.axes for _, target in pairs])
        solution = solve_cca(U, V, self.n_components, (self.shrinkage, self.shrinkage))
        head.start_at(solution.x_weights.to(head.linear.weight))
        with torch.no_grad():
            self.weights.copy_(solution.y_weights)

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """See the class; one half of the stretches is the independent batch of the other."""
        encoded = self._encoded(pairs)
        if self.loss_name == "correlation":
            return correlation_loss(*_stacked(encoded), _RIDGE)
        if self.loss_name == "held_out" and len(encoded) == 1:
            halves = zip(*(view.tensor_split(2) for view in encoded[0]), strict=True)
            encoded = [(_centred(U), _centred(V)) for U, V in halves]
        half = (len(encoded) + 1) // 2
        one = _stacked(encoded[:half])
        other = _stacked(encoded[half:]) if len(encoded) > 1 else None
        if self.loss_name == "eckart_young" or other is None:
            return eckart_young_loss(*one, other)
        return -(self._predicted(one, other) + self._predicted(other, one)) / 2

    def _predicted(self, known: Pair, new: Pair) -> Tensor:
        """Sum of the components' correlations with what ridge regression on one half predicts of the other."""
        (X, V), (X_new, V_new) = known, new
        gram, share = X @ X.T, self.shrinkage
        # as in shrunk CCA, the identity times the mean variance is mixed in; seen from the rows' side
        identity = torch.eye(len(X), dtype=X.dtype, device=X.device)
        gram = (1 - share) * gram + share * gram.trace() / X.shape[1] * identity
        P = X_new @ (X.T @ torch.linalg.solve(gram, V))
        tiny = torch.finfo(P.dtype).tiny
        return ((P * V_new).sum(dim=0) / (P.norm(dim=0) * V_new.norm(dim=0)).clamp_min(tiny)).sum()

    def score(self, training: Sequence[Pair], held_out: Sequence[Pair]) -> float:
        """Sum of the correlations on the held-out runs."""
        parts = [_stacked(self._encoded(pairs)) for pairs in (training, held_out)]
        return float(held_out_correlations(parts[0], parts[1], self.n_components, _RIDGE).sum())

    @property
    def description(self) -> dict[str, object]:
        """Name and parameters."""
        own = {
            "n_components": self.n_components,
            "n_pca": self.n_pca,
            "shrinkage": self.shrinkage,
            "loss": self.loss_name,
        }
        return super().description | own

    def _encoded(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Both views' outputs, each stretch about its own mean."""
        if (shortest := min(len(U) for U, _ in pairs)) < _SHORTEST:
            raise UsageError(f"stretches of {shortest} volumes are too short: at least {_SHORTEST} are needed.")
        return [(_centred(U), _centred(_centred(target) @ self.axes @ self.weights)) for U, target in pairs]


def _centred(X: Tensor) -> Tensor:
    return X - X.mean(dim=0)


def _stacked(pairs: Sequence[Pair]) -> Pair:
    U, V = zip(*pairs, strict=True)
    return torch.cat(U), torch.cat(V)


def _axes(Y: Tensor, n_pca: int) -> Tensor:
    """First principal axes of centred rows, shape (q, r), divided by the standard deviations along them."""
    n, q = Y.shape
    values, vectors = torch.linalg.eigh((Y @ Y.T if q > n else Y.T @ Y) / (n - 1))
    values, vectors = values.flip(0), vectors.flip(1)
    rank = min(n_pca, int((values > values[0] * n * torch.finfo(Y.dtype).eps).sum()))
    values, vectors = values[:rank], vectors[:, :rank]
    # of the Gram matrix the vectors are the scores: Y' u / sqrt(λ (n - 1)) is the axis
    return Y.T @ vectors / (values * (n - 1) ** 0.5) if q > n else vectors / values.sqrt()
