"""Fine-tuning on chats, on toys: it learns the answers only, wastes nothing, survives interruption, speaks plainly."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from utils import attention, language_models, sft
from utils.adapters import attach, quicken
from utils.data import as_datasets
from utils.language_models import LanguageModel
from utils.models import tiny_model
from utils.prompts import NO_LOSS
from utils.runtime import ROOT
from utils.sft import answer_loss, collate, encode, fine_tune_chat

FAST = dict(epochs=4, lr=1e-2, batch_size=4, rank=4)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A decoder whose frozen output layer can say something: at its usual random start all its scores are near zero."""
    folder = tiny_model(tmp_path_factory.mktemp("decoder"), "decoder")
    network = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(3)
    torch.nn.init.normal_(network.lm_head.weight, std=0.5)
    torch.nn.init.normal_(network.model.embed_tokens.weight, std=0.5)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Exact comparisons need full-width numbers."""
    for module in (sft, language_models):
        monkeypatch.setattr(module, "fastest_dtype", lambda: "float32")


def chats(numbers):
    """Questions whose first word tells the answer, of different lengths, all with one system prompt."""
    answers = {"money": "refund", "zip": "repair", "where": "delivery"}
    return [
        {
            "messages": [
                {"role": "system", "content": "say what the customer wants"},
                {"role": "user", "content": f"{word} {n * 37 % 1000}" + " please" * (n % 3)},
                {"role": "assistant", "content": answer},
            ]
        }
        for n in numbers
        for word, answer in answers.items()
    ]


@pytest.fixture(scope="module")
def data():
    return as_datasets(train=chats(range(8)), validation=chats(range(8, 11)))


def adapter_of(run):
    return {
        name: weight.detach().clone() for name, weight in run.model.network.named_parameters() if weight.requires_grad or "lora" in name
    }


def assert_same(a, b, **tolerance):
    assert a.keys() == b.keys() and a
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=lambda m, name=name: f"{name}: {m}", **tolerance)


def with_adapter(folder):
    """A model with an adapter that changes something."""
    model = LanguageModel.load(folder)
    torch.manual_seed(0)
    model.network = attach(model.network, rank=4)
    for name, weight in model.network.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.05)
    return model


# ---- the loss ------------------------------------------------------------------------------------


def gradients(network, total):
    network.zero_grad()
    total.backward()
    return {name: w.grad.clone() for name, w in network.named_parameters() if w.grad is not None}


def plain_loss(network, items):
    """The textbook's way: every row whole, scores for every token, the loss summed where there is a label."""
    width = max(len(item["input_ids"]) for item in items)
    ids = torch.tensor([item["input_ids"] + [0] * (width - len(item["input_ids"])) for item in items])
    labels = torch.tensor([item["labels"] + [NO_LOSS] * (width - len(item["labels"])) for item in items])
    real = torch.tensor([[1] * len(item["input_ids"]) + [0] * (width - len(item["input_ids"])) for item in items])
    network.get_base_model().config._attn_implementation = "sdpa"
    scores = network(input_ids=ids, attention_mask=real).logits
    network.get_base_model().config._attn_implementation = attention.NAME
    return F.cross_entropy(scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=NO_LOSS, reduction="sum")


@pytest.mark.parametrize("quick", [False, True])
def test_loss_and_gradients_equal_the_textbook_s(decoder, data, quick):
    model = with_adapter(decoder)
    items = encode(model.tokenizer, data["train"])[:6]
    batch = collate(items)
    assert batch["prefix"].shape[1] > 20, "the system prompt is shared"
    restore = quicken(model.network) if quick else lambda: None
    total, count = answer_loss(model.network, batch)
    found = gradients(model.network, total)
    restore()
    expected = plain_loss(model.network, items)
    assert count == sum(label != NO_LOSS for item in items for label in item["labels"])
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_same(found, gradients(model.network, expected), rtol=1e-4, atol=1e-4)


def test_rows_with_nothing_in_common_are_read_whole(decoder):
    model = with_adapter(decoder)
    rows = [[{"role": role, "content": "hi"}, {"role": "assistant", "content": "yes"}] for role in ("system", "user")]
    items = encode(model.tokenizer, as_datasets(train=[{"messages": row} for row in rows])["train"])
    for some in (items, items[:1]):
        assert answer_loss(model.network, collate(some))[0].item() == pytest.approx(plain_loss(model.network, some).item(), rel=1e-5)


def test_rows_with_the_same_prompt_keep_what_predicts_their_first_token(decoder):
    model = with_adapter(decoder)
    ask = [{"role": "user", "content": "colour"}]
    rows = [{"messages": [*ask, {"role": "assistant", "content": answer}]} for answer in ("red", "blue")]
    items = encode(model.tokenizer, as_datasets(train=rows)["train"])
    total, count = answer_loss(model.network, collate(items))
    assert count == len("red") + len("blue") + 2
    assert total.item() == pytest.approx(plain_loss(model.network, items).item(), rel=1e-5)


