"""Supervised fine-tuning of a language model on chats, with LoRA: fine_tune_chat(model_id, data).

The recipe is the field's (transformers' Trainer, peft's adapters; trl.SFTTrainer is built on the same two). What is
ours saves work without changing the result: scores over the vocabulary for answer tokens only, batches of like length,
the beginning that all chats share read once per batch, adapters added in place; and where only the top layers learn, what
the others compute of a chat is remembered, and not computed again.
"""

import html
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, PrinterCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from utils import attention, models, plots
from utils.adapters import attach, quicken
from utils.language_models import LanguageModel
from utils.progress import Progress
from utils.prompts import NO_LOSS, encode_chat
from utils.runtime import device, fastest_dtype, peak_memory_mb, release_memory, runs_dir, set_seed
from utils.train import BucketTrainer, MarkComplete, fingerprint, last_checkpoint

REMEMBERED = 1e9  # bytes that the vectors of the frozen lower layers may take; more are computed anew each time


@dataclass
class Run:
    """What fine_tune_chat returns: the model with its adapter, and how it came about."""

    model: LanguageModel = field(repr=False)
    epochs: int  # as run, which early stopping may have shortened
    best_epoch: int  # whose adapter is kept
    train_loss: list = field(repr=False)  # (epoch, nats per answer token) pairs
    validation_loss: list = field(repr=False)
    samples: list = field(repr=False)  # (epoch, answers to the sample conversations) pairs
    learning: int  # weights that learned
    weights: int
    seconds: float
    tokens_per_second: float  # tokens of the chats read while training; validation and samples take their own time
    memory_mb: float
    dtype: str
    resumed_from: int = 0  # the epoch after which an interrupted run went on


