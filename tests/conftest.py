"""What all tests share: no network, no windows, one thread per worker; a tiny model and a toy data set."""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is loaded
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import matplotlib
import pytest

from utils.data import as_datasets
from utils.models import tiny_model

matplotlib.use("Agg")


@pytest.fixture(scope="session", autouse=True)
def runs(tmp_path_factory):
    """What tests produce goes to a temporary folder, one per worker."""
    os.environ["FTM_RUNS"] = str(tmp_path_factory.mktemp("runs"))
    os.environ["FTM_JOURNAL"] = str(tmp_path_factory.mktemp("journal") / "journal.jsonl")
    os.environ["FTM_LEDGER"] = str(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a two-layer encoder of random weights."""
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def sharp_decoder(tmp_path_factory):
    """A decoder whose random weights are large, so that its likeliest tokens differ from row to row and some end early."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny_model(tmp_path_factory.mktemp("decoder"), "decoder")
    network = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.4)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_data():
    """Three labels, each told by one word; a tiny model learns them in seconds."""
    words = {"refund": "money", "repair": "fix a zip", "delivery": "where"}

    def rows(numbers):
        return [{"id": f"{label}-{n}", "text": f"{word} {n}", "label": label} for n in numbers for label, word in words.items()]

    return as_datasets(train=rows(range(40)), validation=rows(range(40, 50)), test=rows(range(50, 60)))
