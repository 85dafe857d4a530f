"""Options that say which data: those of all BIDS apps, under their usual names."""

import argparse
from pathlib import Path
from typing import Any

from neurocca.cli.parser import add
from neurocca.io.query import Query, named_folders, read_filters


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `as_query` reads."""
    data = parser.add_argument_group("which data")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "LABEL"}
    add(data, "--participant-label", **several, help="participants (default: all)")
    add(data, "-t", "--task-id", metavar="TASK", help="task, where the dataset has more than one")
    add(data, "--session-label", **several, help="sessions (default: all)")
    add(data, "--run-label", **several, help="runs (default: all)")
    add(data, "--space", metavar="LABEL", help="space of the BOLD, where there are several ('none': without one)")
    add(data, "--res", metavar="LABEL", help="resolution of the BOLD, where there are several")
    add(data, "--desc-label", metavar="LABEL", help="description of the BOLD (preproc, denoised, …), likewise")
    add(
        data,
        "-d",
        "--derivatives",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=PATH",
        help="derivative datasets: their BOLD is taken rather than raw BOLD, their masks and confounds are used",
    )
    add(
        data,
        "--bids-filter-file",
        type=Path,
        metavar="JSON",
        help='pybids filters per suffix (bold, timeseries, mask), as fMRIPrep\'s: {"bold": {"acquisition": null}}',
    )
    add(data, "--bids-database-dir", type=Path, metavar="DIR", help="where pybids keeps its index of the datasets")
    add(data, "--t-r", type=float, metavar="SECONDS", help="repetition time, for data that do not say it")
    valid = data.add_mutually_exclusive_group()
    add(valid, "--bids-validation", action="store_true", help="refuse a dataset that the BIDS validator has errors in")
    skip = "do not ask the BIDS validator (default): files that are read are checked by themselves"
    add(valid, "--skip-bids-validation", action="store_true", help=skip)
    fetched = argparse.BooleanOptionalAction
    add(data, "--datalad-get", action=fetched, default=True, help="get the content of annexed inputs that is not here")
    add(data, "--datalad-jobs", type=int, default=4, metavar="N", help="files that are got at a time (default: 4)")
    add(data, "--datalad-drop", action="store_true", help="let go of the content that this command got, at the end")
    add(data, "--features", type=Path, metavar="FILE", help="feature store (default: made from the events' films)")


def as_query(args: argparse.Namespace) -> Query:
    """What the options ask for."""
    return Query(
        participants=tuple(args.participant_label),
        task=args.task_id,
        sessions=tuple(args.session_label),
        runs=tuple(args.run_label),
        space=args.space,
        res=args.res,
        desc=args.desc_label,
        filters=read_filters(args.bids_filter_file) if args.bids_filter_file else {},
        derivatives=named_folders(args.derivatives),
        database=args.bids_database_dir,
        strict=args.stop_on_first_crash,
    )
