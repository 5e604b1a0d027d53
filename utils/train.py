"""Fine-tune an encoder for classification, at the speed this machine allows.

    python -m utils.train TRAIN.csv [--test TEST.csv] [--mode full|head|lora] [--epochs N] [--seed N] [--out DIR]

shows progress and ends with one JSON line on standard output.
"""

import argparse
import hashlib
import json
import math
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from utils import models
from utils.classifiers import Classifier
from utils.progress import Progress
from utils.runtime import device, fastest_dtype, peak_memory_mb, release_memory, runs_dir, set_seed
from utils.trainable import keep_used_rows, prepare, restore_rows, start_head

# What each mode trains, and the learning rate that suits it: fewer weights bear a higher rate.
LEARNING_RATE = {"full": 2e-4, "head": 1e-2, "lora": 2e-3}


@dataclass
class Run:
    """What fine_tune returns: the classifier, and how it came about."""

    classifier: Classifier = field(repr=False)
    mode: str
    epochs: int  # as run, which early stopping may have shortened
    best_epoch: int  # whose weights are kept
    train_loss: list = field(repr=False)  # (epoch, loss) pairs
    validation_loss: list = field(repr=False)
    validation_accuracy: list = field(repr=False)
    learning: int  # weights that learned
    weights: int
    seconds: float
    examples_per_second: float
    memory_mb: float
    dtype: str
    resumed_from: int = 0  # the epoch after which an interrupted run went on


