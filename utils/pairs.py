"""Pairs of answers, one preferred to the other: read, encode, score, and the loss of direct preference optimisation (DPO).

A pair is a prompt with a chosen and a rejected answer, in TRL's form: three columns of messages, prompt, chosen, rejected.
The loss is that of Rafailov et al. (2023, arXiv 2305.18290). What the model thought before training (the reference) is
measured once; where only the top layers learn, what the lower ones compute is remembered, and not computed again.
"""

import contextlib

import torch
from torch.nn import functional as F

from utils import attention, plots
from utils.data import as_datasets, load
from utils.desk import reply_messages
from utils.fernhill import rows_of
from utils.prompts import NO_LOSS, check_chat, encode_chat
from utils.runtime import device

COLUMNS = ["prompt", "chosen", "rejected"]


def preference_data():
    """Fernhill's preferences as a DatasetDict of pairs, in the splits of load("fernhill-tickets").

    Beside prompt, chosen and rejected it has the columns of data/preferences.jsonl that say what was broken, and in which month.
    """
    rows = {row["ticket"]: row for row in rows_of("preferences.jsonl")}
    splits = {}
    for name, tickets in load("fernhill-tickets").items():
        found = [rows[ticket] for ticket in tickets["id"] if ticket in rows]
        answers = [{kind: [{"role": "assistant", "content": row[kind]}] for kind in ("chosen", "rejected")} for row in found]
        kept = [{key: row[key] for key in ("id", "ticket", "broken", "month")} for row in found]
        asked = [reply_messages(row["prompt"]) for row in found]
        splits[name] = [{**k, "prompt": p, **a} for k, p, a in zip(kept, asked, answers, strict=True)]
    return as_datasets(**splits)


# ---- the loss ----------------------------------------------------------------------------------


def dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta):
    """(loss, margins) of B pairs, from four tensors (B,): the summed log-probability of each answer, in nats.

    An answer's reward is beta times how much likelier it is now than it was for the reference.
    The loss is the negative log of the chance that the chosen answer wins, in the model of Bradley and Terry (1952).
    """
    reward_chosen = beta * (chosen - reference_chosen)
    reward_rejected = beta * (rejected - reference_rejected)
    margins = reward_chosen - reward_rejected
    return -F.logsigmoid(margins).mean(), margins


def log_probabilities(network, batch, top=None):
    """Summed log-probability of each row's answer, a tensor (rows,) in nats; scores are made for answer tokens only.

    batch: from collate; top: compute only so many layers, on the vectors in batch["lower"] that those below have made.
    """
    plain = network.get_base_model() if hasattr(network, "get_base_model") else network
    decoder = plain.get_decoder()
    hidden = read(decoder, batch, first=len(decoder.layers) - top if top else 0)[:, :-1]  # a vector predicts the next token
    labels = batch["labels"][:, 1:]
    answers = labels != NO_LOSS
    scores = plain.get_output_embeddings()(hidden[answers])  # (answer tokens, vocabulary)
    nats = -F.cross_entropy(scores.float(), labels[answers], reduction="none")
    return nats.new_zeros(len(labels)).index_add(0, answers.nonzero()[:, 0], nats)


# ---- pairs to tensors --------------------------------------------------------------------------


def encode_pairs(tokenizer, rows, max_tokens=512, name="data"):
    """Pairs as a list of {"chosen": {"input_ids", "labels"}, "rejected": …}; labels are NO_LOSS outside the answer.

    Raises ValueError that names the row, for a prompt that does not end with the user, an empty answer, or two equal ones.
    """
    items = []
    for number, row in enumerate(rows, 1):
        where = f"{name}, row {number}"
        if missing := [column for column in COLUMNS if not row.get(column)]:
            raise ValueError(f"{where}: no {missing[0]}; a pair needs the lists of messages {', '.join(COLUMNS)}")
        check_chat(row["prompt"], where)
        if row["prompt"][-1]["role"] != "user":
            raise ValueError(f"{where}: the prompt ends with the {row['prompt'][-1]['role']}'s turn; end it with the user's")
        sides = {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}
        items.append({side: encode_chat(tokenizer, chat, max_tokens, f"{where}, {side}") for side, chat in sides.items()})
        if row["chosen"][-1]["content"].strip() == row["rejected"][-1]["content"].strip():
            raise ValueError(f"{where}: chosen and rejected are the same answer, so there is no preference; leave the row out")
    return items


