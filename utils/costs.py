"""What fine-tuning costs and brings, in dollars: once, per month, per request; break-even; net value with an interval.

A project is a mapping of the names in DIALS to numbers, or to arrays of numbers for many projects at once. What you measured
comes as an Interval, what you guess as (low, likely, high); `simulate` draws both. Prices stand in one dated table,
data/prices.csv, which you edit.
"""

import csv
import functools
import math
import zlib
from dataclasses import dataclass
from datetime import date

import numpy as np

from utils.runtime import ROOT
from utils.stats import Interval

PRICES = ROOT / "data" / "prices.csv"
KINDS = ("train", "input", "cached", "write", "output", "hour")
HOURS = 730  # of a month

DIALS = {
    "examples": "examples to learn from",
    "test_examples": "examples that judge",
    "minutes": "minutes to find, label and check one example",
    "wage": "dollars for an hour of labelling",
    "engineering": "hours of engineering until it runs",
    "engineer": "dollars for an hour of engineering",
    "tokens": "tokens of an example",
    "epochs": "times that each example is read",
    "runs": "trainings until one is kept",
    "retrainings": "trainings a year after that",
    "relabel": "share of the examples labelled anew for each of them",
    "upkeep": "hours of engineering a month",
    "requests": "requests a month",
    "gain": "share of requests that become right",
    "worth": "dollars that one more right answer is worth",
    "months": "months that it is used",
    "discount": "how much less a dollar in a year is worth, as a share",
}
# Guesses of the course's authors for a small desk: low, likely, high. Put your own.
GUESSES = {
    "examples": 1000,
    "test_examples": 300,
    "minutes": (0.5, 2, 5),
    "wage": (15, 25, 50),
    "engineering": (20, 60, 160),
    "engineer": (40, 65, 120),
    "tokens": 500,
    "epochs": 3,
    "runs": (3, 8, 30),
    "retrainings": (0, 2, 4),
    "relabel": (0.1, 0.3, 1.0),
    "upkeep": (1, 4, 12),
    "requests": (2000, 9000, 20000),
    "gain": (0.0, 0.1, 0.2),
    "worth": (0.2, 1.0, 3.0),
    "months": 24,
    "discount": 0.1,
}
# The articles' bands: examples (from, to), dollars (from, to); the last is open at the top.
BANDS = {"small": (500, 1000, 500, 5_000), "medium": (1000, 5000, 2_000, 20_000), "large": (5000, math.inf, 10_000, math.inf)}
METHOD_BANDS = {"fine-tuning": (1_000, 100_000), "RAG": (100, 10_000)}


# ---- prices -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Price:
    """One row of the table: dollars per million tokens, or per hour for kind "hour"."""

    service: str
    kind: str
    price: float
    unit: str
    source: str
    read: date
    note: str


def read_prices(path=PRICES):
    """The table of prices: (service, kind) to Price. Raises ValueError that names file and row."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(Price.__dataclass_fields__) - set(reader.fieldnames or []):
            raise ValueError(f"{path}: the table of prices needs the columns {', '.join(sorted(missing))}")
        table = {}
        for row in reader:
            place = f"{path}, row {reader.line_num}"
            try:
                found = Price(**(row | {"price": float(row["price"]), "read": date.fromisoformat(row["read"])}))
            except (TypeError, ValueError):
                raise ValueError(f"{place}: price must be a number such as 0.46, and read a day such as 2026-11-30") from None
            if found.kind not in KINDS or not (0 <= found.price < math.inf) or not found.source.startswith("https://"):
                raise ValueError(f"{place}: kind must be one of {', '.join(KINDS)}, price at least 0, and source a link (https://…)")
            if (found.service, found.kind) in table:
                raise ValueError(f"{place}: {found.service} has two prices of kind {found.kind}; keep the newer one")
            table[found.service, found.kind] = found
    return table


def price(service, kind, table=None):
    """Dollars for one unit: price("ori-10b", "train") is per million tokens."""
    table = table or default_prices()
    if (service, kind) not in table:
        known = ", ".join(sorted({s for s, k in table if k == kind}))
        raise ValueError(f"no price of kind {kind!r} for {service!r} in data/prices.csv; there are: {known}")
    return table[service, kind].price


@functools.cache
def default_prices():
    """The course's table, read once; restart the kernel after you edit it."""
    return read_prices()


