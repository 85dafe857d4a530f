"""The BIDS validator with the names that are drafts yet, so that it looks at what derivatives hold, and not past it.

The suffixes of BEP012 and BEP041, and some of our own, are in no released schema: a plain run of the validator takes
such files as unknown, unless ``.bidsignore`` hides them, and then it checks nothing. Here they are added to the schema,
with what is asked of them: labels and their order, a sidecar that describes the file and every column of a table.
"""

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bidsschematools.schema import load_schema

PROGRAM = Path(sys.executable).with_name("bids-validator-deno")

TABLES = ("mixing", "timeseries", "loadings", "permutations", "peaks", "moments", "recovery", "components", "statmap")
IMAGES = ("components", "statmap")
IMAGE_ENDINGS = (".nii.gz", ".func.gii", ".dscalar.nii", ".pscalar.nii")

IGNORED = ("*.html", "logs/", "figures", "*_decomposition.json")
"""What stays hidden: pages, logs and figures have no place in BIDS, and a JSON file is always taken for a sidecar."""


@functools.cache
def schema() -> dict[str, Any]:
    """The released schema with our suffixes, the entity ``stat`` and rules for them."""
    made = json.loads(load_schema().to_json())
    for suffix in {*TABLES, *IMAGES}:
        made["objects"]["suffixes"].setdefault(
            suffix, {"value": suffix, "display_name": suffix, "description": "a draft"}
        )
    made["objects"]["entities"]["statistic"] = {
        "name": "stat", "display_name": "Statistic", "description": "BEP041", "type": "string", "format": "label"
    }  # fmt: skip
    order = made["rules"]["entities"]
    order.insert(order.index("description"), "statistic")
    labels = dict.fromkeys(("subject", "task", "description"), "required")
    labels |= dict.fromkeys(("session", "space", "segmentation", "resolution", "hemisphere", "statistic"), "optional")
    derivative = ["dataset.dataset_description.DatasetType == 'derivative'"]
    for name, suffixes, endings in (("tables", TABLES, (".tsv",)), ("images", IMAGES, IMAGE_ENDINGS)):
        made["rules"]["files"]["deriv"][f"drafts_{name}"] = {
            "drafts": {
                "suffixes": list(suffixes), "extensions": [*endings, ".json"], "datatypes": ["func"],
                "entities": labels, "selectors": derivative,
            }
        }  # fmt: skip
    ours = [*derivative, f"intersects([suffix], {json.dumps(sorted({*TABLES, *IMAGES}))})"]
    made["rules"]["tabular_data"]["drafts"] = {
        "Drafts": {
            "selectors": [*ours, "extension == '.tsv'"], "columns": {}, "additional_columns": "allowed_if_defined"
        }
    }  # fmt: skip
    # a rule of our own for the same fields would be outweighed by the released one, which only recommends them
    common = made["rules"]["sidecars"]["derivatives"]["common_derivatives"]["CommonDerivativeFields"]
    common["selectors"].append("suffix != 'descriptions'")
    common["fields"] |= {"Description": "required", "Sources": "required"}
    return made


def errors(folder: Path, scratch: Path) -> list[dict[str, Any]]:
    """What the validator has against a derivative dataset whose drafts it knows; ``scratch`` takes a copy of it.

    Also an error is to have looked at less than everything that is not hidden.
    """
    copy = scratch / "copy"
    shutil.copytree(folder, copy)
    (copy / ".bidsignore").write_text("".join(f"{name}\n" for name in IGNORED))
    (scratch / "schema.json").write_text(json.dumps(schema()))
    found = validate(copy, "-s", (scratch / "schema.json").as_uri())
    looked_at = found["summary"]["totalFiles"]
    expected = sum(_is_checked(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    problems = [issue for issue in found["issues"]["issues"] if issue["severity"] == "error"]
    return problems + ([{"code": f"{looked_at} of {expected} files were looked at"}] if looked_at < expected else [])


def validate(folder: Path, *options: str) -> dict[str, Any]:
    """What the validator says, whole."""
    command = [PROGRAM, folder, "--format", "json", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def _is_checked(path: Path) -> bool:
    hidden = path.name.endswith((".html", "_decomposition.json")) or path.name == ".bidsignore"
    return not hidden and not {"logs", "figures"} & set(path.parts)