def fine_tune_chat(
    model_id,
    data,
    epochs=2,
    lr=1e-3,
    batch_size=8,
    accumulate=1,
    rank=16,
    alpha=None,
    targets="all-linear",
    layers=None,
    max_tokens=512,
    patience=2,
    samples=(),
    sample_tokens=64,
    seed=0,
    out=None,
):
    """Fine-tune on data["train"], keep the epoch with the lowest loss on data["validation"]; returns a Run.

    model_id: a name of utils.models, a folder, or a hub id of an instruct model
    data: a DatasetDict with a column messages; the last answer of each chat is learned
    accumulate: batches per step; 2 batches of 4 give the step of one batch of 8
    rank, alpha, targets, layers: as in utils.adapters.attach
    max_tokens: a chat that is longer is refused, not cut
    patience: stop after this many epochs without a lower validation loss; None never stops early
    samples: conversations whose answers (up to sample_tokens tokens) are written and shown after each epoch
    out: a folder for checkpoints and the adapter; None keeps checkpoints in runs/ while it trains
    An interrupted run, called again with the same arguments, goes on from its last finished epoch.
    Raises ValueError for a size or chat that cannot work, or when the loss is no number any more.
    """
    sizes = dict(epochs=epochs, batch_size=batch_size, accumulate=accumulate, rank=rank, max_tokens=max_tokens)
    check_arguments(data, **sizes)
    settings = dict(**sizes, model_id=str(model_id), lr=lr, alpha=alpha, targets=targets, layers=layers, patience=patience, seed=seed)
    mark = fingerprint(settings, data, ["messages"])
    folder = Path(out) if out else runs_dir() / "unfinished" / mark
    checkpoint = last_checkpoint(folder, mark)

    set_seed(seed)
    model = LanguageModel.load(model_id)
    train, validation = (encode(model.tokenizer, data[split], max_tokens, split) for split in ("train", "validation"))
    validation.sort(key=lambda item: len(item["input_ids"]))
    model.network = attach(model.network, rank, alpha, targets, layers)
    learning, weights = models.count_weights(model.network)
    dtype = fastest_dtype()
    steps_per_epoch = math.ceil(math.ceil(len(train) / batch_size) / accumulate)

    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        learning_rate=lr,
        warmup_steps=0.1,  # a share: the first tenth of the steps
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=16 if device() == "cpu" else 64,
        gradient_accumulation_steps=accumulate,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        optim="adamw_torch_fused",
        use_cpu=device() == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,  # the last one; the best one stays beside it
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        logging_steps=max(1, steps_per_epoch // 5),
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device() == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        seed=seed,
    )
    watch = ChatProgress(epochs, model, list(samples), sample_tokens)
    trainer = AnswerTrainer(
        model=model.network,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collate,
        callbacks=[watch, MarkComplete(mark)] + ([EarlyStoppingCallback(patience)] if patience else []),
    )
    trainer.dtype, trainer.frozen = dtype, model.network.config.num_hidden_layers - layers if layers else 0
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    restore = quicken(model.network, dtype)
    started = time.perf_counter()
    try:
        with models.quiet_transformers():
            trainer.remember_lower([*train, *validation])
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    except KeyboardInterrupt:
        watch.say("interrupted: run the same call again to go on from the last finished epoch")
        raise
    finally:
        restore()
    model.network.eval()
    run = summarise(model, trainer, watch, dtype, learning, weights, time.perf_counter() - started)
    del trainer  # its reference cycles hold the optimiser's memory
    release_memory()
    for old in folder.glob("checkpoint-*"):
        shutil.rmtree(old)
    if out:
        model.save(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return run


def check_arguments(data, **sizes):
    """Say in a sentence what cannot work, before minutes are spent."""
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for split in ("train", "validation"):
        if split not in data or not len(data[split]):
            raise ValueError(f"data has no {split!r} rows; it needs train and validation, each with a column messages")
        if "messages" not in data[split].column_names:
            raise ValueError(f"the {split!r} rows have no column messages; utils.desk.desk_data and utils.prompts.read_chats make it")


# ---- batches and loss --------------------------------------------------------------------------


def encode(tokenizer, split, max_tokens=512, name="data"):
    """A split as a list of {"input_ids", "labels"}."""
    return [encode_chat(tokenizer, messages, max_tokens, f"{name}, row {i}") for i, messages in enumerate(split["messages"], 1)]


def collate(items):
    """One batch of encoded chats: ids, labels, real and positions (B, T) without the beginning that all share, prefix (1, P).

    The last token of each prompt stays in its row: its vector predicts the answer's first token.
    Where items have remembered vectors, so has the batch: lower (B, T, hidden) and lower_prefix (1, P, hidden).
    """
    rows, labels = ([item[name] for item in items] for name in ("input_ids", "labels"))
    first = min(next(i for i, label in enumerate(row) if label != NO_LOSS) for row in labels)
    shared = attention.common_beginning(rows, first - 1) if len(rows) > 1 else 0
    batch = attention.pad(rows, shared, multiple=4)
    wanted = attention.pad(labels, shared, multiple=4, token=NO_LOSS).ids
    prefix = torch.zeros(1, 0, dtype=torch.long) if batch.prefix is None else batch.prefix
    collated = {"input_ids": batch.ids, "labels": wanted, "real": batch.real, "positions": batch.positions, "prefix": prefix}
    if "lower" in items[0]:
        collated["lower"] = attention.pad_vectors([item["lower"][shared:] for item in items], batch.ids.shape[1])
        collated["lower_prefix"] = items[0]["lower"][None, :shared]
    return collated


def answer_loss(network, batch, frozen=0):
    """(sum of the losses in nats, number of answer tokens) of a collated batch; scores are made for answer tokens only.

    frozen: so many of the lowest layers are not computed where the batch has what they made.
    """
    plain = network.get_base_model() if hasattr(network, "get_base_model") else network
    decoder, lower = plain.get_decoder(), batch.get("lower")
    prefix = batch["prefix"] if batch["prefix"].shape[1] else None
    rows = attention.Rows(batch["input_ids"], batch["real"], batch["positions"], prefix)
    with attention.some_layers(decoder, first=0 if lower is None else frozen):
        beginning = attention.read_beginning(decoder, prefix, batch.get("lower_prefix"))
        hidden = attention.read(decoder, rows, beginning, lower=lower)[:, :-1]  # a vector predicts the next token
    labels = batch["labels"][:, 1:]
    answers = labels != NO_LOSS
    scores = plain.get_output_embeddings()(hidden[answers])  # (answer tokens, vocabulary)
    return F.cross_entropy(scores.float(), labels[answers], reduction="sum"), int(answers.sum())


class AnswerTrainer(BucketTrainer):
    """transformers' Trainer with our loss: each answer token of a step weighs the same, however the step is cut into batches."""

    dtype = "float32"
    frozen = 0  # how many of the lowest layers do not learn

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.model_accepts_loss_kwargs = True  # the Trainer then counts the answer tokens of the whole step for us
        self.tokens_read, self.other_seconds = 0, 0.0

    def _autocast(self):
        return torch.autocast(device(), getattr(torch, self.dtype), enabled=self.dtype != "float32")

    @torch.no_grad()
    def remember_lower(self, items):
        """Write into each item its `lower` vectors (tokens, hidden), if they are read more than once and take little memory."""
        network = self.model.get_base_model()
        needed = 4 * network.config.hidden_size * sum(len(item["input_ids"]) for item in items)
        if not self.frozen or self.args.num_train_epochs < 2 or needed > REMEMBERED:
            return
        items = sorted(items, key=lambda item: len(item["input_ids"]))
        for start in range(0, len(items), self.args.eval_batch_size):
            part = items[start : start + self.args.eval_batch_size]
            rows = attention.pad([item["input_ids"] for item in part], multiple=4).to(device())
            with self._autocast(), attention.some_layers(network.get_decoder(), last=self.frozen):
                vectors = attention.read(network.get_decoder(), rows).float().cpu()
            for item, own in zip(part, vectors, strict=True):
                item["lower"] = own[: len(item["input_ids"])].clone()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        with self._autocast():
            total, count = answer_loss(model, inputs, self.frozen)
        loss = total / (count if num_items_in_batch is None else num_items_in_batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}: learning ran away; lower lr "
                f"(it is {self.args.learning_rate}) and train again; checkpoints of earlier epochs stay in {self.args.output_dir}"
            )
        self.tokens_read += int(inputs["real"].sum()) + inputs["prefix"].shape[1] * len(inputs["real"])
        return (loss, None) if return_outputs else loss

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """Nats per answer token of the validation chats, each token weighing the same."""
        started, total, count = time.perf_counter(), 0.0, 0
        self.model.eval()
        with torch.no_grad(), self._autocast():
            for start in range(0, len(self.eval_dataset), self.args.eval_batch_size):
                batch = collate(self.eval_dataset[start : start + self.args.eval_batch_size])
                nats, tokens = answer_loss(self.model, self._prepare_inputs(batch), self.frozen)
                total, count = total + nats.item(), count + tokens
        metrics = {f"{metric_key_prefix}_loss": total / count}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        self.other_seconds += time.perf_counter() - started
        return metrics


