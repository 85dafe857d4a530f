"""What fine-tuning is worth: a frozen network beside new head, upper layers, gradual unfreezing and the whole network.

    python benchmarks/finetuning.py --n-jobs 2 --publish docs     # an hour on two cores
    python benchmarks/finetuning.py --modes "frozen, blocks.2" "upper, blocks.6"

The film is *Big Buck Bunny*, one frame per second at 96 x 96 pixels, in six runs of 99 s. BOLD is simulated from what
lies deeper in EfficientNet-Lite0 than the frozen default, blocks.2: three units above blocks.6, each a rectified
weighted sum of the first four principal components of that layer's map, averaged over positions, through the
haemodynamic response into 30 voxels, three times as strong as their noise (autoregressive, .5). Beside it stands a
participant whose BOLD is that noise alone.

What is fine-tuned has its head on blocks.6; the frozen blocks.6 stands beside it, to tell what training adds from what
depth adds. Every run is the test once, another stops the training, and four train: six minutes and a half of film with
some eighty shots. Settings were chosen on participants 1 to 3; the table is that of participant 11.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tables import publish

FOLDS = [(test, (test + 3) % 6) for test in range(6)]
LAYER, SIDE, N_RUNS, VOXELS, SNR, AR = "blocks.6", 96, 6, 30, 3.0, 0.5
COMPONENTS, SHRINKAGE = 3, 0.3
FROZEN, NOISE = "frozen, blocks.2", "noise"


def film_frames() -> np.ndarray:
    from neurocca.io.sample_film import fetch_sample_film
    from neurocca.steps.finetune import read_frames

    return read_frames(fetch_sample_film(), 1.0, (SIDE, SIDE))


def deeper_units(network, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Activity of three units above the layer, shape (t, 3)."""
    import torch

    found = []
    hook = network.module.get_submodule(LAYER).register_forward_hook(lambda m, i, out: found.append(out))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (network.preprocessing.mean, network.preprocessing.std))
    with torch.no_grad():
        for part in torch.from_numpy(frames).split(64):
            network.module((part.permute(0, 3, 1, 2) / 255 - mean) / std)
    hook.remove()
    maps = torch.cat(found).permute(0, 2, 3, 1).double().numpy()
    rows = maps.reshape(-1, maps.shape[-1])
    rows = rows - rows.mean(axis=0)
    components = np.linalg.svd(rows, full_matrices=False)[0][:, :4] * np.sqrt(len(rows))
    components *= np.sign(components[np.abs(components).argmax(axis=0), range(4)])  # which no decomposition fixes
    weights = np.linalg.qr(rng.standard_normal((4, COMPONENTS)))[0]
    units = np.maximum(components @ weights - 1, 0)
    return units.reshape(len(frames), -1, COMPONENTS).mean(axis=1)


def simulate(network, frames: np.ndarray, participant: int, noise: bool) -> list:
    """Runs of one participant; of noise alone where it is asked for."""
    from neurocca.steps.finetune import bold_run

    rng = np.random.default_rng(participant)
    units = deeper_units(network, frames, rng)
    mixing = rng.standard_normal((COMPONENTS, VOXELS)) / np.sqrt(COMPONENTS)
    t, runs = len(frames) // N_RUNS, []
    parts = [slice(r * t, (r + 1) * t) for r in range(N_RUNS)]
    empty = [bold_run(str(r + 1), frames[part], 1.0, np.zeros((t, 1)), 1.0) for r, part in enumerate(parts)]
    signals = [run.response @ (units[part] - units[part].mean(axis=0)) for run, part in zip(empty, parts, strict=True)]
    scale = np.concatenate(signals).std(axis=0)
    for r, (part, signal) in enumerate(zip(parts, signals, strict=True)):
        bold = rng.standard_normal((t, VOXELS))
        for i in range(1, t):
            bold[i] = AR * bold[i - 1] + np.sqrt(1 - AR**2) * bold[i]
        if not noise:
            bold += SNR * (signal / scale) @ mixing
        runs.append(bold_run(str(r + 1), frames[part], 1.0, (bold - bold.mean(axis=0)) / bold.std(axis=0), 1.0))
    return runs


def recipes() -> dict:
    from neurocca.features.finetune_recipe import FineTuning

    training = {"optimizer": "sgd", "learning_rate": 0.005, "decay": 1.0, "weight_decay": 0.0, "stretches": 4}
    training |= {"epochs": 15, "patience": 15}
    return {
        FROZEN: FineTuning("frozen", ("blocks.2",)),
        "head, blocks.2": FineTuning("head", ("blocks.2",)),
        "frozen, blocks.6": FineTuning("frozen", (LAYER,)),
        "head, blocks.6": FineTuning("head", (LAYER,)),
        "upper, blocks.6": FineTuning("upper", (LAYER,), LAYER, **training),
        "gradual, blocks.5 to 6": FineTuning("gradual", (LAYER,), "blocks.5", **training),
        "full": FineTuning("full", (LAYER,), **training | {"epochs": 4}),
    }


def fold_table(participant: int, noise: bool, fold: tuple[int, int], modes: list[str]) -> pd.DataFrame:
    """Rows of one test run."""
    import torch

    from neurocca.io.weights import load_network
    from neurocca.steps.finetune import compare
    from neurocca.steps.shared_response import SharedResponse

    torch.set_num_threads(1)
    network = load_network("efficientnet-lite0")
    runs = simulate(network, film_frames(), participant, noise)
    chosen = {name: recipe for name, recipe in recipes().items() if name in modes}
    objective = SharedResponse(COMPONENTS, 8, shrinkage=SHRINKAGE)
    table = compare(network, runs, chosen, folds=[fold], objective=objective, device="cpu")
    return table.assign(participant=participant, bold=NOISE if noise else "deeper units")


def summary(table: pd.DataFrame) -> list[str]:
    """Lines of the table, in Markdown: means over tests, and differences to the frozen network with standard errors."""
    lines = [
        "| BOLD | trained | held-out r | difference to the first | tests that gain | p ≤ .05 |",
        "|---|---|---|---|---|---|",
    ]
    for bold, part in table.groupby("bold", sort=False):
        r = part.pivot(index=["participant", "test"], columns="recipe", values="r")
        p = part.pivot(index=["participant", "test"], columns="recipe", values="p")
        for name in [name for name in recipes() if name in r]:
            gain = r[name] - r[FROZEN]
            # tests of one participant share their training runs: the error is rough
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            text = "" if name == FROZEN else f"{gain.mean():+.3f} ± {error:.3f}"
            wins = "" if name == FROZEN else f"{int((gain > 0).sum())} of {len(gain)}"
            lines.append(
                f"| {bold} | {name} | {r[name].mean():.3f} | {text} | {wins} | {(p[name] <= 0.05).mean():.2f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--participants", type=int, nargs="+", default=[11], help="seeds")
    parser.add_argument("--modes", nargs="+", default=list(recipes()), metavar="MODE")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="put the table into FOLDER/benchmarks.md")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = [(p, noise, fold, args.modes) for noise in (False, True) for p in args.participants for fold in FOLDS]
    with ProcessPoolExecutor(args.n_jobs) as pool:
        tables = []
        for done in pool.map(fold_table, *zip(*jobs, strict=True)):
            print(done.to_string(index=False, header=not tables), flush=True)
            tables.append(done)
    table = pd.concat(tables)
    lines = summary(table)
    print("\n".join(lines))
    if args.publish:
        publish("finetuning", lines, table.to_dict("records"), args.publish)


if __name__ == "__main__":
    main()
