"""Intervals, tests and power, for systems compared on the same items; on scipy and statsmodels.

Two kinds of chance are kept apart. *Which items were drawn* for the test: bootstrap, wilson, mcnemar, equivalence.
*How training went* (seed, order, sample): interval_over_seeds. Neither interval covers the other's chance.
"""

import functools
import warnings
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
    """Share of right answers; arrays (..., n) give one share per row."""
    check_same_length(truth, predicted)
    return (np.asarray(truth) == np.asarray(predicted)).mean(-1)[()]


def macro_f1(truth, predicted):
    """The F1 score of each label, averaged with equal weight (scikit-learn's f1_score, average="macro"); one per row of (..., n).

    Written with counts because a bootstrap asks for thousands. Labels that occur neither in a row's truth nor in its
    predictions are left out.
    """
    check_same_length(truth, predicted)
    codes = np.stack([truth, predicted])
    if codes.dtype.kind not in "iu":
        codes = np.unique(codes, return_inverse=True)[1].reshape(codes.shape)
    n, size = codes.shape[-1], int(codes.max()) + 1
    truth, predicted = codes.reshape(2, -1, n) + size * np.arange(codes[0].size // n)[:, None]  # each row counts in its own bins
    rows = size * truth.shape[0]
    hits = np.bincount(truth[truth == predicted], minlength=rows).reshape(-1, size)
    seen = (np.bincount(truth.ravel(), minlength=rows) + np.bincount(predicted.ravel(), minlength=rows)).reshape(-1, size)
    scores = (2 * hits / seen.clip(min=1)).sum(-1) / (seen > 0).sum(-1)
    return scores.reshape(codes.shape[1:-1])[()]


METRICS = {"accuracy": accuracy, "macro_f1": macro_f1}


def bootstrap(metric, *columns, resamples=2000, seed=0):
    """95 % interval of metric(*columns) when the items are drawn again with replacement: BCa.

    columns: arrays of shape (n,), resampled together, so that one call serves a score (truth, predicted)
    and a paired difference (truth, predicted_a, predicted_b). metric gets them as (resamples, n), and returns one value per row.
    The bias-corrected and accelerated bootstrap of Efron (1987, JASA 82:171), as scipy.stats.bootstrap has it.
    Assumes that the items are independent draws from what the system will meet; where all resamples agree
    (every item right), the interval is a point: use wilson.
    """
    from scipy.stats import DegenerateDataWarning
    from scipy.stats import bootstrap as scipy_bootstrap

    columns = [np.asarray(column) for column in columns]
    n = check_same_length(*columns)
    estimate = float(metric(*columns))
    if n == 1:
        return Interval(estimate, estimate, estimate)
    settings = dict(paired=True, vectorized=True, n_resamples=resamples, batch=max(1, 10**6 // n), rng=np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = scipy_bootstrap(columns, lambda *drawn, axis: metric(*drawn), method="BCa", **settings)
    low, high = found.confidence_interval
    if np.isnan(low):  # every resample, or every sample without one item, gives the same value: BCa is not defined
        low, high = np.quantile(found.bootstrap_distribution, [0.025, 0.975])
    return Interval(estimate, float(low), float(high))


def wilson(successes, n):
    """95 % interval of a share of n independent items; holds near 0 and 1, where a bootstrap sees no spread.

    The score interval of Wilson (1927, JASA 22:209), as scipy has it.
    """
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
    """Metric of b minus metric of a on the same items, with its paired bootstrap interval.

    truth, predicted_a, predicted_b: (n,) labels. Where no item tells a and b apart, every resample gives zero and a
    bootstrap would claim certainty; the score interval of a paired difference (paired_shares) is reported instead.
    """
    n = check_same_length(truth, predicted_a, predicted_b)
    if list(predicted_a) == list(predicted_b):
        return paired_shares(0, 0, n)
    metric = METRICS[name]
    codes = np.unique(np.concatenate([truth, predicted_a, predicted_b]), return_inverse=True)[1]
    columns = np.split(codes, [len(truth), 2 * len(truth)])
    return bootstrap(lambda t, a, b: metric(t, b) - metric(t, a), *columns, resamples=resamples, seed=seed)


def mcnemar(right_a, right_b):
    """Exact McNemar test that two systems, right or wrong on the same items, are equally accurate.

    Only items on which they disagree count; under the null each such item is a fair coin toss
    (McNemar 1947; exact form: two-sided binomial test). Returns (only a right, only b right, p).
    """
    right_a, right_b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    check_same_length(right_a, right_b)
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    return only_a, only_b, fair_coin(min(only_a, only_b), only_a + only_b)


@functools.lru_cache(10_000)
def fair_coin(heads, tosses):
    """Two-sided exact p-value of so many heads in so many tosses; remembered, since simulations ask for thousands."""
    from scipy.stats import binomtest

    return float(binomtest(heads, tosses).pvalue) if tosses else 1.0


def holm(p_values):
    """The p-values of m tests, each adjusted so that the chance of any false alarm among them stays at the level.

    Holm's step-down procedure (1979, Scand. J. Statist. 6:65), as statsmodels has it; the tests may depend on each other.
    """
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]] if len(p_values) else []


# ---- how large a difference, and is there none -------------------------------------------------


def score_statistic(only_a, only_b, n, difference):
    """How far a result lies from a supposed difference of two shares on the same n items, in standard errors.

    Tango (1998, Statistics in Medicine 17:891): the standard error is taken where the likelihood is largest
    among all models with that difference, so it is not zero even when the two systems never disagree.
    """
    b = (2 * n - only_b + only_a) * difference - only_b - only_a
    c = -only_a * difference * (1 - difference)
    share_a = (np.sqrt(b * b - 8 * n * c) - b) / (4 * n)  # the likeliest share that only a gets right
    variance = n * (2 * share_a + difference * (1 - difference))
    distance = only_b - only_a - n * difference
    if variance <= 1e-12:
        return float(np.sign(distance) * np.inf) if abs(distance) > 1e-9 else 0.0
    return float(distance / np.sqrt(variance))


def paired_shares(only_a, only_b, n, level=0.95):
    """Share right of b minus share right of a on the same n items, with its score interval (Tango 1998).

    only_a, only_b: items that only one of the two gets right. Holds for few items and for none that differ.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if n < 1 or only_a < 0 or only_b < 0 or only_a + only_b > n:
        raise ValueError(f"of n = {n} items, only_a = {only_a} and only_b = {only_b} cannot be right in one system only")
    estimate, z = (only_b - only_a) / n, norm.isf((1 - level) / 2)
    end = 1 - 1e-9
    low = -1.0 if estimate <= -end else brentq(lambda d: score_statistic(only_a, only_b, n, d) - z, -end, estimate)
    high = 1.0 if estimate >= end else brentq(lambda d: score_statistic(only_a, only_b, n, d) + z, estimate, end)
    return Interval(estimate, float(low), float(high))


@dataclass(frozen=True)
class Equivalence:
    """Result of two one-sided tests: the difference with its 90 % interval, and whether it is shown to be within the margin."""

    difference: Interval
    margin: float
    p: float

    @property
    def equivalent(self):
        """True when a difference as large as the margin, in either direction, is refuted at the 5 % level."""
        return self.p < 0.05


def equivalence(right_a, right_b, margin):
    """Are two systems equally accurate, give or take `margin` (0.02 is two points)? Two one-sided tests (TOST).

    right_a, right_b: (n,) True or False, on the same items. A high p in McNemar's test is no proof of equality; this is
    the test that can give one (Schuirmann 1987; for paired shares with Tango's score statistic, 1998).
    """
    from scipy.stats import norm

    if not 0 < margin < 1:
        raise ValueError(f"margin is a difference of shares between 0 and 1, such as 0.02, got {margin}")
    only_a, only_b, _ = mcnemar(right_a, right_b)
    n = len(right_a)
    too_low = norm.sf(score_statistic(only_a, only_b, n, -margin))
    too_high = norm.cdf(score_statistic(only_a, only_b, n, margin))
    return Equivalence(paired_shares(only_a, only_b, n, level=0.90), margin, float(max(too_low, too_high)))


def equivalence_of_means(values_a, values_b, margin):
    """The same for numbers per item (loss, seconds): is the mean of b minus a within `margin`? Paired t, as statsmodels has it.

    values_a, values_b: (n,) numbers in the unit of margin. Assumes n large, or differences nearly normal.
    """
    from statsmodels.stats.weightstats import DescrStatsW

    n = check_same_length(values_a, values_b)
    if margin <= 0 or n < 2:
        raise ValueError(f"the margin must be above 0 and the items at least two, got margin {margin} and n = {n}")
    differences = DescrStatsW(np.asarray(values_b, float) - np.asarray(values_a, float))
    low, high = differences.tconfint_mean(alpha=0.10)
    p = float(differences.ttost_mean(-margin, margin)[0])
    return Equivalence(Interval(float(differences.mean), float(low), float(high)), margin, p)


# ---- how many items ----------------------------------------------------------------------------


def mcnemar_power(n, gain, disagreement, level=0.05):
    """The chance that the exact McNemar test on n items sees a true gain.

    gain: b's share right minus a's; disagreement: the share of items on which exactly one is right, at least |gain|.
    Exact and unconditional: the number of such items is binomial, and given it so is b's part
    (Duffy 1984, Biometrics 40:1005; G*Power computes the same).
    """
    from scipy.stats import binom

    if n < 1 or not 0 < disagreement <= 1 or abs(gain) > disagreement + 1e-9:  # equal but for rounding is equal
        raise ValueError(
            f"need n of at least 1 and |gain| <= disagreement <= 1, above 0; got n = {n}, gain {gain}, disagreement {disagreement}"
        )
    differing = np.arange(n + 1)
    critical = binom.ppf(level / 2, differing, 0.5)  # at most so many on the smaller side reject
    critical -= binom.cdf(critical, differing, 0.5) > level / 2
    share = min(1.0, max(0.0, (1 + gain / disagreement) / 2))  # of the items that differ, those that b gets right
    reject = binom.cdf(critical, differing, share) + binom.sf(differing - critical - 1, differing, share)
    return float(np.sum(binom.pmf(differing, n, disagreement) * np.where(critical < 0, 0, reject)))


def needed_n(gain, disagreement, power=0.8, level=0.05):
    """About how many items show a true gain with this power (mcnemar_power); gain and disagreement as there."""
    if gain == 0 or not 0 < power < 1:
        raise ValueError(f"a gain other than 0 and a power between 0 and 1 are needed, got gain {gain} and power {power}")
    high = 16
    while mcnemar_power(high, gain, disagreement, level) < power:
        high *= 2
        if high > 2**17:
            raise ValueError(f"a gain of {gain} needs more than a hundred thousand items")
    low = high // 2
    while high - low > max(1, low // 200):  # power climbs in small steps up and down: more digits would say nothing
        middle = (low + high) // 2
        low, high = (low, middle) if mcnemar_power(middle, gain, disagreement, level) >= power else (middle, high)
    return high


def interval_over_seeds(values):
    """95 % interval of the mean result of a recipe, over runs that differ in their seed only.

    values: (runs,) numbers, at least two. Student's t on the runs, which are taken as independent and nearly normal
    (statsmodels DescrStatsW). It says nothing about other test items: all runs were scored on the same ones.
    """
    from statsmodels.stats.weightstats import DescrStatsW

    values = np.asarray(list(values), float)
    if len(values) < 2:
        raise ValueError(f"an interval over seeds needs at least two runs, got {len(values)}")
    low, high = DescrStatsW(values).tconfint_mean()
    return Interval(float(values.mean()), float(low), float(high))


def check_same_length(*columns):
    """The common length of the columns, which must be the same and not zero."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"the columns must describe the same items, one value each, but have lengths {lengths}")
    return lengths[0]
