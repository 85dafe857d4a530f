"""Fine-tuning: what is trained, in which order, until when, and that it is never judged by what it saw."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neurocca.errors import UsageError
from neurocca.features.augment import Augmentation
from neurocca.features.cnn import FrameEncoder
from neurocca.features.finetune import FineTuned, _key, finetune, training_device
from neurocca.features.finetune_objectives import Classes, Head, Objective, Values
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import Source, TrainingRun, check_unseen, draw_steps, seen_runs
from neurocca.features.finetune_training import Training
from neurocca.features.finetune_trunk import Trunk, lowest_layer
from neurocca.features.networks import build_network

SIZE = 48
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    # a small ResNet with batch normalisation: conv1, bn1, layer1 … layer4
    return build_network("test_resnet")


def pictures(rng: np.random.Generator, tint: np.ndarray) -> np.ndarray:
    """Noise, redder or bluer as ``tint`` (0 or 1) says."""
    frames = rng.integers(0, 200, (len(tint), SIZE, SIZE, 3), dtype=np.uint8)
    frames[tint == 0, :, :, 0] += 40
    frames[tint == 1, :, :, 2] += 40
    return frames


def labelled(seed: int, n_runs: int = 3, t: int = 24) -> list[TrainingRun]:
    rng = np.random.default_rng(seed)
    tints = [rng.integers(0, 2, t) for _ in range(n_runs)]
    return [TrainingRun(f"run{i}", pictures(rng, tint), tint) for i, tint in enumerate(tints)]


def states(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, torch.Tensor], module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(before[name], value)}


def recipe(mode: str = "upper", **settings) -> FineTuning:
    from_layer = {"from_layer": "layer3"} if mode == "upper" else {}
    return FineTuning(**{"mode": mode, "layers": ("layer4",), "epochs": 2, "seed": 3, **from_layer, **settings})


class Trace(Objective):
    """An objective with scores known beforehand."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = iter(scores)

    def __deepcopy__(self, memo: dict) -> "Trace":
        return self

    def fit(self, targets) -> int:
        return 2

    def loss(self, pairs):
        return sum(outputs.square().sum() for outputs, _ in pairs)

    def score(self, training, held_out) -> float:
        return next(self.scores)


# ---------------------------------------------------------------------------------------------- what is trained


@pytest.mark.parametrize("mode", ["head", "upper", "gradual", "full"])
def test_only_what_the_mode_says_is_trained(network, mode):
    runs, before = labelled(0), states(network.module)
    tuned = finetune(network, runs[:2], [], Classes(2), recipe(mode, epochs=7), device="cpu")
    moved = changed(before, tuned.network.module)
    tops = {name.partition(".")[0] for name in moved}
    everything = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert tops == {"head": set(), "upper": {"layer3", "layer4"}}.get(mode, everything)
    # every weight of a trained module, gains and offsets of its normalisations included; no statistics of them
    trained = {name for name, _ in network.module.named_parameters() if name.partition(".")[0] in tops}
    assert moved == trained
    assert not changed(before, network.module), "the network given must stay as it is"
    assert not network.module.training


def test_frozen_trains_nothing_and_has_seen_nothing(network):
    runs = labelled(0)
    tuned = finetune(network, runs[:2], runs[2:], Classes(2), recipe("frozen"), device="cpu")
    assert tuned.network is network
    tuned.check_unseen(*runs)
    with pytest.raises(UsageError, match="no head"):
        tuned.outputs(runs[0].frames)


@pytest.mark.parametrize("mode", ["head", "upper", "full"])
def test_statistics_of_normalisations_stay_bit_for_bit(network, mode):
    odd = replace(network, module=copy.deepcopy(network.module))
    for module in odd.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.9  # would show at once
    before = states(odd.module)
    tuned = finetune(odd, labelled(0)[:2], [], Classes(2), recipe(mode), device="cpu")
    buffers = {name for name, _ in odd.module.named_buffers()}
    assert any("running_mean" in name for name in buffers)
    assert not changed(before, tuned.network.module) & buffers


