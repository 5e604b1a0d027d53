"""Sweeps over configurations and seeds that remember each run, and reference results with their origin.

A run is remembered under a hash of its configuration and seed, the data, the model's weights, the code that computes it,
and the versions of the packages below it. Called again, a sweep computes only what is missing; when anything of these
changed, the hash differs, and old results are not mixed in.
"""

import ast
import hashlib
import importlib
import inspect
import itertools
import json
import os
import platform
import sys
import textwrap
import time
from importlib.metadata import version
from pathlib import Path

from utils.live import LiveLine, in_notebook, say
from utils.models import checksum
from utils.runtime import ROOT, cores, fastest_dtype, memory_gb, runs_dir, write_whole

RESULTS = ROOT / "data" / "results"
PACKAGES = ("torch", "transformers", "peft", "scikit-learn", "numpy")


def sweep(function, grid, seeds=(0,), name=None, workers=1, **shared):
    """Run function(**configuration, seed=seed, **shared) for every configuration and seed; returns a table, a row per run.

    function: returns a dict of numbers and short texts (what JSON holds)
    grid: {parameter: list of values}, of which all combinations are run, or a list of configurations
    workers: 1 runs here, with all cores; more runs in so many processes of one thread each, at low priority
    shared: what all runs share; data sets are known by their content, `model_id` by its weights
    Each finished run is a file in runs/experiments/, so that an interrupt or a crash loses the runs under way and no more.
    """
    import pandas as pd

    name = name or function.__name__
    seeds = list(seeds)
    runs = [(configuration, seed) for seed in seeds for configuration in configurations(grid)]
    common = {"code": code_hash(function), "versions": versions(), "shared": {k: fingerprint(k, v) for k, v in shared.items()}}
    files = [runs_dir() / "experiments" / name / f"{key_of(common, *run)}.json" for run in runs]
    missing = [(run, file) for run, file in zip(runs, files, strict=True) if read_run(file) is None]
    watch = Watch(name, len(runs), len(missing))
    try:
        for _ in run_all(function, missing, shared, workers):
            watch.one_more()
    except KeyboardInterrupt:
        watch.say(f"{name}: interrupted after {watch.done} of {len(runs)} runs; the same call goes on from there")
        raise
    watch.finish()
    found = [read_run(file) for file in files]
    return pd.DataFrame([{**c, "seed": seed, **r["result"], "seconds": r["seconds"]} for (c, seed), r in zip(runs, found, strict=True)])


def configurations(grid):
    """All combinations of a grid, as a list of dicts."""
    if not isinstance(grid, dict):
        return [dict(configuration) for configuration in grid]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def run_all(function, missing, shared, workers):
    """Compute the missing runs, each written by whoever computed it; yields once per finished run."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if workers == 1 or len(missing) < 2:
        for (configuration, seed), file in missing:
            yield run_one(function, configuration, seed, shared, file)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=min(workers, len(missing)), return_as="generator_unordered")
        yield from pool(delayed(run_one)(function, c, seed, shared, file, polite=True) for (c, seed), file in missing)


def run_one(function, configuration, seed, shared, file, polite=False):
    """Compute one run and write it down, whole or not at all."""
    if polite and hasattr(os, "nice") and os.nice(0) == 0:
        os.nice(10)  # the notebook and its browser come first
    started = time.perf_counter()
    result = function(**configuration, seed=seed, **shared)
    entry = {"configuration": configuration, "seed": seed, "result": result, "seconds": round(time.perf_counter() - started, 3)}
    write_whole(file, json.dumps(entry, ensure_ascii=False))


def read_run(file):
    """What a finished run wrote, or None; a damaged file counts as none."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return entry if "result" in entry and "seconds" in entry else None
    except (OSError, ValueError, TypeError):
        return None


class Watch:
    """Progress with time left: a line in place in a notebook, a line every ten seconds elsewhere."""

    def __init__(self, name, total, missing):
        self.name, self.total, self.done, self.missing = name, total, total - missing, missing
        self.remembered, self.started, self.last = self.done, time.perf_counter(), 0.0
        self.live = LiveLine() if in_notebook() else None

    def say(self, line):
        """Show a line."""
        say(line, self.live)

    def one_more(self):
        """Count a finished run; from time to time, say so."""
        self.done += 1
        now = time.perf_counter()
        if now - self.last > (0.5 if self.live else 10) or self.done == self.total:
            self.last = now
            left = (now - self.started) / (self.done - self.remembered) * (self.total - self.done)
            self.say(f"{self.name}: {self.done} of {self.total} runs, about {int(left // 60)}:{int(left % 60):02d} left")

    def finish(self):
        """Say what was done, where anything was."""
        if self.missing:
            seconds = time.perf_counter() - self.started
            self.say(f"{self.name}: {self.total} runs, {self.remembered} of them remembered, the others in {seconds:.0f} s")


