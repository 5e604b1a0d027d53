"""How large a test must be: two sliders, and what the chosen test can tell (ipywidgets)."""

import functools

import ipywidgets as w
import numpy as np

from utils import plots
from utils.boxes import Column
from utils.stats import needed_n, wilson

RIGHT, DISAGREEMENT = 0.8, 0.2  # a system right on four of five; two systems that differ on one message in five
GAINS = (0.02, 0.05, 0.1)


@functools.cache
def needed():
    """How many test messages show each of GAINS in four tests of five (McNemar's test)."""
    return {gain: needed_n(gain, DISAGREEMENT) for gain in GAINS}


def split_sizes(rows=1000, share=0.2):
    """Sliders for the labelled messages and the share that judges; a figure of the interval, and the gains that it can show."""
    total = w.SelectionSlider(
        options=[100, 200, 300, 500, 700, 1000, 2000, 3000, 5000, 10000], value=rows, description="messages", continuous_update=False
    )
    part = w.FloatSlider(value=share, min=0.05, max=0.5, step=0.05, description="to judge", readout_format=".0%", continuous_update=False)
    picture, text = w.HTML(), w.HTML()
    sizes = np.unique(np.geomspace(5, 5000, 40).round().astype(int))

    def tell(_=None):
        judges = max(1, round(total.value * part.value))
        here = wilson(round(RIGHT * judges), judges)
        ax = plots.figure(6.4, 3.2)[1]
        bands = [wilson(round(RIGHT * n), n) for n in sizes]
        ax.fill_between(sizes, [i.low for i in bands], [i.high for i in bands], color=plots.BLUE, alpha=0.2, linewidth=0)
        ax.errorbar(judges, here.estimate, yerr=plots.arms(here), fmt="o", color=plots.VERMILLION, capsize=5)
        ax.set(xscale="log", xlabel="messages that judge", ylabel="what the test may say", ylim=(0, 1))
        ax.yaxis.set_major_formatter("{x:.0%}")
        said = f"{judges:,} messages judge, {total.value - judges:,} remain to learn from and to choose by"
        reach = f"a system that is right on {here.estimate:.0%} of them is right on {here.low:.0%} to {here.high:.0%} of all"
        picture.value = plots.image_of(ax.figure, f"Interval of a score against the size of the test: {said}; {reach}.")[0]
        shown = [f"{gain:.0%}" for gain, n in needed().items() if judges >= n]
        seen = (
            f"Gains of {' and '.join(shown)} show in four tests of five"
            if shown
            else f"Not even a gain of {GAINS[-1]:.0%} would show reliably"
        )
        text.value = f"{said}; {reach}. {seen}, between systems that differ on {DISAGREEMENT:.0%} of the messages."

    for slider in (total, part):
        slider.observe(tell, "value")
    tell()
    box = Column([w.HBox([total, part]), picture, text])
    box.total, box.part, box.picture, box.text = total, part, picture, text
    return box
