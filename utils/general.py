"""General material as lessons for a language model: questions of general knowledge, paragraphs on everyday topics.

data = general_data()                       both files, each as a split
kept, held = hold_out(data["questions"], 0)
chosen = choose_option(model, held)         the likeliest of each question's four options
nats = surprise(model, texts)               nats per token of each paragraph's continuation
"""

import numpy as np
import torch

from utils import attention
from utils.data import as_datasets
from utils.fernhill import rows_of
from utils.prompts import few_shot
from utils.runtime import device

FOLDS = 3  # a third is held out, in turn
GIVEN = 12  # words of a paragraph that the writer is given
CONTENT = ("arts", "daily_life", "fiction", "letters_and_diaries", "opinion", "sport")
EXPLAINING = ("geography", "health", "history", "nature", "science", "technology")
ANSWER = "Answer the question in one to three words."
WRITE = "Continue the paragraph for a general reader."


def general_data():
    """Both files as a DatasetDict: "questions" of data/general.jsonl and "texts" of data/general_text.jsonl."""
    from datasets import Dataset, DatasetDict

    return DatasetDict(questions=Dataset.from_list(rows_of("general.jsonl")), texts=Dataset.from_list(rows_of("general_text.jsonl")))


def hold_out(rows, fold):
    """(rows to learn from, rows held out) as lists; over all folds each row is held out once."""
    if fold not in range(FOLDS):
        raise ValueError(f"fold is 0 to {FOLDS - 1}, got {fold!r}")
    parts = ([row for i, row in enumerate(rows) if (i % FOLDS == fold) == held] for held in (False, True))
    return tuple(parts)


# ---- rows to chats -----------------------------------------------------------------------------


def pair(row):
    """(what is asked, the answer) of a question, or of a paragraph: its first words, and how it goes on."""
    if "question" in row:
        return row["question"], row["answer"]
    words = row["text"].split()
    return " ".join(words[:GIVEN]), " ".join(words[GIVEN:])


def ask(row, shown=()):
    """The conversation that asks for a row's answer; shown: rows that stand in it as examples."""
    return few_shot(ANSWER if "question" in row else WRITE, [pair(example) for example in shown], pair(row)[0])


def lessons(questions, texts, held_back=12):
    """Rows as chats to learn from: a DatasetDict; every few rows, `held_back` of each kind, are for validation."""
    parts = {"train": [], "validation": []}
    for rows in (questions, texts):
        step = max(2, len(rows) // held_back)
        for i, row in enumerate(rows):
            chat = [*ask(row), {"role": "assistant", "content": pair(row)[1]}]
            parts["validation" if i % step == 0 else "train"].append({"messages": chat})
    return as_datasets(**parts)


# ---- scores ------------------------------------------------------------------------------------


def numbers(model, rows, shown=(), plain=False):
    """Rows as token numbers: (prompts, what may follow each: a question's options, or how its paragraph goes on).

    plain: as a page of text, with shown rows before, which suits a model that has read many such pages; else as chats
    """

    def tokens(text):
        return model.tokenizer(text, add_special_tokens=False)["input_ids"]

    follow = [row["options"] if "question" in row else [pair(row)[1]] for row in rows]
    if not plain:
        return model._encode([ask(row, shown) for row in rows]), [[tokens(text) for text in texts] for texts in follow]
    before = "".join(page(row, pair(row)[1]) for row in shown)
    return [tokens(before + page(row)) for row in rows], [[tokens(f" {text}") for text in texts] for texts in follow]


def page(row, answer=None):
    """A row as it stands on a page of text, up to its answer, or with it."""
    start = f"Question: {row['question']}\nAnswer:" if "question" in row else pair(row)[0]
    return start if answer is None else f"{start} {answer}\n\n"


def option_nats(model, rows, shown=(), plain=False, batch_size=24):
    """Log-probability of each question's own options as its answer, end of turn left out: a list of arrays; plain as in numbers.

    A question and its options are read in one pass: each option follows the question, and none sees another.
    """
    prompts, options = numbers(model, rows, shown, plain)
    shared = attention.common_beginning(prompts) if len(prompts) > 1 else 0
    found, decoder = [None] * len(rows), model.plain.get_decoder()
    order = sorted(range(len(rows)), key=lambda i: len(prompts[i]))
    with model._fast():
        beginning = attention.read_beginning(decoder, torch.tensor(prompts[0][:shared])[None].to(device()) if shared else None)
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            rows_read = [Branches(prompts[i][shared:], options[i]) for i in chosen]
            width = max(len(row.ids) for row in rows_read)
            ids, places, sees = (torch.stack(parts).to(device()) for parts in zip(*(row.padded(width) for row in rows_read), strict=True))
            hidden = decoder(
                input_ids=ids,
                attention_mask=torch.zeros(sees.shape, device=sees.device).masked_fill(~sees, attention.HIDDEN)[:, None],
                position_ids=places + shared,
                use_cache=False,
                prefix=beginning,
            ).last_hidden_state  # (B, width, hidden)
            for line, i in enumerate(chosen):
                before, targets = rows_read[line].steps()
                nats = model._log_probabilities(hidden[line, before], ids[line, targets])
                found[i] = np.array([part.sum().item() for part in nats.split([len(option) for option in options[i]])])
    return found


class Branches:
    """A prompt and several ways to go on, as one row of tokens in which no way sees another."""

    def __init__(self, prompt, options):
        self.ids = [*prompt, *(token for option in options for token in option)]
        self.owner = [0] * len(prompt) + [number for number, option in enumerate(options, 1) for _ in option]
        self.place = [*range(len(prompt)), *(len(prompt) + depth for option in options for depth in range(len(option)))]
        self.prompt = len(prompt)

    def padded(self, width):
        """(ids (width,), places (width,), which token sees which (width, width))."""
        more = width - len(self.ids)
        owner = torch.tensor(self.owner + [-1] * more)
        sees = (owner[:, None] == owner) | (owner == 0)
        sees = (sees & torch.ones(width, width, dtype=torch.bool).tril()) | torch.eye(width, dtype=torch.bool)
        return torch.tensor(self.ids + [0] * more), torch.tensor(self.place + [0] * more), sees

    def steps(self):
        """For each token of the options: where the vector stands that predicts it, and where it stands itself."""
        targets = list(range(self.prompt, len(self.ids)))
        return [i - 1 if self.place[i] > self.prompt else self.prompt - 1 for i in targets], targets


def choose_option(model, rows, shown=(), plain=False):
    """For each question its likeliest option."""
    return [row["options"][int(nats.argmax())] for row, nats in zip(rows, option_nats(model, rows, shown, plain), strict=True)]


def surprise(model, rows, shown=(), plain=False, batch_size=8):
    """Nats per token of how each paragraph goes on after its first words: an array (rows,); plain as in numbers."""
    prompts, follow = numbers(model, rows, shown, plain)
    whole = [prompt + tokens for prompt, [tokens] in zip(prompts, follow, strict=True)]
    nats = model._nats(whole, [len(prompt) for prompt in prompts], batch_size)
    return -nats / np.array([len(tokens) for [tokens] in follow])
