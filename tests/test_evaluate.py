"""utils.evaluate and utils.baselines: score, tables, comparison in words, latency, numbers to beat."""

import re

import pytest

from utils.baselines import Majority, Tfidf
from utils.evaluate import compare, cost_per_million, latency, score
from utils.stats import accuracy, macro_f1


class Oracle:
    """Knows the labels of some texts and answers "?" to the rest."""

    def __init__(self, answers):
        self.answers, self.calls = answers, []

    def predict(self, texts):
        self.calls.append(len(texts))
        return [self.answers.get(text, "?") for text in texts]


def split(n=40, labels="ab"):
    return {"text": [f"text {i}" for i in range(n)], "label": [labels[i % len(labels)] for i in range(n)]}


def knows(data, numbers):
    """A system that is right on these items only."""
    return Oracle({data["text"][i]: data["label"][i] for i in numbers})


def test_a_score_has_both_metrics_and_the_predictions():
    data = split()
    result = score(knows(data, range(30)), data, "thirty")
    assert result.n == 40 and result.predicted == data["label"][:30] + ["?"] * 10
    assert result.accuracy.estimate == accuracy(data["label"], result.predicted) == 0.75
    assert result.macro_f1.estimate == pytest.approx(macro_f1(data["label"], result.predicted))
    assert result.accuracy.low < 0.75 < result.accuracy.high and result.right.sum() == 30
    assert str(result).startswith("thirty: accuracy 75.0% (") and str(result).endswith("n = 40")
    assert score(Oracle({}), data).name == "Oracle"


def test_a_data_set_of_the_library_can_be_scored(toy_data):
    result = score(Tfidf(toy_data["train"]["text"], toy_data["train"]["label"]), toy_data["test"])
    assert result.accuracy.estimate == 1 and result.n == 30


def test_tables_count_each_label():
    data = {"text": ["t1", "t2", "t3", "t4"], "label": ["a", "a", "b", "b"]}
    result = score(Oracle({"t1": "a", "t2": "b", "t3": "b", "t4": "c"}), data)
    assert result.per_class().round(2).to_dict("index") == {
        "a": {"precision": 1, "recall": 0.5, "f1": 0.67, "items": 2},
        "b": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "items": 2},
        "c": {"precision": 0, "recall": 0, "f1": 0, "items": 0},
    }
    table = result.confusion()
    assert list(table.index) == list(table.columns) == ["a", "b", "c"]
    assert table.to_numpy().tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert result.errors().to_numpy().tolist() == [["t2", "a", "b"], ["t4", "b", "c"]]


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (range(10), range(30), "second is better than first by 50.0 points, 95 % interval "),
        (range(30), range(10), "second is worse than first by 50.0 points, 95 % interval "),
    ],
)
def test_a_clear_difference_is_said_with_its_direction(first, second, sentence):
    data = split()
    result = compare(score(knows(data, first), data, "first"), score(knows(data, second), data, "second"))
    assert str(result).startswith(sentence) and str(result).endswith(", p < 0.001, n = 40")
    assert {result.only_a, result.only_b} == {0, 20} and result.difference.low * result.difference.high > 0
    assert result.f1_difference.estimate * result.difference.estimate > 0


@pytest.mark.parametrize("second", [range(30), range(32), range(8, 34)])
def test_a_small_difference_is_said_to_be_too_small_to_tell(second):
    data = split()
    sentence = str(compare(score(knows(data, range(30)), data, "first"), score(knows(data, second), data, "second")))
    assert sentence.startswith("second against first: ") and "too small a difference to tell on 40 items" in sentence
    assert re.search(r"a true gain of 2 points shows on about [\d,]+ items in 4 tests of 5, on these 40 in \d+% of tests", sentence)
    assert "p = " in sentence and "better" not in sentence and "worse" not in sentence


def test_systems_are_scored_on_the_data_and_timed():
    data = split()
    result = compare(
        knows(data, range(10)), type("Other", (Oracle,), {})(knows(data, range(30)).answers), data, price_per_hour=3.6, timed=2
    )
    assert result.difference.estimate == 0.5 and result.a.latency and result.verdict == "better"
    table = result.table()
    assert {"accuracy", "right alone", "ms, one at a time", "cost per million items"} <= set(table.columns) and len(table) == 3
    assert table.loc["Other minus Oracle", "right alone"] == "+20, McNemar p < 0.001"
    with pytest.raises(ValueError, match="or two systems and the data"):
        compare(Oracle({}), Oracle({}))


def test_a_system_that_loses_in_one_slice_is_found_there():
    data = {**split(), "channel": ["chat"] * 20 + ["phone"] * 20}
    result = compare(score(knows(data, range(20, 30)), data, "first"), score(knows(data, range(20)), data, "second"))
    table = result.slices("channel").set_index("value")
    assert table.loc["chat", "difference"] == 1 and table.loc["phone", "difference"] == -0.5
    assert list(table["n"]) == [20, 20] and (table["p"] < 0.05).all() and table.loc["phone", "high"] < 0
    assert set(result.slices()["slice"]) == {"label", "channel", "length"}
    with pytest.raises(ValueError, match="no column 'planet' to slice by; there are label, length, channel"):
        result.slices("planet")


def test_cost_follows_time_and_price():
    data = split()
    result = score(knows(data, range(9)), data)
    result.seconds = 4.0  # for 40 items: 0.1 s each, 100,000 s for a million
    assert cost_per_million(result, price_per_hour=0.36) == pytest.approx(10)


@pytest.mark.parametrize("other", [split(39), split(40, "ba"), {**split(), "text": ["other"] * 40}])
def test_scores_of_different_items_are_not_compared(other):
    data = split()
    with pytest.raises(ValueError, match="scored on different items; score both on the same split"):
        compare(score(knows(data, range(9)), data), score(knows(data, range(9)), other))


def test_an_empty_split_and_a_system_that_skips_texts_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        score(Oracle({}), {"text": [], "label": []})
    silent = Oracle({})
    silent.predict = lambda texts: ["a"]
    with pytest.raises(ValueError, match="lengths \\[40, 1\\]"):
        score(silent, split())


def test_latency_takes_one_text_at_a_time():
    system = Oracle({})
    median, slow = latency(system, ["a", "b", "c"], repeats=4)
    assert system.calls == [1] * 13 and 0 < median <= slow


def test_majority_answers_with_the_commonest_label_and_the_first_of_equals():
    assert Majority(list("abcbb")).predict(["x", "y"]) == ["b", "b"]
    assert Majority(list("cbbc")).predict(["x"]) == ["b"]


def test_tfidf_learns_words_and_pairs_of_words():
    texts = ["not good", "good", "really good", "not bad", "bad", "really bad"] * 3
    labels = ["no", "yes", "yes", "yes", "no", "no"] * 3
    assert Tfidf(texts, labels).predict(["good", "bad", "not good", "not bad"]) == ["yes", "no", "no", "yes"]