# ---- what a result depends on ------------------------------------------------------------------


def key_of(common, configuration, seed):
    """Sixteen letters that are equal only for equal configuration, seed, data, model, code and versions."""
    return short_hash({**common, "configuration": configuration, "seed": seed})


def short_hash(value):
    """Sixteen letters for anything that JSON holds."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def versions():
    """Versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def fingerprint(name, value):
    """What identifies a shared argument: a model's checksum, a data set's content, else the value itself."""
    if name == "model_id":
        return checksum(value)
    if hasattr(value, "column_names") and hasattr(value, "values"):  # DatasetDict
        return {split: fingerprint(split, rows) for split, rows in value.items()}
    if hasattr(value, "column_names"):
        return short_hash({column: list(value[column]) for column in value.column_names})
    return value


def code_hash(function):
    """Sixteen letters that change with the code of the function, or of anything of ours that it names, at any depth.

    Functions, classes and constants of the course count, and those of the notebook; layout, comments and docstrings do not.
    What is reached only through an argument or a dictionary of functions is not seen: name it in the function.
    """
    found = {}
    collect_code(function, found)
    return short_hash(found)


def collect_code(thing, found):
    """Put the code of a function or class, and of what it names, into `found`."""
    thing = inspect.unwrap(thing)
    name = f"{thing.__module__}.{thing.__qualname__}"
    if name in found:
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    found[name] = ast.dump(without_docstrings(tree))
    known = {**vars(sys.modules[thing.__module__]), **local_imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            collect_value(node.id, known.get(node.id), thing.__module__, found)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and inspect.ismodule(known.get(node.value.id)):
            module = known[node.value.id]
            if is_ours(module.__name__):
                collect_value(node.attr, getattr(module, node.attr, None), module.__name__, found)


def collect_value(name, value, module, found):
    """Put what a name stands for into `found`: code of ours at any depth, constants as they are."""
    inner = inspect.unwrap(value) if callable(value) else value
    if inspect.isfunction(inner) or inspect.isclass(inner):
        if is_ours(inner.__module__) or inner.__module__ == module:
            collect_code(inner, found)
    elif isinstance(value, str | int | float | tuple | list | dict | frozenset) and not name.startswith("_"):
        found[f"{module}.{name}"] = repr(value)


def is_ours(module):
    """True for a module of the course."""
    return module.split(".")[0] == "utils"


def local_imports(tree):
    """What a function imports from the course in its body: name to value."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and is_ours(node.module):
            for alias in node.names:
                module = importlib.import_module(node.module)
                value = getattr(module, alias.name, None)
                found[alias.asname or alias.name] = importlib.import_module(f"{node.module}.{alias.name}") if value is None else value
    return found


def without_docstrings(tree):
    """The tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


# ---- reference results -------------------------------------------------------------------------


def write_results(name, table, about):
    """Keep a finished sweep as data/results/NAME.json, one run a line, with where it comes from; returns the path."""
    runs = ",\n".join(json.dumps(row, ensure_ascii=False) for row in table.to_dict("records"))
    head = json.dumps({**about, "provenance": provenance()}, indent=1, ensure_ascii=False)
    path = RESULTS / f"{name}.json"
    write_whole(path, head[:-2] + f',\n "runs": [\n{runs}\n]\n}}\n')
    return path


def read_results(name):
    """Reference results as (table of runs, everything else that the file says)."""
    import pandas as pd

    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{path}: there are no reference results; make them with: python -m utils.studies {name}")
    about = json.loads(path.read_text(encoding="utf-8"))
    return pd.DataFrame(about.pop("runs")), about


def provenance():
    """Where and when results were computed."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"processor": processor(), "cores": cores(), "memory_gb": round(memory_gb()), "dtype": fastest_dtype()},
        "versions": versions(),
    }


def processor():
    """The processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine())