def test_the_loss_is_trl_s(decoder, data, tmp_path):
    from trl import SFTConfig, SFTTrainer

    model = with_adapter(decoder)
    items = encode(model.tokenizer, data["train"])[:5]
    total, count = answer_loss(model.network, collate(items))
    rows = [dict(input_ids=i["input_ids"], completion_mask=[int(x != NO_LOSS) for x in i["labels"]]) for i in items]
    from datasets import Dataset

    model.network.get_base_model().config._attn_implementation = "sdpa"
    options = SFTConfig(str(tmp_path), completion_only_loss=True, use_cpu=True, report_to="none", max_length=None, bf16=False)
    trainer = SFTTrainer(model.network, options, train_dataset=Dataset.from_list(rows), processing_class=model.tokenizer)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])
    assert int((batch["labels"] != NO_LOSS).sum()) == count
    with torch.no_grad():
        theirs = trainer.compute_loss(trainer.model, batch).item()
    assert total.item() / count == pytest.approx(theirs, rel=1e-5)


def test_small_batches_add_up_to_the_big_one(decoder, data):
    model = with_adapter(decoder)
    items = encode(model.tokenizer, data["train"])[:8]
    total, count = answer_loss(model.network, collate(items))
    whole = gradients(model.network, total / count)
    model.network.zero_grad()
    for part in (items[:3], items[3:]):  # of unequal size, so a mean of means would be wrong
        (answer_loss(model.network, collate(part))[0] / count).backward()
    assert_same({n: w.grad for n, w in model.network.named_parameters() if w.grad is not None}, whole, rtol=1e-5, atol=1e-5)


def test_accumulated_steps_train_as_the_big_batch_does(decoder):
    one_step = as_datasets(train=chats([0, 1, 2])[:8], validation=chats([3]))
    options = dict(epochs=1, lr=1e-2, rank=4)
    whole = adapter_of(fine_tune_chat(decoder, one_step, batch_size=8, **options))
    parts = adapter_of(fine_tune_chat(decoder, one_step, batch_size=3, accumulate=3, **options))
    assert_same(whole, parts, rtol=1e-4, atol=1e-5)


# ---- the run -------------------------------------------------------------------------------------


def test_it_learns_to_answer_as_the_examples_do(decoder, data):
    def tell(rows):
        return [{"messages": [*row["messages"][:-1], {"role": "assistant", "content": "done"}]} for row in rows.to_list()]

    taught = as_datasets(train=tell(data["train"]), validation=tell(data["validation"]))
    asked = [messages[:-1] for messages in taught["validation"]["messages"]]
    run = fine_tune_chat(decoder, taught, epochs=12, lr=2e-2, batch_size=4, rank=8, patience=None, samples=asked[:2], sample_tokens=12)
    assert run.validation_loss[-1][1] < 0.1 * run.validation_loss[0][1]
    assert len(run.samples) == run.epochs and len(run.samples[0][1]) == 2
    said = run.model.generate(asked, max_new_tokens=12)
    assert [text.replace(" ", "") for text in said] == ["done"] * len(asked)
    assert said[:2] == run.samples[run.best_epoch - 1][1]
    assert run.tokens_per_second > 0 and run.learning < 0.3 * run.weights


def test_the_base_stays_as_it_was(decoder, data):
    before = AutoModelForCausalLM.from_pretrained(decoder).state_dict()
    run = fine_tune_chat(decoder, data, **{**FAST, "epochs": 1})
    after = {name.replace(".base_layer", ""): weight for name, weight in run.model.plain.state_dict().items() if "lora" not in name}
    assert_same(before, after, rtol=0, atol=0)


def test_adapters_in_the_top_layer_only_leave_the_lower_one_alone(decoder, data):
    run = fine_tune_chat(decoder, data, layers=1, **{**FAST, "epochs": 2})
    assert all(".layers.1." in name for name in adapter_of(run))
    assert run.validation_loss[-1][1] < run.validation_loss[0][1]


def test_remembered_lower_layers_change_nothing_and_are_not_computed_again(decoder, data, monkeypatch):
    calls = {True: 0, False: 0}

    def counted(self, *arguments, plain=LlamaDecoderLayer.forward, **options):
        calls[remembers] += self.self_attn.layer_idx == 0
        return plain(self, *arguments, **options)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", counted)
    runs = {}
    for remembers, most in ((True, 1e9), (False, 0)):
        monkeypatch.setattr(sft, "REMEMBERED", most)
        runs[remembers] = fine_tune_chat(decoder, data, layers=1, **{**FAST, "epochs": 3})
    assert_same(adapter_of(runs[False]), adapter_of(runs[True]), rtol=1e-3, atol=1e-4)
    assert calls[True] < calls[False] / 3


