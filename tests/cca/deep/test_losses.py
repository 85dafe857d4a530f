import numpy as np
import pytest
import torch

from neurocca.cca.deep.losses import (
    batch_correlations,
    correlation_loss,
    eckart_young_loss,
    held_out_correlations,
    reconstruction_loss,
)
from neurocca.cca.scoring import paired_correlations
from neurocca.cca.solvers import solve_cca
from neurocca.features.networks import import_torchvision


def encodings(n: int = 60, d: int = 4, e: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, 2))
    U = Z @ rng.standard_normal((2, d)) + rng.standard_normal((n, d)) * np.arange(1, d + 1)
    V = Z @ rng.standard_normal((2, e)) + rng.standard_normal((n, e)) + 3
    return torch.from_numpy(U).requires_grad_(), torch.from_numpy(V).requires_grad_()


def numpy_pair(U, V):
    return U.detach().numpy(), V.detach().numpy()


@pytest.mark.parametrize("ridge", [1e-12, 1e-3, 0.5])
def test_correlation_loss_is_the_sum_that_the_solver_finds(ridge):
    U, V = encodings()
    X, Y = (view - view.mean(0) for view in numpy_pair(U, V))
    shrinkage = ridge / (1 + ridge)
    found = solve_cca(X, Y, 3, (shrinkage, shrinkage)).singular_values / (1 + ridge)
    np.testing.assert_allclose(batch_correlations(U, V, ridge).detach(), found, rtol=1e-6)
    assert correlation_loss(U, V, ridge).item() == pytest.approx(-found.sum(), rel=1e-6)


def test_squared_batch_correlations_are_the_loss_of_cca_zoo():
    import_torchvision()  # which cca-zoo imports by way of Lightning, and a torch without CUDA only takes like this
    from cca_zoo.deep.objectives import CCALoss

    U, V = encodings()
    theirs = CCALoss(reg_covar=1e-9)([U, V])
    assert -batch_correlations(U, V, 1e-9).square().sum().item() == pytest.approx(theirs.item(), rel=1e-6)


def test_gradients_equal_finite_differences():
    U, V = encodings(12)
    assert torch.autograd.gradcheck(correlation_loss, (U, V))
    U, V = encodings(12, 3, 3)
    other = encodings(9, 3, 3, seed=1)
    assert torch.autograd.gradcheck(eckart_young_loss, (U, V))
    assert torch.autograd.gradcheck(lambda *four: eckart_young_loss(*four[:2], four[2:]), (U, V, *other))
    decoded = encodings(12, 3, 3, seed=2)
    assert torch.autograd.gradcheck(lambda *four: reconstruction_loss(four[:2], four[2:]), (U, V, *decoded))


def test_correlation_loss_does_not_depend_on_scale_or_offset():
    U, V = encodings()
    assert correlation_loss(1e3 * U + 5, 1e-2 * V).item() == pytest.approx(correlation_loss(U, V).item(), rel=1e-3)


@pytest.mark.parametrize("loss", [correlation_loss, eckart_young_loss])
@pytest.mark.parametrize(
    "case", ["constant", "zero", "constant column", "repeated column", "few samples", "equal views"]
)
def test_no_batch_gives_nan(loss, case):
    U, V = (view.detach().float() for view in encodings(40, 4, 4))
    if case == "constant":
        U = torch.full_like(U, 0.1)
    if case == "zero":
        U, V = torch.zeros_like(U), torch.zeros_like(V)
    if case == "constant column":
        U[:, 1] = 0.1
    if case == "repeated column":
        U[:, 1:] = U[:, :1]
    if case == "few samples":
        U, V = U[:3], V[:3]
    if case == "equal views":
        V = U.clone()
    U, V = U.requires_grad_(), V.requires_grad_()
    value = loss(U, V)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(U.grad).all()
    assert torch.isfinite(V.grad).all()
    assert value.dtype == torch.float64
    if loss is correlation_loss:
        assert -4 <= value.item() <= 1e-9


def test_eckart_young_is_least_at_the_canonical_variates():
    X, Y = (view - view.mean(0) for view in numpy_pair(*encodings(500, 4, 3)))
    solution = solve_cca(X, Y, 3)
    r = solution.singular_values
    # canonical variates share the metric of both views, hence the half
    best = [torch.from_numpy(v @ w * np.sqrt(r / 2)) for v, w in ((X, solution.x_weights), (Y, solution.y_weights))]
    least = -(r**2).sum()
    assert eckart_young_loss(*best).item() == pytest.approx(least)
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 3))
        nearby = [best[0] + 0.1 * torch.from_numpy(X @ a), best[1] + 0.1 * torch.from_numpy(Y @ b)]
        assert eckart_young_loss(*nearby).item() > least


def test_independent_batches_make_the_loss_unbiased():
    U, V = (view.detach() for view in encodings(20000, 3, 3))
    U, V = U / U.std(), V / V.std()
    truth = eckart_young_loss(U, V).item()
    biased = torch.stack([eckart_young_loss(u, v) for u, v in zip(U.split(8), V.split(8), strict=True)])
    pairs = [(u[:8], v[:8], (u[8:], v[8:])) for u, v in zip(U.split(16), V.split(16), strict=True)]
    unbiased = torch.stack([eckart_young_loss(*pair) for pair in pairs])
    error = unbiased.std().item() / len(unbiased) ** 0.5
    assert abs(unbiased.mean().item() - truth) < 3 * error
    assert biased.mean().item() - truth > 10 * error


def test_reconstruction_loss_of_the_means_is_two():
    U, V = ((view - view.mean(0)) / view.std(0, correction=0) for view in encodings())
    assert reconstruction_loss((U, V), (torch.zeros_like(U), torch.zeros_like(V))).item() == pytest.approx(2)
    assert reconstruction_loss((U, V), (U, V)).item() == 0


def test_held_out_correlations_are_those_of_the_solver():
    U, V = encodings(200)
    ridge = 0.1
    new = [view[150:] for view in (U, V)]
    found = held_out_correlations((U[:150], V[:150]), new, 2, ridge)
    X, Y = (view - view[:150].mean(0) for view in numpy_pair(U, V))
    solution = solve_cca(X[:150], Y[:150], 2, (ridge / (1 + ridge), ridge / (1 + ridge)))
    expected = paired_correlations(X[150:] @ solution.x_weights, Y[150:] @ solution.y_weights)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-6)
    dead = torch.zeros_like(U)
    assert torch.all(held_out_correlations((dead[:150], V[:150]), (dead[150:], V[150:]), 2, ridge) == 0)
