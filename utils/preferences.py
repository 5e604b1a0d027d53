"""Learning from preferences: direct preference optimisation (DPO) of a language model on pairs of answers, with LoRA: prefer(model, data).

transformers' Trainer and peft's adapters, as trl.DPOTrainer has them; the loss stands in utils.pairs.
"""

import copy
import hashlib
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PrinterCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from utils import models, plots
from utils.adapters import attach, quicken
from utils.language_models import LanguageModel
from utils.pairs import COLUMNS, collate, dpo_loss, encode_pairs, log_probabilities, plot_margins, remember, size
from utils.progress import Progress
from utils.runtime import device, fastest_dtype, peak_memory_mb, release_memory, runs_dir, set_seed
from utils.train import BucketTrainer, LengthBuckets, MarkComplete, fingerprint, last_checkpoint


@dataclass
class Run:
    """What prefer returns: the model with its adapter, and how it came about.

    A measurement is a dict: epoch, loss (nats), margin (of the rewards), accuracy (share of pairs with a positive margin),
    chosen and rejected (nats by which the answer became likelier than it was for the reference, on average).
    """

    model: LanguageModel = field(repr=False)
    beta: float
    steps: list = field(repr=False)  # one measurement per step, on that step's pairs before it is taken
    validation: list = field(repr=False)  # one before training and one per epoch, on data["validation"]
    learning: int  # weights that learned
    weights: int
    seconds: float
    memory_mb: float
    dtype: str
    remembered: dict = field(repr=False)  # what a further run from the same start need not compute again
    resumed_from: int = 0  # the epoch after which an interrupted run went on


def prefer(
    model,
    data,
    beta=0.1,
    epochs=1,
    lr=5e-4,
    batch_size=4,
    layers=None,
    rank=16,
    alpha=None,
    targets="all-linear",
    max_tokens=512,
    remembered=None,
    seed=0,
    out=None,
):
    """Train on the pairs of data["train"], measure on data["validation"] before and after each epoch; returns a Run.

    model: a LanguageModel, which stays as it is, or what LanguageModel.load takes; as given, it is the reference
    data: a DatasetDict with columns prompt, chosen and rejected (preference_data makes one)
    beta: how dear it is to move away from the reference; rewards are beta times a log-ratio
    layers: adapters learn in the top `layers` layers only; the lower ones then are computed once, not at every step
    rank, alpha, targets: of a new adapter, as in utils.adapters.attach; a model that has one trains that one on
    max_tokens: a pair that is longer is refused, not cut
    remembered: the `remembered` of an earlier run on the same model, data and layers; saves reading all pairs with the reference
    out: a folder for checkpoints and the adapter; None keeps checkpoints in runs/ while it trains
    The last epoch is kept. An interrupted run, called again with the same arguments, goes on from its last finished epoch.
    Raises ValueError for a size or pair that cannot work, or when the loss is no number any more.
    """
    check_arguments(data, beta=beta, epochs=epochs, batch_size=batch_size, rank=rank, max_tokens=max_tokens)
    model = model if isinstance(model, LanguageModel) else LanguageModel.load(model)
    settings = dict(beta=beta, epochs=epochs, lr=lr, batch_size=batch_size, layers=layers, rank=rank, alpha=alpha, targets=targets)
    same = dict(model=mark_of(model), layers=layers, max_tokens=max_tokens)
    if remembered and remembered["mark"] != fingerprint(same, data, COLUMNS):
        raise ValueError("remembered comes from a run on another model, other data or other layers; leave it out")
    mark = fingerprint({**settings, **same, "seed": seed}, data, COLUMNS)
    folder = Path(out) if out else runs_dir() / "unfinished" / mark
    checkpoint = last_checkpoint(folder, mark)

    started = time.perf_counter()
    set_seed(seed)
    splits = (
        remembered["splits"] if remembered else [encode_pairs(model.tokenizer, data[n], max_tokens, n) for n in ("train", "validation")]
    )
    model = twin(model)
    start_adapter(model, rank, alpha, targets, layers)
    learning, weights = models.count_weights(model.network)
    dtype = fastest_dtype()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        learning_rate=lr,
        warmup_steps=0.1,  # a share: the first tenth of the steps
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=4 if device() == "cpu" else 32,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        optim="adamw_torch_fused",
        use_cpu=device() == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        restore_callback_states_from_checkpoint=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device() == "cuda",
        remove_unused_columns=False,
        seed=seed,
    )
    watch = PairProgress(epochs)
    trainer = PairTrainer(
        model=model.network,
        args=arguments,
        train_dataset=splits[0],
        eval_dataset=splits[1],
        data_collator=collate,
        callbacks=[watch, MarkComplete(mark)],
    )
    trainer.beta, trainer.top, trainer.dtype = beta, layers, dtype
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    if not remembered:
        watch.say(f"the reference reads {len(splits[0]) + len(splits[1])} pairs")
        for items in splits:
            remember(model.network, sorted(items, key=size), layers, arguments.eval_batch_size, trainer.autocast)
    restore = quicken(model.network, dtype)
    try:
        with models.quiet_transformers():
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    except KeyboardInterrupt:
        watch.say("interrupted: run the same call again to go on from the last finished epoch")
        raise
    finally:
        restore()
    model.network.eval()
    run = summarise(model, trainer, watch, learning, weights, time.perf_counter() - started)
    run.remembered = {"mark": fingerprint(same, data, COLUMNS), "splits": splits}
    del trainer  # its reference cycles hold the optimiser's memory
    release_memory()
    for old in folder.glob("checkpoint-*"):
        shutil.rmtree(old)
    if out:
        model.save(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return run


def check_arguments(data, beta, **sizes):
    """Say in a sentence what cannot work, before minutes are spent."""
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}; 0.1 is usual")
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for split in ("train", "validation"):
        if split not in data or not len(data[split]):
            raise ValueError(f"data has no {split!r} rows; it needs train and validation (utils.preferences.preference_data makes them)")
        if missing := [column for column in COLUMNS if column not in data[split].column_names]:
            raise ValueError(f"the {split!r} rows have no column {missing[0]}; a pair needs the columns {', '.join(COLUMNS)}")


