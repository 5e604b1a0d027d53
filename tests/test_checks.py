"""Each check of a lab accepts the solution (the solution notebooks run them) and explains typical wrong answers."""

import importlib
import inspect
import math
from collections import Counter

import numpy as np
import pytest

from utils.feedback import NotYet
from utils.runtime import ROOT
from utils.stats import mcnemar_power

LABS = sorted((ROOT / "utils" / "checks").glob("lab_*.py"))


class Run:
    """A run that learned nothing."""

    classifier, best_epoch, validation_accuracy = None, 1, [(1, 0.1)]


def buckets(lengths, size, order=None):
    order = order or sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [order[start : start + size] for start in range(0, len(order), size)]


def tail(a, b, sides=2):
    return sides * sum(math.comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b)


# exercise: [(typical wrong answer, words of the explanation)], then a right one
LAB_09 = {
    "check_count_labels": [
        (lambda labels: None, "returns nothing"),
        (lambda labels: set(labels), "return a dict"),
        (lambda labels: dict.fromkeys(labels, 1), "expect b three times"),
        (lambda labels: {n: label for label, n in Counter(labels).items()}, "keys should be"),
        (lambda labels: Counter(labels), None),
    ],
    "check_majority_accuracy": [
        (lambda train, test: Counter(test).most_common(1)[0][1] / len(test), "commonest label of the training set"),
        (lambda train, test: Counter(train).most_common(1)[0][1] / len(train), "share of the training set"),
        (lambda train, test: test.count("a"), "expect 0.25|divide"),
        (lambda train, test: "a", "return one number"),
        (lambda train, test: test.count(Counter(train).most_common(1)[0][0]) / len(test), None),
    ],
    "check_share_of_padding": [
        (lambda lengths, size: 16 / 24, "divided by the real tokens"),
        (lambda lengths, size: 1 - sum(lengths) / (max(lengths) * len(lengths)), "last batch may be smaller|expect 16 / 40"),
        (lambda lengths, size: None, "return one number"),
        (lambda lengths, size: 1 - sum(lengths) / sum(max(lengths[s : s + size]) * size for s in range(0, len(lengths), size)), "smaller"),
        (
            lambda lengths, size: (
                1 - sum(lengths) / sum(max(lengths[s : s + size]) * len(lengths[s : s + size]) for s in range(0, len(lengths), size))
            ),
            None,
        ),
    ],
    "check_bucket": [
        (lambda lengths, size: buckets(lengths, size, list(range(len(lengths)))), "sort the row numbers"),
        (lambda lengths, size: buckets(sorted(lengths), size, sorted(lengths)), "not its length"),
        (lambda lengths, size: sorted(range(len(lengths))), "list of batches"),
        (lambda lengths, size: buckets(lengths, size)[:-1], "exactly one batch"),
        (lambda lengths, size: [sorted(range(len(lengths)))], "at most 8"),
        (lambda lengths, size: None, "returns nothing"),
        (buckets, None),
    ],
    "check_mean_pool": [
        (lambda hidden, mask: hidden.mean(1), "padding is in your average"),
        (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(1) / 3, "divide by T"),
        (lambda hidden, mask: hidden.mean(2), "should become"),
        (lambda hidden, mask: hidden[:, 0], "expected"),
        (lambda hidden, mask: [1], "return a tensor"),
        (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True), None),
    ],
    "check_run": [
        ((None, 0.2), "return what fine_tune returns"),
        ((Run(), 0.2), "train for more epochs"),
        ((Run(), 0.05), None),
    ],
    "check_exact_mcnemar": [
        (lambda a, b: tail(a, b, sides=1), "one side only"),
        (lambda a, b: 2 * math.comb(a + b, min(a, b)) / 2 ** (a + b), "at least as uneven"),
        (lambda a, b: tail(a, b), "never above 1"),
        (lambda a, b: "small", "return one number"),
        (lambda a, b: min(1.0, tail(a, b)), None),
    ],
}


def wilson_by_hand(right, z=1.96):
    n, s = len(right), sum(right)
    half = z / (n + z**2) * math.sqrt(s * (n - s) / n + z**2 / 4)
    centre = (s + z**2 / 2) / (n + z**2)
    return centre - half, centre + half