def test_early_stopping_keeps_the_best_epoch(decoder, data):
    turned = as_datasets(
        train=data["train"].to_list(),
        validation=[
            {"messages": [*row["messages"][:-1], {"role": "assistant", "content": "zzzzzz"}]} for row in data["validation"].to_list()
        ],
    )
    run = fine_tune_chat(decoder, turned, epochs=12, lr=2e-2, batch_size=4, rank=4, patience=2)
    reached = dict(run.validation_loss)
    assert run.epochs < 12 and run.epochs == run.best_epoch + 2
    assert reached[run.best_epoch] == min(reached.values())
    items = encode(run.model.tokenizer, turned["validation"])
    total, count = answer_loss(run.model.network, collate(items))
    assert total.item() / count == pytest.approx(reached[run.best_epoch], rel=1e-4), "the kept adapter is the best epoch's"


def test_a_finished_adapter_is_written_and_read(decoder, data, tmp_path):
    run = fine_tune_chat(decoder, data, out=tmp_path / "out", **{**FAST, "epochs": 1})
    asked = [messages[:-1] for messages in data["validation"]["messages"]]
    assert LanguageModel.load(tmp_path / "out").generate(asked, 8) == run.model.generate(asked, 8)
    assert not list((tmp_path / "out").glob("checkpoint-*"))


# ---- interrupted runs ----------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from tests.test_sft import chats
from utils import language_models, sft
from utils.data import as_datasets
sft.fastest_dtype = language_models.fastest_dtype = lambda: "float32"
data = as_datasets(train=chats(range(30)), validation=chats(range(30, 33)))
run = sft.fine_tune_chat({decoder!r}, data, epochs=4, lr=1e-2, batch_size=4, rank=4, patience=None)
run.model.save({target!r})
print("resumed from", run.resumed_from)
"""


def start(decoder, folder, name):
    """A training run in a process of its own, with its checkpoints in `folder`."""
    code = SCRIPT.format(root=str(ROOT), decoder=str(decoder), target=str(folder / name))
    environment = {**os.environ, "FTM_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_goes_on_and_ends_the_same(decoder, tmp_path):
    from safetensors.torch import load_file

    killed = start(decoder, tmp_path, "never")
    deadline = time.time() + 400
    while not list((tmp_path / "runs").glob("unfinished/*/checkpoint-*/complete")) and time.time() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "never").exists(), "the run was over before it could be killed"
    resumed = start(decoder, tmp_path, "resumed").communicate(timeout=400)[0]
    assert "resumed from" in resumed and "resumed from 0" not in resumed
    assert "resumed from 0" in start(decoder, tmp_path, "whole").communicate(timeout=400)[0]
    a, b = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("resumed", "whole"))
    assert_same(a, b)


def test_a_loss_that_is_no_number_stops_with_a_sentence_and_keeps_earlier_checkpoints(decoder, data, tmp_path, monkeypatch):
    real = sft.answer_loss
    seen = []

    def spoiled(network, batch, frozen):
        total, count = real(network, batch, frozen)
        seen.append(torch.is_grad_enabled())
        return (total * float("nan") if sum(seen) > 8 else total), count

    monkeypatch.setattr(sft, "answer_loss", spoiled)
    with pytest.raises(ValueError, match=r"the loss is nan at step 9: learning ran away; lower lr \(it is 0.01\)"):
        fine_tune_chat(decoder, data, out=tmp_path, **FAST)
    assert (tmp_path / "checkpoint-6" / "complete").exists()


def test_the_same_seed_gives_the_same_run(decoder, data):
    first, second = (adapter_of(fine_tune_chat(decoder, data, seed=3, **{**FAST, "epochs": 1})) for _ in range(2))
    assert_same(first, second)


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(epochs=0), "epochs must be at least 1"),
        (dict(accumulate=0), "accumulate must be at least 1"),
        (dict(layers=9), "layers must be 1 to 2"),
        (dict(max_tokens=20), "train, row 1: prompt and answer takes"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(decoder, data, options, words):
    with pytest.raises(ValueError, match=words):
        fine_tune_chat(decoder, data, **options)


def test_data_without_chats_is_refused(decoder, toy_data, data):
    with pytest.raises(ValueError, match="have no column messages"):
        fine_tune_chat(decoder, toy_data)
    with pytest.raises(ValueError, match="data has no 'validation' rows"):
        fine_tune_chat(decoder, {"train": data["train"]})
    spoiled = as_datasets(train=data["train"].to_list(), validation=[{"messages": chats([1])[0]["messages"][:-1]}])
    with pytest.raises(ValueError, match="validation, row 1: the last turn is the user's"):
        fine_tune_chat(decoder, spoiled)
