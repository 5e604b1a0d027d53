"""Each check of a lab accepts the solution (the solution notebooks run them) and explains typical wrong answers."""

import importlib
import inspect
import math
from collections import Counter

import pytest

from utils.feedback import NotYet
from utils.runtime import ROOT

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
ANSWERS = {"lab_09": LAB_09}
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