# ---- what is seen ------------------------------------------------------------------------------


class ChatProgress(Progress):
    """Live loss curves and answers in a notebook, plain lines elsewhere."""

    def __init__(self, epochs, model, samples, sample_tokens):
        super().__init__(epochs)
        self.model, self.conversations, self.sample_tokens, self.samples = model, samples, sample_tokens, []

    def remember(self, entry):
        """Sort one log entry into the curves."""
        if "loss" in entry:
            self.train.append((entry["epoch"], entry["loss"]))
        if "eval_loss" in entry:
            self.validation.append((round(entry["epoch"]), entry["eval_loss"]))

    def on_evaluate(self, args, state, control, metrics=None, **_):
        epoch = round(state.epoch)
        if self.conversations:
            self.samples.append((epoch, self.model.generate(self.conversations, self.sample_tokens)))
        if self.live:
            self.draw()
        else:
            loss = f"loss {self.train[-1][1]:.3f}, " if self.train else ""
            self.say(
                f"epoch {epoch} of {self.epochs}: {loss}validation loss {metrics['eval_loss']:.3f} nats per answer token, "
                f"at most {self.left(state)} left"
            )
            for answer in self.samples[-1][1] if self.samples else []:
                self.say(f"    {answer!r}")

    def draw(self, best=None):
        """Replace the figure and the table of answers."""
        fig, axis = plots.figure(5.0, 3.2)
        plots.plot_losses(self.train, self.validation, best, axis)
        plots.show(fig, **self.live.place("figure"))
        if self.samples:
            from IPython.display import display

            cells = "".join(
                f"<tr><td>epoch {epoch}</td>" + "".join(f"<td style='text-align:left'>{html.escape(a)}</td>" for a in answers) + "</tr>"
                for epoch, answers in self.samples
            )
            asked = "".join(f"<th style='text-align:left'>{html.escape(c[-1]['content'][:120])}</th>" for c in self.conversations)
            page = f"<table><tr><th></th>{asked}</tr>{cells}</table>"
            display({"text/html": page, "text/plain": str(self.samples)}, raw=True, **self.live.place("answers"))


def summarise(model, trainer, watch, dtype, learning, weights, seconds):
    """Gather a finished run, and show its last curves."""
    best = min(watch.validation, key=lambda pair: (pair[1], pair[0]))[0]
    run = Run(
        model=model,
        epochs=watch.validation[-1][0],
        best_epoch=best,
        train_loss=watch.train,
        validation_loss=watch.validation,
        samples=watch.samples,
        learning=learning,
        weights=weights,
        seconds=seconds,
        tokens_per_second=trainer.tokens_read / max(seconds - trainer.other_seconds, 1e-9),
        memory_mb=torch.cuda.max_memory_allocated() / 1e6 if device() == "cuda" else peak_memory_mb(),
        dtype=dtype,
        resumed_from=round(watch.first / trainer.state.max_steps * watch.epochs),
    )
    if watch.live:
        watch.draw(best)
    stopped = "" if run.epochs == watch.epochs else f", stopped early after epoch {run.epochs}"
    watch.say(f"done in {seconds:.0f} s: {run.tokens_per_second:.0f} tokens/s in {dtype}{stopped}; kept epoch {best}")
    return run
