"""What a training set's faults cost: wrong labels, copies of test items, a split that leaves no test, a part of the world left out.

The functions of experiments E05, E21 and E36; `utils.studies` holds their grids.
"""

import random
import re

import numpy as np

from utils.baselines import Tfidf
from utils.classifiers import FrozenHead
from utils.data import sample
from utils.stats import accuracy

RARE = 6  # so many of the rarest intents count as rare


# ---- E05: quality against quantity -------------------------------------------------------------


def with_wrong_labels(labels, share, seed):
    """The labels, a random share of them replaced by another one of the set; returns (labels, which are wrong)."""
    draw, names = np.random.default_rng(seed), sorted(set(labels))
    wrong = np.zeros(len(labels), bool)
    wrong[draw.permutation(len(labels))[: round(share * len(labels))]] = True
    others = [[name for name in names if name != label] for label in labels]
    return [str(draw.choice(other)) if w else label for label, w, other in zip(labels, wrong, others, strict=True)], wrong


def label_noise(n, share, wrong, seed, data, model_id):
    """E05: a frozen encoder's head learns n tickets, a share of them wrongly labelled; wrong: "left in" or "removed"."""
    train, test = sample(data["train"], n, seed), data["test"]
    labels, bad = with_wrong_labels(train["label"], share, seed)
    kept = np.flatnonzero(~bad) if wrong == "removed" else np.arange(n)
    head = FrozenHead(model_id, [train["text"][i] for i in kept], [labels[i] for i in kept])
    return {"accuracy": accuracy(test["label"], head.predict(test["text"])), "tickets": len(kept)}


# ---- E21: leaks and splits ---------------------------------------------------------------------


def told_again(text, draw):
    """The same message as somebody sends it a second time: a greeting, a thank-you, small letters, or a slip of the finger."""
    kind = draw.randrange(4)
    if kind < 2:
        return ("Hello again! " + text, text + " Thanks in advance.")[kind]
    if kind == 2:
        return re.sub(r"[.,!?;:]", "", text.lower())
    place = draw.randrange(len(text) // 2, max(len(text) // 2 + 1, len(text) - 1))
    return text[:place] + text[place + 1 :]


def recipes():
    """Nine cheap systems that somebody might choose from: three ways to count, three to learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import ComplementNB
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    counts = [{"ngram_range": (1, 1)}, {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 4)}]
    return [
        make_pipeline(TfidfVectorizer(sublinear_tf=True, **c), h) for c in counts for h in (ComplementNB(), LinearSVC(), NearestCentroid())
    ]


def flattered(how, share, seed, data, model_id, n=400):
    """E21: what a test shows, and what it would show without its fault; both as accuracy.

    how: "copies": the training tickets hold a retold copy of a share of the test tickets, against as many fresh ones
         "choice": of nine recipes the best on a validation part of n tickets wins (share: that part), against its score on fresh tickets
    """
    test = data["test"]
    if how == "copies":
        draw = random.Random(seed)
        copied = draw.sample(range(len(test)), round(share * len(test)))
        fresh = sample(data["train"], n + len(copied), seed)  # as many tickets as with the copies: more of them would help too
        texts, labels = list(fresh["text"]), list(fresh["label"])
        copies = [told_again(test["text"][i], draw) for i in copied]
        clean = Tfidf(texts, labels)
        leaky = Tfidf(texts[:n] + copies, labels[:n] + [test["label"][i] for i in copied])
        shown, true = (accuracy(test["label"], system.predict(test["text"])) for system in (leaky, clean))
    else:
        rows = sample(data["train"], n, seed)
        order = np.random.default_rng(seed).permutation(n)
        inside, outside = order[: round(share * n)], order[round(share * n) :]
        texts, labels = np.array(rows["text"], object), np.array(rows["label"])
        fitted = [recipe.fit(texts[outside], labels[outside]) for recipe in recipes()]
        scores = [accuracy(labels[inside], system.predict(texts[inside])) for system in fitted]
        best = fitted[int(np.argmax(scores))]
        shown, true = max(scores), accuracy(test["label"], best.predict(test["text"]))
    return {"shown": float(shown), "true": float(true), "gap": float(shown - true)}


# ---- E36: representative or not ----------------------------------------------------------------


def rarest(labels):
    """The rarest labels, rarest first."""
    names, counts = np.unique(list(labels), return_counts=True)
    return [str(name) for name in names[np.argsort(counts, kind="stable")][:RARE]]


def narrow_sample(left_out, seed, data, model_id, n=500):
    """E36: n training tickets with a part of the world left out; accuracy on all test tickets, on the parts, and on the worst intent.

    left_out: "nothing", "phone", "social", or "rare intents" (two examples of each stay, so that the label exists)
    """
    train, test, rare = data["train"], data["test"], rarest(data["train"]["label"])
    rows = [int(i) for i in np.random.default_rng(seed).permutation(len(train))]
    channels, labels = train["channel"], train["label"]
    if left_out == "rare intents":
        few = [i for name in rare for i in [i for i in rows if labels[i] == name][:2]]
        rows = few + [i for i in rows if labels[i] not in rare]
    elif left_out != "nothing":
        rows = [i for i in rows if channels[i] != left_out]
    rows = rows[:n]
    head = FrozenHead(model_id, [train["text"][i] for i in rows], [labels[i] for i in rows])
    right = np.array(head.predict(test["text"])) == np.array(test["label"])
    found = {"accuracy": right.mean(), "rare intents": right[np.isin(test["label"], rare)].mean()}
    found |= {channel: right[np.array(test["channel"]) == channel].mean() for channel in ("phone", "social")}
    found["worst intent"] = min(right[np.array(test["label"]) == name].mean() for name in sorted(set(test["label"])))
    return {name: float(value) for name, value in found.items()}
