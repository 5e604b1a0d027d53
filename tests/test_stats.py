"""utils.stats: equal to scikit-learn and statsmodels; intervals that cover what they say."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from statsmodels.stats.contingency_tables import mcnemar as published_mcnemar
from statsmodels.stats.proportion import proportion_confint

from utils.stats import (
    accuracy,
    bootstrap,
    equivalence,
    equivalence_of_means,
    holm,
    interval_over_seeds,
    macro_f1,
    mcnemar,
    mcnemar_power,
    needed_n,
    paired_difference,
    paired_shares,
    score_interval,
    score_statistic,
    wilson,
)


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


def test_many_rows_at_once_give_what_each_row_gives():
    draw = np.random.default_rng(3)
    truth, predicted = draw.integers(0, 4, (6, 30)), draw.integers(1, 6, (6, 30))
    for metric in (accuracy, macro_f1):
        assert list(metric(truth, predicted)) == pytest.approx([metric(*row) for row in zip(truth, predicted, strict=True)])


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


def labels_at(draw, n, share=0.8):
    """Two labels, predicted rightly with this chance: by symmetry accuracy and macro-F1 are both `share` on the population."""
    truth = draw.integers(0, 2, n)
    return truth, np.where(draw.random(n) < share, truth, 1 - truth)


def two_systems(draw, n, only_a, only_b):
    """Right and wrong of two systems, of which one alone is right with these chances."""
    where = draw.random(n)
    both = draw.random(n) < 0.7
    return np.where(where < only_a, True, np.where(where < only_a + only_b, False, both)), np.where(
        where < only_a, False, np.where(where < only_a + only_b, True, both)
    )


def gain(right_a, right_b):
    return right_b.mean(-1) - right_a.mean(-1)


INTERVALS = {  # name: (how to draw an interval, its true value)
    "accuracy": (lambda draw: score_interval("accuracy", *labels_at(draw, 150), resamples=400), 0.8),
    "macro_f1": (lambda draw: score_interval("macro_f1", *labels_at(draw, 150), resamples=300), 0.8),
    "wilson": (lambda draw: wilson(draw.binomial(150, 0.8), 150), 0.8),
    "paired_shares": (lambda draw: paired_shares(*mcnemar(*two_systems(draw, 150, 0.05, 0.15))[:2], 150), 0.1),
    "seeds": (lambda draw: interval_over_seeds(draw.normal(0.7, 0.02, 5)), 0.7),
    "paired bootstrap": (lambda draw: bootstrap(gain, *two_systems(draw, 150, 0.05, 0.15), resamples=400), 0.1),
}


@pytest.mark.parametrize("name", INTERVALS)
def test_95_of_100_intervals_cover_the_truth(name):
    make, true = INTERVALS[name]
    draw, draws = np.random.default_rng(0), 2000
    covered = sum(low <= true <= high for low, high in (make(draw) for _ in range(draws)))
    assert 0.93 <= covered / draws <= 0.97


TESTS = {  # name: how often, at the edge of the null, the test at level 0.05 speaks
    "mcnemar": lambda draw: mcnemar(*two_systems(draw, 150, 0.1, 0.1))[2] < 0.05,
    "holm": lambda draw: min(holm([mcnemar(*two_systems(draw, 80, 0.2, 0.2))[2] for _ in range(5)])) < 0.05,
    "equivalence": lambda draw: equivalence(*two_systems(draw, 300, 0.05, 0.15), margin=0.1).equivalent,
    "equivalence_of_means": lambda draw: equivalence_of_means(np.zeros(60), draw.normal(0.1, 1, 60), 0.1).equivalent,
}


@pytest.mark.parametrize("name", TESTS)
def test_a_test_raises_a_false_alarm_at_most_as_often_as_its_level_says(name, monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels collects garbage in each call for Holm: 0.1 s a time
    draw, draws = np.random.default_rng(1), 2000
    alarms = sum(TESTS[name](draw) for _ in range(draws))
    assert alarms / draws <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / draws)  # the level, and the simulation's own error


def test_power_is_the_share_of_simulated_tests_that_reject():
    draw, n = np.random.default_rng(2), 120
    rejected = np.mean([mcnemar(*two_systems(draw, n, 0.05, 0.20))[2] < 0.05 for _ in range(3000)])
    assert mcnemar_power(n, gain=0.15, disagreement=0.25) == pytest.approx(rejected, abs=0.03)


def test_power_gives_the_figure_of_gpowers_manual():
    """Odds ratio 0.25, 40 % discordant pairs, n = 50, one-sided 5 %: 0.839; two-sided 10 % is the same but for the far side."""
    assert mcnemar_power(50, gain=0.24, disagreement=0.4, level=0.10) == pytest.approx(0.8393, abs=1e-3)


@pytest.mark.parametrize(("gain", "disagreement"), [(0.02, 0.1), (0.05, 0.15), (-0.1, 0.3)])
def test_the_needed_n_has_the_power_and_less_has_not(gain, disagreement):
    n = needed_n(gain, disagreement)
    assert mcnemar_power(n, gain, disagreement) >= 0.8 > mcnemar_power(int(0.95 * n), gain, disagreement)


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(3, 9, 60), (0, 4, 40), (20, 5, 200)])
@pytest.mark.parametrize("difference", [-0.3, -0.05, 0.1, 0.4])
def test_the_score_statistic_equals_one_from_a_numerical_likelihood(only_a, only_b, n, difference):
    from scipy.optimize import minimize_scalar

    def loss(share_a):
        shares = np.array([share_a, share_a + difference, 1 - 2 * share_a - difference])
        return -np.sum([only_a, only_b, n - only_a - only_b] * np.log(np.clip(shares, 1e-300, None)))

    low, high = max(0.0, -difference), (1 - difference) / 2
    share_a = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    expected = (only_b - only_a - n * difference) / np.sqrt(n * (2 * share_a + difference * (1 - difference)))
    assert score_statistic(only_a, only_b, n, difference) == pytest.approx(expected, rel=1e-3)


def test_two_systems_that_never_differ_are_equal_only_with_enough_items():
    few, many = np.ones(50, bool), np.ones(500, bool)
    assert not equivalence(few, few, margin=0.02).equivalent
    assert equivalence(many, many, margin=0.02).equivalent
    assert paired_difference("accuracy", ["a"] * 50, ["b"] * 50, ["b"] * 50).high > 0.03


def test_holm_equals_the_worked_example():
    """Four tests of Holm's procedure by hand: 0.01 × 4, 0.02 × 3, 0.03 × 2 and 0.04, never falling."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


def test_the_interval_over_seeds_is_students():
    from scipy.stats import t

    values = [0.70, 0.72, 0.69, 0.73]
    half = t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert tuple(interval_over_seeds(values)) == pytest.approx((np.mean(values) - half, np.mean(values) + half))


def test_what_cannot_be_computed_is_said_in_a_sentence():
    for words, call in {
        "at least two runs": lambda: interval_over_seeds([0.5]),
        "disagreement <= 1, above 0": lambda: mcnemar_power(100, 0.2, 0.1),
        "a gain other than 0": lambda: needed_n(0, 0.1),
        "more than a hundred thousand": lambda: needed_n(1e-6, 0.5),
        "a difference of shares between 0 and 1": lambda: equivalence([True], [True], margin=2),
        "cannot be right in one system only": lambda: paired_shares(3, 3, 5),
    }.items():
        with pytest.raises(ValueError, match=words):
            call()


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
