"""Fine-tuning, on toys: it learns, it wastes nothing, it survives interruption, it speaks plainly."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from utils import train
from utils.classifiers import Classifier
from utils.models import count_weights
from utils.runtime import ROOT
from utils.train import LengthBuckets, fine_tune
from utils.trainable import UsedRows

FAST = dict(epochs=4, lr=3e-3)


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Exact comparisons need full-width numbers."""
    monkeypatch.setattr(train, "fastest_dtype", lambda: "float32")


def weights_of(run):
    return {name: weight.clone() for name, weight in run.classifier.network.state_dict().items()}


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=lambda m, name=name: f"{name}: {m}")


def test_full_training_learns_the_toy_labels(tiny, toy_data):
    run = fine_tune(tiny, toy_data, **FAST)
    assert run.classifier.predict(toy_data["test"]["text"]) == toy_data["test"]["label"]
    assert run.train_loss[-1][1] < run.train_loss[0][1]


@pytest.mark.parametrize("mode", ["head", "lora"])
def test_the_encoder_stays_frozen_while_the_loss_falls(tiny, toy_data, mode):
    before = Classifier.from_base(tiny, ["a", "b"]).network.encoder.state_dict()
    run = fine_tune(tiny, toy_data, mode=mode, **FAST)
    after = run.classifier.network.encoder.state_dict()
    assert run.validation_loss[-1][1] < run.validation_loss[0][1]
    assert run.learning < 0.6 * run.weights
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set() if mode == "head" else all(name.endswith("weight") and "embeddings" not in name for name in changed)
    assert count_weights(run.classifier.network)[1] == sum(w.numel() for w in run.classifier.network.parameters())


def test_lora_leaves_a_plain_classifier_that_can_be_saved(tiny, toy_data, tmp_path):
    run = fine_tune(tiny, toy_data, mode="lora", epochs=2, lr=3e-3)
    again = Classifier.load(run.classifier.save(tmp_path / "merged"))
    assert again.scores(["money 1", "where 2"]) == pytest.approx(run.classifier.scores(["money 1", "where 2"]), abs=1e-6)


def test_training_only_the_used_rows_gives_the_same_weights(tiny, toy_data, monkeypatch):
    quick = weights_of(fine_tune(tiny, toy_data, epochs=2, lr=3e-3))
    monkeypatch.setattr(train, "keep_used_rows", lambda network, items: None)
    monkeypatch.setattr(train, "restore_rows", lambda network, unused: None)
    assert_same_weights(quick, weights_of(fine_tune(tiny, toy_data, epochs=2, lr=3e-3)))


def test_used_rows_look_up_the_same_vectors():
    table = torch.arange(20.0).view(10, 2)
    rows = UsedRows(table, torch.tensor([0, 3, 7]))
    assert torch.equal(rows(torch.tensor([[7, 0, 3]])), table[[7, 0, 3]].unsqueeze(0))


def test_buckets_hold_every_row_once_and_pad_less_than_chance():
    lengths = [int(5 + 90 * torch.rand(1) ** 3) for _ in range(203)]
    order = list(LengthBuckets(lengths, 16))
    assert sorted(order) == list(range(203))

    def places(order):
        return sum(max(lengths[i] for i in order[s : s + 16]) * len(order[s : s + 16]) for s in range(0, 203, 16))

    assert places(order) < 0.8 * places(list(range(203)))
    assert order != list(LengthBuckets(lengths, 16)), "batches should differ from epoch to epoch"


def test_the_same_seed_gives_the_same_run_and_another_does_not(tiny, toy_data):
    first, second = (weights_of(fine_tune(tiny, toy_data, epochs=1, seed=3)) for _ in range(2))
    assert_same_weights(first, second)
    other = weights_of(fine_tune(tiny, toy_data, epochs=1, seed=4))
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_early_stopping_keeps_the_best_epoch(tiny, toy_data):
    spoiled = toy_data.copy()
    # Validation labels turned round: each step of learning makes validation worse.
    turned = {"refund": "repair", "repair": "delivery", "delivery": "refund"}
    spoiled["validation"] = toy_data["validation"].map(lambda row: {"label": turned[row["label"]]})
    run = fine_tune(tiny, spoiled, epochs=8, lr=3e-3, patience=2)
    assert run.epochs < 8
    reached = dict(run.validation_accuracy)
    assert reached[run.best_epoch] == max(reached.values())
    assert run.epochs == run.best_epoch + 2


# ---- interrupted runs ----------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from utils import train
from utils.data import as_datasets
train.fastest_dtype = lambda: "float32"
words = {{"refund": "money", "repair": "fix a zip", "delivery": "where"}}
def rows(numbers):
    return [{{"text": f"{{word}} {{n}}", "label": label}} for n in numbers for label, word in words.items()]
