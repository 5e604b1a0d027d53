"""How an answer to a question of fact is marked: right, out of date, wrong or silent, and whether it was said surely.

marks = mark(replies, rows, "v2")     # "RrsW": a letter per question, r, s, w or n, a capital where it was said surely
right(marks), surely_wrong(marks)     # True or False per question
"""

import re
from dataclasses import dataclass

import numpy as np

from utils import plots
from utils.policies import share, states
from utils.stats import bootstrap, paired_shares

SURE = 0.5  # above it the model holds this answer likelier than all others together
SILENT = re.compile(
    r"(?:don.t|do not|can.?not|can.t|unable to) (?:know|say|tell|find|answer|provide)|not in the documents|no information", re.IGNORECASE
)


@dataclass(frozen=True)
class Reply:
    """What was said, and the probability that the model gave to saying exactly this."""

    text: str
    likelihood: float


def verdict(text, row, version):
    """r: states the answer of this version ("v1", "v2"); s: that of the other; n: says nothing; w: says something else."""
    now, other = (row[v] for v in (version, "v2" if version == "v1" else "v1"))
    old = other if other != now else None
    if SILENT.search(text):
        return "n"
    if old and states(text, old):
        return "s"
    return "r" if now and states(text, now) else "w"


def mark(replies, rows, version):
    """A text with a letter for each reply (verdict), a capital where it was said surely."""
    letters = [verdict(reply.text, row, version) for reply, row in zip(replies, rows, strict=True)]
    return "".join(letter.upper() if reply.likelihood > SURE else letter for letter, reply in zip(letters, replies, strict=True))


def right(marks):
    """True where a mark says right."""
    return np.array([letter in "rR" for letter in marks], bool)


def surely_wrong(marks):
    """True where something false, or out of date, was said surely."""
    return np.array([letter in "SW" for letter in marks], bool)


def out_of_date(marks):
    """True where the other version was stated."""
    return np.array([letter in "sS" for letter in marks], bool)


def silent(marks):
    """True where nothing was said."""
    return np.array([letter in "nN" for letter in marks], bool)


def kept(marks, rows, test):
    """(marks, rows) of those whose row passes a test."""
    pairs = [(letter, row) for letter, row in zip(marks, rows, strict=True) if test(row)]
    return "".join(letter for letter, _ in pairs), [row for _, row in pairs]


def per_fact(test, marks, rows):
    """A table column: for each fact the share of its answers that pass a test."""
    import pandas as pd

    return pd.Series(np.asarray(test(marks), float), [row["id"] for row in rows]).groupby(level=0).mean()


def difference(one, other):
    """Mean of one minus other, a number per fact each, with its interval over facts (bootstrap).

    Where all facts differ alike, a bootstrap would claim certainty: the score interval of paired shares is taken.
    """
    gaps = np.asarray(one, float) - np.asarray(other, float)
    n = len(gaps)
    if np.ptp(gaps) < 1e-9 and round(gaps[0], 9) in (-1, 0, 1):
        return paired_shares(n * (gaps[0] < -0.5), n * (gaps[0] > 0.5), n)
    return bootstrap(lambda drawn: drawn.mean(-1), gaps)


def gain(one, other, test=right):
    """Share of answers that pass a test, the first system's minus the other's, with its interval over facts; each is (marks, rows)."""
    return difference(per_fact(test, *one), per_fact(test, *other))


def plot_marks(found, xlabel):
    """Right and surely wrong, two bars for each name; found maps a name to (marks, rows)."""
    tests = {"right": right, "surely wrong": surely_wrong}
    bars = {f"{name}: {words}": share(test(marks), rows) for name, (marks, rows) in found.items() for words, test in tests.items()}
    ax = plots.plot_forest(list(bars), list(bars.values()), xlabel, (), "{:.0%}", [plots.BLUE, plots.VERMILLION] * len(found))
    ax.set_xlim(-0.03, 1.03)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return ax
