"""Fernhill's policies as dated documents, and the questions about them: split in two, found or not, answered or not.

store.ingest(policy_documents())
rows = questions("test", ["as written"])
wilson(sum(found(store, rows, "v1")), len(rows))
"""

import re

import numpy as np

from utils.fernhill import policies, rows_of
from utils.passages import Document
from utils.stats import bootstrap, wilson

YEAR = 2026  # Fernhill's documents name a day and a month; a store wants a year, too
DAYS = {"v1": f"{YEAR}-03-01", "v2": f"{YEAR}-08-01"}  # a day on which each version is in force
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
IN_FORCE = re.compile(r"^In force from (\d+) (\w+)\b.*\n+", re.MULTILINE)
WORDINGS = ["as written", "shared words", "other words"]  # of each fact: one question, four rewordings, four more
SAME = {"nothing": "free|no charge|no cost", "none": "no|not any", "one": "1|single", "two": "2", "three": "3", "four": "4", "five": "5"}
TEST_SHARE = 2 / 3


def dated(source, text):
    """A document whose line "In force from 1 July." has become its day."""
    line = IN_FORCE.search(text)
    if not line or line[2] not in MONTHS:
        raise ValueError(f'document {source!r} does not say from when it holds; add a line "In force from 1 July."')
    since = f"{YEAR}-{MONTHS.index(line[2]) + 1:02}-{int(line[1]):02}"
    return Document(source, text[: line.start()] + text[line.end() :], since)


def policy_documents(versions=("v1", "v2")):
    """The forty documents of each version, a list of Document."""
    months = {"v1": 1, "v2": 12}
    return [dated(source, text) for version in versions for source, text in policies(months[version]).items()]


def questions(part, wordings=WORDINGS, answerable=None):
    """Questions of a part ("validation": a third of the facts, "test": the others); a list of dicts.

    Each has "id" (of its fact), "question", "wording", "document" (None: no document answers it), "v1" and "v2".
    All wordings of a fact are in one part. answerable: True or False takes only such questions.
    """
    if part not in ("validation", "test") or set(wordings) - set(WORDINGS):
        raise ValueError(f"part is validation or test, wordings are of {', '.join(WORDINGS)}; got {part!r} and {wordings!r}")
    facts, taken = rows_of("facts.jsonl"), []
    for kind in (True, False):
        same = [fact for fact in facts if bool(fact["document"]) == kind]
        order, size = np.random.default_rng(0).permutation(len(same)), round(TEST_SHARE * len(same))
        if answerable in (None, kind):
            taken += [same[i] for i in sorted(order[:size] if part == "test" else order[size:])]
    rows = []
    for fact in taken:
        asked = [("as written", fact["question"]), *zip(["shared words"] * 4 + ["other words"] * 4, fact["paraphrases"], strict=True)]
        kept = {key: fact[key] for key in ("id", "document", "v1", "v2")}
        rows += [kept | dict(question=question, wording=wording) for wording, question in asked if wording in wordings]
    return rows


def holds(source, text, answer, document, texts):
    """True when a passage (source, text) is of the document that gives an answer, and the answer stands in it.

    texts: source to text of that version; where an answer is worded freely ("free of charge"), any passage of the document counts.
    """
    return source == document and (answer.lower() in text.lower() or answer.lower() not in texts[document].lower())


def found_in(passages, row, version, texts):
    """True when one of the passages holds the answer to a question; passages: Passage, or dicts with source and text."""
    pairs = [(p["source"], p["text"]) if isinstance(p, dict) else (p.source, p.text) for p in passages]
    return any(holds(source, text, row[version], row["document"], texts) for source, text in pairs)


def found(store, rows, version, k=3, **options):
    """For each answerable question, whether one of the k passages found holds its answer: an array of True and False."""
    texts, on = policies(1 if version == "v1" else 12), options.pop("on", DAYS[version])
    return np.array([found_in(store.search(row["question"], k=k, on=on, **options), row, version, texts) for row in rows])


def states(text, answer):
    """True when a text gives an answer, as whole words or in other words that mean the same."""
    wanted = f"{re.escape(answer.lower())}|{SAME[answer]}" if answer in SAME else re.escape(answer.lower())
    return bool(re.search(rf"(?<![\w£.])(?:{wanted})(?!\w|[.,]\d)", text.lower()))


def share(marks, rows):
    """Share of True with its 95 % interval over facts: wordings of one fact are not independent, so facts are drawn, not rows."""
    facts = {}
    for mark, row in zip(marks, rows, strict=True):
        facts.setdefault(row["id"], []).append(mark)
    means = np.array([np.mean(group) for group in facts.values()])
    if all(len(group) == 1 for group in facts.values()) or means.min() == means.max():
        return wilson(round(means.sum()), len(means))
    return bootstrap(lambda drawn: drawn.mean(-1), means)
