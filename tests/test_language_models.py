"""Generation and scoring, on a tiny random model: what is fast must say the same as what is plain."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from utils import adapters, attention, language_models
from utils.adapters import attach, quicken
from utils.constrained import fill
from utils.language_models import LanguageModel
from utils.models import load_tokenizer, tiny_model
from utils.prompts import encode_prompt, zero_shot

SYSTEM = "sort the message into one of two"
TEXTS = ["where is my tent", "a", "refund me now please", "the zip of my bag broke on the second day", "hello there", "it leaks"]
CHATS = [zero_shot(SYSTEM, text) for text in TEXTS]


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Exact comparisons need full-width numbers."""
    monkeypatch.setattr(language_models, "fastest_dtype", lambda: "float32")


@pytest.fixture
def model(sharp_decoder):
    return LanguageModel.load(sharp_decoder)


@pytest.fixture(scope="module")
def stock(sharp_decoder):
    return AutoModelForCausalLM.from_pretrained(sharp_decoder).eval()


def alone(stock, tokenizer, chat, n):
    """What transformers' own generate writes for one chat."""
    ids = torch.tensor([encode_prompt(tokenizer, chat)])
    written = stock.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, pad_token_id=0)
    return tokenizer.decode([t for t in written[0, ids.shape[1] :].tolist() if t != 3], skip_special_tokens=True)


def scores_of(stock, ids):
    with torch.no_grad():
        return stock(torch.tensor([ids])).logits[0].log_softmax(-1)


# ---- attention -----------------------------------------------------------------------------------


def test_reading_with_a_shared_beginning_gives_the_vectors_of_reading_each_row_whole(model, stock):
    rows = [encode_prompt(model.tokenizer, chat) for chat in CHATS]
    shared = attention.common_beginning(rows)
    assert shared > 30
    decoder = model.plain.get_decoder()
    for left in (False, True):
        batch = attention.pad(rows, shared, left=left, multiple=4)
        with torch.no_grad():
            hidden = attention.read(decoder, batch, attention.read_beginning(decoder, batch.prefix))
            for i, row in enumerate(rows):
                whole = stock.model(torch.tensor([row])).last_hidden_state[0, shared:]
                torch.testing.assert_close(hidden[i][batch.real[i]], whole, atol=2e-4, rtol=2e-4)


def test_the_common_beginning_leaves_each_row_a_token():
    assert attention.common_beginning([[1, 2, 3], [1, 2, 4]]) == 2
    assert attention.common_beginning([[1, 2, 3], [1, 2, 3]]) == 2
    assert attention.common_beginning([[1, 2], [1, 2, 3]]) == 1
    assert attention.common_beginning([[1, 2, 3], [2, 2, 3]]) == 0
    assert attention.common_beginning([[1, 2, 3, 4], [1, 2, 3, 5]], at_most=1) == 1


# ---- generate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_batched_generation_writes_what_each_row_would_alone(model, stock, batch_size):
    expected = [alone(stock, model.tokenizer, chat, 24) for chat in CHATS]
    assert len(set(map(len, expected))) > 1, "rows of different lengths are the hard case"
    assert model.generate(CHATS, max_new_tokens=24, batch_size=batch_size) == expected


def test_generation_reports_what_it_took(model):
    model.generate(CHATS, max_new_tokens=5)
    assert model.last["prompt_tokens"] == sum(model.count_tokens(CHATS))
    assert 0 < model.last["new_tokens"] <= 5 * len(CHATS)
    assert model.last["shared_tokens"] > 30 and model.last["seconds"] > 0


def test_a_stop_text_ends_an_answer_before_it(model):
    whole = model.generate(CHATS, max_new_tokens=24)
    stop = whole[0][4:6]
    stopped = model.generate(CHATS, max_new_tokens=24, stop=[stop])
    assert stopped == [text[: text.find(stop)] if stop in text else text for text in whole]
    assert model.last["new_tokens"] < 24 * len(CHATS)