def mark_of(model):
    """What identifies a model that training starts from: its base, and the weights of its adapter."""
    digest = hashlib.sha256(str(model.base).encode())
    for name, weight in model.network.named_parameters():
        if "lora_" in name:
            digest.update(weight.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


# ---- where training starts ----------------------------------------------------------------------


def twin(model):
    """A LanguageModel whose adapter is its own, while the frozen weights are shared with `model`: training leaves that as it is."""
    network = model.network
    shared = {id(w): w for name, w in network.named_parameters() if "lora_" not in name}
    return LanguageModel(copy.deepcopy(network, shared), model.tokenizer, model.base)


def start_adapter(model, rank, alpha, targets, layers):
    """Give a model a new adapter, or let the one that it has learn on; only in the top `layers` layers, None: in all."""
    if model.network is model.plain:
        model.network = attach(model.network, rank, alpha, targets, layers)
        return
    stack = model.plain.get_decoder().layers
    if layers is not None and not 1 <= layers <= len(stack):
        raise ValueError(f"layers must be 1 to {len(stack)} for this model, got {layers}")
    models.freeze(model.network)
    for name, weight in stack[len(stack) - (layers or len(stack)) :].named_parameters():
        weight.requires_grad = "lora_" in name


# ---- the Trainer -------------------------------------------------------------------------------


class PairTrainer(BucketTrainer):
    """transformers' Trainer with the loss of DPO."""

    beta, top, dtype = 0.1, None, "float32"

    def _get_train_sampler(self, train_dataset=None):
        return LengthBuckets([size(item) for item in self.train_dataset], self.args.per_device_train_batch_size)

    def autocast(self):
        return torch.autocast(device(), getattr(torch, self.dtype), enabled=self.dtype != "float32")

    def measure(self, model, batch):
        """(loss, measurement) of a collated batch."""
        with self.autocast():
            now = log_probabilities(model, batch, self.top).view(2, -1)
        loss, margins = dpo_loss(*now, *batch["reference"], self.beta)
        chosen, rejected = (now - batch["reference"]).detach().mean(1).tolist()
        accuracy = (margins > 0).float().mean().item()
        return loss, dict(margin=margins.mean().item(), accuracy=accuracy, chosen=chosen, rejected=rejected)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, self.last = self.measure(model, inputs)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}: learning ran away; lower lr "
                f"(it is {self.args.learning_rate}) and train again; checkpoints of earlier epochs stay in {self.args.output_dir}"
            )
        return (loss, None) if return_outputs else loss

    def log(self, logs, *arguments, **options):
        super().log({**logs, **self.last} if "loss" in logs else logs, *arguments, **options)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """The measurement of the validation pairs, each weighing the same."""
        self.model.eval()
        items, found = sorted(self.eval_dataset, key=size), []
        with torch.no_grad():
            for start in range(0, len(items), self.args.eval_batch_size):
                part = items[start : start + self.args.eval_batch_size]
                loss, measured = self.measure(self.model, self._prepare_inputs(collate(part)))
                found.append((len(part), {"loss": loss.item(), **measured}))
        metrics = {f"{metric_key_prefix}_{name}": sum(n * m[name] for n, m in found) / len(items) for name in found[0][1]}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        return metrics


