"""Speed of the encoder's training, predictions and sweeps, each against what is usual, in one run, interleaved.

    python -m tests.bench [training] [prediction] [sweep] [--train FILE] [--test FILE] [--rows N] [--rounds N]

training    our fine_tune against transformers' Trainer with DataCollatorWithPadding and its defaults; epochs, batch size
            and learning rate are ours for both. Also the share of the machine's measured matrix rate.
prediction  our classifier against a plain transformers pipeline around the same weights
sweep       a learning curve of the frozen encoder, 20 seeds and 8 sizes: embeddings remembered, from nothing

Prints each round, medians and ratios, and accuracies with their difference's interval. Run it with nothing else running.
"""

import argparse
import os
import statistics
import tempfile
import time

import torch
from joblib.externals.loky import get_reusable_executor
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from utils import models
from utils.classifiers import FrozenHead, _vectors
from utils.data import load, sample
from utils.evaluate import compare, score
from utils.runtime import cores, device, fastest_dtype, matrix_rate, set_seed
from utils.studies import STUDIES, tickets
from utils.train import LEARNING_RATE, fine_tune

BATCH_SIZE = 32


class Stock:
    """What most tutorials show: AutoModelForSequenceClassification, Trainer, padding per batch."""

    def __init__(self, data, epochs, seed):
        self.labels = sorted(set(data["train"]["label"]))
        folder = models.locate("minilm")
        self.tokenizer = models.load_tokenizer(folder)
        set_seed(seed)
        with models.quiet_transformers():
            self.network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(self.labels))
        number = {label: i for i, label in enumerate(self.labels)}
        train = data["train"].map(lambda row: {**self.tokenizer(row["text"], truncation=True), "labels": number[row["label"]]})
        with tempfile.TemporaryDirectory() as out:
            arguments = TrainingArguments(
                out,
                num_train_epochs=epochs,
                per_device_train_batch_size=BATCH_SIZE,
                learning_rate=LEARNING_RATE["full"],
                report_to="none",
                disable_tqdm=True,
                seed=seed,
                use_cpu=device() == "cpu",
            )
            columns = [name for name in train.column_names if name not in ("input_ids", "attention_mask", "labels")]
            collator = DataCollatorWithPadding(self.tokenizer)
            trainer = Trainer(self.network, arguments, data_collator=collator, train_dataset=train.remove_columns(columns))
            started = time.perf_counter()
            trainer.train()
            self.seconds = time.perf_counter() - started

    def predict(self, texts):
        """One label per text."""
        self.network.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH_SIZE):
                batch = self.tokenizer(list(texts[start : start + BATCH_SIZE]), padding=True, truncation=True, return_tensors="pt")
                found += self.network(**batch.to(self.network.device)).logits.argmax(-1).tolist()
        return [self.labels[i] for i in found]


def work(classifier, texts):
    """Multiply-adds of one pass over the texts, forward and backward, in GFLOP: 6 per weight and token, padding not counted.

    The embedding table is looked up, not multiplied, so its weights do not count (Kaplan et al. 2020, arXiv 2001.08361).
    """
    tokens = sum(len(ids) for ids in classifier.encode(texts))
    embeddings = sum(w.numel() for w in classifier.network.encoder.embeddings.parameters())
    return 6 * (models.count_weights(classifier.network)[1] - embeddings) * tokens / 1e9


def training(data, rounds, epochs):
    """Our training against the stock recipe."""
    examples = len(data["train"]) * epochs
    print(f"training: {len(data['train'])} rows, {epochs} epochs, batch {BATCH_SIZE}, learning rate {LEARNING_RATE['full']}")
    rates, last = {"stock": [], "ours": []}, None
    for round_ in range(rounds):
        stock = Stock(data, epochs, seed=round_)
        rates["stock"].append(examples / stock.seconds)
        ours = fine_tune("minilm", data, epochs=epochs, batch_size=BATCH_SIZE, seed=round_, patience=None)
        rates["ours"].append(ours.examples_per_second)
        last = ours.classifier
        scores = {"stock": score(stock, data["test"], "stock"), "ours": score(last, data["test"], "ours")}
        print(f"round {round_ + 1}: stock {rates['stock'][-1]:.0f} examples/s, ours {rates['ours'][-1]:.0f} (with validation)")
        print(f"         {scores['stock']}\n         {scores['ours']}\n         {compare(scores['stock'], scores['ours'])}", flush=True)
    say_ratio(rates, "examples/s")
    peak = matrix_rate(fastest_dtype(), seconds=2.0)
    reached = work(last, data["train"]["text"]) / len(data["train"]) * statistics.median(rates["ours"])
    print(f"training does {reached:.0f} GFLOP/s of useful work, {reached / peak:.0%} of this machine's measured {peak:.0f} GFLOP/s")