def test_sampling_repeats_with_its_seed(model):
    first, again, other = (model.generate(CHATS, 12, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    with pytest.raises(ValueError, match="temperature must be 0"):
        model.generate(CHATS, temperature=-1)


def test_a_stream_s_pieces_make_the_generated_text(model):
    pieces = list(model.stream(CHATS[0], max_new_tokens=20))
    assert "".join(piece for piece, _ in pieces) == model.generate([CHATS[0]], max_new_tokens=20)[0]
    assert all(rate > 0 for _, rate in pieces)


def test_an_unfinished_answer_is_continued(model, stock):
    begun = [*CHATS[0], {"role": "assistant", "content": "it is"}]
    continued = model.generate([begun], max_new_tokens=12)[0]
    assert continued == alone(stock, model.tokenizer, begun, 12)
    assert encode_prompt(model.tokenizer, begun)[:-5] == encode_prompt(model.tokenizer, CHATS[0])


def test_a_bad_conversation_is_named(model):
    with pytest.raises(ValueError, match="conversation 2, message 1: unknown role"):
        model.generate([CHATS[0], [{"role": "bot", "content": "x"}]])


# ---- score ---------------------------------------------------------------------------------------


def nats_alone(stock, tokenizer, chat, answer):
    prompt = encode_prompt(tokenizer, chat)
    end = [] if chat[-1]["role"] == "assistant" else [tokenizer.eos_token_id]
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"] + end
    scores = scores_of(stock, prompt + ids)
    return sum(scores[len(prompt) - 1 + i, token].item() for i, token in enumerate(ids)), len(ids)


def test_the_log_likelihood_of_an_answer_is_the_sum_over_its_tokens(model, stock):
    answers = ["yes", "no", "maybe later", "x", "refund", "in two days"]
    nats, tokens = model.log_likelihood(CHATS, answers, batch_size=4)
    expected = [nats_alone(stock, model.tokenizer, chat, answer) for chat, answer in zip(CHATS, answers, strict=True)]
    np.testing.assert_allclose(nats, [n for n, _ in expected], rtol=1e-4)
    assert tokens.tolist() == [t for _, t in expected]


@pytest.mark.parametrize("begun", [False, True])
def test_options_side_by_side_score_as_each_would_alone(model, stock, begun):
    options = ["yes", "no", "not yet", "yesterday"]
    chats = [[*chat, {"role": "assistant", "content": "well "}] for chat in CHATS] if begun else CHATS
    expected = np.array([[nats_alone(stock, model.tokenizer, chat, option) for option in options] for chat in chats])
    sums = model.option_scores(chats, options, normalise=False, batch_size=4)
    np.testing.assert_allclose(sums, expected[..., 0], rtol=1e-4)
    np.testing.assert_allclose(model.option_scores(chats, options), expected[..., 0] / expected[..., 1], rtol=1e-4)
    assert model.choose(chats, options, normalise=False) == [options[i] for i in sums.argmax(1)]


def test_perplexity_is_the_mean_surprise_of_a_text_s_tokens(model, stock):
    found = model.perplexity(TEXTS)
    for text, nats in zip(TEXTS, found, strict=True):
        ids = [2, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
        expected = F.cross_entropy(stock(torch.tensor([ids])).logits[0, :-1], torch.tensor(ids[1:])).item()
        assert nats == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="text 2 is empty"):
        model.perplexity(["a", ""])


def test_filled_json_is_valid_and_each_value_the_likeliest(model):
    allowed = {"kind": ["tent", "bag", None], "urgent": [False, True]}
    texts = fill(model, CHATS, allowed)
    for chat, text in zip(CHATS, texts, strict=True):
        found = json.loads(text)
        assert list(found) == ["kind", "urgent"] and all(found[name] in values for name, values in allowed.items())
        begun = [*chat, {"role": "assistant", "content": '{"kind":'}]
        nats, _ = model.log_likelihood([begun] * 3, [' "tent",', ' "bag",', " null,"])
        assert found["kind"] == allowed["kind"][int(nats.argmax())]


# ---- adapters ------------------------------------------------------------------------------------


def with_adapter(sharp_decoder, **options):
    """A model with an adapter that changes something."""
    model = LanguageModel.load(sharp_decoder)
    model.network = attach(model.network, rank=4, **options)
    torch.manual_seed(1)
    for name, weight in model.network.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.05)
    return model


def test_a_saved_adapter_is_loaded_onto_its_base(sharp_decoder, tmp_path):
    model = with_adapter(sharp_decoder)
    expected = model.log_likelihood(CHATS, TEXTS)[0]
    assert not np.allclose(expected, LanguageModel.load(sharp_decoder).log_likelihood(CHATS, TEXTS)[0])
    saved = model.save(tmp_path / "adapter")
    assert not (saved / "model.safetensors").exists()
    for again in (LanguageModel.load(sharp_decoder, saved), LanguageModel.load(saved), model.merge()):
        np.testing.assert_allclose(again.log_likelihood(CHATS, TEXTS)[0], expected, rtol=1e-4)
    assert model.network is not model.plain, "merging makes a copy"


def test_an_adapter_of_another_base_is_refused(sharp_decoder, tmp_path):
    saved = with_adapter(sharp_decoder).save(tmp_path / "adapter")
    other = tiny_model(tmp_path / "other", "decoder", seed=9)
    with pytest.raises(ValueError, match=r"this adapter was trained on .*decoder.*, not on .*other"):
        LanguageModel.load(other, saved)
    (saved / "base.json").unlink()  # as peft alone writes it
    with pytest.raises(ValueError, match="load it with that base model"):
        LanguageModel.load(other, saved)
    with pytest.raises(ValueError, match="no adapter here"):
        LanguageModel.load(sharp_decoder, tmp_path)


def test_a_whole_model_is_saved_and_loaded(sharp_decoder, tmp_path):
    merged = with_adapter(sharp_decoder).merge()
    again = LanguageModel.load(merged.save(tmp_path / "merged"))
    np.testing.assert_allclose(again.perplexity(TEXTS), merged.perplexity(TEXTS), rtol=1e-5)


@pytest.mark.parametrize("layers", [None, 1])
def test_quick_adapters_give_peft_s_loss_and_gradients(sharp_decoder, layers):
    model, ids = with_adapter(sharp_decoder, layers=layers), torch.randint(5, 90, (3, 12))

    def loss_and_gradients():
        model.network.zero_grad()
        loss = model.network(input_ids=ids, labels=ids).loss
        loss.backward()
        return loss.item(), {n: w.grad.clone() for n, w in model.network.named_parameters() if w.grad is not None}

    expected, gradients = loss_and_gradients()
    restore = quicken(model.network)
    calls = []
    product = adapters.LoRAProduct.forward
    adapters.LoRAProduct.forward = staticmethod(lambda *a: calls.append(1) or product(*a))
    try:
        found, quick = loss_and_gradients()
    finally:
        adapters.LoRAProduct.forward = staticmethod(product)
    assert len(calls) == 7 * (layers or 2), "every adapted layer should take the quick way"
    assert found == pytest.approx(expected, rel=1e-5)
    assert quick.keys() == gradients.keys()
    for name in gradients:
        torch.testing.assert_close(quick[name], gradients[name], rtol=1e-4, atol=1e-5)
    restore()
    assert loss_and_gradients()[0] == expected


def test_too_many_layers_are_refused(sharp_decoder):
    with pytest.raises(ValueError, match="layers must be 1 to 2"):
        attach(LanguageModel.load(sharp_decoder).network, layers=3)


def test_the_tokenizer_of_a_saved_adapter_keeps_its_template(sharp_decoder, tmp_path):
    saved = with_adapter(sharp_decoder).save(tmp_path / "adapter")
    assert encode_prompt(load_tokenizer(saved), CHATS[0]) == encode_prompt(load_tokenizer(sharp_decoder), CHATS[0])
