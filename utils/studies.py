"""The course's experiments: what each run computes, on which grid and seeds; their reference results.

    python -m utils.studies [E01 E06 …]      run the full grids and write data/results/*.json (all: up to two hours)

A lesson runs the same functions on a smaller grid, and draws its own run over the reference.
"""

import argparse
import functools
import sys
from dataclasses import dataclass

import numpy as np

from utils.baselines import Tfidf
from utils.classifiers import FrozenHead
from utils.data import load, sample
from utils.experiments import configurations, fingerprint, read_results, sweep, write_results
from utils.models import checksum, random_twin
from utils.runtime import cores, runs_dir, set_seed
from utils.stats import accuracy, interval_over_seeds, macro_f1, mcnemar
from utils.train import fine_tune


def learn(system, train, model_id):
    """The system of that name ("TF-IDF" or "frozen encoder"), having learned the training tickets."""
    texts, labels = train["text"], train["label"]
    return Tfidf(texts, labels) if system == "TF-IDF" else FrozenHead(model_id, texts, labels)


def learning_curve(system, n, seed, data, model_id):
    """E01: a system that learned n random training tickets, on all test tickets."""
    learned = learn(system, sample(data["train"], n, seed), model_id)
    predicted = learned.predict(data["test"]["text"])
    return {"accuracy": accuracy(data["test"]["label"], predicted), "macro_f1": macro_f1(data["test"]["label"], predicted)}


EPOCHS = {100: 12, 500: 6, 1000: 4}  # of E06: the fewer tickets, the more often each is read


def transfer(start, n, seed, data, model_id):
    """E06: the same network from pretrained and from random weights, and TF-IDF, on n training tickets; which test items are right."""
    train = sample(data["train"], n, seed)
    if start == "TF-IDF":
        learned = learn(start, train, model_id)
    else:
        folder = runs_dir() / "random" / f"{checksum(model_id)[:8]}-{seed}"
        source = model_id if start == "pretrained" else random_twin(model_id, folder, seed)
        small = data.__class__(train=train, validation=sample(data["validation"], 120))
        learned = fine_tune(source, small, epochs=EPOCHS[n], max_tokens=64, patience=None, seed=seed).classifier
    right = np.array(learned.predict(data["test"]["text"])) == np.array(data["test"]["label"])
    return {"accuracy": float(right.mean()), "right": "".join("01"[int(r)] for r in right)}


RECIPES = {  # of E19: two systems that learn from different tickets, each drawn with a seed of its own
    "same recipe twice": ("frozen encoder", "frozen encoder"),
    "two recipes": ("TF-IDF", "frozen encoder"),
}


def small_test_sets(pair, n, seed, data, model_id, draws=400):
    """E19: two systems on many test sets of n items; how often one seems at least 5 points better, and how often McNemar says so.

    The test sets are drawn, with replacement, from all test tickets, on which the true difference of the two is known.
    """
    rights = []
    for half, system in enumerate(RECIPES[pair]):
        learned = learn(system, sample(data["train"], 800, 2 * seed + half), model_id)
        rights.append(np.array(learned.predict(data["test"]["text"])) == np.array(data["test"]["label"]))
    chosen = np.random.default_rng(seed).integers(0, len(rights[0]), (draws, n))
    gaps = rights[1][chosen].mean(1) - rights[0][chosen].mean(1)
    p = [mcnemar(rights[0][items], rights[1][items])[2] for items in chosen]
    true = float(rights[1].mean() - rights[0].mean())
    return {
        "true_difference": true,
        "five_points": float(np.mean(np.abs(gaps) >= 0.05)),
        "significant": float(np.mean(np.array(p) < 0.05)),
        "wrong_sign": float(np.mean(gaps * np.sign(true) < 0)),
    }


@dataclass(frozen=True)
class Study:
    """One experiment: its question, the function that computes one run, grid and seeds, and a small grid for a quick look."""

    name: str
    question: str
    function: object
    grid: dict
    seeds: int
    quick: dict
    dataset: str = "fernhill-tickets"
    model_id: str = "minilm"

    def run(self, grid=None, seeds=None, quick=False, workers=1, data=None):
        """Run (or remember) the study; returns a table, a row per run. quick shrinks grid and seeds, not what is computed."""
        grid = grid or (self.quick if quick else self.grid)
        seeds = range(2 if quick else self.seeds) if seeds is None else seeds
        data = data or tickets(self.dataset)
        return sweep(self.function, grid, seeds, self.name, workers, data=data, model_id=self.model_id)

    def about(self):
        """What the file of reference results says about itself, without its provenance."""
        configuration = {"grid": self.grid, "seeds": self.seeds, "dataset": self.dataset, "model_id": self.model_id}
        marks = {"data": fingerprint("data", tickets(self.dataset)), "model": checksum(self.model_id)}
        return {"study": self.name, "question": self.question, "configuration": configuration, "fingerprints": marks}

    def reference(self):
        """The reference runs, as a table."""
        return read_results(self.name)[0]


@functools.cache
def tickets(dataset):
    """A data set in its usual three splits."""
    return load(dataset)


STUDIES = {
    study.name: study
    for study in [
        Study(
            "E01",
            "How does the score grow with the number of training tickets?",
            learning_curve,
            {"system": ["frozen encoder", "TF-IDF"], "n": [24, 50, 100, 200, 400, 800, 1200, 2000]},
            20,
            {"system": ["frozen encoder", "TF-IDF"], "n": [50, 400]},
        ),
        Study(
            "E06",
            "What is pretraining worth: the same network from pretrained and from random weights, and TF-IDF?",
            transfer,
            {"start": ["TF-IDF", "pretrained", "random"], "n": [100, 500, 1000]},
            4,
            {"start": ["TF-IDF", "pretrained", "random"], "n": [100]},
        ),
        Study(
            "E19",
            "How often does a small test set lie?",
            small_test_sets,
            {"pair": list(RECIPES), "n": [25, 50, 100, 200, 400, 600]},
            20,
            {"pair": list(RECIPES), "n": [50, 400]},
        ),
    ]
}


def over_seeds(runs, by, column="accuracy"):
    """Mean over seeds with its interval, per value of `by`: a dict of value to Interval, in ascending order."""
    return {value: interval_over_seeds(group[column]) for value, group in sorted(runs.groupby(by), key=lambda item: item[0])}


def curves(runs, series, column="accuracy"):
    """Runs as plot_learning_curve wants them: value of the column `series` to {n: Interval over seeds}."""
    return {value: over_seeds(group, "n", column) for value, group in runs.groupby(series)}


def stars(runs, series, column="accuracy"):
    """Runs of one seed as plot_learning_curve wants them: value of the column `series` to {n: value}."""
    return {value: dict(zip(group["n"], group[column], strict=True)) for value, group in runs.groupby(series)}


def main(arguments):
    """Run full grids and write reference results; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m utils.studies", description="Run the course's experiments in full.")
    parser.add_argument("names", nargs="*", metavar="E01", help=f"which: {', '.join(STUDIES)}; none takes all")
    parser.add_argument("--workers", type=int, default=cores(), help="processes to use")
    a = parser.parse_args(arguments)
    if unknown := set(a.names) - set(STUDIES):
        print(f"there is no study {', '.join(sorted(unknown))}; choose from {', '.join(STUDIES)}", file=sys.stderr)
        return 2
    for name in a.names or STUDIES:
        study = STUDIES[name]
        set_seed(0)
        print(f"{name}: {len(configurations(study.grid)) * study.seeds} runs: {study.question}")
        print(f"wrote {write_results(name, study.run(workers=a.workers), study.about())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
