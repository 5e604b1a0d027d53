"""Imports in utils/ point down, and the light modules stay light."""

import ast
import subprocess
import sys

import pytest

from utils.runtime import ROOT

FLOORS = [
    ["runtime"],  # the ground: where we run
    [
        "stats",
        "labs",
        "notebooks",
        "duplicates",
        "voice",
        "pii",
        "live",
        "format_rules",
        "planted",
        "attention",
        "passages",
        "boxes",
    ],
    ["data", "models", "plots", "baselines", "conversion", "costs"],
    [
        "adapters",
        "classifiers",
        "evaluate",
        "progress",
        "checkup",
        "trainable",
        "faults",
        "fernhill",
        "experiments",
        "claims",
        "prompts",
        "lora",
        "formats",
        "decide",
    ],
    [
        "train",
        "desk",
        "language_models",
        "quantised",
        "journal",
        "curation",
        "prompt_costs",
        "retrieval",
        "policies",
        "answering",
        "memo",
        "portfolio",
        "briefs",
        "cards",
        "general",
    ],
    ["proof", "fewshot", "sft", "constrained", "feedback", "pairs", "growth", "fact_marks"],
    ["quality", "preferences", "facts"],
    ["fact_studies"],
    ["studies"],
    ["update_board", "widgets", "quizzes", "split_sizes", "label_budget", "decision_board", "checks"],
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
MODULES = [path.relative_to(ROOT / "utils").with_suffix("").as_posix() for path in sorted((ROOT / "utils").rglob("*.py"))]


def faults(module, source):
    """What is wrong with a module's imports of utils, in words."""
    floor, found = FLOOR[module.split("/")[0]], []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"import {name.name}" for name in node.names if name.name.split(".")[0] == "utils"]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append("a relative import")
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "utils":
            targets = [name.name for name in node.names] if node.module == "utils" else [node.module.split(".")[1]]
            found += [f"{module} (floor {floor}) imports {t}" for t in targets if FLOOR.get(t, 99) >= floor]
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if not module.endswith("__init__")])
def test_every_import_goes_to_a_strictly_lower_floor(module):
    assert module.split("/")[0] in FLOOR, f"give utils/{module}.py a floor in tests/test_layers.py"
    assert faults(module, (ROOT / "utils" / f"{module}.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from utils.train import fine_tune",
        "from utils.plots import figure",
        "from utils import stats, widgets",
        "import utils.stats",
        "import numpy, utils.stats as s",
        "from . import stats",
        "from .stats import wilson",
        "def late():\n    from utils.evaluate import score",
        "from utils.nowhere import x",
    ],
)
def test_an_import_that_points_up_or_sideways_is_found(source):
    assert faults("data", source)


def test_an_import_that_points_down_is_allowed():
    assert faults("data", "import json\nfrom utils.runtime import ROOT\nfrom utils import stats") == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.endswith("__init__")])
def test_a_package_file_holds_a_docstring_only(module):
    tree = ast.parse((ROOT / "utils" / f"{module}.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) and len(tree.body) == 1


def fresh(code):
    """Run a line in a new interpreter, return what it prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "module",
    [
        "plots",
        "stats",
        "data",
        "evaluate",
        "baselines",
        "labs",
        "claims",
        "experiments",
        "prompts",
        "desk",
        "retrieval",
        "policies",
        "answering",
        "costs",
        "decide",
    ],
)
def test_a_light_module_does_not_load_torch(module):
    assert fresh(f"import sys, utils.{module}; print('torch' in sys.modules)") == "False\n"


def test_importing_data_takes_less_than_a_second():
    line = "import time; t = time.perf_counter(); import utils.data; print(time.perf_counter() - t)"
    assert min(float(fresh(line)) for _ in range(3)) < 1
