"""The 65 claims, the card, the ledger."""

import json

import pytest

from utils import claims as module
from utils.claims import KINDS, VERDICTS, claims, judge, ledger, plot_ledger, record
from utils.stats import Interval


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("FTM_LEDGER", str(tmp_path / "ledger.jsonl"))
    return tmp_path / "ledger.jsonl"


def test_there_are_65_claims_in_order_each_with_kind_lesson_and_source():
    assert list(claims()) == [f"C{number}" for number in range(1, 66)]
    for row in claims().values():
        assert row["kind"] in KINDS and row["articles"] and 0 <= int(row["lesson"]) <= 19
        assert row["link"] is None or row["link"].startswith("https://")
        assert row["experiments"] or row["kind"] != "measured"


@pytest.mark.parametrize(
    ("interval", "bound", "verdict"),
    [
        ((0.1, 0.2), {"above": 0}, "holds here"),
        ((-0.2, -0.1), {"above": 0}, "fails here"),
        ((-0.1, 0.1), {"above": 0}, "depends"),
        ((0.1, 0.2), {"below": 0.3}, "holds here"),
        ((0.4, 0.5), {"below": 0.3}, "fails here"),
    ],
)
def test_a_verdict_follows_from_interval_and_bound(interval, bound, verdict):
    assert judge(Interval(sum(interval) / 2, *interval), **bound) == verdict and verdict in VERDICTS


def test_a_record_is_kept_and_the_newest_full_one_counts(own_ledger):
    record("C57", 10, (5, 15), "points", 100, "holds here")
    record("C57", 12, (6, 18), "points", 200, "depends")
    record("C57", 1, (0, 2), "points", 9, "fails here", quick=True)
    record("C45", 3, (1, 5), "%", 50, "fails here", "note")
    table = ledger().set_index("number")
    assert list(table.index) == ["C45", "C57"] and table.loc["C57", "estimate"] == 12
    assert plot_ledger() is not None and len(own_ledger.read_text().splitlines()) == 4


def test_a_broken_line_loses_nothing_else(own_ledger):
    record("C57", 10, (5, 15), "points", 100, "holds here")
    with own_ledger.open("a") as file:
        file.write('{"number": "C4')  # a crash
    record("C45", 3, (1, 5), "%", 50, "fails here")
    assert list(ledger()["number"]) == ["C45", "C57"]


def test_text_becomes_harmless_html(monkeypatch):
    evil = {**claims()["C1"], "claim": "<script>alert(1)</script>", "link": 'https://x.org/"><b>'}
    monkeypatch.setattr(module, "claims", lambda: {"C1": evil})
    page = record("C1", 1, (0, 2), "<i>points</i>", 3, "depends", "<img src=x onerror=y>")._repr_html_()
    assert "<script" not in page and "<img" not in page and "<i>points" not in page and 'href="https://x.org/&quot;&gt;' in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("C99", 1, (0, 2), "points", 3, "depends"), "no claim 'C99'"),
        (("C1", 1, (0, 2), "points", 3, "true"), "must be one of holds here"),
        (("C1", 1, (2, 0), "points", 3, "depends"), "low <= high"),
        (("C1", float("nan"), (0, 2), "points", 3, "depends"), "must be numbers"),
        (("C1", 1, (0, 2), "points", 0, "depends"), "n must be at least 1"),
    ],
)
def test_a_record_that_cannot_be_is_refused_in_a_sentence(own_ledger, arguments, words):
    with pytest.raises(ValueError, match=words):
        record(*arguments)
    assert not own_ledger.exists() and json.loads("[]") == list(ledger()["number"])
