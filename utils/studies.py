"""The course's experiments: what each run computes, on which grid and seeds; their reference results.

    python -m utils.studies [E01 E06 …]      run the full grids and write data/results/*.json (all: up to two hours)

A lesson runs the same functions on a smaller grid, and draws its own run over the reference.
"""

import argparse
import functools
import sys
from dataclasses import dataclass

import numpy as np
import torch

from utils.baselines import Tfidf
from utils.classifiers import Classifier, FrozenHead, frozen_vectors
from utils.curation import flattered, label_noise, narrow_sample
from utils.data import load, sample
from utils.desk import PILOT, TICKET_FIELDS, desk_data, score_triage, triage_messages
from utils.experiments import configurations, fingerprint, read_results, sweep, write_results
from utils.fact_studies import facts_change, facts_taught, retrieval_and_tuning
from utils.facts import facts_data
from utils.growth import by_heart, by_mood
from utils.language_models import LanguageModel
from utils.lora import add_lora, linear_layers
from utils.models import checksum, freeze, load_tokenizer, random_twin
from utils.quantised import BITS, BLOCK, load_quantised, quiet_bitsandbytes, round_layers
from utils.runtime import ROOT, cores, runs_dir, set_seed
from utils.sft import fine_tune_chat
from utils.stats import accuracy, interval_over_seeds, macro_f1, mcnemar
from utils.train import LengthBuckets, collate, encode, fine_tune
from utils.trainable import start_head


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

    The test sets are drawn without replacement from all test tickets, which are many times as many as a small set holds.
    Also: on what share of all test tickets the two give different labels.
    """
    predicted = []
    for half, system in enumerate(RECIPES[pair]):
        learned = learn(system, sample(data["train"], 800, 2 * seed + half), model_id)
        predicted.append(np.array(learned.predict(data["test"]["text"])))
    rights = [labels == np.array(data["test"]["label"]) for labels in predicted]
    draw, found = np.random.default_rng(seed), []
    for _ in range(draws):
        items = draw.choice(len(rights[0]), n, replace=False)
        found.append(mcnemar(rights[0][items], rights[1][items]))
    lead = np.array([only_second - only_first for only_first, only_second, _ in found])  # in tickets: whole numbers compare exactly
    return {
        "gap_on_all": float(rights[1].mean() - rights[0].mean()),
        "labels_differ": float((predicted[0] != predicted[1]).mean()),
        "five_points": float(np.mean(20 * np.abs(lead) >= n)),
        "significant": float(np.mean([p < 0.05 for *_, p in found])),
    }


EPOCHS_OF_ADAPTERS, HEADLINES, BATCH = 3, 128, 8  # of E28: 48 steps


def adapter_design(trained, rank, lr, seed, data, model_id):
    """E28: what learns (adapters of a rank in all linear layers or in attention, or every weight), how fast; held-out loss and accuracy.

    The head learns in each case, from the nearest-mean start of lesson 09; steps and order are the same for all.
    """
    set_seed(seed)
    train = sample(data["train"], HEADLINES, seed)
    classifier = Classifier.from_base(
        model_id, sorted(set(train["label"])), 64, seed, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    network, items = classifier.network, encode(classifier, train)
    start_head(classifier, items, "float32")
    if trained == "every weight":
        freeze(network.encoder.embeddings)  # a row per token: nearly all of them see no gradient on so few texts
    else:
        add_lora(network, trained, rank)
        network.classifier.requires_grad_(True)
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    steps = EPOCHS_OF_ADAPTERS * len(items) // BATCH
    optimiser = torch.optim.AdamW(learning, lr=lr, weight_decay=0.0)
    pace = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps)))
    buckets = LengthBuckets([len(item["input_ids"]) for item in items], BATCH)
    network.train()
    for _ in range(EPOCHS_OF_ADAPTERS):
        order = list(buckets)
        for start in range(0, len(order), BATCH):
            network(**collate(classifier.tokenizer, [items[i] for i in order[start : start + BATCH]])).loss.backward()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            pace.step()
    held_out = data["validation"]
    shares = classifier.scores(held_out["text"])
    column = [classifier.labels.index(label) for label in held_out["label"]]
    loss = -np.log(shares[np.arange(len(column)), column].clip(1e-9)).mean()
    right = float((shares.argmax(1) == column).mean())
    return {"accuracy": right, "loss": round(float(loss), 4), "learning": sum(weight.numel() for weight in learning)}


DESIGNS = [
    *({"trained": "every weight", "rank": 0, "lr": lr} for lr in (2e-5, 2e-4, 2e-3)),
    *({"trained": "all", "rank": 8, "lr": lr} for lr in (2e-4, 2e-3, 2e-2)),
    *({"trained": trained, "rank": rank, "lr": 2e-3} for trained, rank in (("all", 1), ("all", 32), ("attention", 8))),
]


def few_bits(kind, n, seed, data, model_id):
    """E29: a base model with its linear layers in few bits, on n general texts; nats per token of each, and megabytes of weights.

    "nf4" and "int8" are bitsandbytes' layers; "int4" and "int3" are rounded by hand and kept in float32, so their size is computed.
    """
    by_hand = kind in ("int4", "int3")
    network = load_quantised(model_id, "float32" if by_hand else kind)
    mb = network.get_memory_footprint() / 1e6
    if by_hand:
        round_layers(network, kind)
        count = sum(layer.weight.numel() for layer in linear_layers(network).values())
        mb -= count * (4 - BITS[kind] / 8 - 4 / BLOCK) / 1e6
    texts = sample(data["train"], n, seed)["text"]
    with quiet_bitsandbytes():
        nats = LanguageModel(network, load_tokenizer(model_id)).perplexity(texts)
    return {"nats": float(nats.mean()), "mb": round(mb, 1), "texts": [round(float(value), 4) for value in nats]}


NOISE = [(0.0, "left in"), (0.1, "left in"), (0.2, "left in"), (0.2, "removed"), (0.4, "left in"), (0.4, "removed")]  # of E05


PASSES, SHORT, JUDGED = {10: 16, 25: 8, 50: 5, 100: 3}, 160, 50  # of E15: passes, letters of a training ticket, held-out tickets


def form_learned(n, seed, data, model_id):
    """E15: a language model tuned on n short tickets; shares of held-out tickets with valid triage JSON and with each field right.

    The job is the desk's pilot, six intents. Few tickets are read more often: all sizes learn for 160 to 300 readings.
    Each seed draws its own held-out tickets, short ones as well.
    """
    short = {split: [i for i, text in enumerate(data[split]["text"]) if len(text) <= SHORT] for split in ("train", "validation")}
    draw = np.random.default_rng(seed)
    split = {
        "train": data["train"].select(draw.permutation(short["train"])[:n]),
        "validation": data["validation"].select(short["validation"][:8]),  # choose which pass is kept, and judge nothing
    }
    judged = data["validation"].select(draw.permutation(short["validation"][8:])[:JUDGED])
    run = fine_tune_chat(model_id, data.__class__(split), epochs=PASSES[n], batch_size=4, layers=12, patience=None, seed=seed)
    answers = run.model.generate([triage_messages(text) for text in judged["text"]], max_new_tokens=32)
    scores = score_triage(answers, list(judged), TICKET_FIELDS)
    return {**{name: float(np.mean(marks)) for name, marks in scores.items()}, "judged": JUDGED}


TEACHING = [  # of E11: facts, wordings of each, and questions among the lessons that nobody can answer
    *({"facts": facts, "count": 1, "silences": 0} for facts in (0, 5, 10, 20, 40)),
    {"facts": 40, "count": 4, "silences": 0},
    {"facts": 40, "count": 4, "silences": 10},
]


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
        if workers > 1 and self.function is learning_curve:  # else each process reads the same texts
            frozen_vectors(self.model_id, [*data["train"]["text"], *data["test"]["text"]])
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
    """A data set in its usual three splits; "general-text" has its topic as label; "triage-pilot" the desk's chats, "facts" its facts."""
    if dataset == "facts":
        return facts_data()
    if dataset == "triage-pilot":
        return desk_data("triage", TICKET_FIELDS, intents=PILOT)
    if dataset == "fernhill-mood":
        return by_mood(load("fernhill-tickets"))
    return load(ROOT / "data" / "general_text.jsonl", label="topic") if dataset == "general-text" else load(dataset)


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
            "E02",
            "When does a model learn its examples by heart, and what does it cost on unseen ones?",
            by_heart,
            [{"trained": "full", "n": n} for n in (32, 64)] + [{"trained": "head", "n": 64}],
            3,
            [{"trained": "head", "n": 64}],
            dataset="fernhill-mood",
        ),
        Study(
            "E03",
            "How many examples does a job with two answers need: is a ticket negative or not?",
            learning_curve,
            {"system": ["frozen encoder", "TF-IDF"], "n": [16, 32, 64, 125, 250, 500, 1000, 2000]},
            20,
            {"system": ["frozen encoder", "TF-IDF"], "n": [32, 250]},
            dataset="fernhill-mood",
        ),
        Study(
            "E05",
            "What do wrong labels cost, and does it pay to take them out, or to label more tickets?",
            label_noise,
            [{"n": n, "share": s, "wrong": w} for n in (200, 500, 1000) for s, w in NOISE],
            6,
            [{"n": 200, "share": 0.4, "wrong": "left in"}],
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
            "E10",
            "What does a price change leave behind: in a tuned model, in a store, in both?",
            facts_change,
            {"system": ["tuned", "retuned", "retrieval", "untuned + retrieval", "tuned + retrieval"]},
            1,
            {"system": ["retrieval"]},
            dataset="facts",
            model_id="smollm2",
        ),
        Study(
            "E11",
            "How far do taught facts carry, and does the model make up less or more as it is taught more of them?",
            facts_taught,
            TEACHING,
            1,
            TEACHING[:1],
            dataset="facts",
            model_id="smollm2",
        ),
        Study(
            "E15",
            "How many examples does a language model need until its answers have the right form, and until they are right?",
            form_learned,
            {"n": list(PASSES)},
            2,
            {"n": [10]},
            dataset="triage-pilot",
            model_id="smollm2",
        ),
        Study(
            "E19",
            "How often does a small test set lie?",
            small_test_sets,
            {"pair": list(RECIPES), "n": [25, 50, 100, 200]},
            20,
            {"pair": list(RECIPES), "n": [50, 200]},
        ),
        Study(
            "E21",
            "How far does a test flatter that shares messages with the training set, or on which the winner was chosen?",
            flattered,
            [{"how": "copies", "share": share} for share in (0.1, 0.3)] + [{"how": "choice", "share": share} for share in (0.1, 0.2, 0.5)],
            6,
            [{"how": "copies", "share": 0.3}],
        ),
        Study(
            "E27",
            "Retrieval and tuning, with and without each other: which brings the facts, and which the form?",
            retrieval_and_tuning,
            {"retrieval": [False, True], "tuned": [False, True]},
            1,
            {"retrieval": [False], "tuned": [False]},
            dataset="facts",
            model_id="smollm2",
        ),
        Study(
            "E28",
            "Which rank, which layers and which learning rate do adapters need, next to training every weight?",
            adapter_design,
            DESIGNS,
            3,
            DESIGNS[4:5],
            dataset="news-headlines",
        ),
        Study(
            "E29",
            "What do fewer bits per weight cost a base language model, in nats per token of general text?",
            few_bits,
            {"kind": ["float32", "nf4", "int4", "int3", "int8"], "n": [24]},
            1,
            {"kind": ["float32", "nf4"], "n": [12]},
            dataset="general-text",
            model_id="smollm2",
        ),
        Study(
            "E36",
            "What happens to the tickets of a channel, or of rare intents, that the training set leaves out?",
            narrow_sample,
            {"left_out": ["nothing", "phone", "social", "rare intents"]},
            6,
            {"left_out": ["nothing", "rare intents"]},
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
