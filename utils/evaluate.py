"""Predict, score, compare two systems on the same items. A system is anything with `predict(texts)`."""

import time
from dataclasses import dataclass, field

import numpy as np

from utils import plots
from utils.stats import (
    Interval,
    check_same_length,
    holm,
    mcnemar,
    mcnemar_power,
    needed_n,
    paired_difference,
    paired_shares,
    score_interval,
)

LEAST_GAIN = 0.02  # the smallest gain that most desks would pay for


@dataclass
class Score:
    """How one system did on one split: scores with intervals, the predictions themselves, and what they took."""

    name: str
    accuracy: Interval
    macro_f1: Interval
    n: int
    texts: list = field(repr=False)
    truth: list = field(repr=False)
    predicted: list = field(repr=False)
    columns: dict = field(repr=False, default_factory=dict)  # the split's other columns, to slice by
    seconds: float = 0.0  # for all items together, in the system's own batches
    latency: tuple = ()  # (median, 95th percentile) milliseconds for one item at a time, where it was measured
    tokens: float | None = None  # read per item, where the system counts them

    def __str__(self):
        return f"{self.name}: accuracy {self.accuracy}, macro-F1 {self.macro_f1}, n = {self.n}"

    @property
    def right(self):
        """One True or False per item."""
        return np.array(self.truth) == np.array(self.predicted)

    def per_class(self):
        """A table: precision, recall, F1 and number of items of each label."""
        import pandas as pd
        from sklearn.metrics import precision_recall_fscore_support

        labels = sorted(set(self.truth) | set(self.predicted))
        columns = precision_recall_fscore_support(self.truth, self.predicted, labels=labels, zero_division=0)
        return pd.DataFrame(dict(zip(["precision", "recall", "f1", "items"], columns, strict=True)), index=labels)

    def confusion(self):
        """A table of counts: a row per true label, a column per predicted one."""
        import pandas as pd
        from sklearn.metrics import confusion_matrix

        labels = sorted(set(self.truth) | set(self.predicted))
        return pd.DataFrame(confusion_matrix(self.truth, self.predicted, labels=labels), index=labels, columns=labels)

    def errors(self):
        """A table of the wrong answers: text, truth, predicted."""
        import pandas as pd

        table = pd.DataFrame({"text": self.texts, "truth": self.truth, "predicted": self.predicted})
        return table[table.truth != table.predicted].reset_index(drop=True)


def score(system, split, name=None, timed=0):
    """Let a system label every text of a split, once, and score it.

    split: anything with columns text and label, such as data["test"]; other columns are kept for slices
    timed: for so many texts, latency is measured too, one text at a time (this predicts them again)
    """
    texts, truth = list(split["text"]), list(split["label"])
    if not texts:
        raise ValueError("the split has no rows, so there is nothing to score")
    started = time.perf_counter()
    predicted = list(system.predict(texts))
    seconds = time.perf_counter() - started
    check_same_length(truth, predicted)
    names = getattr(split, "column_names", None) or list(split)
    return Score(
        name=name or type(system).__name__,
        accuracy=score_interval("accuracy", truth, predicted),
        macro_f1=score_interval("macro_f1", truth, predicted),
        n=len(truth),
        texts=texts,
        truth=truth,
        predicted=predicted,
        columns={column: list(split[column]) for column in names if column not in ("text", "label")},
        seconds=seconds,
        latency=latency(system, texts[:timed]) if timed else (),
        tokens=float(np.mean(system.count_tokens(texts))) if hasattr(system, "count_tokens") else None,
    )