def collate(items):
    """One batch of B pairs, 2 B rows: first the chosen answers, then the rejected ones; tensors (2 B, T), reference (2, B)."""
    sides = [item[side] for side in ("chosen", "rejected") for item in items]
    rows = attention.pad([side["input_ids"] for side in sides], multiple=4)
    labels = attention.pad([side["labels"] for side in sides], multiple=4, token=NO_LOSS).ids
    batch = {"input_ids": rows.ids, "labels": labels, "real": rows.real, "positions": rows.positions}
    if "lower" in sides[0]:
        batch["lower"] = attention.pad_vectors([side["lower"] for side in sides], rows.ids.shape[1])  # (2 B, T, hidden)
    if "reference" in sides[0]:
        batch["reference"] = torch.tensor([side["reference"] for side in sides]).view(2, -1)
    return batch


# ---- remembered layers -------------------------------------------------------------------------


def read(decoder, batch, first=0, last=None):
    """Vectors (rows, T, hidden) after layers first to last of a decoder, from batch["lower"] where first is not the lowest."""
    rows = attention.Rows(batch["input_ids"], batch["real"], batch["positions"], None)
    with attention.some_layers(decoder, first, last):
        return attention.read(decoder, rows, lower=batch["lower"] if first else None)


@torch.no_grad()
def remember(network, items, top, batch_size, autocast=contextlib.nullcontext):
    """Write into each side of each item its `reference` log-probability and, where only `top` layers learn, its `lower` vectors."""
    decoder = network.get_base_model().get_decoder()
    for start in range(0, len(items), batch_size):
        part = items[start : start + batch_size]
        batch = {name: tensor.to(device()) for name, tensor in collate(part).items()}
        with autocast():
            if top:
                batch["lower"] = read(decoder, batch, last=len(decoder.layers) - top).float()
            nats = log_probabilities(network, batch, top).tolist()
        for row, side in enumerate([item[side] for side in ("chosen", "rejected") for item in part]):
            side["reference"] = nats[row]
            if top:
                side["lower"] = batch["lower"][row, : len(side["input_ids"])].cpu().clone()


def size(item):
    """Tokens of a pair."""
    return len(item["chosen"]["input_ids"]) + len(item["rejected"]["input_ids"])


# ---- what is seen ------------------------------------------------------------------------------
# A measurement is a dict with epoch, margin, chosen and rejected, as in the Run of utils.preferences.


def plot_margins(steps, validation, ax=None):
    """Reward margin per step and, on validation pairs, per epoch; above zero the chosen answer is preferred."""
    ax = ax or plots.figure()[1]
    curves = {"training": (steps, "-", plots.BLUE), "validation": (validation, "--o", plots.VERMILLION)}
    for name, (curve, style, color) in curves.items():
        ax.plot([m["epoch"] for m in curve], [m["margin"] for m in curve], style, color=color, markersize=4, label=name)
    ax.axhline(0, color=plots.BLACK, linestyle=":", linewidth=1.2)
    ax.set(xlabel="epoch", ylabel="reward margin")
    ax.legend()
    last = validation[-1]
    words = f"{validation[0]['margin']:.2f} before training, {last['margin']:.2f} after epoch {last['epoch']}"
    return plots.describe(ax, f"Reward margin on validation pairs: {words}.")


def plot_measurements(curves, ylabel, ax=None):
    """Several curves over the epochs; curves maps a name to (measurements, which of their values to draw)."""
    ax = ax or plots.figure()[1]
    said = []
    for (name, (steps, what)), (color, dash, _) in zip(curves.items(), plots.SERIES, strict=False):
        ax.plot([m["epoch"] for m in steps], [m[what] for m in steps], dash, color=color, label=name)
        said.append(f"{name} {steps[0][what]:+.2f} at first, {steps[-1][what]:+.2f} at last")
    ax.axhline(0, color=plots.BLACK, linestyle=":", linewidth=1.2)
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.legend()
    return plots.describe(ax, f"{ylabel} per step of training: {'; '.join(said)}.")


def in_trl_form(item):
    """An encoded pair under the names that trl.DPOTrainer's collator wants: prompt_ids, chosen_ids, rejected_ids."""
    start = item["chosen"]["labels"].count(NO_LOSS)
    answers = {f"{side}_ids": item[side]["input_ids"][start:] for side in ("chosen", "rejected")}
    return {"prompt_ids": item["chosen"]["input_ids"][:start], **answers}
