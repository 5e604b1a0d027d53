"""utils.runtime: this machine in numbers, folders, seeds, and what Colab gets."""

import random
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from utils import runtime
from utils.runtime import ROOT, cache_dir, colab_requirements, cores, fastest_dtype, matrix_rate, memory_gb, peak_memory_mb, runs_dir


def test_this_machine_has_sensible_numbers():
    assert 1 <= cores() <= psutil.cpu_count()
    assert 0.5 < memory_gb() <= psutil.virtual_memory().total / 1e9
    assert psutil.Process().memory_info().rss / 1e6 * 0.5 < peak_memory_mb() < 1000 * memory_gb()


def test_peak_memory_counts_what_this_process_held_and_not_its_parent():
    lines = "import numpy; from utils.runtime import peak_memory_mb as p; a = p(); b = numpy.ones(25_000_000); print(p() - a)"
    grown = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 190 < float(grown) < 220  # 25 million numbers of 8 bytes


def test_the_matrix_rate_is_measured_and_an_unknown_product_is_zero():
    assert matrix_rate("float32") > 1
    assert matrix_rate("bool") == 0.0


@pytest.mark.parametrize(("bfloat16", "expected"), [(50, "float32"), (110, "float32"), (130, "bfloat16")])
def test_a_half_width_type_must_win_by_a_fifth(bfloat16, expected, monkeypatch):
    monkeypatch.setattr(runtime, "device", lambda: "cpu")
    monkeypatch.setattr(runtime, "matrix_rate", {"float32": 100, "bfloat16": bfloat16}.get)
    assert fastest_dtype.__wrapped__() == expected


def test_this_machine_has_a_fastest_type():
    assert fastest_dtype() in {"float32", "bfloat16", "float16"}


def test_folders_obey_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FTM_CACHE", "~/models")
    monkeypatch.setenv("FTM_RUNS", "~/made")
    assert (cache_dir(), runs_dir()) == (Path.home() / "models", Path.home() / "made")
    monkeypatch.delenv("FTM_CACHE")
    monkeypatch.delenv("FTM_RUNS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert (cache_dir(), runs_dir()) == (tmp_path / "fine-tuning-measured", ROOT / "runs")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "fine-tuning-measured"


def test_a_seed_repeats_all_three_generators():
    def numbers(seed):
        runtime.set_seed(seed)
        return random.random(), np.random.random(), torch.rand(1).item()

    assert numbers(3) == numbers(3)
    assert all(a != b for a, b in zip(numbers(3), numbers(4), strict=True))


@pytest.mark.parametrize(
    ("environment", "place"), [({"COLAB_RELEASE_TAG": "1", "CI": "true"}, "colab"), ({"CI": "true"}, "ci"), ({"CI": ""}, "laptop")]
)
def test_where_we_run_is_told_by_the_environment(environment, place, monkeypatch):
    for name in ("COLAB_RELEASE_TAG", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert runtime.where() == place


LINES = ["# pins", "", "torch==2.13.0  # tensors", "numpy==2.4.6", "transformers==5.23.0", "ftfy==6.3.1", "peft==0.21.2"]


def test_colab_keeps_its_torch_and_gets_our_transformers():
    wanted, kept = colab_requirements(LINES, {"torch": "2.9.0+cu126", "numpy": "2.0.2", "transformers": "4.57.0", "peft": "0.21.2"})
    assert wanted == ["transformers==5.23.0", "ftfy==6.3.1"]
    assert kept == ["torch==2.9.0+cu126", "numpy==2.0.2"]


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """A machine that calls itself Colab; returns the commands that it is asked to run."""
    commands = []
    monkeypatch.setenv("COLAB_RELEASE_TAG", "1")
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command))
    monkeypatch.setattr(runtime, "ROOT", tmp_path)
    return commands


def test_colab_installs_once_and_before_torch(colab, tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("no-such-package==1\ntorch==0.1\n")
    with pytest.raises(RuntimeError, match="Restart session"):
        runtime.prepare()
    monkeypatch.delitem(sys.modules, "torch")
    runtime.prepare()
    assert len(colab) == 1 and colab[0][-1] == "no-such-package==1"


def test_colab_with_all_that_is_needed_installs_nothing(colab, tmp_path):
    (tmp_path / "requirements.txt").write_text("".join(f"{d.name}=={d.version}\n" for d in distributions()))
    runtime.prepare()
    assert colab == []