@dataclass
class Comparison:
    """System b against system a on the same items."""

    a: Score
    b: Score
    difference: Interval  # accuracy of b minus accuracy of a
    f1_difference: Interval
    only_a: int  # items that only a got right
    only_b: int
    p: float  # exact McNemar
    price_per_hour: float | None = None  # of the machine that predicts, in any currency

    @property
    def verdict(self):
        """One of "better", "worse" and "cannot tell": what test and interval say together of b against a."""
        if self.p >= 0.05 or self.difference.low <= 0 <= self.difference.high:
            return "cannot tell"
        return "better" if self.difference.estimate > 0 else "worse"

    def __str__(self):
        d = self.difference
        size = f"{100 * d.low:+.1f} to {100 * d.high:+.1f}, p {format_p(self.p)}, n = {self.a.n}"
        if self.verdict == "cannot tell":
            return (
                f"{self.b.name} against {self.a.name}: {100 * d.estimate:+.1f} points, 95 % interval {size}: "
                f"too small a difference to tell on {self.a.n} items; {self.needed()}"
            )
        low, high = sorted((abs(d.low), abs(d.high)))
        return (
            f"{self.b.name} is {self.verdict} than {self.a.name} by {100 * abs(d.estimate):.1f} points, "
            f"95 % interval {100 * low:.1f} to {100 * high:.1f}, p {format_p(self.p)}, n = {self.a.n}"
        )

    def needed(self):
        """How many items the smallest gain worth having would need, where two systems disagree as often as these; in words.

        The gain that was seen is not used: a power worked out from it only repeats the p-value (Hoenig & Heisey 2001).
        """
        disagreement = max((self.only_a + self.only_b) / self.a.n, LEAST_GAIN)
        n = f"about {round_up(needed_n(LEAST_GAIN, disagreement)):,}"
        seen = mcnemar_power(self.a.n, LEAST_GAIN, disagreement)
        size = f"a true gain of {100 * LEAST_GAIN:.0f} points"
        return f"{size} shows on {n} items in 4 tests of 5, on these {self.a.n} in {seen:.0%} of tests"

    def table(self):
        """Both systems and their difference: scores, wins, latency, tokens and cost; a column that nobody measured is left out."""
        import pandas as pd

        rows = {s.name: self.measured(s, wins) for s, wins in ((self.a, self.only_a), (self.b, self.only_b))}
        d, f = self.difference, self.f1_difference
        rows[f"{self.b.name} minus {self.a.name}"] = {
            "accuracy": points(d),
            "macro-F1": points(f),
            "right alone": f"{self.only_b - self.only_a:+d}, McNemar p {format_p(self.p)}",
        }
        return pd.DataFrame(rows).T.dropna(axis="columns", how="all").fillna("")

    def measured(self, s, wins):
        """One row of the table."""
        row = {"accuracy": str(s.accuracy), "macro-F1": str(s.macro_f1), "right alone": str(wins)}
        if s.latency:
            row |= {"ms, one at a time": f"{s.latency[0]:.1f} (95 % under {s.latency[1]:.1f})"}
        row |= {"items/s in batches": f"{s.n / s.seconds:,.0f}" if s.seconds else None}
        row |= {"tokens/item": None if s.tokens is None else f"{s.tokens:.0f}"}
        if self.price_per_hour is not None:
            row |= {"cost per million items": f"{cost_per_million(s, self.price_per_hour):.2f}"}
        return row

    def slices(self, by=None):
        """A table: the difference in each slice, with its score interval and a p-value adjusted for their number (Holm).

        by: names of columns, "label" for the true label and "length" for thirds by number of words; None takes those
        of label, channel, length and month that there are. Many slices are many chances of a false alarm, hence Holm.
        """
        import pandas as pd

        by = [by] if isinstance(by, str) else by or [c for c in ("label", "channel", "length", "month") if self.has(c)]
        rows = []
        for column in by:
            values = self.values(column)
            for value in sorted(set(values), key=lambda v: (str(type(v)), v)):
                inside = np.array([v == value for v in values])
                only_a, only_b, p = mcnemar(self.a.right[inside], self.b.right[inside])
                n = int(inside.sum())
                d = paired_shares(only_a, only_b, n)
                right_a, right_b = self.a.right[inside].mean(), self.b.right[inside].mean()
                rows.append([column, str(value), n, right_a, right_b, d.estimate, d.low, d.high, p])
        table = pd.DataFrame(rows, columns=["slice", "value", "n", self.a.name, self.b.name, "difference", "low", "high", "p"])
        table["p"] = holm(table["p"])
        return table

    def has(self, column):
        """True when the items can be sliced by this."""
        return column in ("label", "length") or column in self.a.columns

    def values(self, column):
        """What each item has in a column, or its label, or its length."""
        if not self.has(column):
            raise ValueError(f"no column {column!r} to slice by; there are label, length, {', '.join(self.a.columns)}")
        if column == "label":
            return self.a.truth
        if column == "length":
            return thirds_by_length(self.a.texts)
        return ["none" if value is None else value for value in self.a.columns[column]]

    def figure(self, by=("channel", "length")):
        """Left both scores, right the difference in points, over all items and in slices."""
        slices = self.slices([column for column in by if self.has(column)])
        height = max(2.6, 1.2 + 0.32 * (1 + len(slices)))
        fig, (left, right) = plots.figure(11.0, height, columns=2)
        plots.plot_intervals([self.a.name, self.b.name], [self.a.accuracy, self.b.accuracy], f"accuracy, n = {self.a.n}", left)
        rows = [Interval(*(100 * v for v in (d.difference, d.low, d.high))) for d in slices.itertuples()]
        whole = Interval(*(100 * v for v in (self.difference.estimate, *self.difference)))
        names = [f"all ({self.a.n})", *(f"{row.slice} {row.value} ({row.n})" for row in slices.itertuples())]
        plots.plot_forest(names, [whole, *rows], f"points of accuracy, {self.b.name} minus {self.a.name}", ax=right)
        return fig

    def show(self, by=("channel", "length")):
        """Display sentence, table and figure."""
        from IPython.display import display

        print(self)
        display(self.table())
        plots.show(self.figure(by))


