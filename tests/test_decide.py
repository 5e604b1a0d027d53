"""The five questions: complete, consistent, the same in every order; the memo holds what was decided, and nothing that could run."""

import itertools

import pytest

from utils.claims import record
from utils.costs import GUESSES
from utils.decide import (
    MEANING,
    PRECEDENCE,
    QUESTIONS,
    READINGS,
    Answers,
    as_written,
    decide,
    improvement,
    other_answers,
    sensitivity,
    votes,
)
from utils.memo import evidence, memo
from utils.stats import Interval

ORDERS = list(itertools.permutations(QUESTIONS))
NETS = (None, Interval(5, 1, 9), Interval(0, -5, 5), Interval(-5, -9, -1))
SCORES = [
    (0.0, 0.0),
    (0.0, 0.3),
    (0.5, 0.5),
    (0.5, 0.4),
    (0.5, 0.58),
    (0.5, 0.65),
    (0.5, 0.75),
    (0.8, 0.84),
    (0.9, 1.0),
    (1.0, 1.0),
    (1.0, 0.9),
]
# Every combination of answers that any rule here can tell apart, and some more.
GRID = [
    Answers(expertise, examples, production, before, after, updates, net)
    for expertise, examples, production, (before, after), updates, net in itertools.product(
        (True, False), (0, 499, 500, 9000), (True, False), SCORES, (True, False), NETS
    )
]
YES = Answers(True, 800, True, 0.5, 0.75, False)


def test_every_set_of_answers_gets_one_verdict_with_its_reasons_in_every_reading():
    for answers, reading in itertools.product(GRID, READINGS):
        decision = decide(answers, reading)
        assert decision.verdict in PRECEDENCE and decision.reasons and len(decision.votes) == 5
        assert all(vote.verdict in MEANING and vote.reason for vote in decision.votes)


def test_no_order_of_asking_changes_the_verdict():
    for answers in GRID[::7]:
        assert len({decide(answers, order=order).verdict for order in ORDERS}) == 1


def test_tune_takes_all_five_and_one_vote_against_is_enough():
    for answers, reading in itertools.product(GRID, READINGS):
        cast = {vote.verdict for vote in votes(answers, reading)}
        assert (decide(answers, reading).verdict == "tune") == (cast == {"tune"})


def test_facts_that_change_are_retrieved_whatever_else_is_said():
    assert all((decide(answers).verdict == "retrieve") == answers.updates for answers in GRID)


def test_a_better_answer_never_moves_the_verdict_away_from_tuning():
    better = {"examples": [0, 499, 500, 9000], "after": [0.4, 0.5, 0.55, 0.65, 0.75], "expertise": [False, True]}
    better |= {"production": [False, True], "updates": [True, False], "net": NETS[:0:-1]}
    rank = PRECEDENCE.index
    for answers, reading in itertools.product(GRID, READINGS):
        for name, ladder in better.items():
            climbed = [rank(decide(Answers(**{**vars(answers), name: step}), reading).verdict) for step in ladder]
            if answers.before == 0.5:
                assert climbed == sorted(climbed), (answers, name)


def test_a_change_that_is_listed_changes_the_verdict_and_one_that_is_not_does_not():
    for answers, reading in itertools.product(GRID[::3], READINGS):
        verdict = decide(answers, reading).verdict
        listed = {(change.question, change.words): change.verdict for change in sensitivity(answers, reading)}
        for name, words, changed, other in other_answers(answers, reading):
            found = decide(changed, other).verdict
            assert listed.get((name, words), verdict) == found


def test_every_answer_is_tried_and_only_one_at_a_time():
    for answers in GRID[::11]:
        tried = other_answers(answers, "points")
        assert {name for name, *_ in tried} == set(QUESTIONS)
        for _, _, changed, reading in tried:
            differing = sum(getattr(changed, field) != getattr(answers, field) for field in vars(answers))
            assert differing + (reading != "points") <= 1


def test_two_answers_against_leave_no_single_change_to_tune():
    twice = Answers(False, 800, False, 0.5, 0.75, False)
    assert "tune" not in {change.verdict for change in sensitivity(twice)}
    assert {change.question for change in sensitivity(YES)} == set(QUESTIONS)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (0.8, 0.84, (0.04, 0.05, 0.2)),
        (0.5, 0.75, (0.25, 0.5, 0.5)),
        (0.5, 0.4, (-0.1, -0.2, -0.2)),
        (0.0, 0.3, (0.3, float("inf"), 0.3)),
        (1.0, 1.0, (0, 0, 0)),
        (1.0, 0.9, (-0.1, -0.1, float("-inf"))),
    ],
)
def test_three_readings_of_per_cent(before, after, wanted):
    assert [improvement(before, after, reading) for reading in READINGS] == pytest.approx(wanted)