def wald(right):
    n, share = len(right), sum(right) / len(right)
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    return share - half, share + half


def resampled(a, b, resamples, seed, ends=(0.025, 0.975), together=True, replace=True):
    draw, n = np.random.default_rng(seed), len(a)
    differences = []
    for _ in range(resamples):
        rows = draw.choice(n, n, replace=replace)
        others = rows if together else draw.integers(0, n, n)
        differences.append(b[rows].mean() - a[others].mean())
    return tuple(np.quantile(differences, ends))


def first_size(gain, disagreement, sizes, power=0.8, otherwise=None):
    return next((n for n in sizes if mcnemar_power(n, gain, disagreement) >= power), otherwise)


def slices(a, b, values, least=0):
    found = {value: np.array([v == value for v in values]) for value in values}
    return [(value, float(b[inside].mean() - a[inside].mean())) for value, inside in found.items() if inside.sum() >= least]


def by_difference(pair):
    return pair[1]


def turned(predict, texts, change, only_changed=True):
    pairs = [(text, change(text)) for text in texts if not only_changed or text != change(text)]
    if not pairs:
        return 0.0
    before, after = predict([text for text, _ in pairs]), predict([other for _, other in pairs])
    return sum(x != y for x, y in zip(before, after, strict=True)) / len(pairs)


def failures(predict, cases):
    answers = predict([text for text, _ in cases])
    return [(text, label, answer) for (text, label), answer in zip(cases, answers, strict=True) if label != answer]


def judged(evidence, rule, least=("gain", "low", "worst_slice"), strict=False):
    broken = [k for k in rule if (evidence[k] < rule[k] if k in least else evidence[k] > rule[k]) or (strict and evidence[k] == rule[k])]
    return ("do not ship" if broken else "ship"), [f"{name} is {evidence[name]}" for name in broken]


def first_reason(evidence, rule):
    decision, reasons = judged(evidence, rule)
    return decision, reasons[:1]


def by_majority(evidence, rule):
    reasons = judged(evidence, rule)[1]
    return ("do not ship" if len(reasons) > len(rule) / 2 else "ship"), reasons