def test_unfreezing_goes_from_the_top_down_a_module_an_epoch(network):
    runs, seen = labelled(1, 2), []
    training = Training(network, runs, [], Classes(2), recipe("gradual", epochs=8), CPU, None)
    names = [name for name, _ in training.trunk.units]
    assert names == ["conv1", "layer1", "layer2", "layer3", "layer4"]
    before = [states(training.trunk.module)]
    for _ in training.epochs():
        seen.append({name.partition(".")[0] for name in changed(before[-1], training.trunk.module)} - {"bn1"})
        before.append(states(training.trunk.module))
    assert seen == [set(names[5 - n :]) for n in (0, 1, 2, 3, 4, 5, 5, 5)]
    assert training.history.trained == [0, 1, 2, 3, 4, 5, 5, 5]


def test_learning_rates_fall_from_the_head_down(network):
    made = recipe(from_layer="layer2", learning_rate=0.1, decay=2.0)
    training = Training(network, labelled(0)[:2], [], Classes(2), made, CPU, None)
    by_rate = {group["lr"]: {id(p) for p in group["params"]} for group in training.optimizer.param_groups}
    module = training.trunk.module
    assert by_rate == {
        0.1: {id(p) for p in training.head.parameters()},
        0.05: {id(p) for p in module.layer4.parameters()},
        0.025: {id(p) for p in module.layer3.parameters()},
        0.0125: {id(p) for p in module.layer2.parameters()},
    }
    assert all(group["weight_decay"] == made.weight_decay for group in training.optimizer.param_groups)


