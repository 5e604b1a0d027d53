"""Facts in the weights or in a store: teach them, and ask for them (E10, E11, E27).

facts = known(data["test"], 40, seed=0)
tuned = teach(model_id, lessons(facts, "v1"), seed=0)
mark(ask(tuned, chats(rows)), rows, "v2")     # a letter per question: r, s, w or n, a capital where it is said surely
"""

import numpy as np

from utils.answering import REFUSAL, Answerer, learn_threshold, prompt
from utils.data import as_datasets
from utils.fact_marks import Reply
from utils.fernhill import rows_of
from utils.passages import Document
from utils.policies import policy_documents, questions
from utils.retrieval import Store
from utils.sft import fine_tune_chat

SYSTEM = "You answer for Fernhill, an online shop for camping gear. Answer in a few words."
DONT_KNOW = "I don't know."
READINGS = 12  # of each fact, whether in one wording or in several
TAUGHT = (0, 5, 1, 6, 2, 7, 3)  # in this order wordings are taught: the question, then those with other and with shared words in turn
ASKED = {"as written": 0, "shared words": 4, "other words": 8}  # and these are asked; the last two are never taught
RECIPE = {"layers": 12, "lr": 2e-3, "batch_size": 8}  # of three, the one that taught most on the validation facts


# ---- facts and questions -----------------------------------------------------------------------


def facts_data():
    """Facts in two parts, "validation" and "test" (utils.policies.questions), and the policies of both versions, "documents"."""
    rows = {row["id"]: row for row in rows_of("facts.jsonl")}
    parts = {part: [rows[row["id"]] for row in questions(part, ["as written"])] for part in ("validation", "test")}
    documents = [{"source": d.source, "text": d.text, "since": d.since} for d in policy_documents()]
    return as_datasets(**parts, documents=documents)


def known(split, n, seed=0):
    """n of the facts that have an answer, in random order; each seed begins forty further on, and after the last comes the first."""
    facts = [fact for fact in split if fact["document"]]
    order = np.random.default_rng(0).permutation(len(facts))
    return [facts[order[(40 * seed + i) % len(facts)]] for i in range(n)]


def unknown(split):
    """The facts that no document answers."""
    return [fact for fact in split if not fact["document"]]


def wordings(fact):
    """Nine questions for one fact: as written, four that share its words, four that do not."""
    return [fact["question"], *fact["paraphrases"]]


def asked(facts, kinds=ASKED):
    """A row per kind and fact: "id", "question", "kind", "v1", "v2"."""
    kept = ("id", "document", "v1", "v2")
    return [{key: fact[key] for key in kept} | dict(question=wordings(fact)[ASKED[k]], kind=k) for k in kinds for fact in facts]


def chat(question, system=SYSTEM):
    """A chat that asks one question."""
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def chats(rows):
    """A chat for each row's question."""
    return [chat(row["question"]) for row in rows]


# ---- teach and ask -----------------------------------------------------------------------------


def lessons(facts, version, count=1):
    """Chats that state each fact's answer in a version ("v1", "v2"), or that nobody knows, in so many wordings."""
    taught = [(wordings(fact)[i], fact[version] or DONT_KNOW) for fact in facts for i in TAUGHT[:count]]
    return [[*chat(question), {"role": "assistant", "content": answer}] for question, answer in taught]


def teach(model_id, messages, readings=READINGS, seed=0, **recipe):
    """Fine-tune on chats, each read so many times; returns sft's Run, whose model still has its adapter beside the weights."""
    rows = [{"messages": chat} for chat in messages]
    data = as_datasets(train=rows, validation=rows[:4])  # nothing is chosen: the last pass is the best one on its own training chats
    return fine_tune_chat(model_id, data, epochs=readings, patience=None, seed=seed, **{**RECIPE, **recipe})


def ask(model, conversations, max_new_tokens=24):
    """A Reply for each conversation: the likeliest words, up to the end of the line."""
    texts = model.generate(conversations, max_new_tokens, stop=["\n"])
    return weighed(model, conversations, texts)


def weighed(model, conversations, texts):
    """Texts as replies, each with its likelihood."""
    nats, _ = model.log_likelihood(conversations, texts) if texts else ([], [])
    return [Reply(text.strip(), float(np.exp(n))) for text, n in zip(texts, nats, strict=True)]


def ask_documents(store, model, rows, day, threshold=-1.0):
    """The same from a store: find passages in force on a day, and quote the sentence that is nearest to the question.

    model: None to quote; a LanguageModel reads the best passage instead, and what the passage does not support is refused.
    A quotation has no likelihood. It is said as firmly as anything can be, so it counts as 1.
    """
    answers = Answerer(store, model, threshold)([row["question"] for row in rows], on=day)
    given = [answer for answer in answers if not answer.refused]
    texts = [answer.text for answer in given]
    chats = [prompt(answer.question, answer.found[:1]) for answer in given]
    read = iter(weighed(model, chats, texts) if model else [Reply(text, 1.0) for text in texts])
    return [Reply(REFUSAL, 1.0) if answer.refused else next(read) for answer in answers]


def open_store(path, documents, embed=None):
    """A store of documents, rows with source, text and since; closed by the caller."""
    store = Store(path, embed)
    store.ingest([Document(row["source"], row["text"], row["since"]) for row in documents])
    return store


def refusal_threshold(store, split, day):
    """The similarity below which to refuse: refusing all that is known is made as dear as answering all that is not."""
    facts = [fact for fact in split for _ in ASKED]
    rows = [dict(question=wordings(fact)[i]) for fact in split for i in ASKED.values()]
    nearest = [store.search(row["question"], k=3, on=day)[0].similarity for row in rows]
    answerable = np.array([bool(fact["document"]) for fact in facts])
    return learn_threshold(nearest, answerable, price=answerable.sum() / (~answerable).sum())