data = as_datasets(train=rows(range(40)), validation=rows(range(40, 50)), test=rows(range(2)))
run = train.fine_tune({tiny!r}, data, epochs=5, lr=1e-3, patience=None)
run.classifier.save({target!r})
print("resumed from", run.resumed_from)
"""


def start(tiny, folder, name):
    """A training run in a process of its own, with its checkpoints in `folder`."""
    code = SCRIPT.format(root=str(ROOT), tiny=str(tiny), target=str(folder / name))
    environment = {**os.environ, "FTM_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_goes_on_and_ends_the_same(tiny, tmp_path):
    killed = start(tiny, tmp_path, "never")
    deadline = time.time() + 120
    while len(list((tmp_path / "runs").glob("unfinished/*/checkpoint-*/complete"))) == 0 and time.time() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "never").exists(), "the run was over before it could be killed"

    resumed = start(tiny, tmp_path, "resumed").communicate(timeout=120)[0]
    assert "resumed from" in resumed and "resumed from 0" not in resumed
    fresh = start(tiny, tmp_path, "whole").communicate(timeout=120)[0]
    assert "resumed from 0" in fresh, "a finished run must not be resumed"
    a, b = Classifier.load(tmp_path / "resumed").network.state_dict(), Classifier.load(tmp_path / "whole").network.state_dict()
    assert_same_weights(a, b)


def test_an_interrupted_cell_goes_on_and_ends_the_same(tiny, toy_data, monkeypatch, capsys):
    whole = weights_of(fine_tune(tiny, toy_data, epochs=3, lr=1e-3))
    on_evaluate = train.Progress.on_evaluate

    def interrupt(self, args, state, control, **rest):
        on_evaluate(self, args, state, control, **rest)
        if round(state.epoch) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Progress, "on_evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tiny, toy_data, epochs=3, lr=1e-3)
    assert "run the same call again" in capsys.readouterr().err
    monkeypatch.setattr(train.Progress, "on_evaluate", on_evaluate)
    resumed = fine_tune(tiny, toy_data, epochs=3, lr=1e-3)
    assert resumed.resumed_from == 1
    assert [epoch for epoch, _ in resumed.validation_loss] == [1, 2, 3]
    assert_same_weights(whole, weights_of(resumed))


def test_a_half_written_checkpoint_is_not_resumed(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "complete").write_text("mine")
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"half")
    assert train.last_checkpoint(tmp_path, "mine").name == "checkpoint-5"
    assert train.last_checkpoint(tmp_path, "of other settings") is None


def test_the_fingerprint_tells_settings_and_data_apart(toy_data):
    other = toy_data.copy()
    other["train"] = toy_data["train"].select(range(10))
    marks = {train.fingerprint({"lr": 1}, toy_data), train.fingerprint({"lr": 2}, toy_data), train.fingerprint({"lr": 1}, other)}
    assert len(marks) == 3


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(mode="qlora"), "mode must be one of full, head, lora"),
        (dict(epochs=0), "epochs must be at least 1"),
        (dict(batch_size=-1), "batch_size must be at least 1"),
        (dict(rank=0), "rank must be at least 1"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(tiny, toy_data, options, words):
    with pytest.raises(ValueError, match=words):
        fine_tune(tiny, toy_data, **options)


def test_labels_that_training_never_sees_are_named(tiny, toy_data):
    data = toy_data.copy()
    data["train"] = data["train"].filter(lambda row: row["label"] != "repair")
    with pytest.raises(ValueError, match="repair"):
        fine_tune(tiny, data)


def run_cli(*arguments):
    command = [sys.executable, "-m", "utils.train", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_shell_command_ends_with_one_json_line(tiny, toy_data, tmp_path):
    toy_data["train"].to_csv(tmp_path / "train.csv")
    toy_data["test"].to_csv(tmp_path / "test.csv")
    arguments = ["--test", tmp_path / "test.csv", "--model", tiny, "--epochs", 2, "--seed", 1, "--out", tmp_path / "out"]
    done = run_cli(tmp_path / "train.csv", *arguments)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert list(figures) == [
        "accuracy",
        "accuracy_interval",
        "macro_f1",
        "macro_f1_interval",
        "n_test",
        "train_seconds",
        "examples_per_second",
        "peak_memory_mb",
    ]
    low, high = figures["accuracy_interval"]
    assert 0 <= low <= figures["accuracy"] <= high <= 1
    assert figures["n_test"] == len(toy_data["test"])
    assert "epoch 2 of 2" in done.stderr
    assert Classifier.load(tmp_path / "out").labels == ["delivery", "refund", "repair"]
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_the_shell_command_explains_a_bad_file(tmp_path):
    (tmp_path / "bad.csv").write_text("text,label\nhello,a\n,b\n")
    done = run_cli(tmp_path / "bad.csv")
    assert done.returncode == 1
    assert "bad.csv, row 2: the text is empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
