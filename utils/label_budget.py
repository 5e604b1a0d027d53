"""From a target score to examples, hours of labelling and money: sliders over a fitted learning curve (ipywidgets)."""

import html

import ipywidgets as w
import numpy as np

from utils import plots
from utils.boxes import Column
from utils.costs import GUESSES, dollars, one_label
from utils.growth import examples_for, plot_growth, round_to_two


def spend(examples, minutes, wage):
    """Examples, hours and dollars in words, with what cannot be had."""
    if not np.isfinite(examples):
        return "no number of examples"
    count = round_to_two(examples)
    return f"{count:,} examples, {count * minutes / 60:,.0f} hours, {dollars(round(count * one_label({'minutes': minutes, 'wage': wage})))}"


def label_budget(curve, target=None, have=0):
    """A slider for the target score and fields for what an example costs; a figure, and what it takes, with its interval.

    curve: utils.growth.Curve; target: a share, None starts below the last measured score; have: examples labelled already
    """
    style, wide = {"description_width": "initial"}, w.Layout(width="70%")
    reached = float(curve(curve.sizes[-1]))
    stops = np.round(np.arange(np.ceil(100 * curve.floor) + 1, 100) / 100, 2)
    start = float(stops[np.abs(stops - (target or reached - 0.02)).argmin()])
    goal = w.SelectionSlider(
        options=[(f"{stop:.0%}", float(stop)) for stop in stops], value=start, description="target", continuous_update=False, layout=wide
    )
    minutes = w.BoundedFloatText(value=GUESSES["minutes"][1], min=0, max=600, step=0.5, description="minutes for an example", style=style)
    wage = w.BoundedFloatText(value=GUESSES["wage"][1], min=0, max=1000, step=5, description="dollars an hour", style=style)
    picture, text = w.HTML(), w.HTML()

    def tell(change=None):
        need = examples_for(curve, goal.value)
        if change is None or change["owner"] is goal:
            picture.value = plots.image_of(draw(curve, need).figure)[0]
        rows = [f"<b>{html.escape(str(need))}</b>"]
        for name, n in (("likely", need.n), ("at best", need.low), ("at worst", need.high)):
            rows.append(f"{name}: {spend(max(0.0, n - have), minutes.value, wage.value)}{' more' if have else ''}")
        text.value = "<br>".join(rows)

    for widget in (goal, minutes, wage):
        widget.observe(tell, "value")
    tell()
    box = Column([goal, minutes, wage, picture, text])
    box.goal, box.minutes, box.wage, box.picture, box.text = goal, minutes, wage, picture, text
    return box


def draw(curve, need, furthest=30):
    """The fitted curve as far as `furthest` times the largest measured size, a line at the target and a star where they meet."""
    ax = plot_growth({"fitted": curve}, {}, furthest * curve.sizes[-1], "score")
    ax.axhline(need.target, color=plots.BLACK, linestyle=":", linewidth=1.2)
    ax.axvspan(curve.sizes[0], curve.sizes[-1], color=plots.BLACK, alpha=0.06, linewidth=0, label="measured")
    if curve.sizes[0] <= need.n <= furthest * curve.sizes[-1]:
        ax.plot(need.n, need.target, "*", color=plots.VERMILLION, markersize=14, markeredgecolor="black")
    ax.legend()
    return plots.describe(ax, f"{plots.WORDS[ax]} {need}")
