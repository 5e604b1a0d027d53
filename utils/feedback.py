"""How a check speaks to a learner: one sentence, and no traceback."""


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
    """Tell the learner that an exercise is done."""
    print(f"Right. {sentence}")
