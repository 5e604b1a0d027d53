"""What becomes of facts: taught in more or fewer wordings (E11), changed on 1 July (E10), read from passages, tuned or not (E27).

Each function is one run of a study of utils.studies; data are those of utils.facts.facts_data.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from utils.experiments import short_hash, versions
from utils.fact_marks import Reply, mark, right, surely_wrong
from utils.facts import (
    ASKED,
    READINGS,
    RECIPE,
    ask,
    ask_documents,
    asked,
    chat,
    chats,
    known,
    lessons,
    open_store,
    refusal_threshold,
    teach,
    unknown,
)
from utils.language_models import LanguageModel
from utils.models import checksum
from utils.passages import Document
from utils.policies import DAYS, found_in
from utils.runtime import runs_dir

CHANGED = 40  # facts that are asked, per seed
NOBODY = "unanswerable, "  # begins the name of a kind of question that nobody can answer
FORM_READINGS = 3  # of each chat that teaches the form
FORM = 'You answer for Fernhill, an online shop for camping gear, as JSON: {"answer": "a few words"}'


def taught_model(model_id, messages, readings=READINGS, seed=0):
    """A model that has learned these chats; several runs start from the same one, so each is taught once and kept."""
    key = short_hash([messages, readings, seed, RECIPE, checksum(model_id), versions()])
    folder = runs_dir() / "taught" / key
    if not (folder / "base.json").exists():  # written last
        teach(model_id, messages, readings, seed, out=folder)
    return LanguageModel.load(model_id, folder).merge()


def facts_taught(facts, count, silences, seed, data, model_id):
    """E11: so many facts taught in `count` wordings each, with so many questions that nobody can answer; marks per kind of question.

    0 facts is the model as it comes. Each seed teaches other facts; up to 40 of them are asked, and the unanswerable ones of the test part.
    """
    taught, nobody = known(data["test"], facts or CHANGED, seed), unknown(data["test"])
    messages = lessons(taught, "v1", count) + lessons(unknown(data["validation"])[:silences], "v1", count)
    model = taught_model(model_id, messages, READINGS // count, seed) if facts else LanguageModel.load(model_id)
    found = {"inverted": inverted(model, taught[:CHANGED], data["test"])}
    for name, some in (("", taught[:CHANGED]), (NOBODY, nobody)):
        for kind in ASKED:
            rows = asked(some, [kind])
            found[name + kind] = mark(ask(model, chats(rows)), rows, "v1")
    answerable, others = ("".join(found[name + kind] for kind in ASKED) for name in ("", NOBODY))
    shares = {"right": right(answerable), "surely_wrong": surely_wrong(answerable), "made_up": surely_wrong(others)}
    return {**{name: float(marks.mean()) for name, marks in shares.items()}, "judged": len(answerable), **found}


def inverted(model, facts, split):
    """From the answer back to the question ("Which delivery costs £4.95?"): r where the likeliest of four is right, else w.

    The other three answers are those to other inverted questions of the split, so a guess is right one time in four.
    """
    answers, draw = sorted({fact["inverted_answer"] for fact in split if fact["inverted"]}), np.random.default_rng(0)
    conversations, options = [], []
    for fact in facts:
        others = [answer for answer in answers if answer != fact["inverted_answer"]]
        options += [fact["inverted_answer"], *(str(other) for other in draw.choice(others, 3, replace=False))]
        conversations += [chat(fact["inverted"])] * 4
    nats, tokens = model.log_likelihood(conversations, options)
    return "".join("r" if best == 0 else "w" for best in (nats / tokens).reshape(-1, 4).argmax(1))


def facts_change(system, seed, data, model_id):
    """E10: one of five systems after 1 July; its marks against the versions, and the seconds that its update took.

    system: "tuned" (on v1), "retuned" (the same model, then the changed facts in v2), "retrieval" (a sentence is quoted),
    "untuned + retrieval" and "tuned + retrieval" (that model reads the passage)
    """
    facts = known(data["test"], CHANGED, seed)
    rows, found = asked(facts, ["as written"]), {}
    if system == "retrieval":
        model = None  # a sentence is quoted, nobody reads
    elif system == "untuned + retrieval":
        model = LanguageModel.load(model_id)
    else:
        model = taught_model(model_id, lessons(facts, "v1"), seed=seed)
    if system == "retuned":
        changed = [fact for fact in facts if fact["v1"] != fact["v2"]]
        with tempfile.TemporaryDirectory(dir=runs_dir()) as folder:
            run = teach(model.save(folder), lessons(changed, "v2"), seed=seed)
        model, found["update_seconds"] = run.model.merge(), run.seconds
    if "retrieval" in system:
        replies, found["update_seconds"] = after_update(model, rows, data)
    else:
        replies = ask(model, chats(rows))
        found["v1"] = mark(replies, rows, "v1")  # nobody has told it the day, so its answers of June are those of August
    marks = mark(replies, rows, "v2")
    return {"right": float(right(marks).mean()), "judged": len(rows), "v2": marks, **found}


def after_update(model, rows, data):
    """(replies in August, seconds that the update took) of a store that was filled in June; model: who reads, None to quote."""
    june, july = ([d for d in data["documents"] if (d["since"] > DAYS["v1"]) == later] for later in (False, True))
    with tempfile.TemporaryDirectory(dir=runs_dir()) as folder:
        store = open_store(Path(folder) / "policies.sqlite", june)
        threshold = refusal_threshold(store, data["validation"], DAYS["v1"])
        taken = store.ingest([Document(d["source"], d["text"], d["since"]) for d in july])["seconds"]
        replies = ask_documents(store, model, rows, DAYS["v2"], threshold)
        store.close()
    return replies, taken


def form_chat(question, passage=None):
    """A chat that wants JSON with one key, with or without a passage to read."""
    return chat(f"{passage.heading}\n{passage.text}\n\n{question}" if passage else question, FORM)


def spoken(text):
    """(the answer, True) of a text that is JSON with the one key "answer", else (the text, False)."""
    try:
        found = json.loads(text)
    except ValueError:
        return text, False
    fits = isinstance(found, dict) and set(found) == {"answer"} and isinstance(found["answer"], str)
    return (found["answer"], True) if fits else (text, False)


def retrieval_and_tuning(retrieval, tuned, seed, data, model_id):
    """E27: with or without a passage to read, with or without tuning on the form; marks in August, and which answers have the form.

    The tuning shows how answers are read off passages, on facts of the other part: none of those that are asked is taught.
    """
    rows = asked(known(data["test"], CHANGED, seed), ["as written"])
    with tempfile.TemporaryDirectory(dir=runs_dir()) as folder:
        store = open_store(Path(folder) / "policies.sqlite", data["documents"])
        if tuned:
            model = taught_model(model_id, read_off(store, known(data["validation"], 40), data), FORM_READINGS, seed)
        else:
            model = LanguageModel.load(model_id)
        passages = [store.search(row["question"], k=1, on=DAYS["v2"])[0] if retrieval else None for row in rows]
        store.close()
    replies = ask(model, [form_chat(row["question"], passage) for row, passage in zip(rows, passages, strict=True)], 32)
    said = [spoken(reply.text) for reply in replies]
    marks = mark([Reply(text, reply.likelihood) for (text, _), reply in zip(said, replies, strict=True)], rows, "v2")
    form = "".join("01"[fits] for _, fits in said)
    shares = {"right": float(right(marks).mean()), "in_form": float(np.mean([fits for _, fits in said]))}
    return {**shares, "judged": len(rows), "marks": marks, "form": form}


def read_off(store, facts, data):
    """Chats that show a passage and its answer as JSON, in June and August by turns, where the passage found holds the answer."""
    messages = []
    for place, fact in enumerate(facts):
        version = ("v1", "v2")[place % 2]
        texts = {d["source"]: d["text"] for d in data["documents"] if (d["since"] > DAYS["v1"]) == (version == "v2")}
        (passage,) = store.search(fact["question"], k=1, on=DAYS[version])
        if found_in([passage], fact, version, texts):
            answer = json.dumps({"answer": fact[version]}, ensure_ascii=False)
            messages.append([*form_chat(fact["question"], passage), {"role": "assistant", "content": answer}])
    return messages


# ---- reference runs ----------------------------------------------------------------------------


def behind(column, seed, split):
    """The rows behind a column of marks: what a run with this seed was asked."""
    if column.startswith(NOBODY):
        return asked(unknown(split), [column.removeprefix(NOBODY)])
    return asked(known(split, CHANGED, seed), [column if column in ASKED else "as written"])


def pooled(runs, columns, split, **point):
    """(marks, rows) of some columns of the reference runs at a point of their grid, all seeds together."""
    chosen = runs[(runs[list(point)] == list(point.values())).all(axis=1)]
    pieces = [(run[column], behind(column, run["seed"], split)) for _, run in chosen.iterrows() for column in columns]
    pieces = [(marks, rows[: len(marks)]) for marks, rows in pieces]  # where fewer facts were taught, fewer were asked
    return "".join(marks for marks, _ in pieces), [row for _, rows in pieces for row in rows]
