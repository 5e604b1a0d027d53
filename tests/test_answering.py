"""Answers from passages: what is asked, cited, refused, and where the threshold lies."""

import numpy as np
import pytest

from tests.test_retrieval import embed
from utils.answering import REFUSAL, Answerer, learn_threshold, prompt, supports
from utils.passages import Document, Passage
from utils.retrieval import Store


class Says:
    """A language model that always says the same, and remembers what it was asked."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def generate(self, conversations, **settings):
        self.asked += conversations
        return [self.text] * len(conversations)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "shop.sqlite", embed) as store:
        store.ingest([Document("post", "# Post\n\nA parcel costs £4.95.", "2026-01-01")])
        store.ingest(
            [Document("post", "# Post\n\nA parcel costs £3.95.", "2026-07-01"), Document("gas", "# Gas\n\nGas is never returned.")]
        )
        yield store


def passage(text, heading="Post"):
    return Passage("post", heading, text, "2026-01-01", "2026-07-01", 1.0, 0.5)


def test_an_answer_names_the_source_and_the_day_of_what_it_rests_on(store):
    (answer,) = Answerer(store, Says("It costs £3.95."))(["What does a parcel cost?"], on="2026-08-01")
    assert str(answer) == "It costs £3.95. [post, in force from 2026-07-01]" and not answer.refused
    assert [p.source for p in answer.cited] == ["post"]


def test_an_answer_from_the_old_version_is_refused_as_unsupported(store):
    (answer,) = Answerer(store, Says("It costs £4.95."))(["What does a parcel cost?"], on="2026-08-01")
    assert answer.refused and answer.why == "unsupported" and answer.text == str(answer) == REFUSAL and "4.95" in answer.draft
    (answer,) = Answerer(store, Says("It costs £4.95."), check=False)(["What does a parcel cost?"], on="2026-08-01")
    assert answer.text == "It costs £4.95." and answer.cited == []


def test_a_question_too_far_from_every_passage_never_reaches_the_model(store):
    model = Says("Yes.")
    far, near = Answerer(store, model, threshold=0.5)(["Who wrote Hamlet?", "A parcel costs?"], on="2026-08-01")
    assert far.why == "too far" and far.text == REFUSAL and far.draft == ""
    assert len(model.asked) == 1 and "parcel costs?" in model.asked[0][0]["content"] and near.similarity >= 0.5


def test_without_a_model_the_nearest_sentence_is_quoted(store):
    store.ingest([Document("boots", "# Boots\n\nWax them twice a year. A new sole costs £40. They last.")])
    (answer,) = Answerer(store)(["costs of a new sole for boots"], on="2026-08-01")
    assert str(answer) == f"A new sole costs £40. [boots, in force from {answer.cited[0].since}]"


def test_without_a_document_in_force_there_is_no_answer(store):
    store.delete("gas")
    (answer,) = Answerer(store, Says("£1"))(["What does a parcel cost?"], on="2025-01-01")
    assert answer.why == "too far" and answer.found == []


def test_the_best_passage_stands_next_to_the_question():
    (turn,) = prompt("How much?", [passage("best"), passage("worse")])
    assert turn["role"] == "user" and turn["content"].index("worse") < turn["content"].index("best") < turn["content"].index("How much?")


@pytest.mark.parametrize(
    ("answer", "question", "yes"),
    [
        ("£4.95", "What does it cost?", True),
        ("£4.9", "What does it cost?", False),
        ("The parcel costs £4.95", "What does a parcel cost?", True),
        ("The parcel costs £4.95 and takes 3 days", "What does a parcel cost?", False),
        ("You pay at the harbour office in Falmouth", "Where do I pay?", False),
        ("Carriers collect", "Who collects?", True),
        ("Parcel", "parcel?", False),
        ("", "What?", False),
        ("4 parcels cost £4.95", "What do 4 parcels cost?", True),
        ("4", "What do 4 parcels cost?", False),
    ],
)
def test_a_passage_supports_what_its_words_say(answer, question, yes):
    assert supports(passage("A parcel costs £4.95. Carriers collect it."), answer, question) is yes


def test_the_threshold_costs_least_on_the_examples():
    generator = np.random.default_rng(0)
    for price in (0.3, 1, 5):
        known = generator.random(60) < 0.7
        similarities = generator.normal(0.5 + 0.1 * known, 0.1)

        def cost(t, price=price, known=known, similarities=similarities):
            return price * np.sum(~known & (similarities >= t)) + np.sum(known & (similarities < t))

        learned = learn_threshold(similarities, known, price)
        assert cost(learned) == min(cost(t) for t in np.linspace(0, 1.2, 5000))


def test_a_dearer_false_answer_raises_the_threshold():
    known = [True, True, False, True, False, False]
    similarities = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert learn_threshold(similarities, known, 0.5) == pytest.approx(0.55)
    assert learn_threshold(similarities, known, 3) == pytest.approx(0.75)
    assert learn_threshold(similarities, known, 100) > learn_threshold(similarities, known, 0.01)


@pytest.mark.parametrize("known", [[True, True], [False, False]])
def test_a_threshold_needs_both_kinds_of_questions(known):
    with pytest.raises(ValueError, match="questions with and without an answer"):
        learn_threshold([0.1, 0.2], known)