def test_stopping_runs_scale_nothing(network):
    runs = [replace(run, targets=run.targets[:, None] * 1.0) for run in labelled(0, 3)]
    other = replace(runs[2], frames=255 - runs[2].frames // 4, targets=7 * runs[2].targets - 3)
    loops = [Training(network, runs[:2], [stop], Values(), recipe(), CPU, None) for stop in (runs[2], other)]
    for name in ("mean", "scale"):
        assert torch.equal(getattr(loops[0].objective, name), getattr(loops[1].objective, name))
        assert torch.equal(getattr(loops[0].head, name), getattr(loops[1].head, name))


def test_a_checkpoint_is_of_one_network_and_its_targets(network):
    runs = labelled(0, 3)
    seen, made = seen_runs(runs[:2], runs[2:]), recipe()
    key = _key(network, seen, runs[:2], runs[2:], Classes(2), made)
    assert key == _key(network, seen, runs[:2], runs[2:], Classes(2), recipe())
    flipped = replace(runs[0], targets=1 - runs[0].targets)
    other = copy.deepcopy(network)
    next(other.module.parameters()).data += 1e-3
    others = [
        _key(network, seen, [flipped, runs[1]], runs[2:], Classes(2), made),
        _key(network, seen, runs[:2], [replace(runs[2], targets=1 - runs[2].targets)], Classes(2), made),
        _key(other, seen, runs[:2], runs[2:], Classes(2), made),
        _key(network, seen, runs[:2], runs[2:], Classes(3), made),
        _key(network, seen, runs[:2], runs[2:], Classes(2), recipe(learning_rate=0.02)),
    ]
    assert len({key, *others}) == 6


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_optimizers_move_weights_as_they_say(network, optimizer):
    made = recipe(epochs=1, learning_rate=1e-3, decay=1.0, weight_decay=0.0, max_norm=1e9, optimizer=optimizer)
    training = Training(network, labelled(0)[:2], [], Classes(2), made, CPU, None)
    before = {name: p.detach().clone() for name, p in training.head.named_parameters()}
    steps = list(training.epochs())
    assert steps == [1]
    for name, p in training.head.named_parameters():
        moved = p.detach() - before[name]
        first = 1e-3 * (p.grad.sign() if optimizer == "adamw" else p.grad)  # of a single step
        torch.testing.assert_close(moved, -first, rtol=1e-3, atol=1e-7)


def test_gradients_are_scaled_down(network):
    runs = labelled(0, 2)
    norms = []
    for max_norm in (1e-3, 1e9):
        training = Training(network, runs, [], Classes(2), recipe(max_norm=max_norm, epochs=1), CPU, None)
        list(training.epochs())
        gradients = [p.grad for group in training.optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
    assert norms[0] == pytest.approx(1e-3, rel=1e-3)
    assert norms[1] > 0.05


# ---------------------------------------------------------------------------------------------- until when


def test_the_best_weights_are_kept_and_patience_ends_training(network):
    runs = labelled(0)
    scores = [0.0, 1.0, 3.0, 2.0, 2.5, 9.0]
    stopped = finetune(network, runs[:2], runs[2:], Trace(scores), recipe(epochs=20, patience=2), device="cpu")
    assert stopped.history.score == scores[:5]
    assert stopped.history.best_epoch == 2
    short = finetune(network, runs[:2], runs[2:], Trace(scores), recipe(epochs=2), device="cpu")
    for ours, theirs in ((stopped.network.module, short.network.module), (stopped.head, short.head)):
        assert not changed(states(ours), theirs)


def test_nothing_better_than_the_start_leaves_the_network_as_it_was(network):
    runs, before = labelled(0), states(network.module)
    tuned = finetune(network, runs[:2], runs[2:], Trace([5.0] * 9), recipe(epochs=8, patience=3), device="cpu")
    assert (tuned.history.best_epoch, len(tuned.history.loss)) == (0, 3)
    assert not changed(before, tuned.network.module)


def test_gradual_unfreezing_is_not_cut_short(network):
    runs = labelled(0)
    made = recipe("gradual", epochs=20, patience=1)
    tuned = finetune(network, runs[:2], runs[2:], Trace([5.0] * 30), made, device="cpu")
    assert tuned.history.trained == [0, 1, 2, 3, 4, 5]


def test_divergence_is_said(network):
    runs = [replace(run, targets=run.targets[:, None] * 1.0) for run in labelled(0)]
    with pytest.raises(UsageError, match=r"diverged at learning_rate=1e\+30"):
        finetune(network, runs[:2], runs[2:], Values(), recipe("head", learning_rate=1e30, epochs=4), device="cpu")


# ---------------------------------------------------------------------------------------------- what is learnt


@pytest.mark.parametrize("mode", ["head", "upper"])
def test_classes_are_learnt_and_hold_on_a_new_run(network, mode):
    *runs, test = labelled(5, 4, 40)
    made = recipe(mode, epochs=15, learning_rate=0.02, stretch=10, patience=15)
    tuned = finetune(network, runs[:2], runs[2:], Classes(2), made, device="cpu")
    right = tuned.outputs(test.frames, device="cpu").argmax(1) == test.targets
    assert right.mean() > 0.9
    assert tuned.history.score[tuned.history.best_epoch] > tuned.history.score[0] + 0.2


def test_labels_that_are_noise_are_not_learnt(network):
    rng = np.random.default_rng(7)
    runs = [replace(run, targets=rng.integers(0, 2, 40)) for run in labelled(6, 5, 40)]
    made = recipe("upper", epochs=10, learning_rate=0.02, stretch=10)
    tuned = finetune(network, runs[:2], runs[2:3], Classes(2), made, device="cpu")
    right = [(tuned.outputs(run.frames, device="cpu").argmax(1) == run.targets).mean() for run in runs[3:]]
    assert 0.3 < np.mean(right) < 0.7
    assert tuned.history.score[tuned.history.best_epoch] < -0.6  # ln 2 is chance


def test_values_are_learnt_with_what_is_known_of_them(network):
    runs = labelled(8, 3, 30)
    rng = np.random.default_rng(0)
    values = [np.column_stack([50 + 10 * run.targets, rng.standard_normal(30)]) for run in runs]
    for table in values:
        table[rng.random(table.shape) < 0.3] = np.nan
    runs = [replace(run, targets=table) for run, table in zip(runs, values, strict=True)]
    made = recipe("head", epochs=40, learning_rate=0.02, stretch=10, patience=40)
    tuned = finetune(network, runs[:2], [], Values(), made, device="cpu")
    known = ~np.isnan(values[2][:, 0])
    r = np.corrcoef(tuned.outputs(runs[2].frames, device="cpu")[known, 0], values[2][known, 0])[0, 1]
    assert r > 0.8


@pytest.mark.parametrize(("objective", "blank"), [(Classes(2), -1), (Values(), np.nan)])
def test_unknown_targets_do_not_count(objective, blank):
    outputs = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    targets = targets if isinstance(objective, Classes) else torch.stack([targets, 1 - targets], 1)
    objective.fit([targets])
    marked = torch.cat([targets, torch.full_like(targets[:3], blank)])
    more = torch.cat([outputs, 9 * outputs[:3]]).requires_grad_()
    loss = objective.loss([(more, marked)])
    assert float(loss.detach()) == pytest.approx(float(objective.loss([(outputs, targets)])))
    loss.backward()
    assert bool(torch.isfinite(more.grad).all())
    assert not bool(more.grad[6:].any())
    nothing = objective.loss([(outputs, torch.full_like(targets, blank))])
    assert float(nothing) == 0


def test_losses_by_hand():
    targets = torch.tensor([0.0, 1.0], dtype=torch.float64)
    outputs = torch.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    expected = (np.log(1 + np.exp(-2)) + np.log(2)) / 2
    assert float(Classes(2).loss([(outputs, targets)])) == pytest.approx(expected)
    values = Values()
    values.fit([torch.tensor([[10.0], [14.0]])])  # mean 12, standard deviation 2
    loss = values.loss([(torch.tensor([[1.0], [0.0]]), torch.tensor([[10.0], [14.0]]))])
    assert float(loss) == pytest.approx((2**2 + 1**2) / 2)


class Listener(Objective):
    """Keeps what it is shown."""

    def __init__(self, shown: list) -> None:
        super().__init__()
        self.shown = shown

    def __deepcopy__(self, memo: dict) -> "Listener":
        return self

    def fit(self, targets) -> int:
        return 3

    def loss(self, pairs):
        self.shown.append([(outputs.detach(), targets) for outputs, targets in pairs])
        return sum(outputs.square().sum() for outputs, _ in pairs)


def test_outputs_go_through_the_response_of_their_own_run(network):
    rng = np.random.default_rng(2)
    runs = []
    for i, t in enumerate((20, 26)):
        n = t // 2
        # volume v depends on frames 2v - 5 … 2v
        lags = 2 * np.arange(n)[:, None] - np.arange(t)
        response = np.where((lags >= 0) & (lags <= 5), rng.random((n, t)), 0.0)
        targets = np.column_stack([np.full(n, i), np.arange(n)])
        runs.append(TrainingRun(str(i), pictures(rng, rng.integers(0, 2, t)), targets, response))
    shown: list = []
    made = recipe("head", epochs=1, stretch=5, learning_rate=1e-12)
    tuned = finetune(network, runs, [], Listener(shown), made, device="cpu")
    n_rows = 0
    outputs = [tuned.outputs(run.frames, device="cpu").astype(float) for run in runs]
    for responded, targets in [pair for pairs in shown for pair in pairs]:
        i, rows = int(targets[0, 0]), targets[:, 1].numpy().astype(int)
        first, last = max(2 * rows[0] - 5, 0), 2 * rows[-1]
        mean = sum(outputs[i][k] for k in range(first, last + 1)) / (last + 1 - first)
        for v, row in zip(rows, responded, strict=True):
            expected = np.zeros(3)
            for k in range(first, last + 1):
                expected += runs[i].response[v, k] * (outputs[i][k] - mean)
            np.testing.assert_allclose(row, expected, atol=1e-4)
        n_rows += len(rows)
    assert n_rows == 23


# ---------------------------------------------------------------------------------------------- the same result


def same(one: FineTuned, other: FineTuned) -> bool:
    heads = one.head is not None and other.head is not None and not changed(states(one.head), other.head)
    return heads and not changed(states(one.network.module), other.network.module) and one.history == other.history


def test_equal_seeds_give_equal_bytes_and_leave_torch_alone(network):
    runs = labelled(0)
    before = torch.random.get_rng_state()
    tuned = [
        finetune(network, runs[:2], runs[2:], Classes(2), recipe(stretch=8, hidden=(5,), seed=seed), device="cpu")
        for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(tuned[0], tuned[1])
    assert not same(tuned[0], tuned[2])


class Memory:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.saved: dict = {}

    def load(self, key: str):
        return self.saved.get(key)

    def save(self, key: str, tensors, meta) -> None:
        self.saved[key] = ({name: value.clone() for name, value in tensors.items()}, copy.deepcopy(meta))


class Killed(Exception):
    pass


@pytest.mark.parametrize("mode", ["head", "upper", "gradual"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_training_goes_on_to_the_same_result(network, mode, after):
    runs = labelled(0)
    made = recipe(mode, epochs=5, stretch=8, learning_rate=0.01, hidden=(4,), augmentation=Augmentation(["flip"], 1.0))

    def kill(history):
        if len(history.loss) == after:
            raise Killed

    whole = finetune(network, runs[:2], runs[2:], Classes(2), made, device="cpu")
    memory, epochs = Memory(), []
    with pytest.raises(Killed):
        finetune(network, runs[:2], runs[2:], Classes(2), made, device="cpu", checkpoint=memory, progress=kill)
    resumed = finetune(
        network, runs[:2], runs[2:], Classes(2), made,
        device="cpu", checkpoint=memory, progress=lambda history: epochs.append(len(history.loss)),
    )  # fmt: skip
    assert epochs == list(range(after + 1, len(whole.history.loss) + 1))
    assert same(whole, resumed)
    assert len(memory.saved) == 1
    finetune(network, runs[:2], runs[2:], Classes(2), replace(made, seed=9), device="cpu", checkpoint=memory)
    assert len(memory.saved) == 2, "another training has another key"


def test_what_is_kept_of_augmented_versions_is_what_would_be_computed(network):
    runs = [replace(run, shots=np.arange(24) // 6) for run in labelled(0)]
    augmentation = Augmentation(["rotation", "pixel_noise"], 0.3)
    tuned = [
        finetune(
            network, runs[:2], runs[2:], Classes(2),
            recipe(epochs=3, stretch=7, augmentation=augmentation, n_views=n_views), device="cpu",
        )
        for n_views in (0, 3)
    ]  # fmt: skip
    np.testing.assert_allclose(tuned[0].history.loss, tuned[1].history.loss, rtol=1e-4)
    for ours, theirs in zip(tuned[0].network.module.parameters(), tuned[1].network.module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    plain = finetune(network, runs[:2], runs[2:], Classes(2), recipe(epochs=3, stretch=7), device="cpu")
    assert abs(plain.history.loss[0] - tuned[0].history.loss[0]) > 1e-3


def test_augmentation_is_for_training_only_and_differs_between_runs_and_epochs(network):
    asked = []

    def augmentation(frames, *, seed, view, shots):
        asked.append((seed, view, tuple(shots)))
        return 255 - frames

    runs = [replace(run, shots=np.arange(24) // 6) for run in labelled(0)]
    plain = Training(network, runs[:2], runs[2:], Classes(2), recipe(), CPU, None)
    made = recipe(epochs=2, augmentation=augmentation)
    training = Training(network, runs[:2], runs[2:], Classes(2), made, CPU, None)
    assert not asked
    assert torch.equal(training.head.mean, plain.head.mean)
    list(training.epochs())
    assert len({seed for seed, _, _ in asked}) == 2
    assert {view for _, view, _ in asked} == {0, 1}
    assert {shots for _, _, shots in asked} == {tuple(np.arange(24) // 6)}


def test_kept_arrays_come_from_the_caller(network, tmp_path):
    shapes: list = []

    def allocate(shape):
        shapes.append(shape)
        return np.memmap(tmp_path / str(len(shapes)), np.float32, "w+", shape=shape)

    runs = labelled(0)
    mapped = finetune(network, runs[:2], runs[2:], Classes(2), recipe(), device="cpu", allocate=allocate)
    assert same(mapped, finetune(network, runs[:2], runs[2:], Classes(2), recipe(), device="cpu"))
    assert [shape[0] for shape in shapes] == [24, 24, 24]
    assert len({shape[1:] for shape in shapes}) == 1
    finetune(network, runs[:2], runs[2:], Classes(2), recipe("full"), device="cpu", allocate=allocate)
    assert len(shapes) == 3, "frames in another form are not kept"


# ---------------------------------------------------------------------------------------------- the trunk


@pytest.mark.parametrize("frames_per_pass", [3, 64])
@pytest.mark.parametrize("lowest", ["layer4", "layer2", "conv1"])
def test_gradients_are_those_of_the_whole_network(network, lowest, frames_per_pass):
    frames = torch.from_numpy(labelled(0)[0].frames[:8])
    trunk = Trunk(network, ["layer3", "layer4"], lowest, frames_per_pass=frames_per_pass)
    trunk.unfreeze(len(trunk.units))
    weights = torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
    (trunk(trunk.prepare(frames)) * weights).square().sum().backward()

    whole = copy.deepcopy(network.module).eval()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (network.preprocessing.mean, network.preprocessing.std))
    taken: list = []
    hooks = [getattr(whole, n).register_forward_hook(lambda m, i, o: taken.append(o)) for n in ("layer3", "layer4")]
    whole((frames.permute(0, 3, 1, 2) / 255 - mean) / std)
    for hook in hooks:
        hook.remove()
    (torch.cat([x.mean((2, 3)) for x in taken], 1) * weights).square().sum().backward()

    order = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
    for (name, ours), theirs in zip(trunk.module.named_parameters(), whole.parameters(), strict=True):
        top = name.partition(".")[0]
        if top in order and order.index(top) >= order.index(lowest):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3 * float(theirs.grad.abs().max()))
        else:
            assert ours.grad is None


def test_unfreezing_reaches_so_many_units_from_the_top(network):
    trunk = Trunk(network, ["layer4"], "layer2")
    assert [name for name, _ in trunk.units] == ["layer2", "layer3", "layer4"]
    for n, expected in enumerate([set(), {"layer4"}, {"layer3", "layer4"}, {"layer2", "layer3", "layer4"}]):
        trunk.unfreeze(n)
        assert {name.partition(".")[0] for name, p in trunk.module.named_parameters() if p.requires_grad} == expected


@pytest.mark.parametrize(
    ("name", "layers", "lowest", "is_cut", "units"),
    [
        ("efficientnet-lite0", ["blocks.4", "blocks.6"], "blocks.4", True, ["blocks.4", "blocks.5", "blocks.6"]),
        ("efficientnet-lite0", ["blocks.1"], "conv_stem", True, ["conv_stem", "blocks.0", "blocks.1"]),
        # the layer itself is no piece that could be called: it is made of the modules that are trained
        ("efficientnet-lite0", ["blocks.4"], "blocks.4.1", False, ["blocks.4.1", "blocks.4.2"]),
        ("timm:test_vit", ["blocks.5"], "blocks.4", True, ["blocks.4", "blocks.5"]),
        # every layer of a dense block sees all those before it
        (
            "torchvision:densenet121", ["features.denseblock1"], "features.denseblock1.denselayer5", False,
            ["features.denseblock1.denselayer5", "features.denseblock1.denselayer6"],
        ),
    ],
)  # fmt: skip
def test_networks_are_cut_where_they_can_be(name, layers, lowest, is_cut, units):
    network = build_network(name)
    trunk = Trunk(network, layers, lowest)
    assert trunk.is_cut == is_cut
    assert trunk.keeps == (is_cut and lowest != "conv_stem")
    assert [unit for unit, _ in trunk.units] == units
    width, height = network.preprocessing.size
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    expected = FrameEncoder(network, layers, precision="fp32", device="cpu").encode(frames)
    prepared = trunk.prepare(torch.from_numpy(frames))
    expected = np.concatenate([expected[layer] for layer in layers], axis=1)
    for _ in range(2):  # what was prepared must not be changed by its use
        np.testing.assert_allclose(trunk(prepared).numpy(), expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(
        Trunk(network, layers, None).prepare(torch.from_numpy(frames)), expected, atol=1e-4 * np.abs(expected).max()
    )


def test_the_lowest_layer_is_the_first_that_runs(network):
    assert lowest_layer(network, ["layer4"]) == "conv1"
    assert lowest_layer(build_network("efficientnet-lite0"), ["blocks.6"]) == "conv_stem"


@pytest.mark.parametrize(
    ("layers", "lowest", "message"),
    [
        ([], None, "no layers"),
        (["layer5"], None, "layer 'layer5': test_resnet has none .* Did you mean layer"),
        (["layer4"], "layer33", "layer 'layer33'"),
        (["layer2"], "layer3", "'layer3' lies above the layers layer2"),
    ],
)
def test_layers_that_do_not_exist_or_come_too_late(network, layers, lowest, message):
    with pytest.raises(UsageError, match=message):
        Trunk(network, layers, lowest)


# ---------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize(
    ("lengths", "stretch"), [([40, 31], 10), ([5], 9), ([7, 7, 7], None), ([100], 1), ([3, 60], 7)]
)
def test_steps_take_every_row_once_in_contiguous_stretches(lengths, stretch):
    for seed in range(5):
        steps = list(draw_steps(lengths, stretch, np.random.default_rng(seed), 2))
        flat = [part for step in steps for part in step]
        rows = sorted((i, row) for i, a, b in flat for row in range(a, b))
        assert rows == [(i, row) for i, n in enumerate(lengths) for row in range(n)]
        assert {len(step) for step in steps} <= ({2, 3} if len(flat) > 1 else {1})
        if stretch:
            assert max(b - a for _, a, b in flat) <= 2.5 * stretch


def test_runs_are_known_by_name_and_by_frames():
    runs = labelled(0)
    seen = seen_runs(runs[:1], runs[1:2])
    assert [(run.label, run.role) for run in seen] == [("run0", "training"), ("run1", "stopping")]
    check_unseen(seen, runs[2].label, runs[2].digest())
    renamed = replace(runs[0], label="fresh", targets=np.ones(24))
    for run, name in ((runs[0], "training run run0"), (renamed, "training run run0"), (runs[1], "stopping run run1")):
        with pytest.raises(UsageError, match=f"run {run.label} had a part in the fine-tuning .{name}"):
            check_unseen(seen, run.label, run.digest())
    with pytest.raises(UsageError, match="run2 had"):
        check_unseen(seen_runs([runs[2]], []), "run2", "other frames")
    with pytest.raises(UsageError, match="stopping run fresh is training run run0: each may come once"):
        seen_runs(runs[:1], [renamed])
    with pytest.raises(UsageError, match="no runs to train on"):
        seen_runs([], runs)


def test_a_tuned_network_refuses_runs_that_it_saw(network):
    runs = labelled(0)
    tuned = finetune(network, runs[:1], runs[1:2], Classes(2), recipe("head", epochs=1), device="cpu")
    tuned.check_unseen(runs[2])
    for run in runs[:2]:
        with pytest.raises(UsageError, match="had a part"):
            tuned.check_unseen(runs[2], run)
    assert [entry["label"] for entry in tuned.record()["seen"]] == ["run0", "run1"]
    assert tuned.network.weights.source.startswith("fine-tuned from ")


def test_parts_of_a_run_have_to_fit():
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    for arguments, message in [
        ((frames[:, 0], np.zeros(4)), r"uint8 of shape \(4, 8, 3\)"),
        ((frames / 2, np.zeros(4)), "float64"),
        ((frames, np.zeros(3)), "3 targets for 4 frames"),
        ((frames, np.zeros(3), np.zeros((3, 5))), r"shape \(3, 5\), expected \(3, 4\)"),
        ((frames, np.zeros(4), None, np.zeros(3, int)), "3 shot numbers for 4 frames"),
    ]:
        with pytest.raises(UsageError, match=message):
            TrainingRun("a", *arguments)


def test_the_span_of_rows_is_what_the_response_reaches():
    response = np.zeros((3, 10))
    response[0, 0:2] = response[1, 2:5] = response[2, 4:9] = 1
    run = TrainingRun("a", np.zeros((10, 8, 8, 3), np.uint8), np.zeros(3), response)
    assert [run.span(0, 1), run.span(1, 2), run.span(1, 3), run.span(0, 3)] == [(0, 2), (2, 5), (2, 9), (0, 9)]
    assert replace(run, response=np.zeros((3, 10))).span(0, 3) == (0, 1)
    assert TrainingRun("a", run.frames, np.zeros(10)).span(2, 5) == (2, 5)


def test_a_source_reads_read_only_frames_without_touching_them(network):
    frames = labelled(0)[0].frames
    frames.setflags(write=False)
    run = TrainingRun("a", frames, np.zeros(24))

    def spoil(frames, **_):
        return frames.zero_()

    made = recipe(augmentation=spoil)
    source = Source(run, 0, Trunk(network, ["layer4"], "layer4"), made)
    dark, plain = source(0, 5, view=0), source(0, 5)
    assert not torch.equal(dark, plain)
    assert frames.any()


# ---------------------------------------------------------------------------------------------- doors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "some"}, "mode 'some' must be one of frozen, head, upper, gradual, full"),
        ({"mode": "upper"}, "needs from_layer"),
        ({"mode": "full", "from_layer": "layer1"}, "takes no from_layer"),
        ({"mode": "head", "epochs": 0}, "epochs=0 must be at least 1"),
        ({"mode": "head", "learning_rate": float("nan")}, "learning_rate=nan"),
        ({"mode": "head", "decay": 0.5}, r"decay=0\.5 must be at least 1"),
        ({"mode": "head", "stretch": 0}, "stretch=0"),
        ({"mode": "head", "seed": -1}, "seed=-1"),
    ],
)
def test_recipes_that_cannot_be(settings, message):
    with pytest.raises(UsageError, match=message):
        FineTuning(layers=("layer4",), **settings)


@pytest.mark.parametrize(
    ("objective", "targets", "message"),
    [
        (Classes(2), np.full(24, 2), "from -1 to 1"),
        (Classes(2), np.full(24, -1), "no frame of the training runs has a class"),
        (Classes(3), np.full(24, 0.5), "whole numbers"),
        (Values(), np.zeros(24), r"\(frames, columns\)"),
        (Values(), np.full((24, 1), np.nan), "fewer than two"),
    ],
)
def test_targets_that_cannot_be(network, objective, targets, message):
    runs = [replace(run, targets=targets) for run in labelled(0)]
    with pytest.raises(UsageError, match=message):
        finetune(network, runs[:2], [], objective, recipe("head"), device="cpu")


def test_mixed_precision_needs_cuda(network):
    with pytest.raises(UsageError, match="mixed_precision needs CUDA"):
        finetune(network, labelled(0), [], Classes(2), recipe(mixed_precision=True), device="cpu")
    with pytest.raises(UsageError, match="device"):
        training_device("tpu")


def test_a_head_starts_where_it_is_told_to():
    mean, scale = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 0.5])
    weights = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    for hidden in ((), (7,), (7, 4)):
        head = Head(mean, scale, 2, hidden)
        head.start_at(weights)
        torch.testing.assert_close(head(X), (X - mean) / scale @ weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_cuda_trains_what_the_cpu_does(network, mixed_precision):
    runs = labelled(0)
    made = recipe(epochs=4, stretch=8, learning_rate=0.01)
    here = finetune(network, runs[:2], runs[2:], Classes(2), made, device="cpu")
    made = replace(made, mixed_precision=mixed_precision)
    there = finetune(network, runs[:2], runs[2:], Classes(2), made, device="cuda")
    np.testing.assert_allclose(there.history.loss, here.history.loss, atol=0.1 if mixed_precision else 0.01)
    assert next(there.network.module.parameters()).device.type == "cpu"