def prediction(data, rounds):
    """Our predict against a plain pipeline call, the same weights in both."""
    from transformers import pipeline

    small = data.__class__(train=data["train"].select(range(240)), validation=data["validation"].select(range(60)))
    classifier = fine_tune("minilm", small, epochs=1, batch_size=BATCH_SIZE).classifier
    classifier.tokenizer.model_input_names = ["input_ids", "attention_mask"]
    with models.quiet_transformers():  # else it lists all networks that it knows, ours not among them
        plain = pipeline("text-classification", model=classifier.network, tokenizer=classifier.tokenizer, device=device())
    texts, rates, same = list(data["test"]["text"]), {"pipeline": [], "ours": []}, []
    for _ in range(rounds):
        started = time.perf_counter()
        theirs = [answer["label"] for answer in plain(texts, truncation=True)]
        rates["pipeline"].append(len(texts) / (time.perf_counter() - started))
        started = time.perf_counter()
        ours = classifier.predict(texts)
        rates["ours"].append(len(texts) / (time.perf_counter() - started))
        same.append(statistics.mean(a == b for a, b in zip(theirs, ours, strict=True)))
    print(f"prediction: {len(texts)} texts, the same label for {min(same):.1%} of them")
    say_ratio(rates, "texts/s")


def sweep(rounds):
    """The frozen encoder's learning curve, from nothing: vectors remembered, and (one run per size) read anew each time."""
    study, before = STUDIES["E01"], os.environ.get("FTM_RUNS")
    tickets(study.dataset)
    seconds = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FTM_RUNS"] = folder
            _vectors.cache_clear()
            get_reusable_executor().shutdown()  # the last round's processes remember as well
            started = time.perf_counter()
            study.run({"system": ["frozen encoder"], "n": study.grid["n"]}, range(20), workers=cores())
            seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    for n in study.grid["n"]:
        train = sample(tickets(study.dataset)["train"], n, 0)
        FrozenHead("minilm", train["text"], train["label"], remember=False).predict(tickets(study.dataset)["test"]["text"])
    anew = 20 * (time.perf_counter() - started)
    os.environ.pop("FTM_RUNS") if before is None else os.environ.update(FTM_RUNS=before)
    median, sizes = statistics.median(seconds), len(study.grid["n"])
    print(f"sweep: 20 seeds × {sizes} sizes take {median:.0f} s with remembered vectors (median of {rounds});")
    print(f"       read anew in each run, one at a time: {anew:.0f} s (20 times one seed's)", flush=True)


def say_ratio(rates, unit):
    """Medians of both, and the median of the rounds' ratios."""
    (peer, theirs), (_, ours) = rates.items()
    ratio = statistics.median(o / t for o, t in zip(ours, theirs, strict=True))
    medians = statistics.median(theirs), statistics.median(ours)
    print(f"median of {len(ours)}: {peer} {medians[0]:.0f} {unit}, ours {medians[1]:.0f}: {ratio:.1f} times", flush=True)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=["training", "prediction", "sweep"], help="which; none takes all")
    parser.add_argument("--train", default="fernhill-tickets", help="a name of utils.data, or a file with columns text and label")
    parser.add_argument("--test", help="a test file, if --train is a file")
    parser.add_argument("--rows", type=int, default=400, help="training rows to use")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    data = load(a.train, test=a.test)
    data["train"] = data["train"].shuffle(seed=0).select(range(min(a.rows, len(data["train"]))))
    data["validation"] = data["validation"].shuffle(seed=0).select(range(min(a.rows // 5, len(data["validation"]))))
    known = set(data["train"]["label"])
    data = data.filter(lambda row: row["label"] in known)
    print(f"on {device()} with {cores()} cores; ours chose {fastest_dtype()}")
    parts = a.parts or ["training", "prediction", "sweep"]
    if "prediction" in parts:
        prediction(data, a.rounds)
    if "sweep" in parts:
        sweep(a.rounds)
    if "training" in parts:
        training(data, a.rounds, a.epochs)


if __name__ == "__main__":
    main()
