"""Preferences: our loss is TRL's, training widens the margin and changes nothing but the adapter, bad pairs are refused."""

import copy
import math
import re

import pytest
import torch

from utils.data import as_datasets
from utils.language_models import LanguageModel
from utils.models import tiny_model
from utils.pairs import collate, dpo_loss, encode_pairs, log_probabilities, preference_data, read, remember
from utils.preferences import PairProgress, mark_of, prefer, start_adapter, twin
from utils.sft import fine_tune_chat


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny-chat"), "decoder")


def pair(question, chosen, rejected):
    return {
        "prompt": [{"role": "system", "content": "be kind"}, {"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def pairs(numbers):
    return [pair(f"ticket {n}", "we help" if n % 2 else "hello, we help", "no way" if n % 3 else "no, go away") for n in numbers]


@pytest.fixture(scope="module")
def data():
    return as_datasets(train=pairs(range(16)), validation=pairs(range(16, 22)))


def disturbed(model, seed=1):
    """A copy whose weights lie a little elsewhere."""
    torch.manual_seed(seed)
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return LanguageModel(network, model.tokenizer, model.base)


def test_the_loss_and_the_rewards_are_those_of_trl(tiny, tmp_path):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    reference = LanguageModel.load(tiny)
    policy = disturbed(reference)
    rows = pairs(range(6))
    arguments = DPOConfig(
        str(tmp_path), beta=0.3, report_to="none", use_cpu=True, bf16=False, max_length=None, gradient_checkpointing=False
    )
    trainer = DPOTrainer(
        copy.deepcopy(policy.network),
        copy.deepcopy(reference.network),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )
    theirs = trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset))).item()  # it cut the tokens itself
    measured = {name: values[-1] for name, values in trainer._metrics["eval"].items()}

    batch = collate(encode_pairs(policy.tokenizer, rows))
    with torch.no_grad():
        now, before = (log_probabilities(model.network, batch).view(2, -1) for model in (policy, reference))
    loss, margins = dpo_loss(*now, *before, beta=0.3)
    rewards = 0.3 * (now - before).mean(1)
    assert abs(loss.item() - theirs) < 1e-5
    assert abs(loss.item() - math.log(2)) > 1e-3, "the policy differs from its reference, so there is something to compare"
    assert abs(margins.mean().item() - measured["rewards/margins"]) < 1e-5
    assert abs(rewards[0].item() - measured["rewards/chosen"]) < 1e-5 and abs(rewards[1].item() - measured["rewards/rejected"]) < 1e-5
    assert (margins > 0).float().mean().item() == pytest.approx(measured["rewards/accuracies"])


def test_before_training_the_loss_is_ln_2_and_no_answer_has_a_reward(tiny):
    model = LanguageModel.load(tiny)
    with torch.no_grad():
        now = log_probabilities(model.network, collate(encode_pairs(model.tokenizer, pairs(range(4))))).view(2, -1)
    loss, margins = dpo_loss(*now, *now, beta=0.1)
    assert loss.item() == pytest.approx(math.log(2)) and margins.tolist() == [0, 0, 0, 0]


def test_a_larger_margin_costs_less_and_beta_scales_it():
    zero, one = torch.zeros(1), torch.ones(1)
    losses = [dpo_loss(m * one, zero, zero, zero, beta=0.5)[0].item() for m in (-2, 0, 2)]
    assert losses[0] > losses[1] > losses[2]
    assert dpo_loss(one, -one, zero, zero, beta=0.5)[1].item() == 1.0


def test_log_probabilities_are_those_of_the_model_alone_with_each_answer(tiny):
    model = LanguageModel.load(tiny)
    rows = pairs(range(5))
    with torch.no_grad():
        found = log_probabilities(model.network, collate(encode_pairs(model.tokenizer, rows)))
    wanted, _ = model.log_likelihood(
        [row["prompt"] for row in rows] * 2, [row[s][0]["content"] for s in ("chosen", "rejected") for row in rows]
    )
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=found.dtype), atol=1e-4, rtol=1e-5)


def test_remembered_lower_layers_give_the_same_as_all_layers(tiny):
    model = twin(LanguageModel.load(tiny))
    start_adapter(model, 4, None, "all-linear", 1)
    items = encode_pairs(model.tokenizer, pairs(range(5)))
    with torch.no_grad():
        whole = log_probabilities(model.network, collate(items))
        remember(model.network, items, 1, batch_size=2)
        batch = collate(items)
        top = log_probabilities(model.network, batch, top=1)
    torch.testing.assert_close(top, whole, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(batch["reference"].flatten(), whole, atol=1e-4, rtol=1e-5)
    decoder = model.plain.get_decoder()
    assert len(decoder.layers) == 2 and read(decoder, batch).shape == batch["lower"].shape


@pytest.mark.parametrize("layers", [None, 1])
def test_training_widens_the_margin_and_leaves_the_given_model_as_it_was(tiny, data, layers):
    given = LanguageModel.load(tiny)
    before = {name: weight.clone() for name, weight in given.network.named_parameters()}
    run = prefer(given, data, beta=0.5, epochs=3, lr=1e-2, layers=layers, rank=4)
    assert run.validation[0]["margin"] == 0 and run.validation[0]["loss"] == pytest.approx(math.log(2))
    assert run.validation[-1]["margin"] > 0.5 and run.validation[-1]["accuracy"] > 0.9
    assert run.steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5) and run.steps[-1]["loss"] < 0.5
    assert len(run.steps) == 12 and [m["epoch"] for m in run.validation] == [0, 1, 2, 3]
    assert 0 < run.learning < run.weights
    assert all(torch.equal(weight, before[name]) for name, weight in given.network.named_parameters())
    learned = [weight for name, weight in run.model.network.named_parameters() if "lora_B" in name and weight.abs().max() > 0]
    assert learned and run.model.network is not given.network