LAB_14 = {
    "check_share_interval": [
        (wald, "1.96 standard errors"),
        (lambda right: wilson_by_hand(right)[::-1], "low should not be above high"),
        (lambda right: wilson_by_hand(right, 1.645), "expect 0.598 to 0.858"),
        (lambda right: (sum(right) / len(right) - 0.13, sum(right) / len(right) + 0.13), "lies evenly around"),
        (lambda right: tuple(len(right) * end for end in wilson_by_hand(right)), "divide by"),
        (lambda right: sum(right) / len(right), "return two values"),
        (lambda right: None, "returns nothing"),
        (wilson_by_hand, None),
    ],
    "check_paired_bootstrap": [
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, together=False), "systems separately"),
        (lambda a, b, resamples, seed: resampled(b, a, resamples, seed), "take b minus a"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, ends=(0.05, 0.95)), "middle 90 %"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, ends=(0, 1)), "expect about"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, replace=False), "with replacement"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, None), "same seed"),
        (lambda a, b, resamples, seed: b.mean() - a.mean(), "return two values"),
        (resampled, None),
    ],
    "check_needed_items": [
        (lambda gain, disagreement, sizes: first_size(gain, disagreement, sizes, power=0.5), "at least 0.8"),
        (lambda gain, disagreement, sizes: max(sizes), "first size that suffices"),
        (lambda gain, disagreement, sizes: first_size(gain, disagreement, sizes, otherwise=sizes[-1]), "expect None"),
        (lambda gain, disagreement, sizes: sizes.index(first_size(gain, disagreement, sizes)), "not its place"),
        (lambda gain, disagreement, sizes: mcnemar_power(1000, gain, disagreement), "a whole number"),
        (lambda gain, disagreement, sizes: None, "got None"),
        (first_size, None),
    ],
    "check_worst_slice": [
        (lambda a, b, values, least: min(slices(a, b, values), key=by_difference), "leave such slices out"),
        (lambda a, b, values, least: max(slices(a, b, values, least), key=by_difference), "gains most"),
        (lambda a, b, values, least: max(slices(b, a, values, least), key=by_difference), "subtract a from b"),
        (lambda a, b, values, least: min(slices(a, b, values, least + 1), key=by_difference), "exactly 20 items"),
        (lambda a, b, values, least: min(slices(a, b, values, least), key=by_difference)[::-1], "value first"),
        (lambda a, b, values, least: min(slices(a, b, values, least), key=by_difference)[0], "return two values"),
        (lambda a, b, values, least: min(slices(a, b, values, least), key=by_difference), None),
    ],
    "check_invariance_failures": [
        (lambda predict, texts, change: turned(predict, texts, change, only_changed=False), "leave them out"),
        (lambda predict, texts, change: 1 - turned(predict, texts, change), "labels that stay"),
        (lambda predict, texts, change: round(5 * turned(predict, texts, change)), "divide by the number"),
        (lambda predict, texts, change: sum(predict(text) != predict(change(text)) for text in texts), "a list of texts"),
        (lambda predict, texts, change: 1.0, "not the texts"),
        (lambda predict, texts, change: turned(predict, texts, change) or 1, "touches no text"),
        (lambda predict, texts, change: None, "returns nothing"),
        (turned, None),
    ],
    "check_minimum_functionality": [
        (lambda predict, cases: len(failures(predict, cases)), "the failed cases themselves"),
        (lambda predict, cases: [case for case in cases if case[0] in ("fire in the tent", "hello")], "with the right answer"),
        (lambda predict, cases: [(text, label) for text, label, _ in failures(predict, cases)], "text, label, answer"),
        (lambda predict, cases: [(text, answer, label) for text, label, answer in failures(predict, cases)], "wrong way round"),
        (lambda predict, cases: [case for case in cases if predict(case[0])[0] != case[1]], "a list of texts"),
        (lambda predict, cases: failures(predict, cases)[:1], "in the order of the cases"),
        (failures, None),
    ],
    "check_ship": [
        (lambda evidence, rule: judged(evidence, rule, least=()), "more is better"),
        (lambda evidence, rule: judged(evidence, rule, least=tuple(rule)), "where no bound is broken"),
        (lambda evidence, rule: judged(evidence, rule, strict=True), "met exactly|no bound is broken"),
        (first_reason, "go on after the first"),
        (by_majority, "one broken bound is enough"),
        (lambda evidence, rule: judged(evidence, rule)[0] == "ship", "return two values"),
        (lambda evidence, rule: (not judged(evidence, rule)[1], judged(evidence, rule)[1]), "'ship' or 'do not ship'"),
        (judged, None),
    ],
}

ANSWERS = {"lab_09": LAB_09, "lab_14": LAB_14}
CASES = [(lab, check, answer, words) for lab, checks in ANSWERS.items() for check, rows in checks.items() for answer, words in rows]


@pytest.mark.parametrize(("lab", "check", "answer", "words"), CASES)
def test_a_check_explains_what_is_wrong_and_accepts_what_is_right(lab, check, answer, words, capsys):
    function = getattr(importlib.import_module(f"utils.checks.{lab}"), check)
    arguments = answer if isinstance(answer, tuple) else (answer,)
    if words is None:
        function(*arguments)
        assert capsys.readouterr().out.startswith("Right. ")
        return
    with pytest.raises(NotYet, match=words) as refusal:
        function(*arguments)
    assert len(str(refusal.value)) > 20
    assert refusal.value._render_traceback_() == [f"Not yet: {refusal.value}"]


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_every_check_has_two_wrong_answers_here_and_a_place_in_its_lab(path):
    module = importlib.import_module(f"utils.checks.{path.stem}")
    checks = {name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith("check_")}
    rows = ANSWERS[path.stem]
    assert checks == set(rows)
    assert all(sum(words is not None for _, words in answers) >= 2 for answers in rows.values())
    solution = next((ROOT / "solutions").glob(f"{path.stem[4:]}_*.ipynb")).read_text(encoding="utf-8")
    assert all(f"{check}(" in solution for check in checks)
