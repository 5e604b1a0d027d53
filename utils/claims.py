"""What is claimed about fine-tuning, and the ledger of what you measured about each claim.

The 65 claims stand in data/claims.jsonl. `record` shows what a lesson found as a card, and writes it into your ledger,
`.ledger.jsonl` in the course's folder (FTM_LEDGER moves it). `ledger` reads it back as a table.
"""

import functools
import html
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.runtime import ROOT, append_line, read_lines
from utils.stats import Interval

KINDS = ("measured", "calculated", "discussed")
VERDICTS = ("holds here", "fails here", "depends", "cannot be measured here")
# Okabe and Ito's colours; the words say the same, so that nobody needs the colour.
COLORS = {"holds here": "#009E73", "fails here": "#D55E00", "depends": "#E69F00", "cannot be measured here": "#999999"}
SCHEMA = {
    "number": str,
    "claim": str,
    "articles": list,
    "lesson": str,
    "kind": KINDS,
    "evidence": str,
    "link": (str, None),
    "experiments": list,
}


@functools.cache
def claims():
    """All claims: number ("C43") to a dict with claim, articles, lesson, kind, evidence, link and experiments."""
    from utils.data import read_rows

    return {row["number"]: row for row in read_rows(ROOT / "data" / "claims.jsonl", SCHEMA)}


def ledger_path():
    """Where your ledger lies."""
    return Path(os.environ.get("FTM_LEDGER", ROOT / ".ledger.jsonl")).expanduser()


@dataclass(frozen=True)
class Record:
    """What one lesson measured about one claim; in a notebook it shows itself as a card."""

    number: str
    estimate: float
    low: float
    high: float
    unit: str
    n: int
    verdict: str
    note: str
    quick: bool
    date: str

    @property
    def size(self):
        """Estimate, interval and n in words."""
        return f"{self.estimate:.3g} {self.unit}, 95 % interval {self.low:.3g} to {self.high:.3g}, n = {self.n:,}"

    def __str__(self):
        return f"{self.number}: {claims()[self.number]['claim']} Measured: {self.size}. Verdict: {self.verdict}. {self.note}".strip()

    def _repr_html_(self):
        claim = claims()[self.number]
        said = f"{self.verdict}{' (quick run)' if self.quick else ''}"
        source = f' <a href="{html.escape(claim["link"])}">source</a>' if claim["link"] else ""
        lines = [
            f"<b>{html.escape(self.number)}</b> · {html.escape(claim['claim'])} <i>({html.escape(', '.join(claim['articles']))})</i>",
            f"Measured here: <b>{html.escape(self.size)}</b>",
            f"Verdict: <b>{html.escape(said)}</b>. {html.escape(self.note)}",
            f"Published: {html.escape(claim['evidence'])}{source}",
        ]
        style = f"border-left:6px solid {COLORS[self.verdict]};padding:4px 12px;margin:4px 0;line-height:1.5"
        return f'<div style="{style}">{"<br>".join(lines)}</div>'


def judge(interval, above=None, below=None):
    """The verdict by a rule stated beforehand: "holds here", "fails here", or "depends" where the interval holds the bound.

    above: the claim holds when the whole interval lies above this bound, and fails when it lies below
    below: the other way round
    """
    if (above is None) == (below is None):
        raise ValueError("give one bound: judge(interval, above=0.0) or judge(interval, below=0.05)")
    bound = below if above is None else above
    over, under = interval.low > bound, interval.high < bound
    if above is None:
        over, under = under, over
    return "holds here" if over else "fails here" if under else "depends"


def record(number, estimate, interval, unit, n, verdict, note="", quick=False):
    """Write what was measured about a claim into the ledger, and return it as a card.

    number: "C1" to "C65"; estimate: a number in `unit`; interval: (low, high) or an Interval; n: items or runs behind it
    verdict: one of VERDICTS, computed by a rule (judge) that was stated before the run; quick: a run in small size
    A later record about the same claim, of the same size, takes the place of the earlier one in `ledger`.
    """
    if number not in claims():
        raise ValueError(f"there is no claim {number!r}; they are C1 to C{len(claims())} (utils.claims.claims())")
    if verdict not in VERDICTS:
        raise ValueError(f"{number}: the verdict must be one of {', '.join(VERDICTS)}, got {verdict!r}")
    low, high = (float(value) for value in interval)
    if not all(map(math.isfinite, (low, estimate, high))) or not low <= high:
        raise ValueError(f"{number}: estimate and interval must be numbers with low <= high, got {estimate}, {low} to {high}")
    if n < 1:
        raise ValueError(f"{number}: n must be at least 1, got {n}")
    found = Record(number, float(estimate), low, high, unit, int(n), verdict, note, bool(quick), time.strftime("%Y-%m-%d %H:%M"))
    append_line(ledger_path(), asdict(found))
    return found


def records():
    """The newest record of each claim, a full run before a quick one; damaged lines are passed over."""
    newest = {}
    for entry in read_lines(ledger_path()):
        try:
            found = Record(**entry)
        except TypeError:
            continue
        before = newest.get(found.number)
        if found.number in claims() and not (before and found.quick and not before.quick):
            newest[found.number] = found
    return [newest[number] for number in claims() if number in newest]


def ledger():
    """Your ledger as a table: a row per claim that you measured."""
    import pandas as pd

    rows = [{**asdict(found), "claim": claims()[found.number]["claim"], "lesson": claims()[found.number]["lesson"]} for found in records()]
    columns = ["number", "claim", "lesson", "estimate", "low", "high", "unit", "n", "verdict", "note", "quick", "date"]
    return pd.DataFrame(rows, columns=columns)


def plot_ledger(units=None):
    """A forest plot of every estimate in the ledger, one panel per unit; returns the figure, or None for an empty ledger."""
    from utils import plots

    found = records()
    units = units or list(dict.fromkeys(record.unit for record in found))
    if not found:
        return None
    most = max(sum(record.unit == unit for record in found) for unit in units)
    fig, axes = plots.figure(1.5 + 4.5 * len(units), 1.2 + 0.4 * most, columns=len(units))
    for ax, unit in zip([axes] if len(units) == 1 else axes, units, strict=True):
        rows = [record for record in found if record.unit == unit]
        intervals = [Interval(record.estimate, record.low, record.high) for record in rows]
        colors = [COLORS[record.verdict] for record in rows]
        plots.plot_forest([f"{r.number} {r.verdict}" for r in rows], intervals, unit, form="{:.3g}", colors=colors, ax=ax)
    return fig
