"""A line that renews itself in place: in a notebook below its cell, elsewhere on the terminal."""

import html
import itertools
import sys

_numbers = itertools.count(1)


def in_notebook():
    """True where display() shows pictures: Jupyter and Colab, not a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


class LiveLine:
    """What a running computation says in a notebook; each part has one place, which is filled anew."""

    def __init__(self):
        self.id = f"live-{next(_numbers)}"
        self.shown = set()

    def place(self, part):
        """Where a part is displayed: anew the first time, then in the same place."""
        update = part in self.shown
        self.shown.add(part)
        return {"display_id": f"{self.id}-{part}", "update": update}

    def say(self, line):
        """Replace the line."""
        from IPython.display import display

        display({"text/plain": line, "text/html": f"<pre>{html.escape(line)}</pre>"}, raw=True, **self.place("line"))


def say(line, live=None):
    """Show a line in its place in the notebook, or on the terminal where there is none."""
    if live:
        live.say(line)
    else:
        print(line, file=sys.stderr, flush=True)
