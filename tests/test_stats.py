"""utils.stats: equal to scikit-learn and statsmodels; intervals that cover what they say."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from statsmodels.stats.contingency_tables import mcnemar as published_mcnemar
from statsmodels.stats.proportion import proportion_confint

from utils.stats import accuracy, bootstrap, macro_f1, mcnemar, paired_difference, score_interval, wilson


@pytest.mark.parametrize("seed", range(20))
def test_accuracy_and_macro_f1_equal_scikit_learns(seed):
    draw = np.random.default_rng(seed)
    n = draw.integers(1, 40)
    truth, predicted = draw.choice(list("abcd"), n), draw.choice(list("cdef"), n)  # some labels on one side only
    right = draw.random(n) < 0.5
    predicted[right] = truth[right]
    assert accuracy(truth, predicted) == pytest.approx(accuracy_score(truth, predicted))
    assert macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    assert macro_f1(list(truth), list(predicted)) == macro_f1(truth, predicted)


def pairs(only_a, only_b, both=5, neither=3):
    """Two systems' right and wrong answers with these counts."""
    counts = [only_a, only_b, both, neither]
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


def test_mcnemar_equals_statsmodels_exact_test():
    for only_a in range(0, 30, 3):
        for only_b in range(0, 40, 4):
            expected = published_mcnemar([[5, only_a], [only_b, 3]], exact=True).pvalue
            assert mcnemar(*pairs(only_a, only_b)) == (only_a, only_b, pytest.approx(expected))


def test_mcnemar_gives_the_published_p_value():
    """Hyper-responsive airways of 21 children before and after a transplant: Fagerland, Lydersen & Laake (2013), exact p = 0.070."""
    assert round(mcnemar(*pairs(1, 7, both=1, neither=12))[2], 3) == 0.070


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (10, 10), (37, 50), (999, 1000), (1, 1)])
def test_wilson_equals_statsmodels(successes, n):
    interval = wilson(successes, n)
    assert interval.estimate == successes / n
    assert tuple(interval) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_the_interval_covers_the_truth_in_about_95_of_100_samples(name):
    draw = np.random.default_rng(0)

    def sample(n):
        truth = draw.integers(0, 2, n)
        return truth, np.where(draw.random(n) < 0.8, truth, 1 - truth)

    covered = 0
    for seed in range(400):
        low, high = score_interval(name, *sample(200), resamples=300, seed=seed)
        covered += low <= 0.8 <= high  # by symmetry both metrics are 0.8 on the whole population
    assert 0.92 <= covered / 400 <= 0.975  # a 90 % interval covers 0.89


def test_the_paired_difference_has_the_sign_of_the_better_system_and_contains_its_estimate():
    draw = np.random.default_rng(1)
    truth = draw.choice(list("abc"), 300)
    worse = np.where(draw.random(300) < 0.6, truth, "a")
    better = np.where(draw.random(300) < 0.9, truth, "b")
    for name, metric in (("accuracy", accuracy), ("macro_f1", macro_f1)):
        forward, backward = paired_difference(name, truth, worse, better), paired_difference(name, truth, better, worse)
        assert forward.estimate == pytest.approx(metric(truth, better) - metric(truth, worse))
        assert 0 < forward.low < forward.estimate < forward.high
        assert (backward.low, backward.high) == pytest.approx((-forward.high, -forward.low), abs=0.01)


def test_pairing_narrows_the_interval():
    draw = np.random.default_rng(2)
    truth = draw.integers(0, 2, 400)
    a = np.where(draw.random(400) < 0.7, truth, 1 - truth)
    b = np.where(draw.random(400) < 0.05, truth, a)  # right wherever a is, and a little more
    paired, single = paired_difference("accuracy", truth, a, b), score_interval("accuracy", truth, a)
    assert paired.high - paired.low < 0.5 * (single.high - single.low) and paired.low >= 0


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_all_right_is_not_certainty(name):
    interval = score_interval(name, list("abab"), list("abab"))
    assert interval.estimate == interval.high == 1 and interval.low < 0.6
    interval = score_interval(name, list("abab"), list("baba"))
    assert interval.estimate == interval.low == 0 and interval.high > 0.4


def test_a_seed_gives_one_interval():
    truth, predicted = list("aabbabab" * 5), list("abbbaaab" * 5)
    assert score_interval("macro_f1", truth, predicted, seed=3) == score_interval("macro_f1", truth, predicted, seed=3)
    assert score_interval("macro_f1", truth, predicted, seed=3) != score_interval("macro_f1", truth, predicted, seed=4)


def test_an_interval_reads_as_percentages():
    assert str(wilson(8, 10)) == "80.0% (49.0% to 94.3%)"


UNEQUAL = {
    "accuracy": lambda: accuracy(["a"], ["a", "b"]),
    "macro_f1": lambda: macro_f1(["a", "b"], ["a"]),
    "score_interval": lambda: score_interval("accuracy", ["a", "b", "a"], ["a", "b"]),
    "bootstrap": lambda: bootstrap(accuracy, [1, 2], [1]),
    "paired_difference": lambda: paired_difference("accuracy", ["a"] * 3, ["a"] * 4, ["a"] * 2),
    "mcnemar": lambda: mcnemar([True, False], [True]),
    "accuracy of nothing": lambda: accuracy([], []),
    "macro_f1 of nothing": lambda: macro_f1([], []),
    "score_interval of nothing": lambda: score_interval("accuracy", [], []),
    "paired_difference of nothing": lambda: paired_difference("accuracy", [], [], []),
    "mcnemar of nothing": lambda: mcnemar([], []),
}


@pytest.mark.parametrize("case", UNEQUAL)
def test_different_lengths_and_nothing_at_all_are_refused(case):
    with pytest.raises(ValueError, match="must describe the same items, one value each, but have lengths"):
        UNEQUAL[case]()


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one item"):
        wilson(0, 0)
