"""``neurocca features``: films, events and tables to a feature store."""

import argparse
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from neurocca.cli.feature_options import check_instead, check_used
from neurocca.cli.parser import Parser, add, check_jobs, start_logging
from neurocca.config import FILM_SPACES, Config
from neurocca.errors import DataError, UsageError

EXAMPLES = """\
examples:
  neurocca features film.mp4 -o features.h5 --layers blocks.2 blocks.4 blocks.6 --rate 4 --device auto
  neurocca features seg*.mkv -o features.h5 --runs 1-8 --spaces cnn audio lowlevel motion
  neurocca features events_run-*.tsv ratings_run-*.npy -o features.h5 --table-rate 25
  neurocca features --list-layers --model resnet50
  neurocca features --info features.h5
  neurocca features seg*.mkv --verify-studyforrest studyforrest

What was interrupted goes on where it stood, features that are up to date are left as they are, and other spaces of the
same films are added to the store.
"""

# options that take all words that follow
_GREEDY = {"--runs": "runs", "--spaces": "spaces", "--layers": "layers", "--reduce-runs": "reduce_runs"}


def features(arguments: Sequence[str]) -> None:
    """Run the verb."""
    parser = features_parser()
    args = parser.parse_args(arguments)
    start_logging(args.verbose)
    check_instead(args, parser)
    # threads that spin while they wait take the core that the decoder needs; read when torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if args.info:
        from neurocca.steps.inspect import store_table

        print(store_table(args.info).to_string(index=False))
    elif args.export:
        from neurocca.steps.inspect import export_timeseries

        for path in export_timeseries(Path(args.export[0]), Path(args.export[1]), args.task_id):
            print(path)
    elif args.list_layers:
        from neurocca.steps.inspect import layer_table

        print(layer_table(_config(args).features).to_string(index=False))
    else:
        _from_sources(args, parser)


def _from_sources(args: argparse.Namespace, parser: Parser) -> None:
    _check_words(args)
    check_jobs(args.n_jobs)
    config = _config(args).features
    devices = args.device.split(",") if args.device else []
    _check_devices([*devices, config.device])
    _check_tables(args)
    if args.verify_studyforrest:
        _verify(args)
        return
    if args.augmentation_report:
        from neurocca.steps.augmentation import write_augmentation_report

        for path in write_augmentation_report(args.sources, args.augmentation_report, config):
            print(path)
        return
    check_used(args, parser, config)
    if args.output is None:
        raise UsageError("no output: say where the store goes with -o/--output, for example -o features.h5.")
    from neurocca.steps.features import extract_features

    labels = _labels(args)
    print(
        extract_features(
            args.sources,
            args.output,
            config,
            runs=labels,
            overwrite=args.overwrite,
            reduction_from=args.reduction_from,
            devices=devices,
            n_jobs=args.n_jobs,
        )
    )


def _labels(args: argparse.Namespace) -> list[str]:
    labels = run_labels(args.runs)
    if labels and len(labels) != len(args.sources):
        raise UsageError(f"--runs names {len(labels)} runs for {len(args.sources)} sources.")
    return labels


def _verify(args: argparse.Namespace) -> None:
    from neurocca.io.stimuli import is_film
    from neurocca.steps.verify_film import verify_films

    for source in args.sources:
        if not is_film(source):
            raise UsageError(f"--verify-studyforrest: {source} is not a film.")
    table, faults = verify_films(args.sources, args.verify_studyforrest, runs=_labels(args), n_jobs=args.n_jobs)
    print(table.to_string(index=False))
    if faults:
        print(*faults, sep="\n")
        raise DataError(f"not as published; differences found (listed above): {len(faults)}.")


