"""How a check speaks to a learner: one sentence, and no traceback."""

import sys

from utils.journal import note


class NotYet(AssertionError):
    """An exercise is not right yet; the message says what was expected and what came."""

    def _render_traceback_(self):
        """IPython shows this in place of a traceback."""
        return [f"Not yet: {self}"]


def expect(condition, sentence):
    """Raise NotYet with the sentence unless the condition holds."""
    if not condition:
        raise NotYet(sentence)


def right(sentence):
    """Tell the learner that an exercise is done, and note it in the journal under the name of the check that calls this."""
    check = sys._getframe(1)
    lab = check.f_globals["__name__"].rpartition("lab_")[2]
    note("exercise", lab, exercise=check.f_code.co_name.removeprefix("check_"))
    print(f"Right. {sentence}")
