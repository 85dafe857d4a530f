"""Fine-tuning on BOLD: the response, the objective, honest evaluation, and what it gains on a real film."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from neurocca import LinearCCA, LinearCCACV
from neurocca.errors import UsageError
from neurocca.features.finetune_objectives import Head
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import TrainingRun
from neurocca.features.finetune_training import Training
from neurocca.features.networks import build_network
from neurocca.io.movie import iter_frames
from neurocca.io.movie_writing import write_movie
from neurocca.steps import finetune as steps
from neurocca.steps.finetune import (
    bold_run,
    compare,
    evaluate,
    finetune_to_bold,
    read_frames,
    shift_pvalue,
)
from neurocca.steps.shared_response import SharedResponse
from neurocca.temporal.hrf import convolve_hrf
from tests.conftest import ar1

SIZE = 32


@pytest.fixture(scope="module")
def network():
    return build_network("test_resnet")


def small_runs(seed: int, n_runs: int = 4, t: int = 60, n: int = 40, q: int = 5, share: float = 0.0):
    """Runs of coloured noise whose BOLD follows the colour (share 1) or nothing (share 0)."""
    rng = np.random.default_rng(seed)
    runs = []
    for i in range(n_runs):
        tint = ar1(rng, t, 2, 0.8)
        frames = rng.integers(60, 140, (t, SIZE, SIZE, 3)).astype(float)
        frames[..., 0] += 25 * tint[:, 0, None, None]
        frames[..., 2] += 25 * tint[:, 1, None, None]
        run = bold_run(f"run-{i}", frames.clip(0, 255).astype(np.uint8), 1.0, np.zeros((n, q)), 1.5)
        response = run.response @ (tint - tint.mean(0))
        mixed = response / response.std(0) @ np.linspace(-1, 1, 2 * q).reshape(2, q)
        bold = share * mixed + ar1(rng, n, q, 0.5)
        runs.append(replace(run, targets=(bold - bold.mean(0)) / bold.std(0)))
    return runs


def recipe(mode: str = "upper", **settings) -> FineTuning:
    from_layer = {"from_layer": "layer4"} if mode == "upper" else {}
    return FineTuning(mode, ("layer4",), **{"epochs": 3, **from_layer, **settings})


# ---------------------------------------------------------------------------------------------- the response


@pytest.mark.parametrize("hrf", ["spm", "glover"])
@pytest.mark.parametrize(("rate", "onset"), [(2.0, 0.0), (1.0, 4.0)])
def test_the_response_is_that_of_the_pipeline(rng, hrf, rate, onset):
    t, n = 90, 40
    z = rng.standard_normal((t, 3))
    run = bold_run("a", np.zeros((t, 2, 2, 3), np.uint8), rate, np.zeros((n, 2)), 2.0, onset=onset, hrf=hrf)
    middles = (np.arange(n) + 0.5) * 2.0
    expected = convolve_hrf(z, np.arange(t) / rate + onset, middles, hrf)
    np.testing.assert_allclose(run.response @ (z - z.mean(0)), expected, atol=1e-10)
    # a volume depends on the half minute before it alone
    first, last = run.span(30, 31)
    assert (first / rate + onset, last / rate + onset) == pytest.approx((61 - 32, min(61, t / rate + onset)), abs=1.01)


def test_a_response_that_is_none():
    with pytest.raises(UsageError, match="hrf 'boxcar'"):
        bold_run("a", np.zeros((9, 2, 2, 3), np.uint8), 1.0, np.zeros((4, 2)), 2.0, hrf="boxcar")


def test_frames_of_a_film_as_one_array(tmp_path):
    def frame(seconds: float) -> np.ndarray:
        return np.full((32, 48, 3), round(20 * seconds), np.uint8)

    path = write_movie(tmp_path / "film.mp4", frame, 5.0, 10, (48, 32))
    expected = np.stack(list(iter_frames(path, 2.0, (24, 16))))
    found = read_frames(path, 2.0, (24, 16))
    np.testing.assert_array_equal(found, expected)
    mapped = np.memmap(tmp_path / "frames", np.uint8, "w+", shape=(10, 16, 24, 3))
    read_frames(path, 2.0, (24, 16), mapped)
    np.testing.assert_array_equal(mapped, expected)
    assert read_frames(path, 2.0, (10, 10), fit="cover", resize=16).shape == (10, 10, 10, 3)


# ---------------------------------------------------------------------------------------------- the objective


def fitted(q: int, n_pca: int, rng, **settings) -> tuple[SharedResponse, list[torch.Tensor]]:
    targets = [torch.from_numpy(rng.standard_normal((n, q)) @ rng.standard_normal((q, q)) + 5) for n in (30, 25)]
    objective = SharedResponse(2, n_pca, **settings)
    assert objective.fit(targets) == 2
    return objective, targets


@pytest.mark.parametrize("q", [6, 80])
def test_bold_is_reduced_to_principal_components_of_unit_variance(rng, q):
    objective, targets = fitted(q, 4, rng)
    Y = torch.cat([target - target.mean(0) for target in targets])
    scores = Y @ objective.axes
    torch.testing.assert_close(scores.T @ scores / (len(Y) - 1), torch.eye(4, dtype=Y.dtype))
    _, s, Vt = torch.linalg.svd(Y, full_matrices=False)
    unit = objective.axes * s[:4] / (len(Y) - 1) ** 0.5
    torch.testing.assert_close((Vt[:4] @ unit).abs(), torch.eye(4, dtype=Y.dtype))


def test_heads_start_at_linear_cca(rng):
    objective, targets = fitted(6, 5, rng, shrinkage=0.2)
    features = [torch.from_numpy(rng.standard_normal((len(y), 7))).float() + y[:, :1].float() for y in targets]
    head = Head(torch.zeros(7), torch.ones(7), 2)
    objective.start(head, list(zip(features, targets, strict=True)))
    X = torch.cat([x.double() - x.double().mean(0) for x in features]).numpy()
    Y = torch.cat([(y - y.mean(0)) @ objective.axes for y in targets]).numpy()
    cca = LinearCCA(2, shrinkage=0.2).fit(X, Y)
    with torch.no_grad():
        U, V = head(torch.from_numpy(X).float()).numpy(), Y @ objective.weights.numpy()
    for ours, theirs in zip((U, V), cca.transform(X, Y), strict=True):
        np.testing.assert_allclose(np.abs(np.corrcoef(ours.T, theirs.T)[:2, 2:].diagonal()), 1, atol=1e-5)


def test_losses_by_hand(rng):
    objective, targets = fitted(6, 3, rng, loss="eckart_young")
    U = [torch.from_numpy(rng.standard_normal((len(y), 2))) for y in targets]
    pairs = list(zip(U, targets, strict=True))
    weights = objective.weights.detach().numpy()
    moments = []
    for outputs, target in pairs:
        u = (outputs - outputs.mean(0)).numpy()
        v = ((target - target.mean(0)) @ objective.axes).numpy() @ weights
        n = len(u) - 1
        moments.append((2 * np.trace(u.T @ v) / n, (u.T @ u + v.T @ v) / n, u, v))
    (c0, B0, u0, v0), (c1, B1, u1, v1) = moments
    with torch.no_grad():
        assert float(objective.loss(pairs)) == pytest.approx((B0 * B1).sum() - c0 - c1)
        assert float(objective.loss(pairs[:1])) == pytest.approx((B0 * B0).sum() - 2 * c0)
        objective.loss_name = "correlation"
        cca = LinearCCA(2).fit(np.r_[u0, u1], np.r_[v0, v1])
        assert float(objective.loss(pairs)) == pytest.approx(-cca.correlations_.sum(), abs=5e-3)
        # a stretch's own mean says nothing
        shifted = [(outputs + 3 * i, target - 2 * i) for i, (outputs, target) in enumerate(pairs)]
        assert float(objective.loss(shifted)) == pytest.approx(float(objective.loss(pairs)))
        r = [np.corrcoef(u1 @ a, v1 @ b)[0, 1] for a, b in zip(cca.x_weights_.T, cca.y_weights_.T, strict=True)]
        assert objective.score(pairs[:1], pairs[:1]) > 0
        assert objective.score(pairs, pairs[1:]) == pytest.approx(sum(r), abs=0.02)


def test_the_held_out_loss_is_ridge_regression_from_one_half_to_the_other(rng):
    objective, targets = fitted(6, 3, rng, shrinkage=0.2)
    features = [torch.from_numpy(rng.standard_normal((len(y), 40))) + y[:, :1] for y in targets]
    objective.weights.data = torch.from_numpy(rng.standard_normal((3, 2)))
    X, V = [(x - x.mean(0)).numpy() for x in features], []
    for y in targets:
        V.append(((y - y.mean(0)) @ objective.axes @ objective.weights.detach()).numpy())
    found = []
    for a, b in ((0, 1), (1, 0)):
        penalty = 0.2 / 0.8 * (X[a] ** 2).sum() / 40
        P = Ridge(penalty, fit_intercept=False).fit(X[a], V[a]).predict(X[b])
        found.append(sum((P * V[b]).sum(0) / np.linalg.norm(P, axis=0) / np.linalg.norm(V[b], axis=0)))
    with torch.no_grad():
        loss = objective.loss(list(zip(features, targets, strict=True)))
        shifted = objective.loss([(x + 3, y - 2) for x, y in zip(features, targets, strict=True)])
        alone = objective.loss([(features[0], targets[0])])
        halves = [(x, y) for x, y in zip(features[0].tensor_split(2), targets[0].tensor_split(2), strict=True)]
        assert float(loss) == pytest.approx(-sum(found) / 2)
        assert float(shifted) == pytest.approx(float(loss))
        assert float(alone) == pytest.approx(float(objective.loss(halves)))


def test_heads_of_the_held_out_loss_are_linear_cca_of_the_tuned_features(network):
    runs = small_runs(3, share=1.0)
    objective = SharedResponse(2, 4)
    made = recipe("upper", epochs=3, learning_rate=1e-2)
    tuned = finetune_to_bold(network, runs[:3], [], made, objective=objective, device="cpu")
    frozen = finetune_to_bold(network, runs[:3], [], recipe("head"), objective=objective, device="cpu")
    assert len(tuned.history.loss) == 3
    assert frozen.history.loss == []
    before, after = (model.features(runs[0].frames, device="cpu") for model in (frozen, tuned))
    assert np.abs(after - before).max() > 1e-3
    pairs, whole = [], SharedResponse(2, 4)
    whole.fit([torch.from_numpy(run.targets) for run in runs[:3]])
    for run in runs[:3]:
        X = tuned.head.scaled(torch.from_numpy(tuned.features(run.frames, device="cpu"))).double()
        pairs.append((torch.from_numpy(run.response) @ (X - X.mean(0)), torch.from_numpy(run.targets)))
    head = Head(tuned.head.mean, tuned.head.scale, 2)
    whole.start(head, pairs)
    torch.testing.assert_close(head.linear.weight, tuned.head.linear.weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "targets", "message"),
    [
        ({"shrinkage": 0.0}, None, "shrinkage=0.0 must be above 0"),
        ({"shrinkage": 1.5}, None, "shrinkage=1.5 must be"),
        ({"n_components": 0}, None, "n_components=0 must be between 1 and"),
        ({"n_components": 5, "n_pca": 4}, None, "between 1 and n_pca=4"),
        ({"loss": "huber"}, None, "loss 'huber' must be one of"),
        ({"n_components": 3}, torch.ones(9, 3, dtype=torch.float64).cumsum(0), "BOLD has 1 principal components"),
        ({}, torch.full((9, 3), torch.nan), "finite"),
        ({}, torch.ones(9), r"\(volumes, columns\)"),
    ],
)
def test_objectives_that_cannot_be(settings, targets, message):
    with pytest.raises(UsageError, match=message):
        SharedResponse(**settings).fit([targets])


# ---------------------------------------------------------------------------------------------- evaluation


def test_runs_that_were_seen_are_never_evaluated(network):
    runs = small_runs(0)
    tuned = finetune_to_bold(network, runs[:2], runs[2:3], recipe(), objective=SharedResponse(2, 4), device="cpu")
    fresh = evaluate(tuned, runs[:3], runs[3:], n_components=2, device="cpu")
    assert fresh.correlations.shape == (1, 2)
    renamed = replace(runs[2], label="another")
    for test in (runs[0], runs[2], renamed):
        with pytest.raises(UsageError, match="had a part in the fine-tuning"):
            evaluate(tuned, runs[:1], [test], n_components=2, device="cpu")
    with pytest.raises(UsageError, match="run-3 is to be fitted on and to be tested"):
        evaluate(tuned, runs, runs[3:], n_components=2, device="cpu")
    with pytest.raises(UsageError, match="has no response"):
        evaluate(tuned, [TrainingRun("x", runs[0].frames[:9], np.zeros(9))], runs[3:], device="cpu")


def test_evaluation_is_a_cca_on_convolved_features(network):
    runs = small_runs(1, share=2.0)
    tuned = finetune_to_bold(network, runs[:2], runs[2:3], recipe(), objective=SharedResponse(2, 4), device="cpu")
    found = evaluate(tuned, runs[:3], runs[3:], n_components=2, device="cpu")
    views = []
    for run in runs:
        features = tuned.features(run.frames, device="cpu").astype(float)
        X = convolve_hrf(features, np.arange(60.0), (np.arange(40) + 0.5) * 1.5)
        views.append((X - X.mean(0), run.targets))
    X, Y = (np.concatenate(parts) for parts in zip(*views[:3], strict=True))
    cca = LinearCCACV(2, scale=True).fit(X, Y, groups=np.repeat([0, 1, 2], 40))
    U, V = cca.transform(*views[3])
    expected = [np.corrcoef(U[:, k], V[:, k])[0, 1] for k in range(2)]
    np.testing.assert_allclose(found.correlations[0], expected, atol=1e-6)
    assert found.correlations.mean() > 0.4


def test_the_comparison_leaves_test_and_stopping_runs_out_of_training(network):
    runs = small_runs(2, share=2.0)
    histories = []
    table = compare(
        network, runs, {"frozen": recipe("frozen"), "upper": recipe(epochs=2)},
        objective=SharedResponse(2, 4), device="cpu", progress=lambda *told: histories.append(told[:2]),
    )  # fmt: skip
    assert table.recipe.tolist() == ["frozen", "upper"] * 4
    assert table.test.tolist() == [f"run-{i}" for i in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert (table.test != table.stopping).all()
    assert histories == [("upper", fold) for fold in range(4) for _ in range(2)]
    assert table.r.mean() > 0.4
    assert (table[table.recipe == "frozen"].epochs == 0).all()
    with pytest.raises(UsageError, match="2 runs"):
        compare(network, runs[:2], {})


def test_every_run_but_test_and_stopping_run_is_trained_on(network, monkeypatch):
    runs, calls = small_runs(4), []
    tune = steps.finetune_to_bold

    def spy(network, training, stopping, *args, **kwargs):
        calls.append(([run.label for run in training], [run.label for run in stopping]))
        return tune(network, training, stopping, *args, **kwargs)

    monkeypatch.setattr(steps, "finetune_to_bold", spy)
    compare(network, runs, {"head": recipe("head")}, folds=[(0, 2), (3, 1)], objective=SharedResponse(2, 4))
    assert calls == [(["run-1", "run-3"], ["run-2"]), (["run-0", "run-2"], ["run-1"])]


def test_stopping_runs_choose_no_axes(network):
    runs = small_runs(5, 3)
    other = replace(runs[2], targets=3 * runs[2].targets[:, ::-1] - 1)
    loops = [
        Training(network, runs[:2], [stop], SharedResponse(2, 4), recipe(), torch.device("cpu"), None)
        for stop in (runs[2], other)
    ]
    assert torch.equal(loops[0].objective.axes, loops[1].objective.axes)
    assert torch.equal(loops[0].head.linear.weight, loops[1].head.linear.weight)


def test_stretches_of_a_few_volumes_are_refused(network):
    with pytest.raises(UsageError, match=r"stretches of \d volumes are too short"):
        finetune_to_bold(
            network, small_runs(0)[:2], [], recipe(stretch=2), objective=SharedResponse(2, 4), device="cpu"
        )


def test_noise_gives_nothing(network):
    found = [
        compare(
            network, small_runs(seed), {mode: recipe(mode, epochs=6) for mode in ("frozen", "head", "upper")},
            folds=[(0, 1)], objective=SharedResponse(2, 4, loss="correlation"), device="cpu",
        )
        for seed in range(6)
    ]  # fmt: skip
    r = np.array([table.r for table in found])
    p = np.array([table.p for table in found])
    assert np.abs(r.mean(axis=0)).max() < 0.2  # its standard error is about .07
    assert (p < 0.05).mean() <= 0.2


def test_shift_pvalues_are_uniform_on_noise_and_small_on_signal(rng):
    p = [shift_pvalue(ar1(rng, 80, 1, 0.6), ar1(rng, 80, 1, 0.6)) for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.11
    assert 0.4 < np.mean(p) < 0.6
    U = ar1(rng, 80, 2, 0.6)
    assert shift_pvalue(U, U + 0.5 * ar1(rng, 80, 2, 0.6)) == 1 / 66


# ---------------------------------------------------------------------------------------------- going on

_SCRIPT = """
    import os, sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from neurocca.features.networks import build_network
    from neurocca.steps.finetune import finetune_to_bold
    from neurocca.steps.shared_response import SharedResponse
    from tests.steps.test_finetune import recipe, small_runs

    runs = small_runs(3, share=2.0)
    finetune_to_bold(
        build_network("test_resnet"), runs[:2], runs[2:3], recipe(epochs=5), objective=SharedResponse(2, 4),
        device="cpu", checkpoint=Path({path!r}), progress=lambda history: len(history.loss) == 3 and os._exit(9),
    )
"""


def test_a_killed_process_is_gone_on_with(network, tmp_path):
    path = tmp_path / "checkpoints" / "training.safetensors"
    script = textwrap.dedent(_SCRIPT).format(root=str(Path(__file__).parents[2]), path=str(path))
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == 9
    runs, epochs = small_runs(3, share=2.0), []
    arguments = network, runs[:2], runs[2:3], recipe(epochs=5)
    settings = {"objective": SharedResponse(2, 4), "device": "cpu"}
    resumed = finetune_to_bold(
        *arguments, **settings, checkpoint=path, progress=lambda history: epochs.append(len(history.loss))
    )
    whole = finetune_to_bold(*arguments, **settings)
    assert epochs == [4, 5]
    assert resumed.history == whole.history
    ours, theirs = resumed.network.module.state_dict(), whole.network.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
