"""Twelve faults that files of chats really have, planted on purpose, with a key that says where (experiment E32)."""

import copy
import json
import random

EVERYONE = ("openai", "together", "bedrock", "trl", "llamafactory")


def line(row):
    """A row as the line of a JSONL file."""
    return json.dumps(row, ensure_ascii=False).encode()


def with_role(row):
    row["messages"][-1]["role"] = "agent"
    return line(row)


def with_object(row):
    row["messages"][-1]["content"] = {"reply": row["messages"][-1]["content"]}
    return line(row)


def with_empty(row):
    row["messages"][-1]["content"] = ""
    return line(row)


def twice_asked(row):
    row["messages"].insert(0, row["messages"][0])
    return line(row)


def in_latin_1(row):
    row["messages"][-1]["content"] += " That is £5."
    return json.dumps(row, ensure_ascii=False).encode("latin-1", "replace")


# What is planted: how it spoils a row, and whose published rules forbid it.
FAULTS = {
    "single quotes": (lambda row: str(row).encode(), EVERYONE),
    "line cut off": (lambda row: line(row)[:-20], EVERYONE),
    "two rows on a line": (lambda row: line(row) + b" " + line(row), EVERYONE),
    "not UTF-8": (in_latin_1, EVERYONE),
    "a list, not an object": (lambda row: line(row["messages"]), EVERYONE),
    "key misspelt": (lambda row: line({"message": row["messages"]}), EVERYONE),
    "role misspelt": (with_role, EVERYONE),
    "answer is an object": (with_object, EVERYONE),
    "answer missing": (lambda row: line({"messages": row["messages"][:-1]}), ("openai", "bedrock", "llamafactory")),
    "answer empty": (with_empty, ("openai",)),
    "asked twice in a row": (twice_asked, ("together", "bedrock", "llamafactory")),
    "a column too many": (lambda row: line({"id": "R001", **row}), ("together", "bedrock")),
}


def plant(rows, seed=0):
    """Spoil twelve of the rows, each in another way; returns (lines as bytes, {line number: name of the fault}).

    rows: {"messages": [user, assistant]}, at least 24 of them, so that most stay sound
    """
    if len(rows) < 24:
        raise ValueError(f"twelve faults need at least 24 rows, so that most stay sound; got {len(rows)}")
    draw = random.Random(seed)
    places = draw.sample(range(1, len(rows)), len(FAULTS))  # never the first: a file whose first line is spoilt is seen at once
    lines, key = [line(row) for row in rows], {}
    for place, (name, (spoil, _)) in zip(places, FAULTS.items(), strict=True):
        lines[place] = spoil(copy.deepcopy(rows[place]))
        key[place + 1] = name
    return lines, dict(sorted(key.items()))
