"""A quiz at the end of a lesson: decisions, not vocabulary; every option is answered with a reason.

Questions stand in data/quizzes/NN.json: a list of {"question", "options": [{"text", "right", "why"}]}.
"""

import html
import json

import ipywidgets as w

from utils.boxes import Column
from utils.journal import note, quiz_file


def load_quiz(lesson):
    """The questions of a lesson's quiz. Raises ValueError that names the question which cannot be asked."""
    path = quiz_file(lesson)
    if not path.exists():
        raise ValueError(f"{path}: lesson {lesson!r} has no quiz")
    questions = json.loads(path.read_text(encoding="utf-8"))
    for number, question in enumerate(questions, 1):
        options = question.get("options", [])
        if not question.get("question") or len(options) < 2 or sum(option.get("right") is True for option in options) != 1:
            raise ValueError(f"{path}, question {number}: it needs a text and at least two options, exactly one of them right")
        if any(not option.get("text") or not option.get("why") for option in options):
            raise ValueError(f"{path}, question {number}: every option needs a text and a reason (why)")
    return questions


def quiz(lesson):
    """Ask a lesson's questions one below the other; each choice is answered at once, with its reason."""
    questions, asked, first = load_quiz(lesson), [], {}

    def ask(number, question):
        options = question["options"]
        choice = w.RadioButtons(options=[(option["text"], i) for i, option in enumerate(options)], value=None, layout=w.Layout(width="98%"))
        answer = w.HTML()

        def reply(change):
            option = options[change["new"]]
            first.setdefault(number, option["right"])  # the first choice counts
            sign = "Right." if option["right"] else "Not quite."
            answer.value = f"<b>{sign}</b> {html.escape(option['why'])}"
            if len(first) == len(questions):
                total.value = f"Your first choice was right in <b>{sum(first.values())} of {len(questions)}</b> questions."
                if not box.kept:
                    note("quiz", lesson, right=sum(first.values()), of=len(questions))
                    box.kept = True

        choice.observe(reply, "value")
        asked.append((choice, answer))
        return [w.HTML(f"<b>{number}. {html.escape(question['question'])}</b>"), choice, answer]

    total = w.HTML()
    box = Column([part for number, question in enumerate(questions, 1) for part in ask(number, question)] + [total])
    box.asked, box.total, box.kept = asked, total, False
    return box