# ---- what is paid -----------------------------------------------------------------------------


def training(project, service="ori-10b", table=None):
    """Dollars for one training run: examples × tokens × epochs × price."""
    return project["examples"] * project["tokens"] * project["epochs"] * price(service, "train", table) / 1e6


def one_label(project):
    """Dollars for finding, labelling and checking one example."""
    return project["minutes"] / 60 * project["wage"]


def once(project, service="ori-10b", table=None):
    """What is paid before the first request, in dollars: labels, evaluation, engineering, training."""
    label = one_label(project)
    return {
        "labels": project["examples"] * label,
        "evaluation": project["test_examples"] * label,
        "engineering": project["engineering"] * project["engineer"],
        "training": project["runs"] * training(project, service, table),
    }


def monthly(project, service="ori-10b", table=None):
    """What is paid each month for keeping the model good, in dollars: upkeep and retraining (serving apart)."""
    label = one_label(project)
    one = project["relabel"] * (project["examples"] + project["test_examples"]) * label + training(project, service, table)
    return {"upkeep": project["upkeep"] * project["engineer"], "retraining": project["retrainings"] / 12 * one}


def cache_hits(requests, minutes=5):
    """Share of a month's requests that find a remembered prompt, when they arrive at random and it is kept `minutes` after each use."""
    return 1 - np.exp(-np.asarray(requests, float) * minutes / (60 * HOURS))


def serving(service, requests, new, shared, output, cache=True, table=None):
    """Dollars a month for serving: by the hour where the service has such a price, else by token.

    new, shared, output: tokens of a request that are read anew, that all requests begin with, and that are written
    cache: whether the shared ones are remembered between requests, where the service offers it
    """
    table = table or default_prices()
    if (service, "hour") in table:
        return HOURS * price(service, "hour", table) * np.ones_like(np.asarray(requests, float))[()]
    fresh = price(service, "input", table)
    first = fresh
    if cache and (service, "cached") in table:
        hits = cache_hits(requests)
        write = table[service, "write"].price if (service, "write") in table else fresh
        first = hits * price(service, "cached", table) + (1 - hits) * write
    return requests * (new * fresh + shared * first + output * price(service, "output", table)) / 1e6


# ---- what remains -----------------------------------------------------------------------------


def annuity(months, discount):
    """What a dollar a month is worth today, for so many months, when a dollar in a year is worth `discount` less."""
    rate = np.asarray((1 + discount) ** (1 / 12) - 1, float)
    return np.where(rate == 0, months, (1 - (1 + rate) ** -np.asarray(months, float)) / np.where(rate == 0, 1, rate))[()]


def flow(project, extra=0.0, **settings):
    """Dollars a month: requests that become right, less upkeep, retraining and `extra` (what serving costs more than today)."""
    return project["requests"] * project["gain"] * project["worth"] - sum(monthly(project, **settings).values()) - extra


def net_value(project, extra=0.0, **settings):
    """Net present value in dollars: what comes in over the months, in today's money, less what is paid once."""
    check_project(project)
    return flow(project, extra, **settings) * annuity(project["months"], project["discount"]) - sum(once(project, **settings).values())


def break_even_months(project, extra=0.0, **settings):
    """After how many whole months it has paid for itself; inf where it never does (within fifty years)."""
    months = np.arange(1, 601)
    worth = flow(project, extra, **settings) * annuity(months, project["discount"])
    paid = worth >= sum(once(project, **settings).values())
    return int(months[paid][0]) if paid.any() else math.inf


