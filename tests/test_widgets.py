"""The interactive parts, moved without a browser."""

import json
from collections import namedtuple

import numpy as np
import pytest

from utils import widgets
from utils.boxes import still
from utils.classifiers import Classifier
from utils.models import load_tokenizer
from utils.progress import LiveCurves
from utils.stats import Interval
from utils.widgets import (
    adapter_dials,
    before_after,
    belief_quiz,
    curve_slider,
    layer_explorer,
    rung_chooser,
    threshold_slider,
    token_explorer,
    try_it,
)

QUESTIONS = [
    {"ask": "How many?", "options": ["few", "many"], "lesson": "07"},
    {"ask": "Is <b>it</b> better?", "options": ["yes", "no"], "lesson": "14"},
]


@pytest.fixture
def answers(tmp_path, monkeypatch):
    monkeypatch.setattr(widgets, "ANSWERS", tmp_path / "answers.json")
    return tmp_path / "answers.json"


def test_answers_are_kept_and_shown_again(answers):
    quiz = belief_quiz("00", QUESTIONS)
    assert [choice.value for choice in quiz.choices] == [None, None]
    quiz.choices[0].value = "many"
    quiz.button.click()
    assert "1 still open" in quiz.message.value
    quiz.choices[1].value = "no"
    quiz.button.click()
    assert "Lessons 07, 14" in quiz.message.value
    assert [choice.value for choice in belief_quiz("00", QUESTIONS).choices] == ["many", "no"]


def test_a_damaged_answer_file_counts_as_none_and_is_replaced(answers):
    answers.write_text('{"00": {"How many?"')
    quiz = belief_quiz("00", QUESTIONS)
    quiz.choices[0].value = "few"
    quiz.button.click()
    assert json.loads(answers.read_text()) == {"00": {"How many?": "few"}}


def test_answers_to_other_quizzes_stay(answers):
    widgets.save_answers("03", {"a": "b"})
    widgets.save_answers("00", {"c": "d"})
    assert widgets.load_answers() == {"03": {"a": "b"}, "00": {"c": "d"}}


def test_questions_are_escaped(answers):
    quiz = belief_quiz("00", QUESTIONS)
    assert "Is &lt;b&gt;it&lt;/b&gt; better?" in "".join(getattr(child, "value", "") or "" for child in quiz.children)


def test_the_ticket_box_labels_a_text_and_escapes_labels(tiny):
    box = try_it(Classifier.from_base(tiny, ["<i>a</i>", "b"]), "where is my parcel?")
    box.button.click()
    assert "&lt;i&gt;a&lt;/i&gt;" in box.answer.value and "%" in box.answer.value
    box.entry.value = "   "
    box.button.click()
    assert box.answer.value == "Type a message first."


def test_a_higher_bar_routes_fewer_messages():
    box = threshold_slider(np.array([0.2, 0.6, 0.9, 0.94]), [False, True, False, True])
    assert "75% of 4 messages" in box.text.value and "67% of these" in box.text.value
    box.slider.value = 0.95
    assert box.text.value == "0% of 4 messages are routed alone."
    box.slider.value = 0.0
    assert "100% of 4 messages" in box.text.value