def _check_words(args: argparse.Namespace) -> None:
    """Find sources among the values of options that take all words that follow."""
    given = {flag: words for flag, name in _GREEDY.items() if (words := getattr(args, name))}
    for flag, words in given.items():
        for word in words:
            if os.path.exists(word) and not (args.sources and _is_value(flag, word)):
                raise UsageError(f"{word} was taken for a value of {flag}: put films and tables first, or after --.")
    if not args.sources:
        hint = f", first or after -- (what follows {' and '.join(given)} is taken for values)" if given else ""
        raise UsageError(f"no source: give films, tables or folders{hint} (see neurocca features --help).")


def _is_value(flag: str, word: str) -> bool:
    if flag == "--layers":  # can have the name of a file
        return True
    return word in FILM_SPACES if flag == "--spaces" else re.fullmatch(r"[A-Za-z0-9-]+", word) is not None


def _check_devices(devices: Sequence[str]) -> None:
    for device in devices:
        if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d+)?", device):
            raise UsageError(f"device {device!r} must be auto, cpu, cuda, cuda:1 or mps.")
        if device.startswith(("cuda", "mps")):
            from neurocca.features.engine import resolve_device

            resolve_device(device)  # also where no network will ask for it


def _check_tables(args: argparse.Namespace) -> None:
    """Refuse tables whose samples are at nobody knows what times."""
    if args.table_rate is not None or (args.config_file and "annotation_rate" in _features_table(args.config_file)):
        return
    from neurocca.io.annotations import is_events, needs_rate, says_when
    from neurocca.io.stimuli import is_film

    for source in args.sources:
        if source.is_file() and not is_film(source) and not is_events(source) and not says_when(source):
            raise UsageError(needs_rate(source))


def _features_table(path: Path) -> dict[str, object]:
    return tomllib.loads(path.read_text(encoding="utf-8")).get("features", {})


def run_labels(texts: Sequence[str]) -> list[str]:
    """Run labels from words like ``3`` and ranges like ``1-8``.

    Examples
    --------
    >>> run_labels(["1-3", "05", "rest"])
    ['1', '2', '3', '5', 'rest']
    """
    labels: list[str] = []
    for text in texts:
        if match := re.fullmatch(r"(\d+)-(\d+)", text):
            first, last = int(match[1]), int(match[2])
            if last < first:
                raise UsageError(f"--runs {text}: ends before it begins.")
            labels += map(str, range(first, last + 1))
        elif re.fullmatch(r"[A-Za-z0-9]+", text):
            labels.append(text.lstrip("0") or "0")
        else:
            raise UsageError(f"--runs {text}: expected labels of letters and digits, or a range like 1-8.")
    if len(set(labels)) != len(labels):
        raise UsageError(f"--runs {' '.join(texts)}: a run is named twice.")
    return labels


def _config(args: argparse.Namespace) -> Config:
    config = Config.from_toml(args.config_file) if args.config_file else Config()
    given = {
        "rate": args.rate,
        "annotation_rate": args.table_rate,
        "spaces": args.spaces,
        "window": args.window,
        "crop": args.crop,
        "model": args.model,
        "layers": args.layers,
        "pooling": args.pooling,
        "weights": args.weights,
        "reduce": args.reduce,
        "reduce_runs": run_labels(args.reduce_runs) if args.reduce_runs else None,
        "n_views": args.augment,
        "augment_strength": args.augment_strength,
        "device": args.device.split(",")[0] if args.device else None,
        "precision": args.precision,
        "batch_size": args.batch_size,
        "compile": args.compile or None,
    }
    return config.with_values({f"features.{key}": value for key, value in given.items()})


