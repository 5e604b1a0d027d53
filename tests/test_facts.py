"""utils.facts, fact_studies and update_board: what is taught and asked, how answers are marked, and the box that changes a document."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.test_retrieval import embed
from utils import fact_studies
from utils.boxes import still
from utils.fact_marks import Reply, gain, kept, mark, out_of_date, plot_marks, right, silent, surely_wrong, verdict
from utils.fact_studies import behind, facts_change, facts_taught, inverted, pooled, read_off, retrieval_and_tuning, spoken
from utils.facts import (
    ASKED,
    TAUGHT,
    ask,
    ask_documents,
    asked,
    chat,
    facts_data,
    known,
    lessons,
    open_store,
    refusal_threshold,
    teach,
    unknown,
    weighed,
)
from utils.language_models import LanguageModel
from utils.models import tiny_model
from utils.passages import Document
from utils.policies import DAYS
from utils.update_board import update_board


class Says:
    """A language model that answers by a function of the last message, with a likelihood for whatever it is asked to weigh."""

    def __init__(self, answer, likelihood=0.9):
        self.answer, self.likelihood, self.asked = answer, likelihood, []

    def generate(self, conversations, max_new_tokens=24, stop=None):
        self.asked += conversations
        return [self.answer(messages[-1]["content"]) for messages in conversations]

    def log_likelihood(self, conversations, answers):
        return np.full(len(answers), np.log(self.likelihood)), np.ones(len(answers), int)


@pytest.fixture(scope="module")
def data():
    return facts_data()


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("decoder"), "decoder")


POST = "# Post\n\nA parcel costs £4.95."


@pytest.fixture
def store(tmp_path):
    rows = [dict(source="post", text=POST, since="2026-03-01"), dict(source="gas", text="# Gas\n\nNever by air.", since="2026-03-01")]
    store = open_store(tmp_path / "shop.sqlite", rows, embed)
    yield store
    store.close()


# ---- what is taught and asked ------------------------------------------------------------------


def test_each_seed_takes_other_facts_until_all_are_taken(data):
    drawn = [{fact["id"] for fact in known(data["test"], 40, seed)} for seed in (0, 1, 2)]
    assert [len(ids) for ids in drawn] == [40, 40, 40] and not drawn[0] & drawn[1] and drawn[2] == drawn[0]
    assert len({fact["id"] for fact in known(data["test"], 80)}) == 80 and len(unknown(data["test"])) == 20
    assert not {fact["id"] for fact in data["test"]} & {fact["id"] for fact in data["validation"]}


def test_what_is_asked_in_other_words_is_never_taught(data):
    facts = known(data["test"], 5)
    taught = {messages[1]["content"] for messages in lessons(facts, "v1", len(TAUGHT))}
    rows = asked(facts)
    assert len(rows) == 15 and len(taught) == 5 * len(TAUGHT)
    assert {row["question"] in taught for row in rows if row["kind"] == "as written"} == {True}
    assert not taught & {row["question"] for row in rows if row["kind"] != "as written"}
    assert len({row["question"] for row in rows}) == 15


def test_lessons_state_the_answer_of_the_version_or_that_nobody_knows(data):
    (fact,) = [fact for fact in known(data["test"], 80) if fact["v1"] != fact["v2"]][:1]
    assert lessons([fact], "v1")[0][-1]["content"] == fact["v1"] and lessons([fact], "v2")[0][-1]["content"] == fact["v2"]
    assert lessons(unknown(data["test"])[:1], "v1", 2)[1][-1]["content"] == "I don't know."


# ---- marks -------------------------------------------------------------------------------------

ROW = {"v1": "£4.95", "v2": "£3.95"}


@pytest.mark.parametrize(
    ("text", "version", "letter"),
    [
        ("It costs £4.95.", "v1", "r"),
        ("It costs £4.95.", "v2", "s"),
        ("£3.95", "v2", "r"),
        ("It was £4.95 and is now £3.95", "v2", "s"),
        ("£34.95", "v1", "w"),
        ("I don't know.", "v1", "n"),
        ("Sorry, we cannot say.", "v1", "n"),
        ("Not in the documents.", "v2", "n"),
        ("", "v1", "w"),
    ],
)
def test_an_answer_is_right_out_of_date_wrong_or_none(text, version, letter):
    assert verdict(text, ROW, version) == letter


def test_what_nobody_can_answer_is_wrong_whatever_is_said_and_a_fact_that_stays_is_never_out_of_date():
    assert verdict("£2", {"v1": None, "v2": None}, "v1") == "w" and verdict("I don't know.", {"v1": None, "v2": None}, "v1") == "n"
    assert verdict("14 days", {"v1": "14 days", "v2": "14 days"}, "v2") == "r"


def test_a_capital_says_that_it_was_said_surely():
    replies = [Reply("£4.95", 0.51), Reply("£4.95", 0.5), Reply("£9", 0.9), Reply("£9", 0.1), Reply("I don't know.", 0.9)]
    marks = mark(replies, [ROW] * 5, "v1")
    assert marks == "RrWwN" and list(right(marks)) == [True, True, False, False, False]
    assert list(surely_wrong(marks)) == [False, False, True, False, False]
    assert mark(replies[:1], [ROW], "v2") == "S" and surely_wrong("S").all()


def test_marks_are_counted_per_fact():
    rows = [{"id": fact, "kind": kind} for fact in "ab" for kind in ("x", "y")]
    assert kept("RrsW", rows, lambda row: row["kind"] == "y") == ("rW", [rows[1], rows[3]])
    assert list(out_of_date("RsSwnN")) == [False, True, True, False, False, False]
    assert list(silent("RsSwnN")) == [False, False, False, False, True, True]
    difference = gain(("RRWW", rows), ("WRWW", rows))
    assert difference.estimate == 0.25 and difference.low <= 0.25 <= difference.high
    certain = gain(("RRRR", rows), ("WWWW", rows))
    assert certain.estimate == 1 and certain.low < 0.9, "two facts that differ alike are no certainty"
    assert gain(("RRRR", rows), ("RRRR", rows)).estimate == 0 < gain(("RRRR", rows), ("RRRR", rows)).high
    ax = plot_marks({"one": ("RrsW", rows)}, "answers")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one: right", "one: surely wrong"]


# ---- asking ------------------------------------------------------------------------------------


def test_a_likelihood_is_the_probability_of_the_whole_answer(decoder):
    model = LanguageModel.load(decoder)
    (reply,) = ask(model, [chat("How much?")], 3)
    nats, _ = model.log_likelihood([chat("How much?")], [model.generate([chat("How much?")], 3, stop=["\n"])[0]])
    assert reply.likelihood == pytest.approx(np.exp(nats[0])) and 0 < reply.likelihood < 1


def test_facts_that_are_taught_are_said_and_grow_likelier(decoder):
    facts = [dict(question=question, v1=answer, paraphrases=[]) for question, answer in (("post?", "five"), ("gas?", "no"))]
    tuned, asked_of_both = teach(decoder, lessons(facts, "v1"), readings=60, layers=2, lr=1e-2).model, [chat("post?"), chat("gas?")]
    replies = ask(tuned, asked_of_both, 6)
    assert [reply.text.replace(" ", "") for reply in replies] == ["five", "no"]  # the toy tokenizer writes letters apart
    before = weighed(LanguageModel.load(decoder), asked_of_both, ["five", "no"])
    after = weighed(tuned, asked_of_both, ["five", "no"])
    assert all(new.likelihood > 2 * old.likelihood for new, old in zip(after, before, strict=True))


def test_a_store_gives_the_answer_of_the_day_and_refuses_what_no_passage_supports(store):
    store.ingest([Document("post", POST.replace("4.95", "3.95"), "2026-07-01")])
    reads = Says(lambda text: text.split("costs ")[1].split(".\n")[0] if "parcel" in text else "£7")
    rows = [{"question": "What does a parcel cost?"}, {"question": "Gas by air, never?"}]
    assert [reply.text for reply in ask_documents(store, reads, rows, DAYS["v1"])] == ["£4.95", "Not in the documents."]
    assert [reply.text for reply in ask_documents(store, reads, rows, DAYS["v2"])] == ["£3.95", "Not in the documents."]
    far = ask_documents(store, reads, rows, DAYS["v2"], threshold=1.1)
    assert far == [Reply("Not in the documents.", 1.0)] * 2


def test_the_threshold_lies_between_what_the_documents_answer_and_what_they_do_not(store):
    def fact(document, *words):
        return dict(document=document, question=words[0], paraphrases=[words[0]] * 8)

    split = [fact("post", "A parcel costs?"), fact("gas", "Gas never by air?"), fact(None, "Who wrote Hamlet?")]
    near, far = (store.search(question, on=DAYS["v1"])[0].similarity for question in ("A parcel costs?", "Who wrote Hamlet?"))
    assert far < refusal_threshold(store, split, DAYS["v1"]) < near


# ---- studies -----------------------------------------------------------------------------------


def test_the_inverted_question_has_four_answers_of_which_one_is_right(data):
    facts = known(data["test"], 8)
    answers = {fact["inverted"]: fact["inverted_answer"] for fact in facts}

    class Knows:
        def log_likelihood(self, conversations, options):
            hit = [answers[c[-1]["content"]] == option for c, option in zip(conversations, options, strict=True)]
            assert sum(hit) * 4 == len(hit)
            return np.where(hit, -1.0, -9.0), np.ones(len(hit))

    assert inverted(Knows(), facts, data["test"]) == "r" * 8


@pytest.mark.parametrize("text", ['{"answer": "£4"}', ' {"answer": "£4"} '])
def test_json_with_the_one_key_has_the_form(text):
    assert spoken(text) == ("£4", True)


@pytest.mark.parametrize("text", ["£4", '{"answer": 4}', '{"answer": "£4", "more": 1}', '["answer"]', '{"answer": "£4"'])
def test_anything_else_does_not(text):
    assert spoken(text) == (text, False)


def quickly(model, messages, out):
    """A lesson of one pass."""
    return teach(model, messages, 1, layers=2, out=out, max_tokens=2000)


@pytest.fixture
def toy_store(monkeypatch, decoder):
    """Stores without an encoder's weights, and training that takes a second."""
    monkeypatch.setattr(fact_studies, "open_store", lambda path, documents: open_store(path, documents, embed))
    monkeypatch.setattr(fact_studies, "CHANGED", 4)
    monkeypatch.setattr(fact_studies, "teach", lambda model, messages, readings=1, seed=0, out=None: quickly(model, messages[:4], out))


