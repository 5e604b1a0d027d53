"""A few examples per label: our FewShot against SetFit, the same encoder and examples, in one run, interleaved.

    python -m tests.bench_fewshot --data FOLDER [--pairs 5] [--shots 8] [--labels 10]

FOLDER holds train.csv and test.csv with columns text and label (Banking77). SetFit runs in an environment of its own,
made in runs/ on first use. Its recipe is the paper's (arXiv 2209.11055): 20 pairs alike and 20 unlike per text, batches
of 16 pairs, one epoch, rate 2e-5, then a logistic regression. (The library's default, every pair, is 15 times as long.)
Seconds are CPU seconds of training: SetFit's without loading the model, ours with it. With one thread (OMP_NUM_THREADS=1)
they hardly depend on what else runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from utils import models
from utils.fewshot import FewShot
from utils.runtime import ROOT, runs_dir
from utils.stats import interval_over_seeds, mcnemar, wilson

TORCH = "torch==2.13.0"  # first and alone: the others would take a build of their own choice
PINS = [
    "setfit==1.1.3",
    "sentence-transformers==5.7.0",
    "transformers==4.57.6",
    "tokenizers==0.22.2",
    "huggingface_hub==0.36.2",
    "datasets==5.0.1",
    "accelerate==1.15.0",
    "evaluate==0.4.6",
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "numpy==2.4.6",
    "pandas==3.1.1",
]
LOOK = """
import importlib.metadata, sys
for name, version in (pin.split("==") for pin in sys.argv[1:]):
    assert importlib.metadata.version(name).split("+")[0] == version
"""


def setfit_python(folder, torch_index):
    """The interpreter of SetFit's environment, which is made if it is not there with these very versions."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists() and subprocess.run([python, "-c", LOOK, TORCH, *PINS], capture_output=True).returncode == 0:
        return python
    print(f"making SetFit's environment in {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    index = ["--extra-index-url", torch_index] if torch_index else []
    subprocess.run([python, "-m", "pip", "install", "-q", TORCH, *index], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", TORCH, *PINS], check=True)
    return python


def draw(rows, shots, seed):
    """`shots` random rows of each label."""
    return rows.groupby("label", sort=True).sample(shots, random_state=seed)


def run_setfit(python, train, texts, seed, steps):
    """Seconds of training, one label per text, and the same by a head with our C=10 instead of the default 1."""
    with tempfile.TemporaryDirectory() as folder:
        job = dict(folder=str(models.locate("minilm")), texts=list(train.text), labels=list(train.label), test=list(texts))
        job |= dict(seed=seed, iterations=20, steps=steps, out=str(Path(folder) / "out.json"))
        command = [python, ROOT / "tests" / "setfit_run.py"]
        done = subprocess.run(command, input=json.dumps(job), cwd=folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"SetFit failed:\n{done.stderr[-2000:]}")
        result = json.loads(Path(job["out"]).read_text())
    return result["seconds"], result["predicted"], result["predicted_c10"]


def run_ours(train, texts, seed):
    """Seconds and labels of FewShot; there is no second head."""
    started = time.process_time()
    system = FewShot("minilm", train.text, train.label, seed=seed)
    seconds = time.process_time() - started
    return seconds, system.predict(list(texts)), None


def over_pairs(values, sign="+"):
    """Mean over the pairs with its interval, in words."""
    if len(values) < 2:
        return f"{np.mean(values):{sign}.2%} (one pair: no interval)"
    found = interval_over_seeds(values)
    return f"{found.estimate:{sign}.2%} ({found.low:{sign}.2%} to {found.high:{sign}.2%})"


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_fewshot", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and test.csv (text, label)")
    parser.add_argument("--pairs", type=int, default=5, help="draws, each learned by both")
    parser.add_argument("--shots", type=int, default=8, help="examples per label")
    parser.add_argument("--labels", type=int, help="so many labels, drawn anew for each pair; without it, all")
    parser.add_argument("--environment", type=Path, default=runs_dir() / "setfit-env", help="SetFit's; made if it is not there")
    parser.add_argument("--torch-index", help="where pip finds torch's CPU build, if not by itself")
    parser.add_argument("--steps", type=int, default=-1, help="stop SetFit early: only to try this file out")
    a = parser.parse_args()
    python = setfit_python(a.environment.resolve(), a.torch_index)
    all_train, all_test = pd.read_csv(a.data / "train.csv"), pd.read_csv(a.data / "test.csv")
    known = sorted(set(all_train.label))

    seconds, right, other_head = {"SetFit": [], "ours": []}, {"SetFit": [], "ours": []}, []
    for pair in range(a.pairs):
        labels = np.random.default_rng(pair).choice(known, a.labels or len(known), replace=False)
        train, test = (rows[rows.label.isin(labels)] for rows in (all_train, all_test))
        truth = np.array(test.label)
        print(f"pair {pair + 1}: {len(labels)} labels, {a.shots} examples each, {len(test)} test rows", flush=True)
        examples = draw(train, a.shots, seed=pair)
        runs = {
            "SetFit": lambda: run_setfit(python, examples, test.text, pair, a.steps),  # noqa: B023
            "ours": lambda: run_ours(examples, test.text, pair),  # noqa: B023
        }
        for name in sorted(runs, reverse=pair % 2 == 1):
            took, predicted, other = runs[name]()
            seconds[name].append(took)
            right[name].append(np.array(predicted) == truth)
            print(f"pair {pair + 1}: {name:6} {took:6.0f} s, {wilson(right[name][-1].sum(), len(truth))}", flush=True)
            if other:
                other_head.append((np.array(other) == truth).mean())
                print(f"pair {pair + 1}: SetFit's encoder, head with C=10: {other_head[-1]:.1%}", flush=True)
        only_setfit, only_ours, p = mcnemar(right["SetFit"][-1], right["ours"][-1])
        ratio = seconds["ours"][-1] / seconds["SetFit"][-1]
        print(f"pair {pair + 1}: ours takes {ratio:.2f} of the time; only ours right {only_ours}, only SetFit {only_setfit}, p = {p:.2g}")
    accuracy = {name: np.array([rows.mean() for rows in right[name]]) for name in right}
    for name in right:
        print(f"{name:6} median {statistics.median(seconds[name]):.0f} s, accuracy {over_pairs(accuracy[name], sign='')}")
    ratio = np.median(np.array(seconds["ours"]) / np.array(seconds["SetFit"]))
    print(f"ours takes {ratio:.2f} of SetFit's time (median of the pairs' ratios; the goal is at most 0.33)")
    print(f"ours minus SetFit, same draws and test rows: {over_pairs(accuracy['ours'] - accuracy['SetFit'])}")
    print(f"ours minus SetFit with C=10 in its head: {over_pairs(accuracy['ours'] - np.array(other_head))}")


if __name__ == "__main__":
    main()
