"""Options of ``neurocca features`` that would be taken and do nothing in a call are refused."""

import argparse
from collections.abc import Iterator

from neurocca.cli.parser import Parser
from neurocca.config import FeaturesConfig
from neurocca.errors import UsageError

# of how to compute, not of what; --device is in every script
_ANYWHERE = {"verbose", "config_file", "overwrite", "n_jobs", "batch_size", "precision", "compile", "device"}

_FILM = ("spaces", "rate", "window", "crop")
_REDUCTION = ("reduce", "reduce_runs", "reduction_from")
_NETWORK = ("model", "layers", "pooling", "weights", *_REDUCTION, "augment", "augment_strength")

# by what is done instead of making a store, the options that this heeds
_INSTEAD = {
    "info": (),
    "export": ("task_id",),
    "list_layers": ("model",),
    "verify_studyforrest": ("sources", "runs"),
    "augmentation_report": ("sources", "rate", "crop", "model", "layers", "pooling", "weights"),
}


def check_instead(args: argparse.Namespace, parser: Parser) -> None:
    """Refuse what has no use beside an option that does something else than making a store.

    Raises
    ------
    UsageError
        With the first such option.
    """
    asked = [name for name in _INSTEAD if getattr(args, name)]
    for mode in asked:
        for name in _given(args, parser):
            if name != mode and name not in _INSTEAD[mode] and name not in _ANYWHERE:
                shown = "sources have" if name == "sources" else f"{_flag(name)} has"
                raise UsageError(f"{shown} no use with {_flag(mode)}.")


def check_used(args: argparse.Namespace, parser: Parser, config: FeaturesConfig) -> None:
    """Refuse options that no source and no space of a store makes use of.

    Raises
    ------
    UsageError
        With the first such option.
    """
    useless = dict(_useless(args, config))
    for name in _given(args, parser):
        if name in useless:
            raise UsageError(f"{_flag(name)} has no use here: {useless[name]}.")


def _useless(args: argparse.Namespace, config: FeaturesConfig) -> Iterator[tuple[str, str]]:
    """Options that do nothing, and why."""
    from neurocca.io.stimuli import is_film

    yield "task_id", "it goes with --export"
    are_films = [is_film(source) for source in args.sources]
    if all(are_films):
        yield "table_rate", "there are neither events nor tables"
    if not any(are_films):
        yield from ((name, "there is no film") for name in (*_FILM, *_NETWORK))
        return
    spaces = set(config.spaces or ("cnn", "lowlevel"))
    if not spaces & {"cnn", "lowlevel"}:
        yield "window", "sound, motion and shots are always those of the interval"
    if spaces == {"audio"}:
        yield "crop", "sound has no picture"
    if not config.n_views:
        yield "augment_strength", "it goes with --augment"
    if "pca" not in config.reduce:
        yield "reduce_runs", "it goes with a pca in --reduce"
    if "cnn" not in spaces:
        yield from ((name, "the space cnn is not asked for") for name in _NETWORK)


def _given(args: argparse.Namespace, parser: Parser) -> list[str]:
    return [name for name, value in vars(args).items() if value != parser.get_default(name) and value != []]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
