"""The decision board, moved without a browser."""

import pytest

from utils.costs import GUESSES
from utils.decide import Answers
from utils.decision_board import decision_board
from utils.stats import Interval

YES = Answers(True, 800, True, 0.5, 0.75, False)
CASE = GUESSES | {"gain": Interval(0.25, 0.2, 0.3)}


@pytest.fixture(autouse=True)
def own_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FTM_RUNS", str(tmp_path))
    monkeypatch.setenv("FTM_LEDGER", str(tmp_path / "ledger.jsonl"))
    return tmp_path


def verdict(board):
    """The word that the board shows."""
    return board.verdict.value.split(">")[1].split("<")[0]


def test_every_answer_moves_the_verdict_and_back():
    board = decision_board(YES, CASE)
    assert verdict(board) == "tune" and 'alt="' in board.picture.value
    for name, value, wanted in (
        ("updates", True, "retrieve"),
        ("expertise", False, "skip"),
        ("production", False, "skip"),
        ("examples", 499, "prompt first"),
        ("after", 0.65, "measure first"),
        ("after", 0.52, "skip"),
    ):
        before = board.asked[name].value
        board.asked[name].value = value
        assert verdict(board) == wanted, name
        board.asked[name].value = before
        assert verdict(board) == "tune"


def test_the_reading_and_the_money_can_answer_question_four():
    board = decision_board(Answers(True, 800, True, 0.8, 0.85, False), CASE)
    assert verdict(board) == "skip"
    board.reading.value = "errors removed"
    assert verdict(board) == "tune"
    board.by_money.value, board.dials["requests"].value = True, 100
    assert verdict(board) == "skip" and "below zero" in board.verdict.value


def test_more_requests_raise_the_net_value_and_redraw_the_picture():
    board = decision_board(YES, CASE)
    first, picture = board.verdict.value, board.picture.value
    board.dials["requests"].value = 1_000_000
    assert board.verdict.value != first and board.picture.value != picture and "pays in 100%" in board.verdict.value


def test_the_memo_is_kept_on_this_machine_and_its_title_is_escaped(own_files):
    board = decision_board(YES, CASE, title="<b>Ours</b>")
    board.save.click()
    page, note = own_files / "memos" / "b-ours-b.html", own_files / "memos" / "b-ours-b.md"
    assert str(page) in board.kept.value and str(note) in board.kept.value
    assert "<b>Ours" not in page.read_text() and "&lt;b&gt;Ours" in page.read_text() and "Money" in note.read_text()
    board.asked["updates"].value = True
    assert board.kept.value == "", "what was kept is no longer what is shown"
