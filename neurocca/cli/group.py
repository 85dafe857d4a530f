"""The group level on the command line."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurocca.cli.analysis import given_values
from neurocca.cli.parser import add
from neurocca.config import Config
from neurocca.errors import UsageError
from neurocca.io.query import Query

if TYPE_CHECKING:
    import pandas as pd


def add_group_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `group_verdicts` reads besides those of all levels."""
    group = parser.add_argument_group("group level")
    either: dict[str, Any] = {"action": argparse.BooleanOptionalAction, "default": True}
    add(group, "--shared-fit", **either, help="fit the film and all participants together, which reads BOLD again")
    add(group, "--tfce", **either, help="enhance clusters of voxels as well, which takes most of the time")


def group_verdicts(args: argparse.Namespace, query: Query, command: str) -> "Iterator[tuple[Path, pd.DataFrame]]":
    """Pages and verdicts of the groups; for a dry run none, after a line on each."""
    from neurocca.steps.group import run_group
    from neurocca.steps.group_choice import describe_groups

    if args.clean_workdir:
        raise UsageError("--clean-workdir: the group level leaves the working directory as it is.")
    if args.dry_run:
        print(describe_groups(args.bids_dir, args.output_dir, query))
        return

    def settle(recorded: Config) -> Config:
        asked = Config.from_toml(args.config_file) if args.config_file else recorded
        return asked.with_values(given_values(args))

    yield from run_group(
        args.bids_dir,
        args.output_dir,
        query=query,
        settle=settle,
        features=args.features,
        work_dir=args.work_dir,
        shared_fit=args.shared_fit,
        tfce=args.tfce,
        n_jobs=args.n_jobs,
        command=command,
        resume=args.resume,
    )
