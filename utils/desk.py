"""Fernhill's support desk as a job for a language model: sort a ticket into JSON, answer it in the house voice.

triage_messages(ticket)    the chat that asks for a triage
triage_answer(row)         the JSON that a row's triage is written as
read_triage(text)          a model's answer as a dict, or None if it is not exactly such JSON
desk_data("triage")        train, validation and test chats, in the splits of lesson 09's tickets
"""

import functools
import json

from utils.data import as_datasets, load
from utils.fernhill import INTENTS, PRIORITIES, catalogue, rows_of
from utils.prompts import zero_shot

FIELDS = ("intent", "priority", "product", "needs_human")  # what replies.jsonl knows of a ticket
TICKET_FIELDS = FIELDS[:3]  # what all tickets know
TRIAGE_TASK = "You sort messages to Fernhill's support desk. Answer with the triage as JSON only."
REPLY_TASK = "You are Fernhill's support desk. Answer the customer in the house voice."


@functools.cache
def allowed(fields=FIELDS):
    """Field to the values that it may have, in the order of the JSON."""
    values = {"intent": INTENTS, "priority": PRIORITIES, "product": [None, *catalogue()], "needs_human": [False, True]}
    return {name: values[name] for name in fields}


def triage_rules(fields=FIELDS):
    """The task in words: every field with its allowed values, for a model that was not tuned."""
    lines = [f'- "{name}": one of {", ".join(json.dumps(value) for value in values)}' for name, values in allowed(fields).items()]
    return "\n".join([TRIAGE_TASK, f"The JSON has exactly {len(lines)} fields:", *lines])


def triage_messages(ticket, told=False, fields=FIELDS):
    """The chat that asks for a ticket's triage; told=True states fields and values, False only names the task."""
    return zero_shot(triage_rules(fields) if told else TRIAGE_TASK, ticket)


def triage_answer(row, fields=FIELDS):
    """The JSON text of a row's triage; a row of replies.jsonl, or of tickets.jsonl with fields=TICKET_FIELDS."""
    known = row.get("triage") or row
    return json.dumps({name: known[name] for name in fields})


def read_triage(text, fields=FIELDS):
    """A triage as a dict, or None unless the text is a JSON object with exactly these fields and allowed values."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != set(fields):
        return None
    # 0 == False in Python, so types are compared too
    fits = all(any(value is v or (type(value) is type(v) and value == v) for v in allowed(fields)[name]) for name, value in found.items())
    return found if fits else None


def score_triage(texts, rows, fields=FIELDS):
    """{"valid": [...], "intent": [...], …}: for each measure one True or False per text; an invalid answer has no right field."""
    read = [read_triage(text, fields) for text in texts]
    right = [json.loads(triage_answer(row, fields)) for row in rows]
    scores = {"valid": [found is not None for found in read]}
    for name in fields:
        scores[name] = [found is not None and found[name] == truth[name] for found, truth in zip(read, right, strict=True)]
    return scores


def reply_messages(ticket):
    """The chat that asks for an answer to the customer."""
    return zero_shot(REPLY_TASK, ticket)


def desk_data(job="triage", fields=FIELDS, told=False):
    """A DatasetDict of chats (column messages, beside all others) with train, validation and test.

    job: "triage" or "reply". Rows are those of replies.jsonl; with fields=TICKET_FIELDS all tickets.
    Splits are those of load("fernhill-tickets"), so no lesson trains on another one's test tickets.
    """
    if job not in ("triage", "reply"):
        raise ValueError(f'job must be "triage" or "reply", got {job!r}')
    tickets = load("fernhill-tickets")
    replies = {row["ticket"]: row for row in rows_of("replies.jsonl")}
    splits = {}
    for name, split in tickets.items():
        rows = [dict(row) for row in split]
        if job == "reply" or "needs_human" in fields:
            rows = [{**replies[row["id"]], "text": row["text"], "intent": row["intent"]} for row in rows if row["id"] in replies]
        for row in rows:
            ask = triage_messages(row["text"], told, fields) if job == "triage" else reply_messages(row["text"])
            answer = triage_answer(row, fields) if job == "triage" else row["reply"]
            row["messages"] = [*ask, {"role": "assistant", "content": answer}]
        splits[name] = rows
    return as_datasets(**splits)
