"""Options that say how data are analysed, and the configuration that they make."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurocca.cli.parser import add
from neurocca.config import HRF_MODELS, Config
from neurocca.errors import UsageError

SLOPPY_PERMUTATIONS = 99
"""Of `--sloppy`."""

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add_analysis_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `analysis_config` reads, and those of running."""
    _add_fit(parser.add_argument_group("analysis (the command line wins over the configuration file)"))
    _add_film(parser.add_argument_group("film"))
    _add_bold(parser.add_argument_group("BOLD"))
    _add_running(parser.add_argument_group("running"))


def _add_fit(group: argparse._ArgumentGroup) -> None:
    add(
        group,
        "--config-file",
        "--model",
        type=Path,
        metavar="TOML",
        help="configuration, see pipelines/studyforrest.toml",
    )
    add(group, "--estimator", metavar="KIND", help="linear (default), kernel or deep canonical correlation analysis")
    add(group, "--n-components", type=int, metavar="K", help="canonical components (default: 5)")
    shrinkage = "of features and BOLD, from 0 (CCA) to 1 (PLS); one number for both, or auto (default): cross-validated"
    add(group, "--shrinkage", nargs="+", metavar="S", help=shrinkage)
    add(group, "--scheme", metavar="NAME", help="of permutations: circular_shift (default) or phase_randomize")
    permutations = group.add_mutually_exclusive_group()
    add(permutations, "--n-permutations", type=int, metavar="B", help="permutations (default: 1000)")
    sloppy = f"{SLOPPY_PERMUTATIONS} permutations, to see whether everything runs; not for results"
    add(permutations, "--sloppy", action="store_true", help=sloppy)
    add(group, "--random-seed", type=int, metavar="SEED", help="seed of the permutations (default: 0)")


def _add_film(group: argparse._ArgumentGroup) -> None:
    add(group, "--spaces", nargs="+", metavar="SPACE", help="feature spaces of the store (default: all)")
    hrf = f"response that features are convolved with: {', '.join(HRF_MODELS)} (default: spm)"
    add(group, "--hrf", metavar="MODEL", help=hrf)
    delays = "every feature once per delay, in volumes, instead of a response that is assumed: 1 2 3 4"
    add(group, "--delays", nargs="+", type=int, metavar="N", help=delays)
    shift = "added to the film's onset in every run; negative where BOLD was moved back already (default: 0)"
    add(group, "--onset-shift", type=float, metavar="SECONDS", help=shift)


def _add_bold(group: argparse._ArgumentGroup) -> None:
    add(group, "--mask", metavar="FILE", help="analyse the voxels of this image alone, for instance a region")
    add(group, "--atlas", metavar="FILE|NAME", help="average volumes in its parcels; names as schaefer_2018:100")
    add(group, "--min-coverage", type=float, metavar="SHARE", help="of its voxels that a parcel needs (default: 0.5)")
    add(group, "--label-atlas", metavar="FILE|NAME", help="name the peaks of voxelwise maps by its parcels")
    confounds = (
        "strategies (motion6, motion24, acompcor, simple, scrubbing, compcor, ica_aroma) and columns of the "
        "confounds' table, or none (default: motion6)"
    )
    add(group, "--confounds", "--nuisance", nargs="+", metavar="NAME", help=confounds)
    add(group, "--fd-threshold", type=float, metavar="MM", help="censor volumes of more framewise displacement")
    add(group, "--dvars-threshold", type=float, metavar="X", help="censor volumes of more standardised DVARS")
    add(group, "--high-pass", type=float, metavar="SECONDS", help="longest period left in (default: 128; 0: all)")
    add(group, "--smoothing-fwhm", type=float, metavar="MM", help="smooth volumes by a Gaussian (default: 0, not)")


