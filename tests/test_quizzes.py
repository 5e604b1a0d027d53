"""Quizzes answer every option; the journal keeps what was done and survives a broken line."""

import json

import pytest

from utils import journal, quizzes
from utils.feedback import right
from utils.journal import events, exercises, note, progress
from utils.quizzes import load_quiz, quiz
from utils.runtime import ROOT


def option(text, right, why):
    return {"text": text, "right": right, "why": why}


QUESTIONS = [
    {"question": "Is <b>more</b> better?", "options": [option("yes", False, "Not <i>always</i>."), option("no", True, "It depends.")]},
    {"question": "Test twice?", "options": [option("no", True, "Once."), option("yes", False, "Then it is learned.")]},
]


@pytest.fixture(autouse=True)
def own_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FTM_JOURNAL", str(tmp_path / "journal.jsonl"))
    for module in (journal, quizzes):
        monkeypatch.setattr(module, "quiz_file", lambda lesson: tmp_path / f"{lesson}.json")
    (tmp_path / "03.json").write_text(json.dumps(QUESTIONS))
    return tmp_path


def test_each_choice_is_answered_and_the_first_ones_count(own_files):
    box = quiz("03")
    (first, said), (second, _) = box.asked
    first.value = 0
    assert said.value == "<b>Not quite.</b> Not &lt;i&gt;always&lt;/i&gt;." and events("quiz", "03") == []
    first.value = 1
    assert said.value.startswith("<b>Right.</b>")
    second.value = 0
    assert "1 of 2" in box.total.value
    second.value = 1
    assert [(entry["right"], entry["of"]) for entry in events("quiz", "03")] == [(1, 2)]
    assert "&lt;b&gt;more" in box.children[0].value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q: q[1]["options"][0].update(right=False), "question 2: .* exactly one"),
        (lambda q: q[0]["options"][0].pop("why"), "question 1: every option"),
        (lambda q: q[0].update(options=[]), "question 1: .* two options"),
    ],
)
def test_a_quiz_that_cannot_be_asked_names_its_question(own_files, change, words):
    questions = json.loads(json.dumps(QUESTIONS))
    change(questions)
    (own_files / "03.json").write_text(json.dumps(questions))
    with pytest.raises(ValueError, match=words):
        load_quiz("03")


def test_a_lesson_without_a_quiz_says_so(own_files):
    with pytest.raises(ValueError, match="lesson '77' has no quiz"):
        quiz("77")


def test_the_journal_passes_over_a_broken_line(own_files):
    note("quiz", "03", right=1, of=2)
    with (own_files / "journal.jsonl").open("a") as file:
        file.write('{"kind": "qu')
    note("quiz", "03", right=2, of=2)
    assert [entry["right"] for entry in events("quiz", "03")] == [1, 2]


def test_a_passed_check_is_noted_for_its_lab(own_files, capsys):
    exec("def check_power(): right('Well done.')\ncheck_power()", {"__name__": "utils.checks.lab_14", "right": right})
    assert [entry["exercise"] for entry in events("exercise", "14")] == ["power"] and "Well done" in capsys.readouterr().out


def test_progress_has_a_row_per_lesson(own_files):
    note("exercise", "09", exercise=exercises("09")[0])
    table = progress().set_index("lesson")
    row = next(row for name, row in table.iterrows() if name.startswith("09"))
    assert row["lab"] == f"1 of {len(exercises('09'))} exercises" and len(table) == len(list((ROOT / "notebooks").glob("*.ipynb")))


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "quizzes").glob("*.json")), ids=lambda path: path.stem)
def test_the_quizzes_of_the_course_can_be_asked(path, monkeypatch):
    monkeypatch.setattr(quizzes, "quiz_file", lambda lesson: path)
    assert 4 <= len(load_quiz(path.stem)) <= 6


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "quizzes").glob("*.json")), ids=lambda path: path.stem)
def test_neither_place_nor_length_gives_an_answer_away(path):
    questions = [question["options"] for question in json.loads(path.read_text(encoding="utf-8"))]
    places = [next(i for i, choice in enumerate(options) if choice["right"]) for options in questions]
    longest = sum(max(options, key=lambda choice: len(choice["text"]))["right"] for options in questions)
    assert max(map(places.count, places)) < len(places)
    assert longest <= 0.75 * len(questions), f"the longest option is the right one in {longest} of {len(questions)} questions"