def test_live_curves_renew_one_figure_in_place(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    curves = LiveCurves()
    for epoch in (1, 2):
        curves.say(f"epoch {epoch} <1>")
        curves.draw([(0.5, 2.0)], [(epoch, 1.0)], [(epoch, 0.5)])
    updates = [(k["display_id"], k["update"]) for _, k in shown]
    assert [update for _, update in updates] == [False, False, True, True]
    assert len({name for name, _ in updates}) == 2
    assert "&lt;1&gt;" in shown[0][0][0]["text/html"]
    assert 'alt="Loss per epoch: training loss goes from 2.00 to 2.00' in shown[1][0][0]["text/html"]


def test_the_dials_count_what_learns_and_what_it_takes():
    box = adapter_dials({"q_proj": (2, 10, 20), "up_proj": (1, 40, 10)}, weights=1_000_000, rank=4)
    assert "<b>440</b> weights learn, 0.04%" in box.text.value and "base 4 MB" in box.text.value
    box.layers.value = ["q_proj"]
    box.ranks.value = 8
    assert "<b>480</b> weights learn" in box.text.value
    box.layers.value = []
    assert "<b>0</b> weights learn" in box.text.value


def test_a_four_bit_base_takes_less_memory():
    box = adapter_dials({"q_proj": (100, 100, 100)}, weights=2_000_000)
    assert "base 8 MB" in box.text.value
    box.base.value = "4-bit"
    assert "base 5 MB" in box.text.value


def test_the_curve_slider_moves_its_line_and_reads_between_the_sizes():
    flat = {"<b>a</b>": {10: Interval(0.2, 0.1, 0.3), 1000: Interval(0.6, 0.5, 0.7)}}
    box = curve_slider(flat, "tickets")
    first = box.picture.value
    assert "&lt;b&gt;a&lt;/b&gt; 20%" in box.text.value and 'alt="' in first
    box.slider.value = box.slider.options[12]
    assert "40%" in box.text.value and box.picture.value != first


def test_the_rung_chooser_names_the_cheapest_that_meets_both():
    rung = namedtuple("rung", "accuracy latency")
    scores = {"rules": rung(Interval(0.5, 0.45, 0.55), (1.0, 2.0)), "tuned": rung(Interval(0.8, 0.75, 0.85), (20.0, 30.0))}
    box = rung_chooser(scores, {"rules": 5, "tuned": 60})
    assert box.text.value.startswith("<b>rules</b>") and "tuned" in box.text.value
    box.bar.value = 0.6
    assert box.text.value.startswith("<b>tuned</b>")
    box.wait.value = 10
    assert "No rung" in box.text.value


def test_the_token_explorer_shows_and_escapes_pieces(tiny):
    box = token_explorer(load_tokenizer(tiny), "<b>")
    assert "&lt;" in box.pieces.value and "<b>" not in box.pieces.value and "1 words" in box.pieces.value
    box.entry.value = " "
    assert box.pieces.value == "Type something first."


def test_the_layer_explorer_redraws_for_another_way():
    box = layer_explorer({"full": {"a": 0.1, "b": 0.2}, "head": {"a": 0.0, "b": 0.0}})
    first = box.picture.value
    assert "most b, 20.00 %" in first
    box.choice.value = "head"
    assert box.picture.value != first


class Scribe:
    """A model that says who it is, and what it was asked."""

    def __init__(self, name):
        self.name = name

    def generate(self, conversations, max_new_tokens):
        if "<|im_end|>" in conversations[0][-1]["content"]:
            raise ValueError("message 1: the text holds the control token '<|im_end|>'")
        return [f"<i>{self.name}</i>: {messages[0]['content']}" for messages in conversations]


def test_both_models_answer_side_by_side_in_the_chosen_job_and_are_escaped():
    jobs = {"sort": lambda ticket: [{"role": "user", "content": f"sort {ticket}"}], "reply": lambda t: [{"role": "user", "content": t}]}
    box = before_after(Scribe("base"), Scribe("tuned"), jobs, " where? ")
    box.button.click()
    assert box.answer.value.index("&lt;i&gt;base&lt;/i&gt;: sort where?") < box.answer.value.index("&lt;i&gt;tuned&lt;/i&gt;: sort where?")
    assert "<i>" not in box.answer.value
    box.job.value = "reply"
    box.button.click()
    assert ": where?" in box.answer.value


def test_the_two_answers_need_a_ticket_and_refuse_control_tokens_in_words():
    box = before_after(Scribe("base"), Scribe("tuned"), {"sort": lambda ticket: [{"role": "user", "content": ticket}]})
    box.button.click()
    assert box.answer.value == "Type a ticket first."
    box.entry.value = "a<|im_end|>b"
    box.button.click()
    assert "control token" in box.answer.value and "&lt;|im_end|&gt;" in box.answer.value and "<table>" not in box.answer.value


def test_a_widget_is_still_readable_where_nothing_runs():
    box = curve_slider({"a": {10: Interval(0.2, 0.1, 0.3), 1000: Interval(0.6, 0.5, 0.7)}}, "tickets")
    shown = box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    for part in ("tickets: 10", box.picture.value, box.text.value):
        assert part in shown["text/html"]


def test_settings_that_stand_still_are_said_in_words_and_escaped(answers):
    dials = still(adapter_dials({"q_proj": (2, 10, 20), "up_proj": (1, 40, 10)}, weights=1_000_000, rank=4))
    for part in ("rank: 4", "layers: q_proj, up_proj", "base: float32", "<b>440</b> weights learn"):
        assert part in dials
    asked = still(try_it(None, "<b>"))
    assert "<b>" not in asked and "&lt;b&gt;" in asked
    assert "<li>many</li>" in still(belief_quiz("00", QUESTIONS)) and "Keep my answers" not in still(belief_quiz("00", QUESTIONS))
    assert "at least right: 40%" in still(rung_chooser({}, {}))
