"""Answers from the passages found, with citations that code has checked, or a refusal below a threshold.

threshold = learn_threshold(similarities, known)
answers = Answerer(store, model, threshold)(["How long may I keep it?"], on="2026-07-15")
"""

import re
from dataclasses import dataclass

import numpy as np

REFUSAL = "Not in the documents."
ASK = "Answer this question in a few words, from the text above:"
SMALL = {
    "does",
    "from",
    "have",
    "must",
    "that",
    "their",
    "then",
    "there",
    "they",
    "this",
    "what",
    "when",
    "where",
    "which",
    "will",
    "with",
    "your",
}


@dataclass(frozen=True)
class Answer:
    """An answer with the passages that hold what it says; `text` is REFUSAL where there is none."""

    question: str
    text: str
    cited: list  # passages that hold the answer's numbers and most of its words
    found: list  # all passages that were found, best first
    similarity: float  # of the nearest passage
    draft: str  # what the model wrote, or "" when it was not asked
    why: str  # "", or why there is no answer: "too far" or "unsupported"

    @property
    def refused(self):
        """True when there is no answer."""
        return bool(self.why)

    def __str__(self):
        sources = dict.fromkeys(f"{p.source}, in force from {p.since}" for p in self.cited)
        return self.text + (f" [{'; '.join(sources)}]" if sources else "")


class Answerer:
    """Search, ask a language model, check what it wrote; without a model, quote the sentence that is nearest to the question.

    model: a LanguageModel, or None to quote, which needs the store's encoder only
    threshold: a question whose nearest passage is less similar than this is refused without asking the model
    k: passages to find; read: how many of them are read (1 for a model, which others confuse; all for a quotation)
    check: refuse what no passage that was read supports
    """

    def __init__(self, store, model=None, threshold=0.0, k=3, read=None, check=True, **search):
        self.store, self.model, self.threshold, self.check = store, model, threshold, check
        self.k, self.read, self.search = k, read or (1 if model else k), search

    def __call__(self, questions, on=None):
        """An Answer for each question; `on` is the day of asking, YYYY-MM-DD."""
        found = [self.store.search(question, k=self.k, on=on, **self.search) for question in questions]
        nearest = [max((passage.similarity for passage in passages), default=-1.0) for passages in found]
        asked = [i for i, similarity in enumerate(nearest) if found[i] and similarity >= self.threshold]
        drafts = dict(zip(asked, self._drafts([(questions[i], found[i][: self.read]) for i in asked]), strict=True))
        return [self._judged(*row, drafts.get(i)) for i, row in enumerate(zip(questions, found, nearest, strict=True))]

    def _drafts(self, pairs):
        """What the model writes, or the sentence quoted, for each (question, passages)."""
        if self.model is None:
            return [nearest_sentence(question, passages, self.store.embed) for question, passages in pairs]
        chats = [prompt(question, passages) for question, passages in pairs]
        return [text.strip() for text in self.model.generate(chats, max_new_tokens=32, stop=["\n"])] if chats else []

    def _judged(self, question, found, similarity, draft):
        """The answer, or the reason why there is none."""
        if draft is None:
            return Answer(question, REFUSAL, [], found, similarity, "", "too far")
        cited = [passage for passage in found[: self.read] if supports(passage, draft, question)]
        if self.check and not cited:
            return Answer(question, REFUSAL, [], found, similarity, draft, "unsupported")
        return Answer(question, draft, cited, found, similarity, draft, "")


def prompt(question, passages):
    """A chat that asks a question about passages; the best stands last, next to the question."""
    text = "\n\n".join(f"{passage.heading}\n{passage.text}" for passage in reversed(passages))
    return [{"role": "user", "content": f"{text}\n\n{ASK} {question}"}]


def nearest_sentence(question, passages, embed):
    """The sentence of some passages whose vector, read under its heading, is nearest to the question's."""
    pairs = [(p.heading, sentence) for p in passages for sentence in re.split(r"(?<=[.!?])\s+", p.text) if sentence]
    vectors = np.asarray(embed([question, *(f"{heading}: {sentence}" for heading, sentence in pairs)]), float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    return pairs[int((vectors[1:] @ vectors[0]).argmax())][1]


def supports(passage, answer, question=""):
    """True when a passage holds every number of an answer, and half of its words that the question did not bring.

    A word of up to three letters, or a common one, does not count. It is a check of words, not of sense: "not" may be missing.
    """
    text, asked = words(f"{passage.heading} {passage.text}"), words(question)
    said = words(answer) - asked
    numbers = {word for word in words(answer) if any(sign.isdigit() for sign in word)}
    others = {word for word in said - numbers if len(word) > 3} - SMALL
    if not numbers and not others:
        return bool(said) and said <= text
    return numbers <= text | asked and bool(numbers & text or others) and len(others & text) >= len(others) / 2


def words(text):
    """The words and numbers of a text, in lower case: "£4.95" stays whole."""
    return set(re.findall(r"£?\d+(?:[.,:]\d+)*|[^\W\d_]+", text.lower()))


def learn_threshold(similarities, known, price=1.0):
    """The similarity below which to refuse that costs least on examples: a number.

    known: True for questions that the documents answer. Answering one that they do not costs `price`, refusing one that they do costs 1.
    Where several are as cheap, the one in the middle of the widest gap is taken. Learn it on validation questions, judge it on others.
    """
    similarities, known = np.asarray(similarities, float), np.asarray(known, bool)
    if len(similarities) != len(known) or known.all() or not known.any():
        raise ValueError(f"a threshold needs questions with and without an answer, got {known.sum()} with and {(~known).sum()} without")
    order = np.sort(similarities)
    candidates = np.concatenate([[order[0] - 0.01], (order[1:] + order[:-1]) / 2, [order[-1] + 0.01]])
    gaps = np.concatenate([[0.0], np.diff(order), [0.0]])
    costs = np.array([price * np.sum(~known & (similarities >= t)) + np.sum(known & (similarities < t)) for t in candidates])
    cheapest = np.flatnonzero(costs == costs.min())
    return float(candidates[cheapest[gaps[cheapest].argmax()]])