# ---- what is seen ------------------------------------------------------------------------------


class PairProgress(Progress):
    """Live curves of loss and reward margin in a notebook, plain lines elsewhere."""

    def __init__(self, epochs):
        super().__init__(epochs)
        # Before training both models are one: a margin of zero, a loss of ln 2.
        self.checked = [dict(epoch=0, loss=math.log(2), margin=0.0, accuracy=0.0, chosen=0.0, rejected=0.0)]

    def remember(self, entry):
        """Sort one log entry into the curves."""
        names = ("loss", "margin", "accuracy", "chosen", "rejected")
        if "eval_loss" in entry:
            self.checked.append({"epoch": round(entry["epoch"]), **{name: entry[f"eval_{name}"] for name in names}})
        elif "loss" in entry:
            self.train.append({"epoch": entry["epoch"], **{name: entry[name] for name in names}})

    def on_evaluate(self, args, state, control, metrics=None, **_):
        now = self.checked[-1]
        if self.live:
            self.draw()
        else:
            self.say(
                f"epoch {now['epoch']} of {self.epochs}: validation loss {now['loss']:.3f}, reward margin {now['margin']:.2f}, "
                f"{now['accuracy']:.0%} of pairs in the right order, at most {self.left(state)} left"
            )

    def draw(self):
        """Replace the figure."""
        fig, (left, right) = plots.figure(9.0, 3.2, columns=2)
        plots.plot_losses(*([(m["epoch"], m["loss"]) for m in curve] for curve in (self.train, self.checked)), ax=left)
        plot_margins(self.train, self.checked, right)
        plots.show(fig, **self.live.place("figure"))


def summarise(model, trainer, watch, learning, weights, seconds):
    """Gather a finished run, and show its last curves."""
    run = Run(
        model=model,
        beta=trainer.beta,
        steps=watch.train,
        validation=watch.checked,
        learning=learning,
        weights=weights,
        seconds=seconds,
        memory_mb=torch.cuda.max_memory_allocated() / 1e6 if device() == "cuda" else peak_memory_mb(),
        dtype=trainer.dtype,
        remembered={},
        resumed_from=round(watch.first / trainer.state.max_steps * watch.epochs),
    )
    last = run.validation[-1]
    if watch.live:
        watch.draw()
    watch.say(
        f"done in {seconds:.0f} s in {run.dtype}: reward margin {last['margin']:.2f}, "
        f"{last['accuracy']:.0%} of the validation pairs in the right order"
    )
    return run
