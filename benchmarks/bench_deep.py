"""Deep CCA: time and held-out correlations of neurocca's and of cca-zoo's, which this needs: pip install cca-zoo[deep].

Usage: python benchmarks/bench_deep.py [--repeats 3] [--seed 0] [--publish docs]

The views are planted_views(3599, 512, 2000): the population's ten correlations sum to 6.525, and 900 rows are held
out, which nothing is fitted on. Every network has one hidden layer of 256 units per view, and every training at most
50 epochs. Settings were chosen on seeds 5 and 6; the figures are those of seed 0.
"""

import argparse
import functools
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from planted import CORRELATIONS, planted_views
from tables import publish

from neurocca.cca.deep import DeepCCA
from neurocca.cca.deep.encoders import perceptron
from neurocca.cca.scoring import paired_correlations

EPOCHS, BATCH, K = 50, 512, 10
RUNS = np.repeat(np.arange(8), 450)[:3599]
PLAIN = functools.partial(perceptron, hidden=(256,))


def cca_zoo(X, Y, X_new, Y_new, seed):
    """DCCA as its documentation shows it: train, then linear CCA on the training encodings."""
    from neurocca.features.networks import import_torchvision

    import_torchvision()  # which Lightning imports, and a torch without CUDA only takes like this
    import lightning.pytorch as pl
    from cca_zoo.deep import DCCA, MultiviewDataset
    from cca_zoo.linear import CCA
    from torch.utils.data import DataLoader

    start = time.perf_counter()
    torch.manual_seed(seed)
    loader = DataLoader(MultiviewDataset([X, Y]), batch_size=BATCH, shuffle=True)
    model = DCCA(n_components=K, encoders=[PLAIN(X.shape[1], K), PLAIN(Y.shape[1], K)])
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)
    model.eval()
    with torch.no_grad():
        encode = [
            [z.numpy() for z in model([torch.tensor(v).float() for v in pair])] for pair in ((X, Y), (X_new, Y_new))
        ]
        linear = CCA(n_components=K).fit(encode[0])
    return time.perf_counter() - start, linear.transform(encode[1])


def neurocca(X, Y, X_new, Y_new, seed, **parameters):
    start = time.perf_counter()
    model = DeepCCA(K, epochs=EPOCHS, random_state=seed, **parameters).fit(X, Y, groups=RUNS)
    return time.perf_counter() - start, model.transform(X_new, Y_new)


SYSTEMS: dict[str, Callable] = {
    "cca-zoo DCCA": cca_zoo,
    "neurocca, same network, all training rows": functools.partial(
        neurocca, x_encoder=PLAIN, y_encoder=PLAIN, n_pca=None, batch_size=BATCH, weight_decay=0.0, validation=None
    ),
    "neurocca, same network, early stopping": functools.partial(
        neurocca, x_encoder=PLAIN, y_encoder=PLAIN, n_pca=None, batch_size=BATCH, weight_decay=0.0
    ),
    "neurocca, Eckart-Young, random start": functools.partial(neurocca, linear_start=None, loss="eckart_young"),
    "neurocca, random start": functools.partial(neurocca, linear_start=None),
    "neurocca, defaults": neurocca,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--publish", type=Path, metavar="FOLDER", help="where benchmarks.md and .json are to be updated"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    (X, Y), (X_new, Y_new) = planted_views(3599, 512, 2000, seed=args.seed)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SYSTEMS}
    # a first run of each pays for imports and memory; the systems then take turns
    for repeat in range(args.repeats + 1):
        for name, system in SYSTEMS.items():
            seconds, (U, V) = system(X, Y, X_new, Y_new, repeat)
            if repeat:
                found[name].append((seconds, float(paired_correlations(U, V).sum())))
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in found.items()}
    reference = medians["cca-zoo DCCA"][0]
    print(f"sum of the population's correlations: {CORRELATIONS.sum():.3f}; {torch.get_num_threads()} threads\n")
    table = ["| system | seconds | times cca-zoo's | held-out sum of 10 correlations |", "|---|---|---|---|"]
    table += [f"| {name} | {s:.2f} | {s / reference:.2f} | {total:.2f} |" for name, (s, total) in medians.items()]
    print("\n".join(table))
    if args.publish:
        figures = {name: {"seconds": s, "held_out_sum": total} for name, (s, total) in medians.items()}
        publish("bench_deep", table, figures, args.publish)


if __name__ == "__main__":
    main()