def fine_tune(
    model_id,
    data,
    mode="full",
    epochs=None,
    lr=None,
    batch_size=None,
    max_tokens=128,
    rank=16,
    patience=2,
    seed=0,
    out=None,
):
    """Fine-tune a pretrained encoder on data["train"], keep the best epoch on data["validation"].

    model_id: a name of utils.models, a folder, or a hub id
    data: a DatasetDict with columns text and label (utils.data.load makes one); its test split is not touched
    mode: "full" trains every weight, "head" only the new last layer, "lora" adapters of `rank` and the last layer
    epochs: None takes enough for about 600 steps, 6 to 20
    lr: None takes the mode's default; batch_size: None takes 32 on a CPU, 64 on a GPU
    max_tokens: longer texts are cut
    patience: stop after this many epochs without a higher validation accuracy; None never stops early
    out: a folder for checkpoints and the finished classifier; None keeps checkpoints in runs/ while it trains
    An interrupted run, called again with the same arguments, goes on from its last finished epoch.
    Raises ValueError for a mode, size or label that cannot work.
    """
    check_arguments(data, mode, epochs, batch_size, max_tokens, rank)
    lr = lr or LEARNING_RATE[mode]
    batch_size = batch_size or (32 if device() == "cpu" else 64)
    steps_per_epoch = math.ceil(len(data["train"]) / batch_size)
    epochs = epochs or min(20, max(6, math.ceil(600 / steps_per_epoch)))

    settings = dict(
        model_id=str(model_id),
        mode=mode,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        max_tokens=max_tokens,
        rank=rank,
        patience=patience,
        seed=seed,
    )
    mark = fingerprint(settings, data)
    folder = Path(out) if out else runs_dir() / "unfinished" / mark
    checkpoint = last_checkpoint(folder, mark)

    started = time.perf_counter()
    set_seed(seed)
    labels = sorted(set(data["train"]["label"]))
    classifier = Classifier.from_base(model_id, labels, max_tokens, seed, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    classifier.network.to(device())
    train = encode(classifier, data["train"])
    validation = sorted(encode(classifier, data["validation"]), key=lambda item: len(item["input_ids"]))
    dtype = fastest_dtype()
    start_head(classifier, train, dtype)
    network = prepare(classifier.network, mode, rank)
    learning, weights = models.count_weights(network)
    if mode == "full":
        unused = keep_used_rows(network, train + validation)

    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        learning_rate=lr,
        warmup_steps=0.1,  # a share: the first tenth of the steps
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=16 if device() == "cpu" else 64,  # sorted by length: small batches pad less
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        optim="adamw_torch_fused",
        use_cpu=device() == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,  # the last one; the best one stays beside it
        load_best_model_at_end=True,
        metric_for_best_model="eval_accuracy",
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, steps_per_epoch // 5),
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device() == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        seed=seed,
    )
    watch = Progress(epochs)
    trainer = BucketTrainer(
        model=network,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=lambda items: collate(classifier.tokenizer, items),
        compute_metrics=lambda output: {"accuracy": float((output.predictions.argmax(-1) == output.label_ids).mean())},
        callbacks=[watch, MarkComplete(mark)] + ([EarlyStoppingCallback(patience)] if patience else []),
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    try:
        with models.quiet_transformers():
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    except KeyboardInterrupt:
        watch.say("interrupted: run the same call again to go on from the last finished epoch")
        raise
    seconds = time.perf_counter() - started

    if mode == "full":
        restore_rows(network, unused)
    elif mode == "lora":
        network = network.merge_and_unload()
    classifier.network = network.eval()
    run = summarise(classifier, trainer, watch, mode, dtype, learning, weights, len(train), seconds)
    del trainer  # its reference cycles hold the optimiser's memory
    release_memory()
    for old in folder.glob("checkpoint-*"):
        shutil.rmtree(old)
    if out:
        classifier.save(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return run


def check_arguments(data, mode, epochs, batch_size, max_tokens, rank):
    """Say in a sentence what cannot work, before minutes are spent."""
    if mode not in LEARNING_RATE:
        raise ValueError(f"mode must be one of {', '.join(LEARNING_RATE)}, got {mode!r}")
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("max_tokens", max_tokens), ("rank", rank)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for split in ("train", "validation"):
        if split not in data or not len(data[split]):
            raise ValueError(f"data has no {split!r} rows; utils.data.load makes train, validation and test")
    labels = set(data["train"]["label"])
    if len(labels) < 2:
        raise ValueError(f"the training rows have only the label {next(iter(labels))!r}; a classifier needs at least two")
    if unknown := set(data["validation"]["label"]) - labels:
        raise ValueError(f"the validation rows have labels that training never sees: {', '.join(sorted(unknown))}")


# ---- batches -----------------------------------------------------------------------------------


def encode(classifier, split):
    """A split as a list of {"input_ids", "labels"}: token numbers and the label's number."""
    number = {label: i for i, label in enumerate(classifier.labels)}
    tokens = classifier.encode(split["text"])
    return [{"input_ids": ids, "labels": number[label]} for ids, label in zip(tokens, split["label"], strict=True)]


def collate(tokenizer, items):
    """One batch, padded to its own longest text: tensors (B, T), (B, T) and (B,).

    T is a multiple of four: the CPU's matrix library keeps a program per shape, and few shapes keep memory low
    (LoRA on the support tickets: 2.8 GB at its peak instead of 3.9, at the same speed).
    """
    batch = tokenizer.pad({"input_ids": [item["input_ids"] for item in items]}, return_tensors="pt", pad_to_multiple_of=4)
    labels = torch.tensor([item["labels"] for item in items])
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "labels": labels}


class LengthBuckets(torch.utils.data.Sampler):
    """An order of the examples in which each batch holds texts of like length, and batches come at random.

    Lengths are blurred by up to a tenth, so that batches differ from epoch to epoch. On 742 support
    tickets in batches of 32, 70 % of the tokens are padding in random order, 36 % with transformers' own
    group_by_length (which sorts within chunks, and small data have small chunks), 8 % in this order.
    """

    def __init__(self, lengths, batch_size):
        self.lengths, self.batch_size = torch.tensor(lengths, dtype=torch.float), batch_size

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        blurred = self.lengths * (0.9 + 0.2 * torch.rand(len(self)))
        order = blurred.argsort()
        batches = list(order.split(self.batch_size))
        whole = len(self) // self.batch_size  # an incomplete batch (the longest texts) comes last
        shuffled = [batches[i] for i in torch.randperm(whole)] + batches[whole:]
        return iter(torch.cat(shuffled).tolist())


class BucketTrainer(Trainer):
    """transformers' Trainer with batches of like length."""

    def _get_train_sampler(self, train_dataset=None):
        return LengthBuckets([len(item["input_ids"]) for item in self.train_dataset], self.args.per_device_train_batch_size)


# ---- interrupted runs --------------------------------------------------------------------------


def fingerprint(settings, data, columns=("text", "label")):
    """Sixteen letters that are equal only for equal settings and data."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for split in ("train", "validation"):
        for values in zip(*(data[split][column] for column in columns), strict=True):
            digest.update("\0".join([split, *map(str, values), ""]).encode())
    return digest.hexdigest()[:16]


class MarkComplete(TrainerCallback):
    """Mark a checkpoint once all its files are written; a run that was killed while saving leaves none."""

    def __init__(self, mark):
        self.mark = mark

    def on_save(self, args, state, control, **_):
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / "complete").write_text(self.mark)


def last_checkpoint(folder, mark):
    """The newest complete checkpoint of this very run, or None; others are removed."""
    found = []
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1])):
        done = checkpoint / "complete"
        if done.exists() and done.read_text() == mark:
            found.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return found[-1] if found else None


def summarise(classifier, trainer, watch, mode, dtype, learning, weights, n_train, seconds):
    """Gather a finished run, and show its last curves."""
    best = max(watch.accuracy, key=lambda pair: (pair[1], -pair[0]))[0]
    steps = trainer.state.global_step - watch.first
    examples = steps / trainer.state.max_steps * watch.epochs * n_train
    run = Run(
        classifier=classifier,
        mode=mode,
        epochs=watch.validation[-1][0],
        best_epoch=best,
        train_loss=watch.train,
        validation_loss=watch.validation,
        validation_accuracy=watch.accuracy,
        learning=learning,
        weights=weights,
        seconds=seconds,
        examples_per_second=examples / seconds,
        memory_mb=peak_memory_mb(),
        dtype=dtype,
        resumed_from=round(watch.first / trainer.state.max_steps * watch.epochs),
    )
    if watch.live:
        watch.live.draw(watch.train, watch.validation, watch.accuracy, best)
    stopped = "" if run.epochs == watch.epochs else f", stopped early after epoch {run.epochs}"
    watch.say(f"done in {seconds:.0f} s: {run.examples_per_second:.0f} examples/s in {dtype}{stopped}; kept epoch {best}")
    return run


# ---- from the shell ----------------------------------------------------------------------------


def main(arguments):
    """Train on a file, score on a test file (or a held-out share); returns the exit status."""
    from utils.data import load
    from utils.evaluate import score

    parser = argparse.ArgumentParser(prog="python -m utils.train", description="Fine-tune a pretrained encoder on labelled texts.")
    parser.add_argument("train", help="CSV, JSONL or Parquet with columns text and label")
    parser.add_argument("--test", help="a test file of its own; without one, a fifth of the rows is held out")
    parser.add_argument("--text", default="text", help="name of the text column")
    parser.add_argument("--label", default="label", help="name of the label column")
    parser.add_argument("--model", default="minilm", help="a name of utils.models, a folder, or a hub id")
    parser.add_argument("--mode", default="full", choices=list(LEARNING_RATE))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="folder for checkpoints and the finished classifier")
    a = parser.parse_args(arguments)
    try:
        data = load(a.train, a.text, a.label, test=a.test, validation_size=0.1, seed=a.seed)
        run = fine_tune(a.model, data, mode=a.mode, epochs=a.epochs, seed=a.seed, out=a.out)
    except (ValueError, models.ModelNotAvailable) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result = score(run.classifier, data["test"])
    figures = {
        "accuracy": result.accuracy.estimate,
        "accuracy_interval": list(result.accuracy),
        "macro_f1": result.macro_f1.estimate,
        "macro_f1_interval": list(result.macro_f1),
        "n_test": result.n,
        "train_seconds": run.seconds,
        "examples_per_second": run.examples_per_second,
        "peak_memory_mb": peak_memory_mb(),
    }
    print(json.dumps({name: value if isinstance(value, list) else round(value, 4) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