def test_the_reading_alone_can_flip_the_verdict():
    case = {**vars(YES), "before": 0.8, "after": 0.85}
    assert {reading: decide(Answers(**case), reading).verdict for reading in READINGS} == {
        "points": "skip",
        "relative": "skip",
        "errors removed": "tune",
    }
    assert "improvement read as errors removed" in " ".join(change.words for change in sensitivity(Answers(**case)))


@pytest.mark.parametrize(("after", "verdict"), [(0.599, "skip"), (0.6, "measure first"), (0.7, "measure first"), (0.701, "tune")])
def test_between_ten_and_twenty_it_says_measure_first_bounds_included(after, verdict):
    assert decide(Answers(True, 500, True, 0.5, after, False)).verdict == verdict


def test_a_known_net_value_answers_in_place_of_the_improvement():
    for net, verdict in zip(NETS[1:], ("tune", "measure first", "skip"), strict=True):
        for after in (0.5, 0.55, 0.9):
            assert decide(Answers(True, 500, True, 0.5, after, False, net)).verdict == verdict


def test_the_articles_list_as_written_depends_on_its_order_unless_all_agree():
    doubtful = Answers(True, 800, False, 0.5, 0.75, True)
    assert {as_written(doubtful, order) for order in ORDERS} == {"tune", "skip", "retrieve"}
    assert {as_written(doubtful, order, stop_at_yes=False) for order in ORDERS} == {"skip", "retrieve"}
    assert {as_written(YES, order, stop_at_yes=kind) for order in ORDERS for kind in (True, False)} == {"tune"}
    between = Answers(True, 800, True, 0.5, 0.65, False)
    assert as_written(between, list(QUESTIONS), stop_at_yes=False) == "no advice"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"before": 54}, "before is a share right, between 0 and 1, got 54"), ({"examples": -1}, "at least 0, got -1")],
)
def test_an_answer_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Answers(**{**vars(YES), **change})


def test_an_unknown_reading_names_the_three():
    with pytest.raises(ValueError, match="points, relative, errors removed, got 'per cent'"):
        improvement(0.5, 0.6, "per cent")


# ---- the memo ----------------------------------------------------------------------------------


@pytest.fixture
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("FTM_LEDGER", str(tmp_path / "ledger.jsonl"))
    return tmp_path


def test_the_memo_holds_verdict_reasons_changes_money_and_the_ledgers_evidence(own_ledger):
    assert "the ledger is empty" in evidence()[0]
    record("C45", 16.4, (12.2, 20.7), "points", 672, "depends", "tuned over TF-IDF")
    record("C20", 1, (0, 2), "points", 5, "depends")  # not about the five questions
    text = memo("Route tickets", YES, guesses=GUESSES, note="A trial first.").markdown()
    for words in ("# Route tickets", "tune: fine-tune, and test it", "A trial first.", "updates: the facts stay", "breaks even at"):
        assert words in text
    assert "worth: C45 depends, 16.4 points, 95 % interval 12.2 to 20.7, n = 672. tuned over TF-IDF" in text and "C20" not in text
    assert len(text.splitlines()) < 60, "one page"


def test_a_memo_without_guesses_says_nothing_of_money(own_ledger):
    assert "Money" not in memo("x", YES).markdown() and "Evidence" in memo("x", YES).html()


EVIL = "<img src=x onerror=alert(1)> | `rm` [x](javascript:y) & *bold*\n# Heading"


def test_what_is_typed_cannot_become_markup(own_ledger):
    record("C45", 1, (0, 2), EVIL, 9, "depends", EVIL)
    made = memo(EVIL, YES, note=EVIL)
    assert "<img" not in made.html() and made.html().count("&lt;img") >= 4
    lines = made.markdown().splitlines()
    assert "<img" not in made.markdown() and sum(line.startswith("# ") for line in lines) == 1
    assert r"\[x\](javascript:y)" in made.markdown() and r"\`rm\`" in made.markdown()


def test_both_files_are_saved_under_a_harmless_name(own_ledger):
    paths = memo("../../etc/Route <tickets>!", YES).save(own_ledger)
    assert [path.name for path in paths] == ["etc-route-tickets.md", "etc-route-tickets.html"]
    assert all(path.parent == own_ledger and path.read_text(encoding="utf-8") for path in paths)
    assert [path.name for path in memo("???", YES).save(own_ledger)] == ["memo.md", "memo.html"]