def compare(a, b, data=None, price_per_hour=None, timed=20):
    """Compare two systems on the same items: difference with paired bootstrap interval, exact McNemar test, slices, cost.

    a, b: systems, which then label `data` once and are timed, or their scores (nothing is predicted again)
    data: a split such as data["test"], with columns text and label
    price_per_hour: what the machine costs, in any currency; None leaves cost out
    """
    if data is None and not (isinstance(a, Score) and isinstance(b, Score)):
        raise ValueError("compare needs two scores, or two systems and the data to score them on: compare(a, b, data['test'])")
    a, b = (s if isinstance(s, Score) else score(s, data, timed=timed) for s in (a, b))
    if a.truth != b.truth or a.texts != b.texts:
        raise ValueError(f"{a.name} and {b.name} were scored on different items; score both on the same split")
    if a.name == b.name:
        raise ValueError(f"both systems are called {a.name!r}; give them names: score(system, split, 'before')")
    only_a, only_b, p = mcnemar(a.right, b.right)
    return Comparison(
        a=a,
        b=b,
        difference=paired_difference("accuracy", a.truth, a.predicted, b.predicted),
        f1_difference=paired_difference("macro_f1", a.truth, a.predicted, b.predicted),
        only_a=only_a,
        only_b=only_b,
        p=p,
        price_per_hour=price_per_hour,
    )


def latency(system, texts, repeats=3):
    """Milliseconds to label one text at a time: (median, 95th percentile) over all texts and repeats."""
    system.predict(texts[:1])  # the first call also warms caches up
    times = []
    for _ in range(repeats):
        for text in texts:
            tick = time.perf_counter()
            system.predict([text])
            times.append(1000 * (time.perf_counter() - tick))
    return float(np.median(times)), float(np.quantile(times, 0.95))


def cost_per_million(score, price_per_hour):
    """What a million items cost in the system's own batches, if the machine does nothing else and is paid by the hour."""
    return score.seconds / score.n * 1e6 / 3600 * price_per_hour


def thirds_by_length(texts):
    """One of "short", "medium" and "long" for each text, by number of words, about a third each."""
    words = np.array([len(text.split()) for text in texts])
    first, second = np.quantile(words, [1 / 3, 2 / 3])
    return ["short" if n <= first else "medium" if n <= second else "long" for n in words]


def points(interval):
    """A difference of shares in points, with its interval."""
    return f"{100 * interval.estimate:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def round_up(n):
    """n to two digits, upwards."""
    step = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step


def format_p(p):
    """A p-value as readers expect it: "= " and three digits, or "< 0.001"."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"
