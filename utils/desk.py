"""Fernhill's support desk as a job for a language model: sort a ticket into JSON, answer it in the house voice.

triage_messages(ticket)    the chat that asks for a triage
triage_answer(row)         the JSON that a row's triage is written as
read_triage(text)          a model's answer as a dict, or None if it is not exactly such JSON
desk_data("triage")        train, validation and test chats, in the splits of lesson 09's tickets
"""

import functools
import json
import re

from utils.baselines import Tfidf
from utils.data import as_datasets, load
from utils.fernhill import INTENTS, PRIORITIES, catalogue, rows_of
from utils.prompts import zero_shot
from utils.runtime import ROOT
from utils.voice import RULES

FIELDS = ("intent", "priority", "product", "needs_human")  # what replies.jsonl knows of a ticket
TICKET_FIELDS = FIELDS[:3]  # what all tickets know
# A first version that routes one matter to each of six desks: warehouse, support, payments, workshop, data, safety.
PILOT = ("order_status", "product_advice", "payment_problem", "repair_or_parts", "account_access", "safety_concern")
TRIAGE_TASK = "You sort messages to Fernhill's support desk. Answer with the triage as JSON only."
REPLY_TASK = "You are Fernhill's support desk. Answer the customer in the house voice."


@functools.cache
def allowed(fields=FIELDS, intents=None):
    """Field to the values that it may have, in the order of the JSON; intents: a tuple of them, None for all."""
    values = {"intent": list(intents or INTENTS), "priority": PRIORITIES, "product": [None, *catalogue()], "needs_human": [False, True]}
    return {name: values[name] for name in fields}


def triage_rules(fields=FIELDS, intents=None):
    """The task in words: every field with its allowed values, for a model that was not tuned."""
    values = allowed(tuple(fields), tuple(intents or ()))
    lines = [f'- "{name}": one of {", ".join(json.dumps(value) for value in listed)}' for name, listed in values.items()]
    return "\n".join([TRIAGE_TASK, f"The JSON has exactly {len(lines)} fields:", *lines])


def triage_messages(ticket, told=False, fields=FIELDS, intents=None):
    """The chat that asks for a ticket's triage; told=True states fields and values, False only names the task."""
    return zero_shot(triage_rules(fields, intents) if told else TRIAGE_TASK, ticket)


def triage_answer(row, fields=FIELDS):
    """The JSON text of a row's triage; a row of replies.jsonl, or of tickets.jsonl with fields=TICKET_FIELDS."""
    known = row.get("triage") or row
    return json.dumps({name: known[name] for name in fields})


def read_triage(text, fields=FIELDS):
    """A triage as a dict, or None unless the text is a JSON object with exactly these fields, of the right types.

    Intent, priority and needs_human have one of the allowed values; a product is any text or null, since which product
    it is, and whether the shop has it, is a question of content.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != set(fields):
        return None
    for name, value in found.items():
        if name == "product":
            fits = value is None or isinstance(value, str)
        else:  # 0 == False in Python, so types are compared too
            fits = any(type(value) is type(known) and value == known for known in allowed(fields)[name])
        if not fits:
            return None
    return found


def score_triage(texts, rows, fields=FIELDS):
    """{"valid": [...], "intent": [...], …}: for each measure one True or False per text; an invalid answer has no right field."""
    read = [read_triage(text, fields) for text in texts]
    right = [json.loads(triage_answer(row, fields)) for row in rows]
    scores = {"valid": [found is not None for found in read]}
    for name in fields:
        scores[name] = [found is not None and found[name] == truth[name] for found, truth in zip(read, right, strict=True)]
    return scores


def reply_messages(ticket, told=0):
    """The chat that asks for an answer to the customer; told: so many of the voice's rules are stated, 8 are all."""
    stated = [f"- A reply {words}." for words in list(voice_in_words().values())[:told]]
    return zero_shot("\n".join([REPLY_TASK, *stated]), ticket)


@functools.cache
def voice_in_words():
    """The voice's rules as data/fernhill.md states them: name to words, in the order of utils.voice.RULES."""
    page = (ROOT / "data" / "fernhill.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    return {name: found[name] for name in RULES}


# ---- rivals that need no language model --------------------------------------------------------


class Template:
    """A triage by plain means: word counts choose intent and priority, a search finds the product, a program writes the JSON."""

    def __init__(self, rows):
        texts = [row["text"] for row in rows]
        self.counts = {field: Tfidf(texts, [row[field] for row in rows]) for field in ("intent", "priority")}

    def predict(self, texts):
        """One JSON text per ticket."""
        found = [{field: counts.predict([text])[0] for field, counts in self.counts.items()} for text in texts]
        return [triage_answer({**row, "product": named_product(text)}, TICKET_FIELDS) for row, text in zip(found, texts, strict=True)]


def named_product(text):
    """The catalogue's product whose name stands in the text, or None; of several the longest name."""
    return max((name for name in catalogue() if name.lower() in text.lower()), key=len, default=None)


FORM_LETTER = """Hello,

Thank you for writing to us. We have read your message, and it now lies with the desk that can answer it. \
You need to do nothing more today.

Next: the support desk writes to you within one working day.

The Fernhill desk"""


def takes_up(reply, ticket):
    """True when at least two of the ticket's words of five letters or more come up in the reply: a rough sign that it is about it."""
    return sum(word in reply.lower() for word in set(re.findall(r"[a-z]{5,}", ticket.lower()))) >= 2


# ---- data --------------------------------------------------------------------------------------


def desk_data(job="triage", fields=FIELDS, told=False, intents=None):
    """A DatasetDict of chats (column messages, beside all others) with train, validation and test.

    job: "triage" or "reply". Rows are those of replies.jsonl; with fields=TICKET_FIELDS all tickets.
    intents: only tickets with one of these, such as PILOT; None takes all.
    Splits are those of load("fernhill-tickets"), so no lesson trains on another one's test tickets.
    """
    if job not in ("triage", "reply"):
        raise ValueError(f'job must be "triage" or "reply", got {job!r}')
    tickets = load("fernhill-tickets")
    replies = {row["ticket"]: row for row in rows_of("replies.jsonl")}
    splits = {}
    for name, split in tickets.items():
        rows = [dict(row) for row in split if not intents or row["intent"] in intents]
        if job == "reply" or "needs_human" in fields:
            rows = [{**replies[row["id"]], "text": row["text"], "intent": row["intent"]} for row in rows if row["id"] in replies]
        for row in rows:
            ask = triage_messages(row["text"], told, fields, intents) if job == "triage" else reply_messages(row["text"])
            answer = triage_answer(row, fields) if job == "triage" else row["reply"]
            row["messages"] = [*ask, {"role": "assistant", "content": answer}]
        splits[name] = rows
    return as_datasets(**splits)
