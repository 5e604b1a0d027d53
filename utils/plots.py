"""Numbers in, matplotlib axes out; every figure carries a text that says what it shows.

Colours are Okabe and Ito's eight, which colour-blind readers can tell apart; lines differ in dash or marker as well.
Figures keep a white ground, so that they read the same in a light theme, a dark one and on a projector.
Each function describes what it drew; `show` displays the figure with these words as its alternative text.
"""

import base64
import html
import io
import itertools
import weakref

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


# Colour, dash and marker of the first, second, … series: what tells them apart without colour.
SERIES = [(BLUE, "-", "o"), (VERMILLION, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"), (BLACK, "-", "v"), (ORANGE, "--", "P")]
WORDS = weakref.WeakKeyDictionary()  # axes to the sentence that describes them


def figure(width=6.0, height=3.4, columns=1):
    """A new figure in the course's style, and its axes."""
    import matplotlib.pyplot as plt

    style = {
        "font.size": 12,
        "lines.linewidth": 2,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
        "axes.prop_cycle": plt.cycler(color=[BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY]),
    }
    with plt.rc_context(style), plt.ioff():
        return plt.subplots(1, columns, figsize=(width, height), layout="constrained")


def describe(ax, words):
    """Say in words what the axes show; returns the axes."""
    WORDS[ax] = words
    return ax


def words_of(fig):
    """What a figure shows: the descriptions of its axes, one after the other."""
    return " ".join(WORDS[ax] for ax in fig.axes if ax in WORDS)


def image_of(fig, alt=None):
    """A figure as an HTML image with its description for those who cannot see it: (html, alt); closes the figure.

    alt: the description; None takes what the plot functions said of their axes. It is written into the picture too.
    """
    import matplotlib.pyplot as plt

    alt = alt or words_of(fig)
    if not alt:
        raise ValueError("this figure has no description: draw it with utils.plots, or say what it shows with alt='…'")
    picture = io.BytesIO()
    fig.savefig(picture, format="png", dpi=144, facecolor="white", metadata={"Description": alt})
    width = round(96 * fig.get_size_inches()[0])
    plt.close(fig)
    encoded = base64.b64encode(picture.getvalue()).decode()
    return f'<img width="{width}" style="max-width:100%" alt="{html.escape(alt)}" src="data:image/png;base64,{encoded}">', alt


def show(fig, alt=None, display_id=None, update=False):
    """Display a figure with its description; a text-only reader of the executed notebook gets that in place of the figure."""
    from IPython.display import display

    image, alt = image_of(fig, alt)
    return display({"text/html": image, "text/plain": alt}, raw=True, display_id=display_id, update=update)


def show_table(table):
    """A pandas table to be read by eye: text to the left, whole, without row numbers."""
    left = {"text-align": "left", "white-space": "pre-wrap"}
    heads = [{"selector": "th", "props": "text-align: left"}]
    return table.reset_index(drop=True).style.hide(axis="index").set_properties(**left).set_table_styles(heads)


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
    ends = [f"{name} loss goes from {c[0][1]:.2f} to {c[-1][1]:.2f}" for name, c in (("training", train), ("validation", validation)) if c]
    kept = f"; the weights of epoch {best:g} are kept" if best is not None else ""
    return describe(ax, f"Loss per epoch: {', '.join(ends) or 'nothing yet'}{kept}.")


def plot_accuracy(validation, ax=None):
    """Validation accuracy per epoch, as (epoch, share) pairs."""
    ax = ax or figure()[1]
    if validation:
        ax.plot(*zip(*validation, strict=True), "--o", color=VERMILLION, markersize=4)
    ax.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter("{x:.0%}")
    last = f"{validation[0][1]:.0%} at first, {validation[-1][1]:.0%} at last" if validation else "nothing yet"
    return describe(ax, f"Validation accuracy per epoch: {last}.")


def plot_intervals(names, intervals, xlabel, ax=None):
    """A ladder of systems: one row each, its score (a share) with the 95 % interval."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    if ax is None:
        ax = figure(6.4, 0.9 + 0.5 * len(names))[1]
    for row, interval in enumerate(intervals):
        draw_interval(ax, row, interval)
        ax.annotate(
            f"{interval.estimate:.1%}", (interval.estimate, row), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=10
        )
    finish_rows(ax, names, xlabel)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))  # as many digits as the ticks need
    return describe(ax, f"{xlabel}: " + "; ".join(f"{n} {i}" for n, i in zip(names, intervals, strict=True)) + ".")


def plot_forest(names, intervals, xlabel, bounds=(0.0,), form="{:.1f}", colors=None, ax=None):
    """A forest plot: one row per estimate with its interval, and dotted lines at the values that decide."""
    if ax is None:
        ax = figure(7.0, 0.9 + 0.36 * len(names))[1]
    for bound in bounds:
        ax.axvline(bound, color=BLACK, linestyle=":", linewidth=1.2)
    for row, interval in enumerate(intervals):
        draw_interval(ax, row, interval, colors[row] if colors else BLUE)
    finish_rows(ax, names, xlabel)
    ax.xaxis.set_major_formatter("{x:g}")
    rows = (f"{n} {form.format(i.estimate)} ({form.format(i.low)} to {form.format(i.high)})" for n, i in zip(names, intervals, strict=True))
    return describe(ax, f"{xlabel}, with intervals: " + "; ".join(rows) + ".")


def draw_interval(ax, row, interval, color=BLUE):
    """One estimate as a dot, its interval as a bar."""
    ax.errorbar(interval.estimate, row, xerr=arms(interval), fmt="o", color=color, capsize=4)


def arms(interval):
    """How far an interval reaches below and above its estimate, as errorbar wants it."""
    return [[max(0.0, interval.estimate - interval.low)], [max(0.0, interval.high - interval.estimate)]]


def finish_rows(ax, names, xlabel):
    """Name the rows, first one on top."""
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel=xlabel)
    ax.set_ylim(len(names) - 0.4, -0.7)


def plot_learning_curve(curves, xlabel="training examples", ylabel="test accuracy", share=True, mine=None, ax=None):
    """Score against the number of examples, a band for the interval; curves maps a name to {size: Interval}.

    mine: name to {size: value}, single runs that are drawn over the curves as stars, each in its curve's colour
    """
    ax = ax or figure(6.6, 3.8)[1]
    said = []
    form = "{:.0%}" if share else "{:.3g}"
    for (name, curve), (color, dash, marker) in zip(curves.items(), itertools.cycle(SERIES)):
        sizes, intervals = list(curve), list(curve.values())
        middle = [interval.estimate for interval in intervals]
        ax.plot(sizes, middle, dash, marker=marker, markersize=5, color=color, label=name)
        ax.fill_between(sizes, [i.low for i in intervals], [i.high for i in intervals], color=color, alpha=0.2, linewidth=0)
        said.append(f"{name} goes from {form.format(middle[0])} at {sizes[0]:,} to {form.format(middle[-1])} at {sizes[-1]:,}")
        if mine and name in mine:
            style = dict(markersize=15, markerfacecolor=color, markeredgecolor="black", label=f"{name}, your run")
            ax.plot(list(mine[name]), list(mine[name].values()), "*", **style)
            said.append(f"your run of {name} has " + ", ".join(f"{form.format(v)} at {size:,}" for size, v in mine[name].items()))
    ax.set_xscale("log")
    ticks = sorted({size for curve in curves.values() for size in curve})
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=45 if len(ticks) > 6 else 0)
    ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if share:
        ax.yaxis.set_major_formatter("{x:.0%}")
    if len(curves) > 1 or mine:
        ax.legend()
    return describe(ax, f"{ylabel} against {xlabel}, with intervals: " + "; ".join(said) + ".")


def plot_reliability(confidence, right, bins=10, ax=None):
    """Is a stated probability kept? Share right against confidence, in bins of equally many items, with Wilson intervals.

    confidence: (n,) probability of the answer given; right: (n,) True or False. On the diagonal the model is calibrated.
    """
    import numpy as np

    from utils.stats import wilson

    ax = ax or figure(4.6, 4.2)[1]
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    groups = [g for g in np.array_split(np.argsort(confidence), bins) if len(g)]
    said, shares = [confidence[g].mean() for g in groups], [wilson(right[g].sum(), len(g)) for g in groups]
    errors = np.array([[s.estimate - s.low, s.high - s.estimate] for s in shares]).T.clip(min=0)
    ax.plot([0, 1], [0, 1], ":", color=BLACK, linewidth=1.2, label="calibrated")
    ax.errorbar(said, [s.estimate for s in shares], yerr=errors, fmt="o", color=BLUE, capsize=3, label="measured")
    ax.set(xlabel="confidence", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper left")
    rows = "; ".join(f"{c:.0%} sure, {s.estimate:.0%} right" for c, s in zip(said, shares, strict=True))
    return describe(ax, f"Reliability: {rows}. The dotted diagonal is where both agree.")


def plot_frontier(points, xlabel, ylabel="test accuracy", ax=None):
    """Cost against quality: points maps a name to (cost, Interval of a share); a line joins those that no other beats in both."""
    ax = ax or figure(6.8, 4.0)[1]
    best, edge = -1.0, []
    for name, (_, quality) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1].estimate)):
        if quality.estimate > best:
            best = quality.estimate
            edge.append(name)
    for name, (cost, quality) in points.items():
        color, marker = (BLUE, "o") if name in edge else (VERMILLION, "s")
        ax.errorbar(cost, quality.estimate, yerr=arms(quality), fmt=marker, color=color, capsize=3)
    ax.plot([points[name][0] for name in edge], [points[name][1].estimate for name in edge], "--", color=BLUE, linewidth=1)
    ax.set_xscale("log")
    ax.margins(x=0.18)
    low, high = ax.get_ylim()
    labels = []  # of (cost, height), in points above the axis: names of systems that cost about the same must not overlap
    for name, (cost, quality) in sorted(points.items(), key=lambda item: item[1][1].estimate):
        place = 225 * (quality.estimate - low) / (high - low)
        height = max([place] + [above + 13 for beside, above in labels if 1 / 20 < beside / cost < 20 and above + 13 > place])
        labels.append((cost, height))
        ax.annotate(name, (cost, quality.estimate), xytext=(7, height - place - 4), textcoords="offset points", fontsize=10)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.yaxis.set_major_formatter("{x:.0%}")
    rows = "; ".join(f"{name} {cost:.3g} and {quality.estimate:.0%}" for name, (cost, quality) in points.items())
    return describe(ax, f"{ylabel} against {xlabel}: {rows}. On the frontier: {', '.join(edge)}.")


def plot_tornado(rows, base, xlabel, most=8, ax=None):
    """Bars from the result at a dial's low end to that at its high end, widest first; rows: [(name, at low, at high)], base: all likely."""
    rows = rows[:most]
    if ax is None:
        ax = figure(7.0, 1.1 + 0.38 * len(rows))[1]
    for row, (_, *at) in enumerate(rows):
        for value, (color, _, marker), label in zip(at, SERIES, ("at its low end", "at its high end"), strict=False):
            ax.barh(row, value - base, left=base, color=color, alpha=0.55, label=None if row else label)
            ax.plot(value, row, marker, color=color, markersize=6)
    ax.axvline(base, color=BLACK, linewidth=1)
    ax.axvline(0, color=BLACK, linestyle=":", linewidth=1.2)
    finish_rows(ax, [name for name, *_ in rows], xlabel)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(fontsize=10)
    said = "; ".join(f"{name} {low:,.0f} to {high:,.0f}" for name, low, high in rows)
    return describe(ax, f"{xlabel}, one dial moved at a time from its low to its high end: {said}. All likely: {base:,.0f}.")


def plot_counts(counts, xlabel, ax=None):
    """Horizontal bars, longest first; counts maps a name to a number."""
    names = sorted(counts, key=counts.get)
    if ax is None:
        ax = figure(6.4, 0.8 + 0.25 * len(names))[1]
    bars = ax.barh(names, [counts[name] for name in names], color=BLUE)
    ax.bar_label(bars, padding=3, fontsize=9)
    ax.set_xlabel(xlabel)
    ax.grid(axis="y", visible=False)
    most, least = names[-1], names[0]
    return describe(ax, f"Bars of {xlabel}: from {most} ({counts[most]:,}) to {least} ({counts[least]:,}), {len(names)} in all.")


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
    wrong = sorted(((table.iat[r, c], r, c) for r, c in itertools.product(range(len(table)), repeat=2) if r != c), reverse=True)[:3]
    pairs = [f"{table.index[r]} taken for {table.columns[c]} ({count} times)" for count, r, c in wrong if count]
    return describe(ax, f"Confusion table of {len(table)} labels. Commonest confusions: {', '.join(pairs) or 'none'}.")
