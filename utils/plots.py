"""Numbers in, matplotlib axes out; every figure carries a text that says what it shows.

Colours are Okabe and Ito's eight, which colour-blind readers can tell apart; lines differ in dash as well.
"""

import base64
import html
import io
import itertools

# Okabe & Ito (2008): https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)


def figure(width=6.0, height=3.4, columns=1):
    """A new figure in the course's style, and its axes."""
    import matplotlib.pyplot as plt

    style = {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
        "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK]),
    }
    with plt.rc_context(style), plt.ioff():
        return plt.subplots(1, columns, figsize=(width, height), layout="constrained")


def show(fig, alt, display_id=None, update=False):
    """Display a figure with its description for those who cannot see it, and close it.

    The description is also what a text-only reader of the executed notebook gets.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    picture = io.BytesIO()
    fig.savefig(picture, format="png", dpi=144)
    width = round(96 * fig.get_size_inches()[0])
    plt.close(fig)
    encoded = base64.b64encode(picture.getvalue()).decode()
    image = f'<img width="{width}" alt="{html.escape(alt)}" src="data:image/png;base64,{encoded}">'
    return display({"text/html": image, "text/plain": alt}, raw=True, display_id=display_id, update=update)


def show_table(table):
    """A pandas table to be read by eye: text to the left, whole, without row numbers."""
    left = {"text-align": "left", "white-space": "pre-wrap"}
    heads = [{"selector": "th", "props": "text-align: left"}]
    return table.style.hide(axis="index").set_properties(**left).set_table_styles(heads)


def plot_losses(train, validation, best=None, ax=None):
    """Training and validation loss, as (epoch, loss) pairs; `best` marks the epoch that is kept."""
    ax = ax or figure()[1]
    if train:
        ax.plot(*zip(*train, strict=True), color=BLUE, label="training")
    if validation:
        ax.plot(*zip(*validation, strict=True), "--o", color=VERMILLION, markersize=4, label="validation")
    if best is not None:
        ax.axvline(best, color=GREEN, linestyle=":", label=f"kept: epoch {best:g}")
    ax.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    if train or validation:
        ax.legend()
    return ax


def plot_accuracy(validation, ax=None):
    """Validation accuracy per epoch, as (epoch, share) pairs."""
    ax = ax or figure()[1]
    if validation:
        ax.plot(*zip(*validation, strict=True), "--o", color=VERMILLION, markersize=4)
    ax.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax


def plot_intervals(names, intervals, xlabel, ax=None):
    """One row per system: its score with the 95 % interval."""
    if ax is None:
        ax = figure(6.4, 0.8 + 0.45 * len(names))[1]
    for row, interval in enumerate(intervals):
        errors = [[interval.estimate - interval.low], [interval.high - interval.estimate]]
        ax.errorbar(interval.estimate, row, xerr=errors, fmt="o", color=BLUE, capsize=4)
        ax.annotate(
            f"{interval.estimate:.1%}", (interval.estimate, row), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9
        )
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel=xlabel)
    ax.set_ylim(len(names) - 0.4, -0.7)
    ax.xaxis.set_major_formatter("{x:.0%}")
    return ax


def plot_counts(counts, xlabel, ax=None):
    """Horizontal bars, longest first; counts maps a name to a number."""
    names = sorted(counts, key=counts.get)
    if ax is None:
        ax = figure(6.4, 0.8 + 0.25 * len(names))[1]
    bars = ax.barh(names, [counts[name] for name in names], color=BLUE)
    ax.bar_label(bars, padding=3, fontsize=9)
    ax.set_xlabel(xlabel)
    ax.grid(axis="y", visible=False)
    return ax


def plot_confusion(table, ax=None):
    """A confusion table (rows: truth, columns: predicted); colour is the share of the row."""
    if ax is None:
        size = 2.5 + 0.36 * len(table)
        ax = figure(size + 0.6, size)[1]
    shares = table.div(table.sum(axis=1).clip(lower=1), axis=0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ax.grid(visible=False)
    for row, column in itertools.product(range(len(table)), repeat=2):
        if count := table.iat[row, column]:
            colour = "white" if shares.iat[row, column] > 0.5 else "black"
            ax.text(column, row, count, ha="center", va="center", color=colour, fontsize=9)
    ax.set(xlabel="predicted", ylabel="truth", yticks=range(len(table)), yticklabels=table.index)
    ax.set_xticks(range(len(table)), table.columns, rotation=60, ha="right", rotation_mode="anchor")
    return ax