def _add_running(group: argparse._ArgumentGroup) -> None:
    jobs = (
        "participants at the same time, or permutations of one (default: permutations on all cores); results do not "
        "depend on it"
    )
    add(group, "--n-jobs", "--n-cpus", "--nprocs", "--nthreads", type=int, metavar="N", help=jobs)
    work = "intermediate files: features, and cleaned BOLD for the next time (default: features alone, in work)"
    add(group, "-w", "--work-dir", type=Path, metavar="DIR", help=work)
    clean = "remove what earlier calls have left there first; not while others use it"
    add(group, "--clean-workdir", action="store_true", help=clean)
    add(group, "--low-mem", action="store_true", help="one run in memory at a time, the others in the work directory")
    memory = "memory that there is, in MB or with K, M, G or T: --low-mem where participants would need more"
    add(group, "--mem", "--mem-mb", type=memory_size, metavar="SIZE", help=memory)
    add(
        group,
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="leave results that were made of the same files, options and version (default)",
    )
    add(group, "-v", "--verbose", action="count", default=0, help="say what is done (-vv: debugging)")
    add(group, "-q", "--quiet", action="store_true", help="say nothing but errors")


def memory_size(text: str) -> int:
    """Bytes of a size in MB, or with a unit.

    >>> memory_size("500"), memory_size("2G")
    (524288000, 2147483648)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])?B?", text.strip().upper())
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: a number of MB, or with K, M, G or T")
    return int(float(match[1]) * _UNITS[match[2] or "M"])


def analysis_config(args: argparse.Namespace) -> Config:
    """Configuration of the file, if one is given, with what the command line says."""
    config = Config.from_toml(args.config_file) if args.config_file else Config()
    config = config.with_values(given_values(args))
    if config.fit.estimator == "deep" and args.shrinkage is not None:
        raise UsageError("--shrinkage: networks (--estimator deep) have none.")
    if config.align.min_coverage != Config().align.min_coverage and not config.align.atlas:
        raise UsageError(f"--min-coverage {config.align.min_coverage:g}: goes with the parcels of --atlas.")
    return config


def given_values(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, by the keys of the configuration; None where it says nothing."""
    if args.hrf is not None and args.delays is not None:
        raise UsageError("--hrf assumes a response, --delays fits one: give one of them.")
    response = "hrf" if args.hrf is not None else "delays" if args.delays is not None else None
    x, y = _shrinkage(args.shrinkage)
    return {
        "align.t_r": args.t_r,
        "align.spaces": args.spaces,
        "align.response": response,
        "align.hrf": args.hrf,
        "align.delays": args.delays,
        "align.onset_shift": args.onset_shift,
        "align.mask": args.mask,
        "align.atlas": args.atlas,
        "align.min_coverage": args.min_coverage,
        "align.label_atlas": args.label_atlas,
        "align.confounds": [] if args.confounds == ["none"] else args.confounds,
        "align.fd_threshold": args.fd_threshold,
        "align.dvars_threshold": args.dvars_threshold,
        "align.high_pass": args.high_pass,
        "align.smoothing_fwhm": args.smoothing_fwhm,
        "fit.estimator": args.estimator,
        "fit.n_components": args.n_components,
        "fit.shrinkage_x": x,
        "fit.shrinkage_y": y,
        "inference.scheme": args.scheme,
        "inference.n_permutations": SLOPPY_PERMUTATIONS if args.sloppy else args.n_permutations,
        "inference.seed": args.random_seed,
    }


def _shrinkage(words: Sequence[str] | None) -> tuple[list[float] | None, list[float] | None]:
    """Grids of both views."""
    if words is None:
        return None, None
    if len(words) > 2:
        raise UsageError(
            f"--shrinkage {' '.join(words)}: one value for both views, or one for features and one for BOLD."
        )
    defaults = Config().fit
    grids = (defaults.shrinkage_x, defaults.shrinkage_y)
    x, y = (
        list(grid) if word == "auto" else [_number(word)]
        for word, grid in zip((words[0], words[-1]), grids, strict=True)
    )
    return x, y


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UsageError(f"--shrinkage {word}: a number from 0 to 1, or auto, is expected.") from None
