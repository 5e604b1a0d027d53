"""A decision card: a job, the five questions answered by what was measured, the cost beside the articles' price, and what to do instead."""

import html
from dataclasses import dataclass

import numpy as np

from utils.costs import dollars, once, simulate
from utils.decide import MEANING, Decision, decide, sensitivity

# What the articles say that tuning costs in the jobs for which they advise against it; None: they name no price.
PRICES = {
    "general knowledge": (1_000, 10_000),
    "general content": (5_000, 20_000),
    "early product": (0, 0),
    "general education": (3_000, 15_000),
    "changing facts": None,
}


@dataclass(frozen=True)
class Card:
    """A decision about one job of PRICES, on a few lines; in a notebook it shows itself."""

    job: str
    decision: Decision
    measured: str
    cost: str
    instead: str
    changes: tuple

    @property
    def price(self):
        """The articles' price in words."""
        price = PRICES[self.job]
        return "no price" if price is None else " to ".join(dict.fromkeys(map(dollars, price)))

    def lines(self):
        """[(heading, text)] of the card."""
        verdict = self.decision.verdict
        changes = "; ".join(f"{change.words} → {change.verdict}" for change in self.changes)
        return [
            ("Decision", f"{verdict}: {MEANING[verdict]}"),
            ("Because", "; ".join(vote.reason for vote in self.decision.reasons)),
            ("Measured", self.measured),
            ("Cost", f"the articles say {self.price}; calculated here {self.cost}"),
            ("Instead", self.instead),
            ("One answer that would change it", changes or "none: it takes two or more"),
        ]

    def __str__(self):
        return "\n".join([self.job, *(f"  {heading}: {text}" for heading, text in self.lines())])

    def _repr_html_(self):
        rows = "<br>".join(f"<b>{heading}:</b> {html.escape(text)}" for heading, text in self.lines())
        style = "border:2px solid #0072B2;border-radius:6px;padding:6px 14px;margin:4px 0;line-height:1.5"
        return f'<div style="{style}"><b>Decision card · {html.escape(self.job)}</b><br>{rows}</div>'


def make_card(job, answers, measured, cost, instead, reading="points"):
    """Decide a job by its answers (utils.decide.Answers) and write it on a Card."""
    if job not in PRICES:
        raise ValueError(f"job must be one of {', '.join(PRICES)}, got {job!r}")
    return Card(job, decide(answers, reading), measured, cost, instead, tuple(sensitivity(answers, reading)))


def paid_first(guesses, n=2000, seed=0):
    """What is paid before the first request, in words: the middle 95 % of made-up projects."""
    totals = np.broadcast_to(sum(once(simulate(guesses, n, seed)).values()), n)
    return " to ".join(dollars(end) for end in np.quantile(totals, [0.025, 0.975]))
