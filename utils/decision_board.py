"""The five questions and the money, live: answer, see verdict and reasons, and keep a memo of one page (ipywidgets)."""

import html

import ipywidgets as w

from utils import plots
from utils.boxes import Column
from utils.costs import GUESSES, likely, net_value, outlook, tornado
from utils.decide import MEANING, READINGS, Answers, decide, sensitivity
from utils.memo import memo

DRAWS = 2000  # enough for a number that moves with a slider
MOVED = {  # the dials of the money that the board shows, with their stops; the others keep their guesses
    "requests": ("requests a month", [100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000]),
    "worth": ("a right answer is worth, $", [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
    "minutes": ("minutes for an example", [0.25, 0.5, 1, 2, 5, 10, 20]),
    "engineering": ("hours of engineering", [10, 20, 40, 80, 160, 320]),
}


def spread(old, middle):
    """A guess moved to another likeliest value: its ends move in proportion."""
    low, likeliest, high = old
    return (low * middle / likeliest, middle, high * middle / likeliest)


def decision_board(answers, guesses=GUESSES, title="Our case", **settings):
    """Dials for the five answers and four of the money's guesses; below them the verdict, the net value and its tornado.

    answers: utils.decide.Answers, where the dials start; guesses: dials of utils.costs; settings: service and table of prices
    """
    wide, style = w.Layout(width="95%"), {"description_width": "15em"}

    def dial(kind, words, value, **more):
        return kind(description=words, value=value, style=style, layout=wide, **more)

    name = dial(w.Text, "case", title, continuous_update=False)
    asked = {
        "expertise": dial(w.Checkbox, "domain expertise is critical", answers.expertise, indent=False),
        "production": dial(w.Checkbox, "it is for production", answers.production, indent=False),
        "updates": dial(w.Checkbox, "answers follow facts that change", answers.updates, indent=False),
        "examples": dial(w.BoundedIntText, "examples", answers.examples, min=0, max=1_000_000),
        "before": dial(
            w.FloatSlider, "right before", answers.before, min=0, max=1, step=0.01, readout_format=".0%", continuous_update=False
        ),
        "after": dial(
            w.FloatSlider, "right after tuning", answers.after, min=0, max=1, step=0.01, readout_format=".0%", continuous_update=False
        ),
    }
    reading = dial(w.Dropdown, "% means", "points", options=list(READINGS))
    by_money = dial(w.Checkbox, "let the net value answer question 4", False, indent=False)
    middle = likely(guesses)
    dials = {
        key: dial(
            w.SelectionSlider,
            words,
            middle[key],
            options=[(f"{stop:,}", stop) for stop in sorted({*stops, middle[key]})],
            continuous_update=False,
        )
        for key, (words, stops) in MOVED.items()
    }
    save = w.Button(description="Keep as a memo", button_style="primary", layout=w.Layout(width="auto"))
    verdict, picture, kept = w.HTML(), w.HTML(), w.HTML()

    def now():
        """The answers and guesses at which the dials stand."""
        given = {key: widget.value for key, widget in asked.items()}
        money = {**guesses, "examples": given["examples"], "gain": given["after"] - given["before"]}
        if given["after"] == answers.after and given["before"] == answers.before:
            money["gain"] = guesses["gain"]  # what was measured, with its interval
        for key, widget in dials.items():
            if widget.value != middle[key]:
                old = guesses[key]
                money[key] = spread(old, widget.value) if isinstance(old, tuple | list) and old[1] else widget.value
        result = outlook(money, DRAWS, **settings)
        return Answers(**given, net=result.net if by_money.value else None), money, result

    def tell(_=None):
        case, money, result = now()
        decision = decide(case, reading.value)
        rows = "".join(
            f"<li>{html.escape(vote.question)}: {html.escape(vote.reason)} → <b>{vote.verdict}</b></li>" for vote in decision.votes
        )
        changes = "; ".join(f"{c.question}: {c.words} → {c.verdict}" for c in sensitivity(case, reading.value))
        verdict.value = (
            f"<b style='font-size:120%'>{decision.verdict}</b>: {html.escape(MEANING[decision.verdict])}<ul>{rows}</ul>"
            f"What would change it: {html.escape(changes) or 'no single answer; it takes two or more'}.<br>"
            f"<b>Net value</b> over {likely(money)['months']:.0f} months: {html.escape(str(result))}."
        )
        ax = plots.plot_tornado(tornado(money, **settings), float(net_value(likely(money), **settings)), "net value, $", most=5)
        picture.value = plots.image_of(ax.figure)[0]
        kept.value = ""

    def keep(_):
        case, money, _result = now()
        paths = memo(name.value or "memo", case, reading.value, money, **settings).save()
        kept.value = "Kept: " + ", ".join(html.escape(str(path)) for path in paths)

    for widget in (*asked.values(), reading, by_money, *dials.values()):
        widget.observe(tell, "value")
    save.on_click(keep)
    tell()
    box = Column([name, *asked.values(), reading, by_money, *dials.values(), verdict, picture, w.HBox([save, kept])])
    box.name, box.asked, box.reading, box.by_money, box.dials = name, asked, reading, by_money, dials
    box.save, box.verdict, box.picture, box.kept = save, verdict, picture, kept
    return box
