"""Intervals and tests for comparisons on the same items; on scipy."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float

    def __str__(self):
        return f"{self.estimate:.1%} ({self.low:.1%} to {self.high:.1%})"

    def __iter__(self):
        return iter((self.low, self.high))


def accuracy(truth, predicted):
    """Share of right answers."""
    check_same_length(truth, predicted)
    return float(np.mean(np.asarray(truth) == np.asarray(predicted)))


def macro_f1(truth, predicted):
    """The F1 score of each label, averaged with equal weight (scikit-learn's f1_score, average="macro").

    Written with counts because a bootstrap calls it thousands of times. Labels that occur neither
    in the truth nor in the predictions are left out.
    """
    check_same_length(truth, predicted)
    labels, codes = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    truth, predicted = codes[: len(truth)], codes[len(truth) :]
    hits = np.bincount(truth[truth == predicted], minlength=len(labels))
    seen = np.bincount(truth, minlength=len(labels)) + np.bincount(predicted, minlength=len(labels))
    return float(np.mean(2 * hits / seen))


METRICS = {"accuracy": accuracy, "macro_f1": macro_f1}


def bootstrap(metric, *columns, resamples=2000, seed=0):
    """95 % interval of metric(*columns) when the items are drawn again with replacement.

    columns: arrays of one length, resampled together, so that one call serves a score (truth, predicted)
    and a paired difference (truth, predicted_a, predicted_b). Percentile bootstrap: Efron & Tibshirani,
    An Introduction to the Bootstrap (1993), chapter 13.
    """
    columns = [np.asarray(column) for column in columns]
    n = check_same_length(*columns)
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        chosen = draw.integers(0, n, n)
        values.append(metric(*(column[chosen] for column in columns)))
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(metric(*columns), float(low), float(high))


def wilson(successes, n):
    """95 % interval of a share; holds near 0 and 1, where a bootstrap sees no spread (Wilson, 1927)."""
    from scipy.stats import binomtest

    if n < 1:
        raise ValueError(f"a share needs at least one item, got n = {n}")
    interval = binomtest(int(successes), int(n)).proportion_ci(method="wilson")
    return Interval(successes / n, float(interval.low), float(interval.high))


def score_interval(name, truth, predicted, resamples=2000, seed=0):
    """A metric of METRICS with its bootstrap interval.

    When every item is right (or every item wrong) each resample gives the same value and a bootstrap
    would claim certainty; Wilson's interval of the share is reported instead.
    """
    check_same_length(truth, predicted)
    codes = np.unique(np.concatenate([truth, predicted]), return_inverse=True)[1]
    truth, predicted = codes[: len(truth)], codes[len(truth) :]
    right = int(np.sum(truth == predicted))
    if right in (0, len(truth)):
        return wilson(right, len(truth))
    return bootstrap(METRICS[name], truth, predicted, resamples=resamples, seed=seed)


def paired_difference(name, truth, predicted_a, predicted_b, resamples=2000, seed=0):
    """Metric of b minus metric of a on the same items, with its paired bootstrap interval."""
    check_same_length(truth, predicted_a, predicted_b)
    metric = METRICS[name]
    codes = np.unique(np.concatenate([truth, predicted_a, predicted_b]), return_inverse=True)[1]
    columns = np.split(codes, [len(truth), 2 * len(truth)])
    return bootstrap(lambda t, a, b: metric(t, b) - metric(t, a), *columns, resamples=resamples, seed=seed)


def mcnemar(right_a, right_b):
    """Exact McNemar test that two systems, right or wrong on the same items, are equally accurate.

    Only items on which they disagree count; under the null each such item is a fair coin toss
    (McNemar 1947; exact form: two-sided binomial test). Returns (only a right, only b right, p).
    """
    from scipy.stats import binomtest

    right_a, right_b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    check_same_length(right_a, right_b)
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    if only_a + only_b == 0:
        return only_a, only_b, 1.0
    return only_a, only_b, float(binomtest(only_b, only_a + only_b).pvalue)


def check_same_length(*columns):
    """The common length of the columns, which must be the same and not zero."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"the columns must describe the same items, one value each, but have lengths {lengths}")
    return lengths[0]