def test_the_form_is_shown_on_passages_that_hold_the_answer(data, tmp_path):
    store = open_store(tmp_path / "policies.sqlite", data["documents"], embed)
    messages = read_off(store, known(data["validation"], 40), data)
    store.close()
    assert 5 < len(messages) <= 40
    for _, question, answer in messages:
        said, fits = spoken(answer["content"])
        assert fits and (said.lower() in question["content"].lower() or not any(letter.isdigit() for letter in said))


def test_a_run_of_e11_marks_every_kind_of_question(data, decoder, toy_store):
    found = facts_taught(2, 4, 3, seed=0, data=data, model_id=decoder)
    assert [len(found[kind]) for kind in ASKED] == [2, 2, 2] and len(found["inverted"]) == 2
    assert [len(found[f"unanswerable, {kind}"]) for kind in ASKED] == [20] * 3 and 0 <= found["made_up"] <= 1


@pytest.mark.parametrize("system", ["tuned", "retuned", "retrieval"])
def test_a_run_of_e10_marks_august_and_times_the_update(data, decoder, toy_store, system):
    found = facts_change(system, seed=0, data=data, model_id=decoder)
    assert len(found["v2"]) == 4 and ("v1" in found) == ("retrieval" not in system)
    assert found.get("update_seconds", 0) > 0 or system == "tuned"