def break_even_requests(project, extra=0.0, **settings):
    """How many requests a month make the net value zero; inf where no number does (a gain that is worth nothing)."""
    per_request = project["gain"] * project["worth"] * annuity(project["months"], project["discount"])
    missing = -net_value({**project, "requests": 0}, extra, **settings)
    return max(0.0, missing / per_request) if per_request > 0 else math.inf


# ---- how sure ---------------------------------------------------------------------------------


def check_project(project):
    """Raise ValueError that names the first dial which is missing, unknown or out of range."""
    for name in DIALS:
        if name not in project:
            raise ValueError(f"the project lacks {name!r}: {DIALS[name]}")
    for name, value in project.items():
        if name not in DIALS:
            raise ValueError(f"there is no dial {name!r}; the dials are {', '.join(DIALS)}")
        low, high = {"gain": (-1, 1), "relabel": (0, 1)}.get(name, (0, math.inf))
        try:
            inside = bool(np.all((np.asarray(value, float) >= low) & (np.asarray(value, float) <= high)))
        except (TypeError, ValueError):
            inside = False
        if not inside:
            raise ValueError(f"{name} ({DIALS[name]}) must be a number from {low} to {high}, got {value!r}")


def ends(value):
    """(low, likely, high) of a dial: a guess as it is, an Interval's ends around its estimate, a number three times."""
    if isinstance(value, Interval):
        return value.low, value.estimate, value.high
    low, likely, high = value if isinstance(value, tuple | list) else (value, value, value)
    if not low <= likely <= high:
        raise ValueError(f"a guess is (low, likely, high), in this order, got {value!r}")
    return low, likely, high


def likely(guesses):
    """The project in which every dial stands at its likeliest value."""
    return {name: ends(value)[1] for name, value in guesses.items()}


def simulate(guesses, n=10_000, seed=0):
    """n projects drawn from what is known: an Interval as a normal curve of that width, (low, likely, high) as a triangle.

    A triangle says: likeliest in the middle, less likely towards both ends, impossible beyond. The dials are drawn
    independently of each other, which is an assumption too. Each dial has draws of its own, so that another guess for one
    leaves the others as they were.
    """
    drawn = {}
    for name in guesses:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        low, middle, high = ends(guesses[name])
        if isinstance(guesses[name], Interval):
            drawn[name] = np.clip(rng.normal(middle, (high - low) / 3.92, n), -1, 1) if high > low else np.full(n, middle)
        else:
            drawn[name] = rng.triangular(low, middle, high, n) if high > low else np.full(n, float(middle))
    return drawn


@dataclass(frozen=True)
class Outlook:
    """Net value of a project as far as it is known: the middle of all draws with the range of 95 % of them, and the share that pays."""

    net: Interval
    pays: float
    n: int

    def __str__(self):
        words = f"{dollars(self.net.estimate)} ({dollars(self.net.low)} to {dollars(self.net.high)})"
        return f"{words}; it pays in {self.pays:.0%} of {self.n:,} draws"


def outlook(guesses, n=10_000, seed=0, extra=0.0, **settings):
    """Net value with its interval, by simulation; the same seed gives the same draws."""
    values = np.asarray(net_value(simulate(guesses, n, seed), extra, **settings))
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    return Outlook(Interval(float(middle), float(low), float(high)), float((values > 0).mean()), n)


def tornado(guesses, extra=0.0, **settings):
    """Net value when one dial at a time goes to its low and to its high end: [(name, at low, at high)], widest swing first."""
    middle, rows = likely(guesses), []
    for name in guesses:
        low, _, high = ends(guesses[name])
        if high > low:
            at = [float(net_value({**middle, name: end}, extra, **settings)) for end in (low, high)]
            rows.append((name, *at))
    return sorted(rows, key=lambda row: -abs(row[2] - row[1]))


def dollars(amount):
    """An amount in words: $1,250, -$40, $0.69."""
    digits = 2 if abs(amount) < 10 and amount != round(amount) else 0
    return f"{'-' if round(amount, digits) < 0 else ''}${abs(amount):,.{digits}f}"