def test_a_further_run_that_remembers_ends_as_one_that_reads_all_anew(tiny, data):
    given = LanguageModel.load(tiny)
    first = prefer(given, data, beta=0.5, lr=1e-2, layers=1, rank=4)
    options = dict(beta=0.1, lr=1e-2, layers=1, rank=4)
    anew, again = prefer(given, data, **options), prefer(given, data, **options, remembered=first.remembered)
    assert again.steps == anew.steps and again.validation == anew.validation
    with pytest.raises(ValueError, match="another model, other data or other layers"):
        prefer(given, data, lr=1e-2, layers=2, remembered=first.remembered)


def test_an_adapter_that_is_there_learns_on_in_the_chosen_layers_only(tiny, data):
    chats = [{"messages": row["prompt"] + row["chosen"]} for row in pairs(range(8))]
    tuned = fine_tune_chat(tiny, as_datasets(train=chats, validation=chats[:4]), epochs=1, rank=4, lr=1e-2).model
    run = prefer(tuned, data, beta=0.5, epochs=1, lr=1e-2, layers=1)
    was = dict(tuned.network.named_parameters())
    changed = {name for name, weight in run.model.network.named_parameters() if not torch.equal(weight, was[name])}
    assert changed and all(".layers.1." in name and "lora_" in name for name in changed)


def test_a_saved_adapter_answers_as_the_trained_model(tiny, data, tmp_path):
    run = prefer(tiny, data, epochs=1, lr=1e-2, rank=4, out=tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("checkpoint-*"))
    again = LanguageModel.load(tmp_path / "kept")
    asked = [row["prompt"] for row in pairs(range(3))]
    first, second = (model.log_likelihood(asked, ["we help"] * 3)[0] for model in (run.model, again))
    assert first == pytest.approx(second, abs=1e-4)


def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(tiny, data, tmp_path, monkeypatch):
    whole = prefer(tiny, data, epochs=3, lr=1e-2, rank=4)
    step_end = PairProgress.on_step_end

    def stop(self, args, state, control, **more):
        step_end(self, args, state, control, **more)
        if state.global_step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PairProgress, "on_step_end", stop)
        with pytest.raises(KeyboardInterrupt):
            prefer(tiny, data, epochs=3, lr=1e-2, rank=4, out=tmp_path)
    resumed = prefer(tiny, data, epochs=3, lr=1e-2, rank=4, out=tmp_path)
    assert resumed.resumed_from == 1
    assert [m["epoch"] for m in resumed.validation] == [0, 1, 2, 3] and len(resumed.steps) == len(whole.steps)
    assert resumed.validation[-1]["margin"] == pytest.approx(whole.validation[-1]["margin"], abs=1e-4)
    assert mark_of(resumed.model) != mark_of(LanguageModel.load(tiny))


def test_a_loss_that_is_no_number_stops_in_a_sentence(tiny, data):
    with pytest.raises(ValueError, match=r"the loss is nan at step \d+: .*lower lr \(it is 1e\+30\)"):
        prefer(tiny, data, epochs=2, lr=1e30, rank=4)


BAD = {
    "two, row 2: chosen and rejected are the same answer": [pair("a", "b", "c"), pair("a", "b", " b ")],
    "two, row 1, rejected: the assistant's answer is empty": [pair("a", "b", "  ")],
    "two, row 1, chosen: the assistant's answer is empty": [pair("a", "", "c")],
    "two, row 1: the prompt ends with the assistant's turn": [{**pair("a", "b", "c"), "prompt": [{"role": "assistant", "content": "hi"}]}],
    "two, row 1: no rejected": [{**pair("a", "b", "c"), "rejected": []}],
    "two, row 1, rejected: .*the context has 512": [pair("a", "b", "c" * 600)],
    "two, row 1, chosen: the last turn is the user's": [{**pair("a", "b", "c"), "chosen": [{"role": "user", "content": "x"}]}],
    "two, row 1, chosen, message 3: expected an object": [{**pair("a", "b", "c"), "chosen": ["b"]}],
}


@pytest.mark.parametrize("words", BAD)
def test_a_pair_that_cannot_be_learned_from_is_refused_with_its_row(tiny, words):
    tokenizer = LanguageModel.load(tiny).tokenizer
    with pytest.raises(ValueError, match=words):
        encode_pairs(tokenizer, BAD[words], name="two")


def test_sizes_and_columns_that_cannot_work_are_refused(tiny, data):
    for options, words in [
        (dict(beta=0), "beta must be above 0"),
        (dict(epochs=0), "epochs must be at least 1"),
        (dict(batch_size=0), "batch_size must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            prefer("no such model", data, **options)
    with pytest.raises(ValueError, match="no 'validation' rows"):
        prefer("no such model", data.__class__(train=data["train"]))
    with pytest.raises(ValueError, match="no column rejected"):
        prefer("no such model", data.remove_columns("rejected"))
    with pytest.raises(ValueError, match="layers must be 1 to 2"):
        prefer(tiny, data, layers=3)


def test_fernhills_preferences_keep_the_splits_of_its_tickets():
    from utils.data import load
    from utils.fernhill import rows_of

    data, tickets = preference_data(), load("fernhill-tickets")
    assert sum(len(split) for split in data.values()) == len(rows_of("preferences.jsonl"))
    for name, split in data.items():
        assert set(split["ticket"]) <= set(tickets[name]["id"])
        assert all(prompt[-1]["role"] == "user" for prompt in split["prompt"])
    answers = {row["id"]: row for row in rows_of("preferences.jsonl")}
    row = data["test"][0]
    assert row["chosen"][0]["content"] == answers[row["id"]]["chosen"] and re.search(r"\w", row["broken"])