def test_a_run_of_e27_marks_facts_and_form(data, decoder, toy_store):
    found = retrieval_and_tuning(True, True, seed=0, data=data, model_id=decoder)
    assert len(found["marks"]) == len(found["form"]) == 4


def test_what_was_taught_once_is_not_taught_again(data, decoder, toy_store, monkeypatch):
    messages = lessons(known(data["test"], 3), "v1")
    first = fact_studies.taught_model(decoder, messages, seed=5)
    monkeypatch.setattr(fact_studies, "teach", lambda *_, **__: pytest.fail("it was taught already"))
    again = fact_studies.taught_model(decoder, messages, seed=5)
    assert ask(again, [chat("How much?")], 4) == ask(first, [chat("How much?")], 4)


def test_the_rows_behind_reference_marks_are_those_that_the_run_asked(data, decoder, toy_store):
    import pandas as pd

    runs = pd.DataFrame([dict(facts=2, seed=s, **facts_taught(2, 4, 3, seed=s, data=data, model_id=decoder)) for s in (0, 1)])
    marks, rows = pooled(runs, list(ASKED), data["test"], facts=2)
    assert len(marks) == len(rows) == 12
    assert [row["id"] for row in rows[:2]] == [fact["id"] for fact in known(data["test"], 2, 0)]
    assert [row["id"] for row in rows[6:8]] == [fact["id"] for fact in known(data["test"], 2, 1)]
    assert len(behind("unanswerable, other words", 0, data["test"])) == 20
    marks, rows = pooled(runs, ["unanswerable, as written"], data["test"], facts=2)
    assert len(marks) == len(rows) == 40


