"""Where a benchmark leaves its figures: a JSON file, and the table of that name in the documentation."""

import json
import re
from pathlib import Path


def publish(name: str, table: list[str], figures: dict, folder: Path, page: str = "benchmarks") -> None:
    """Put the table between its marks in a page and the figures under its name in the JSON file of the same name."""
    text_file, data = folder / f"{page}.md", folder / f"{page}.json"
    marked = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    text, found = marked.subn(lambda match: match[1] + "\n".join(table) + match[2], text_file.read_text())
    if not found:
        raise SystemExit(f"{text_file} has no place for the table: <!-- {name} --> ... <!-- end -->")
    text_file.write_text(text)
    before = json.loads(data.read_text()) if data.exists() else {}
    data.write_text(json.dumps(before | {name: figures}, indent=1, sort_keys=True) + "\n")
