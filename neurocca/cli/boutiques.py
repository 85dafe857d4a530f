"""The command line described to programs that run BIDS apps: a Boutiques descriptor, made from the parser itself.

Glatard et al. (2018), GigaScience 7:giy016, doi:10.1093/gigascience/giy016; BIDS execution specification (BEP027).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import neurocca

_LEFT_OUT = ("help", "version", "bids_exec_spec")


def descriptor(parser: argparse.ArgumentParser, levels: Sequence[str], exit_codes: Mapping[int, str]) -> dict[str, Any]:
    """What a parser takes, as a Boutiques descriptor of schema 0.5.

    Parameters
    ----------
    parser : ArgumentParser
    levels : sequence of str
        What the last positional argument may be.
    exit_codes : mapping of int to str
        What each means; 0 is left out.

    Returns
    -------
    dict
        To be written as JSON.
    """
    # flags last: an option that takes several words would take the positional ones, too
    actions = [action for action in parser._actions if action.dest not in _LEFT_OUT]
    inputs = [_input(action) for action in sorted(actions, key=lambda action: bool(action.option_strings))]
    next(one for one in inputs if one["id"] == "analysis_level")["value-choices"] = list(levels)
    inputs += [_negation(action) for action in actions if isinstance(action, argparse.BooleanOptionalAction)]
    groups = [
        {
            "id": f"either_{i}",
            "name": "one of these",
            "members": [action.dest for action in group._group_actions],
            "mutually-exclusive": True,
        }
        for i, group in enumerate(parser._mutually_exclusive_groups)
    ]
    return {
        "name": parser.prog,
        "description": str(parser.description),
        "tool-version": neurocca.__version__,
        "schema-version": "0.5",
        "command-line": " ".join([parser.prog, *(one["value-key"] for one in inputs)]),
        "inputs": inputs,
        "groups": groups,
        "output-files": [
            {"id": "output", "name": "derivatives and reports", "path-template": "[OUTPUT_DIR]", "list": False}
        ],
        "error-codes": [{"code": code, "description": meaning} for code, meaning in exit_codes.items() if code],
    }


def _input(action: argparse.Action) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": action.dest,
        "name": action.dest.replace("_", " "),
        "description": str(action.help),
        "type": _type(action),
        "value-key": f"[{action.dest.upper()}]",
        "optional": bool(action.option_strings),
    }
    if action.option_strings:
        described["command-line-flag"] = next(flag for flag in action.option_strings if flag.startswith("--"))
    if action.nargs == "+":
        described |= {"list": True, "min-list-entries": 1}
    if action.type is int:
        described["integer"] = True
    if action.choices is not None:
        described["value-choices"] = list(action.choices)
    return described


def _negation(action: argparse.BooleanOptionalAction) -> dict[str, Any]:
    described = _input(action)
    name = f"no_{action.dest}"
    flag = next(flag for flag in action.option_strings if flag.startswith("--no-"))
    return described | {
        "id": name,
        "name": name.replace("_", " "),
        "value-key": f"[{name.upper()}]",
        "command-line-flag": flag,
        "description": f"not: {action.help}",
    }


def _type(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "Flag"
    if action.type in (int, float):
        return "Number"
    if action.metavar == "FILE":
        return "File"
    # what does not exist yet is no file to Boutiques
    return (
        "File"
        if action.type is Path and action.dest not in ("output_dir", "work_dir", "bids_database_dir")
        else "String"
    )
