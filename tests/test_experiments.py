"""utils.experiments: runs are remembered, resumed, never mixed; reference results are those of the lessons."""

import json
import os
import subprocess
import sys
import time

import pytest

from utils.experiments import code_hash, configurations, read_results, sweep
from utils.runtime import ROOT
from utils.studies import STUDIES, tickets


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("FTM_RUNS", str(tmp_path))
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    return tmp_path


def toy(x, seed, data=None):
    """Counts its calls in a file, since they may come from other processes."""
    with open(os.environ["COUNT"], "a") as file:
        file.write(".")
    if x == "stop":
        raise KeyboardInterrupt
    return {"y": 10 * x + seed}


def calls(own_runs):
    return len((own_runs / "count").read_text()) if (own_runs / "count").exists() else 0


def test_a_sweep_computes_each_run_once(own_runs):
    table = sweep(toy, {"x": [1, 2]}, seeds=[0, 5])
    assert list(table["y"]) == [10, 20, 15, 25] and calls(own_runs) == 4
    assert list(sweep(toy, {"x": [1, 2, 3]}, seeds=[0, 5])["y"]) == [10, 20, 30, 15, 25, 35] and calls(own_runs) == 6


def test_an_interrupted_sweep_keeps_what_was_finished(own_runs):
    with pytest.raises(KeyboardInterrupt):
        sweep(toy, [{"x": 1}, {"x": 2}, {"x": "stop"}])
    assert list(sweep(toy, [{"x": 1}, {"x": 2}])["y"]) == [10, 20] and calls(own_runs) == 3


def test_other_data_are_another_run(own_runs):
    sweep(toy, {"x": [1]}, data={"a": 1})
    sweep(toy, {"x": [1]}, data={"a": 2})
    assert calls(own_runs) == 2


def test_a_damaged_file_is_computed_again(own_runs):
    sweep(toy, {"x": [1]})
    next((own_runs / "experiments" / "toy").glob("*.json")).write_text('{"result":')
    assert list(sweep(toy, {"x": [1]})["y"]) == [10] and calls(own_runs) == 2


def test_two_workers_give_the_same_table(own_runs):
    alone = sweep(toy, {"x": [1, 2, 3]}, seeds=[0, 1], name="alone")
    together = sweep(toy, {"x": [1, 2, 3]}, seeds=[0, 1], name="together", workers=2)
    assert list(alone["y"]) == list(together["y"])


def test_a_killed_sweep_goes_on_and_loses_the_run_under_way_only(own_runs):
    program = own_runs / "killed.py"
    program.write_text(
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from utils.experiments import sweep\n"
        "def slow(x, seed):\n    time.sleep(0 if x < 3 else 60)\n    return {'y': x}\n"
        "sweep(slow, {'x': [0, 1, 2, 3]}, name='killed')\n"
    )
    process = subprocess.Popen([sys.executable, program], stderr=subprocess.DEVNULL)
    finished = own_runs / "experiments" / "killed"
    while len(list(finished.glob("*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = [json.loads(path.read_text())["result"]["y"] for path in finished.glob("*.json")]
    assert sorted(kept) == [0, 1, 2]
    program.write_text(program.read_text().replace("[0, 1, 2, 3]", "[0, 1, 2]"))
    again = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert "runs" not in again.stderr, "nothing is computed twice"


def helper():
    return 1


def uses_helper(seed):
    return helper()


def test_the_code_hash_follows_what_a_function_calls_and_not_its_words(monkeypatch):
    before = code_hash(uses_helper)
    assert code_hash(uses_helper) == before

    def changed():
        return 2

    changed.__qualname__ = "helper"
    monkeypatch.setitem(uses_helper.__globals__, "helper", changed)
    assert code_hash(uses_helper) != before


@pytest.mark.parametrize("name", STUDIES)
def test_reference_results_are_those_of_the_lessons_configuration(name):
    study, (runs, about) = STUDIES[name], read_results(name)
    expected = study.about()
    assert {key: about[key] for key in expected} == expected, f"run python -m utils.studies {name}"
    assert len(runs) == len(configurations(study.grid)) * study.seeds and about["provenance"]["date"]


SAMPLED = {  # one run of each file, cheap enough to be computed again
    "E01": {"system": "TF-IDF", "n": 400},
    "E02": {"trained": "head", "n": 64},
    "E03": {"system": "TF-IDF", "n": 250},
    "E06": {"start": "TF-IDF", "n": 500},
    "E05": {"n": 200, "share": 0.4, "wrong": "left in"},
    "E10": {"system": "retrieval"},
    "E11": {"facts": 5, "count": 1, "silences": 0},
    "E15": {"n": 10},
    "E19": {"pair": "same recipe twice", "n": 50},
    "E21": {"how": "copies", "share": 0.3},
    "E27": {"retrieval": False, "tuned": False},
    "E28": {"trained": "all", "rank": 8, "lr": 0.002},
    "E29": {"kind": "int8", "n": 24},
    "E36": {"left_out": "nothing"},
}


@pytest.mark.weights
@pytest.mark.parametrize("name", STUDIES)
def test_a_sampled_reference_run_comes_out_again(name):
    study, runs = STUDIES[name], read_results(name)[0]
    point = SAMPLED[name]
    same = runs[(runs[list(point)] == point.values()).all(axis=1)]
    again = study.function(**point, seed=0, data=tickets(study.dataset), model_id=study.model_id)
    compared = (set(again) & set(same.select_dtypes("number"))) - {"judged", "update_seconds"}
    assert compared
    for column in compared:
        values = same[column]  # one run has no spread: another machine's rounding moves it by less than a hundredth
        spread = 4 * values.std() + 1e-9 if len(values) > 1 else 0.01 * abs(values.mean())
        if "judged" in same:  # shares of few answers: their own luck is wider than two runs can show
            spread = max(spread, 3 * (values.mean() * (1 - values.mean()) / same["judged"].iloc[0]) ** 0.5)
        assert abs(again[column] - values.mean()) <= spread, f"{column}: outside the spread of the reference runs"
