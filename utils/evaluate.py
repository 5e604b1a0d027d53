"""Predict, score, compare two systems on the same items. A system is anything with `predict(texts)`."""

import time
from dataclasses import dataclass, field

import numpy as np

from utils.stats import Interval, check_same_length, mcnemar, paired_difference, score_interval


@dataclass
class Score:
    """How one system did on one split: accuracy and macro-F1 with intervals, and the predictions themselves."""

    name: str
    accuracy: Interval
    macro_f1: Interval
    n: int
    texts: list = field(repr=False)
    truth: list = field(repr=False)
    predicted: list = field(repr=False)

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


def score(system, split, name=None):
    """Let a system label every text of a split, and score it."""
    texts, truth = list(split["text"]), list(split["label"])
    if not texts:
        raise ValueError("the split has no rows, so there is nothing to score")
    predicted = list(system.predict(texts))
    check_same_length(truth, predicted)
    return Score(
        name=name or type(system).__name__,
        accuracy=score_interval("accuracy", truth, predicted),
        macro_f1=score_interval("macro_f1", truth, predicted),
        n=len(truth),
        texts=texts,
        truth=truth,
        predicted=predicted,
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

    def __str__(self):
        d = self.difference
        numbers = (
            f"{100 * d.estimate:+.1f} points of accuracy, 95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f}, "
            f"McNemar p {format_p(self.p)}, n = {self.a.n}"
        )
        if self.p >= 0.05:
            return f"{self.b.name} against {self.a.name}: {numbers}: too small a difference to tell on {self.a.n} items"
        return f"{self.b.name} is {'better' if d.estimate > 0 else 'worse'} than {self.a.name}: {numbers}"


def compare(a, b):
    """Compare two scores on the same items: difference with paired bootstrap interval, exact McNemar test."""
    if a.truth != b.truth or a.texts != b.texts:
        raise ValueError(f"{a.name} and {b.name} were scored on different items; score both on the same split")
    only_a, only_b, p = mcnemar(a.right, b.right)
    return Comparison(
        a=a,
        b=b,
        difference=paired_difference("accuracy", a.truth, a.predicted, b.predicted),
        f1_difference=paired_difference("macro_f1", a.truth, a.predicted, b.predicted),
        only_a=only_a,
        only_b=only_b,
        p=p,
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


def format_p(p):
    """A p-value as readers expect it: "= " and three digits, or "< 0.001"."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"
