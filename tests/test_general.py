"""General material: options read side by side score as each alone, nothing held out is learned; the decision card."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from utils import language_models
from utils.cards import PRICES, make_card, paid_first
from utils.costs import GUESSES
from utils.decide import Answers
from utils.general import (
    CONTENT,
    EXPLAINING,
    FOLDS,
    ask,
    choose_option,
    general_data,
    hold_out,
    lessons,
    option_nats,
    pair,
    surprise,
)
from utils.language_models import LanguageModel
from utils.prompts import encode_prompt


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setattr(language_models, "fastest_dtype", lambda: "float32")


@pytest.fixture(scope="module")
def data():
    return general_data()


def alone(network, tokenizer, chat, option):
    """What transformers itself says of one option after one chat, or plain text: log-probability of its tokens."""
    prompt = tokenizer(chat, add_special_tokens=False)["input_ids"] if isinstance(chat, str) else encode_prompt(tokenizer, chat)
    answer = tokenizer(option, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        scores = network(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return np.sum([scores[len(prompt) + i - 1, token].item() for i, token in enumerate(answer)])


@pytest.mark.parametrize("examples", [0, 2])
def test_options_read_side_by_side_score_as_each_alone(sharp_decoder, data, examples):
    model, stock = LanguageModel.load(sharp_decoder), AutoModelForCausalLM.from_pretrained(sharp_decoder).eval()
    rows = [data["questions"][i] for i in (3, 0, 7, 24)]
    shown = [data["questions"][i] for i in range(100, 100 + examples)]
    found = option_nats(model, rows, shown, batch_size=3)
    for row, nats in zip(rows, found, strict=True):
        expected = [alone(stock, model.tokenizer, ask(row, shown), option) for option in row["options"]]
        np.testing.assert_allclose(nats, expected, rtol=1e-4, atol=1e-4)
    assert choose_option(model, rows, shown) == [row["options"][int(np.argmax(nats))] for row, nats in zip(rows, found, strict=True)]
    assert np.ptp([nats.max() for nats in found]) > 0.01


def test_plain_text_has_question_and_answer_on_two_lines(sharp_decoder, data):
    model, stock, rows = (
        LanguageModel.load(sharp_decoder),
        AutoModelForCausalLM.from_pretrained(sharp_decoder).eval(),
        [data["questions"][i] for i in (3, 0)],
    )
    solved, found = data["questions"][9], option_nats(model, rows, [data["questions"][9]], plain=True)
    for row, nats in zip(rows, found, strict=True):
        page = f"Question: {solved['question']}\nAnswer: {solved['answer']}\n\nQuestion: {row['question']}\nAnswer:"
        np.testing.assert_allclose(
            nats, [alone(stock, model.tokenizer, page, f" {option}") for option in row["options"]], rtol=1e-4, atol=1e-4
        )


def test_one_question_alone_is_read_as_among_others(sharp_decoder, data):
    model, rows = LanguageModel.load(sharp_decoder), [data["questions"][i] for i in (5, 6)]
    np.testing.assert_allclose(option_nats(model, rows[:1])[0], option_nats(model, rows)[0], rtol=1e-4, atol=1e-4)


def test_each_row_is_held_out_once_and_never_learned(data):
    for kind in ("questions", "texts"):
        held = [row["id"] for fold in range(FOLDS) for row in hold_out(data[kind], fold)[1]]
        assert sorted(held) == sorted(data[kind]["id"])
        for fold in range(FOLDS):
            kept, out = hold_out(data[kind], fold)
            assert not {row["id"] for row in kept} & {row["id"] for row in out} and len(kept) + len(out) == len(data[kind])
    with pytest.raises(ValueError, match="fold is 0 to 2, got 3"):
        hold_out(data["texts"], 3)


def test_lessons_ask_and_answer_and_keep_some_back(data):
    questions, texts = list(data["questions"])[:30], list(data["texts"])[:10]
    chats = lessons(questions, texts, held_back=5)
    assert len(chats["train"]) + len(chats["validation"]) == 40 and len(chats["validation"]) == 10
    told = [chat[-1]["content"] for split in chats.values() for chat in split["messages"]]
    assert sorted(told) == sorted([row["answer"] for row in questions] + [pair(row)[1] for row in texts])


def test_a_paragraph_is_its_first_words_and_the_rest(data):
    row = data["texts"][0]
    begins, goes_on = pair(row)
    assert f"{begins} {goes_on}" == " ".join(row["text"].split()) and len(begins.split()) == 12
    assert {row["topic"] for row in data["texts"]} == {*CONTENT, *EXPLAINING} and not set(CONTENT) & set(EXPLAINING)


@pytest.mark.parametrize("plain", [False, True])
def test_surprise_is_what_each_paragraph_alone_says(sharp_decoder, data, plain):
    model, stock = LanguageModel.load(sharp_decoder), AutoModelForCausalLM.from_pretrained(sharp_decoder).eval()
    rows, shown = [data["texts"][i] for i in (0, 3)], [data["texts"][8]]
    for row, nats in zip(rows, surprise(model, rows, shown, plain), strict=True):
        begins, goes_on = pair(row)
        asked = f"{' '.join(shown[0]['text'].split())}\n\n{begins}" if plain else ask(row, shown)
        goes_on = f" {goes_on}" if plain else goes_on
        tokens = len(model.tokenizer(goes_on, add_special_tokens=False)["input_ids"])
        np.testing.assert_allclose(nats, -alone(stock, model.tokenizer, asked, goes_on) / tokens, rtol=1e-4)


def test_surprise_falls_for_what_was_learned(sharp_decoder, data):
    row = data["texts"][0]
    before = surprise(LanguageModel.load(sharp_decoder), [row])[0]
    model = LanguageModel.load(sharp_decoder)
    learner = torch.optim.Adam(model.network.parameters(), lr=1e-2)
    for _ in range(15):
        text = model.tokenizer(pair(row)[1], return_tensors="pt", add_special_tokens=False)["input_ids"]
        model.network(input_ids=text, labels=text).loss.backward()
        learner.step()
        learner.zero_grad()
    assert surprise(model, [row])[0] < before - 0.1


# ---- cards -------------------------------------------------------------------------------------


def test_a_card_holds_verdict_price_and_what_to_do_instead():
    card = make_card("general knowledge", Answers(False, 100, True, 0.6, 0.62, False), "1 point <b>", "$1,000 to $2,000", "a prompt")
    page = card._repr_html_()
    assert card.decision.verdict == "skip" and "$1,000 to $10,000" in page and "a prompt" in page and "1 point &lt;b&gt;" in page
    assert "general knowledge" in str(card) and "not critical" in str(card)
    early = make_card("early product", Answers(True, 50, True, 0.1, 0.4, False), "", "", "")
    assert early.price == "$0" and early.decision.verdict == "prompt first" and any("500" in change.words for change in early.changes)
    assert make_card("changing facts", Answers(True, 900, True, 0.5, 0.9, True), "", "", "").price == "no price"
    with pytest.raises(ValueError, match=f"job must be one of {', '.join(PRICES)}, got 'poems'"):
        make_card("poems", Answers(True, 50, True, 0.1, 0.4, False), "", "", "")


def test_what_is_paid_first_grows_with_the_examples():
    few, many = (
        float(paid_first(GUESSES | {"examples": count}).split(" to ")[1].replace("$", "").replace(",", "")) for count in (100, 5000)
    )
    assert many > few + 1000
    assert len(set(paid_first(dict.fromkeys(GUESSES, 1)).split(" to "))) == 1