def features_parser() -> Parser:
    """Parser of the verb."""
    parser = Parser(
        prog="neurocca features",
        description="Films, events and tables to an HDF5 store of feature time series.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        type=Path,
        nargs="*",
        help="films, one per run (named run-1, run-2, … or see --runs); BIDS events; tables (.tsv, .csv, .npy) of your "
        "own features; clones of studyforrest-data-confoundsannotation and -annotations",
    )
    add(parser, "-o", "--output", type=Path, metavar="FILE", help="the store, for example features.h5")
    runs = "run of each source, in their order: 1-8, or 1 2 5"
    add(parser, "--runs", nargs="+", action="extend", default=[], metavar="RUN", help=runs)
    table_rate = "samples per second of regressors of events (default: 10), and of tables that do not say"
    add(parser, "--table-rate", type=float, metavar="HZ", help=table_rate)
    add(parser, "--config-file", type=Path, metavar="TOML", help="its [features]; the command line wins")
    add(parser, "--overwrite", action="store_true", help="replace features of another film or other settings")
    add(parser, "--n-jobs", type=int, default=1, metavar="N", help="films at the same time, one process for each")
    add(parser, "-v", "--verbose", action="count", default=0, help="say what is done (-vv: debugging)")
    _add_film(parser.add_argument_group("film"))
    _add_network(parser.add_argument_group("network"))
    other = parser.add_argument_group("instead of making a store")
    add(other, "--info", type=Path, metavar="STORE", help="print what a store holds")
    add(other, "--export", nargs=2, metavar=("STORE", "DIR"), help="write a store as BIDS _timeseries.tsv files")
    add(
        other, "--task-id", default="movie", metavar="TASK", help="task in the names of exported files (default: movie)"
    )
    add(other, "--list-layers", action="store_true", help="print the layers of --model with their shapes")
    add(
        other,
        "--verify-studyforrest",
        type=Path,
        metavar="CLONE",
        help="compare the segments of your own copy of the film, frame by frame, with the hashes in a clone of "
        "studyforrest-data-confoundsannotation or of the superdataset",
    )
    add(other, "--augmentation-report", type=Path, metavar="DIR", help="how far augmentation carries features away")
    return parser


def _add_film(group: argparse._ArgumentGroup) -> None:
    spaces = ", ".join(FILM_SPACES)
    help_ = f"of {spaces} (default: cnn, lowlevel and, where there is sound, audio)"
    add(group, "--spaces", nargs="+", action="extend", metavar="SPACE", help=help_)
    add(group, "--rate", type=float, metavar="HZ", help="samples per second of films (default: 4)")
    add(group, "--window", choices=("frame", "mean"), help="frame on screen at each time, or mean until the next")
    add(group, "--crop", metavar="auto|W:H:X:Y", help="part of the picture without its bars")


def _add_network(group: argparse._ArgumentGroup) -> None:
    add(group, "--model", metavar="NAME", help="of timm or torchvision (default: efficientnet-lite0)")
    add(group, "--layers", nargs="+", action="extend", metavar="LAYER", help="module paths, see --list-layers")
    add(group, "--pooling", metavar="KIND", help="none, avg, max, pyramid, cls or patch_mean (default: avg)")
    add(group, "--weights", metavar="FILE", help=".safetensors or .pth, or pretrained (default), or random")
    add(group, "--reduce", metavar="HOW", help="pca:K, srp:K or srp:K+pca:K, fitted on all frames")
    fitted = "runs that the pca is fitted on (default: all)"
    add(group, "--reduce-runs", nargs="+", action="extend", metavar="RUN", help=fitted)
    add(group, "--reduction-from", type=Path, metavar="STORE", help="apply the projection of that store")
    add(group, "--augment", type=int, metavar="N", help="average over N augmented views of every frame")
    add(group, "--augment-strength", type=float, metavar="S", help="relative to the default strengths (default: 1)")
    add(group, "--device", metavar="DEVICE", help="auto (default), cpu, cuda or mps; cuda:0,cuda:1 for --n-jobs 2")
    add(group, "--precision", metavar="P", help="auto (default), fp32, bf16 or fp16")
    add(
        group,
        "--batch-size",
        type=int,
        metavar="B",
        help="frames in one pass through the network (default: 16; 64 and more on a GPU)",
    )
    add(group, "--compile", action="store_true", help="compile the network first: slow start, then faster")
