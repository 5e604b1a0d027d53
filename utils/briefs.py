"""The three briefs of lab 08 as numbers, and what follows from them by the lab's rules."""

import numpy as np

from utils.costs import annuity
from utils.decide import PRECEDENCE, Answers, decide
from utils.decide import QUESTIONS as ASKED
from utils.stats import Interval

ORDER, QUESTIONS = list(PRECEDENCE), list(ASKED)
BRIEFS = {
    "Northlight": {
        "expertise": True,
        "examples": 4000,
        "production": True,
        "updates": False,
        "requests": 60_000,
        "gain": (0.13, 0.16, 0.19),
        "worth": (1.0, 2.0, 3.0),
        "once": (8_000, 12_000, 20_000),
        "monthly": (600, 900, 1_500),
    },
    "Meadow": {
        "expertise": False,
        "examples": 200,
        "production": False,
        "updates": False,
        "requests": 3_000,
        "gain": (-0.01, 0.01, 0.03),
        "worth": (0.01, 0.05, 0.1),
        "once": (3_000, 5_000, 8_000),
        "monthly": (100, 150, 250),
    },
    "Outlet": {
        "expertise": True,
        "examples": 700,
        "production": True,
        "updates": False,
        "requests": 9_000,
        "gain": (0.04, 0.08, 0.12),
        "worth": (0.2, 0.8, 2.0),
        "once": (4_000, 6_000, 9_000),
        "monthly": (200, 350, 700),
    },
}
WHERE = {  # which sentence of a brief holds what
    "expertise": "who has to know what",
    "examples": "how many labelled messages lie ready",
    "production": "whether it is for daily work or a try",
    "updates": "whether answers follow facts that change",
    "requests": "how many messages come in a month",
    "gain": "what the trial found: low, likely, high, as shares, such as 0.05 for 5 points",
    "worth": "what one more right answer saves, in dollars: low, likely, high",
    "once": "what is paid before the start: low, likely, high",
    "monthly": "what it costs each month: low, likely, high",
}


def net_draws(brief, n=40_000, seed=7):
    """Net values of a brief over 24 months at a discount of 10 % a year, drawn from its triangles."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.triangular(*brief[name], n) for name in ("gain", "worth", "once", "monthly")}
    each_month = brief["requests"] * drawn["gain"] * drawn["worth"] - drawn["monthly"]
    return each_month * annuity(24, 0.1) - drawn["once"]


def settled(brief):
    """(verdict, questions that decided) of a brief, by the lab's rules: the money, not the improvement, answers what it is worth."""
    low, middle, high = np.quantile(net_draws(brief), [0.025, 0.5, 0.975])
    known = {name: brief[name] for name in ("expertise", "examples", "production", "updates")}
    decision = decide(Answers(**known, before=0, after=0, net=Interval(middle, low, high)))
    return decision.verdict, {vote.question for vote in decision.reasons}


def turning(brief):
    """The questions that, answered otherwise alone, turn the verdict (worth left out)."""
    other = {"examples": 499 if brief["examples"] >= 500 else 500}
    other |= {name: not brief[name] for name in ("expertise", "production", "updates")}
    return {name for name, value in other.items() if settled({**brief, name: value})[0] != settled(brief)[0]}
