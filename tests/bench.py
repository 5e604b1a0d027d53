"""Training speed: our fine_tune against the stock recipe, on the same data, in one run, interleaved.

    python -m tests.bench [--train FILE] [--test FILE] [--rows N] [--rounds N]

The stock recipe is transformers' Trainer with DataCollatorWithPadding and its defaults; epochs, batch size and
learning rate are ours for both. Prints each round, medians, the ratio, test accuracies with the difference's
interval, and the share of the machine's measured matrix rate. Run it with nothing else running.
"""

import argparse
import statistics
import tempfile
import time

import torch
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from utils import models
from utils.data import load
from utils.evaluate import compare, score
from utils.runtime import device, fastest_dtype, matrix_rate, set_seed
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


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--train", default="fernhill-tickets", help="a name of utils.data, or a file with columns text and label")
    parser.add_argument("--test", help="a test file, if --train is a file")
    parser.add_argument("--rows", type=int, default=400, help="training rows to use")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    data = load(a.train, test=a.test)
    data["train"] = data["train"].shuffle(seed=0).select(range(min(a.rows, len(data["train"]))))
    known = set(data["train"]["label"])
    data = data.filter(lambda row: row["label"] in known)
    examples = len(data["train"]) * a.epochs
    print(f"{len(data['train'])} rows, {a.epochs} epochs, batch {BATCH_SIZE}, learning rate {LEARNING_RATE['full']}")
    print(f"on {device()}; ours chose {fastest_dtype()}")

    rates, scores, last = {"stock": [], "ours": []}, {}, None
    for round_ in range(a.rounds):
        stock = Stock(data, a.epochs, seed=round_)
        rates["stock"].append(examples / stock.seconds)
        ours = fine_tune("minilm", data, epochs=a.epochs, batch_size=BATCH_SIZE, seed=round_, patience=None)
        rates["ours"].append(ours.examples_per_second)
        last = ours.classifier
        scores = {"stock": score(stock, data["test"], "stock"), "ours": score(last, data["test"], "ours")}
        print(f"round {round_ + 1}: stock {rates['stock'][-1]:.0f} examples/s, ours {rates['ours'][-1]:.0f} (with validation)")
        print(f"         {scores['stock']}\n         {scores['ours']}\n         {compare(scores['stock'], scores['ours'])}", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"median: stock {medians['stock']:.0f} examples/s, ours {medians['ours']:.0f}: {medians['ours'] / medians['stock']:.1f} times")
    peak = matrix_rate(fastest_dtype(), seconds=2.0)
    reached = work(last, data["train"]["text"]) / len(data["train"]) * medians["ours"]
    print(f"training does {reached:.0f} GFLOP/s of useful work, {reached / peak:.0%} of this machine's measured {peak:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
