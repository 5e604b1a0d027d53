"""Fernhill's policies as dated documents, and questions about them."""

import numpy as np
import pytest

from utils.fernhill import policies
from utils.passages import split_markdown
from utils.policies import DAYS, WORDINGS, dated, found, found_in, policy_documents, questions, share, states
from utils.retrieval import Store


def test_the_line_in_force_becomes_the_day_and_leaves_the_text():
    document = dated("post", "# Post\n\nIn force from 1 January until 30 June.\n\nIt costs £4.95.\n")
    assert (document.since, document.text) == ("2026-01-01", "# Post\n\nIt costs £4.95.\n")
    documents = policy_documents()
    assert {d.since for d in documents} == {"2026-01-01", "2026-07-01"} and len(documents) == 80
    assert not any("In force" in d.text for d in documents)


def test_a_document_without_a_day_is_refused():
    with pytest.raises(ValueError, match="document 'post' does not say from when it holds"):
        dated("post", "# Post\n\nIn force from the 1st.\n")


def test_all_wordings_of_a_fact_are_in_one_part():
    parts = {part: {row["id"] for row in questions(part)} for part in ("validation", "test")}
    assert not parts["validation"] & parts["test"]
    assert {part: len(ids) for part, ids in parts.items()} == {"validation": 50, "test": 100}
    for part in parts:
        rows = questions(part)
        assert len(rows) == 9 * len(parts[part])
        assert {w: sum(row["wording"] == w for row in rows) // len(parts[part]) for w in WORDINGS} == dict(
            zip(WORDINGS, (1, 4, 4), strict=True)
        )
        assert {row["document"] is None for row in questions(part, answerable=False)} == {True}
        assert len(questions(part, answerable=True)) + len(questions(part, answerable=False)) == len(rows)


def test_an_unknown_part_or_wording_is_refused():
    with pytest.raises(ValueError, match="part is validation or test"):
        questions("train")
    with pytest.raises(ValueError, match="wordings are of as written"):
        questions("test", ["shouted"])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_answer_stands_in_a_passage_of_its_document(version):
    texts = policies(1 if version == "v1" else 12)
    passages = [dict(source=source, text=text) for source, whole in texts.items() for _, text in split_markdown(whole)]
    for row in questions("validation", ["as written"], answerable=True) + questions("test", ["as written"], answerable=True):
        assert found_in(passages, row, version, texts), row["id"]
        assert not found_in([p for p in passages if p["source"] != row["document"]], row, version, texts)


def test_words_alone_find_most_answers_and_only_in_the_version_of_the_day(tmp_path):
    with Store(tmp_path / "policies.sqlite", lambda texts: np.ones((len(texts), 2))) as store:
        store.ingest(policy_documents())
        rows = questions("validation", ["as written"], answerable=True)
        assert found(store, rows, "v1", by="words").mean() > 0.9 and found(store, rows, "v2", by="words").mean() > 0.9
        changed = [row for row in rows if row["v1"] != row["v2"]]
        assert found(store, changed, "v1", by="words", on=DAYS["v2"]).mean() < 0.2
        assert found(store, rows, "v1", k=1, by="words", on="2020-01-01").sum() == 0


@pytest.mark.parametrize(
    ("text", "answer", "yes"),
    [
        ("It costs £4.95.", "£4.95", True),
        ("It costs £14.95.", "£4.95", False),
        ("It costs £4.95 or so", "£4", False),
        ("Returns within 114 days", "14 days", False),
        ("Within 14 Days.", "14 days", True),
        ("You can use 1 code.", "one", True),
        ("someone", "one", False),
        ("It is free of charge", "nothing", True),
        ("Hexham, in England", "Hexham", True),
        ("wash at 30 °C.", "30 °C", True),
    ],
)
def test_an_answer_is_recognised_as_whole_words(text, answer, yes):
    assert states(text, answer) is yes


def test_wordings_of_one_fact_count_as_one_draw():
    rows = [dict(id=str(i // 9)) for i in range(90)]
    marks = [i // 9 < 7 for i in range(90)]  # facts are right in all wordings or in none
    together, alone = share(marks, rows), share(marks, [dict(id=str(i)) for i in range(90)])
    assert together.estimate == alone.estimate == pytest.approx(0.7)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert share([True] * 90, rows).low < 0.8, "where all are right the interval is no point"


@pytest.mark.weights
def test_hybrid_search_finds_the_answer_among_three(tmp_path):
    with Store(tmp_path / "policies.sqlite") as store:
        store.ingest(policy_documents())
        rows = questions("validation", ["as written"], answerable=True) + questions("test", ["as written"], answerable=True)
        assert found(store, rows, "v1").mean() >= 0.95 and found(store, rows, "v2").mean() >= 0.95
