"""One source of versions, and nothing in utils/ that runs code from a file of weights."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from utils.runtime import ROOT

LINES = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
PINS = {name: pin for name, _, pin in (line.split("#")[0].strip().partition("==") for line in LINES)}
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


@pytest.mark.parametrize("line", LINES)
def test_every_requirement_is_an_exact_pin_with_a_reason(line):
    assert re.fullmatch(r"[\w-]+==\d[\w.]*\s+# \S.{4,}", line)


def test_conda_and_binder_read_the_same_pins():
    assert {"pip": ["-r requirements.txt"]} in ENVIRONMENT
    named = {re.split(r"[=<>]", item)[0] for item in ENVIRONMENT if isinstance(item, str)}
    assert named == {"python", "pip"}


def test_the_environments_python_is_one_that_the_package_accepts():
    accepted = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    python = next(item.split("=")[1] for item in ENVIRONMENT if item.startswith("python="))
    assert python in accepted


@pytest.mark.parametrize("package", PINS)
def test_the_installed_version_is_the_pinned_one(package):
    assert version(package).split("+")[0] == PINS[package]


@pytest.mark.skipif(not shutil.which("make"), reason="Windows has no make; README says what to type there")
def test_make_alone_lists_the_commands():
    printed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"lab", "test", "run", "labs", "bench", "help"} <= {line.split()[1] for line in printed.splitlines()}
    assert printed == subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", sorted((ROOT / "utils").rglob("*.py")), ids=lambda path: path.name)
def test_weights_are_data_and_never_code(path):
    assert not re.search(r"pickle|torch\.load\(|trust_remote_code\s*=\s*True|weights_only\s*=\s*False", path.read_text(encoding="utf-8"))