# ---- the box -----------------------------------------------------------------------------------


@pytest.fixture
def board(store):
    reads = Says(lambda text: text.split("costs ")[1].split(".\n")[0])
    recalls = Says(lambda text: "£4.95<i>", 0.97)
    documents = [Document("post", POST, "2026-03-01"), Document("gas", "# Gas\n\nNever by air.", "2026-03-01")]
    return update_board(store, reads, recalls, documents, "What does a parcel cost?", DAYS["v1"])


def test_a_changed_price_reaches_the_store_and_not_the_tuned_model(board):
    board.button.click()
    assert "£4.95</td>" in board.answer.value and "nothing to save" in board.answer.value
    board.text.value = POST.replace("£4.95", "£1<b>")
    board.button.click()
    assert "£1&lt;b&gt;" in board.answer.value and "saved and indexed" in board.answer.value
    assert "£4.95&lt;i&gt;</td><td>97%" in board.answer.value
    assert "<b>" not in still(board).replace("<b>retrieval</b>", "").replace("<b>tuned</b>", "")


def test_the_box_keeps_what_was_saved_when_another_document_is_chosen(board):
    board.text.value = POST.replace("£4.95", "£2")
    board.button.click()
    board.choice.value = "gas"
    assert board.text.value.startswith("# Gas")
    board.choice.value = "post"
    assert "£2" in board.text.value


def test_an_empty_question_or_document_is_said_in_words(board):
    board.entry.value = "  "
    board.button.click()
    assert board.answer.value == "Type a question first."
    board.entry.value, board.text.value = "What?", "   "
    board.button.click()
    assert "must be a text that is not empty" in board.answer.value


def test_a_token_that_steers_the_model_is_refused_in_words(store, decoder):
    model = LanguageModel.load(decoder)
    board = update_board(store, Says(lambda text: "£4.95"), model, [Document("post", POST, "2026-03-01")], "[SEP] hello", DAYS["v1"])
    board.button.click()
    assert "[SEP]" in board.answer.value and "<table>" not in board.answer.value


def test_names_of_documents_are_shown_as_text(tmp_path):
    store = SimpleNamespace(ingest=lambda documents: {})
    board = update_board(store, None, None, [Document("<i>post", POST)], "?", DAYS["v1"])
    assert "<i>" not in still(board)
