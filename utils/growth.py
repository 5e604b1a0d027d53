"""How a score grows with the number of examples: a fitted curve, how far to trust it, how many examples a target takes.

The fit is light; the functions of experiments E02 and E03 stand below it, `utils.studies` holds their grids.
"""

import functools
from dataclasses import dataclass, field

import numpy as np

from utils import plots
from utils.stats import Interval

# ---- two forms of a learning curve -------------------------------------------------------------


def from_chance(n, floor, ceiling, half, rate):
    """A score that starts at `floor`, what a blind guess scores, and nears `ceiling`; at n = half, half of the way is gone.

    For large n this is a power law too: ceiling − (ceiling − floor) · (half / n)^rate. The curve of Morgan, Mercer and
    Flodin (1975), one of those that Viering and Loog review (arXiv 2103.10948).
    """
    return floor + (ceiling - floor) / (1 + (half / n) ** rate)


def power_law(n, floor, ceiling, gap, rate):
    """The textbook's curve, ceiling − gap · n^−rate; for few examples it falls below any score (floor is not used)."""
    return ceiling - gap * n**-rate


FORMS = {"from chance": from_chance, "power law": power_law}
RATES = np.geomspace(0.1, 3, 60)
HALVES = np.geomspace(1, 1e6, 150)
CEILINGS = np.linspace(0.02, 1, 99)


@functools.cache
def shapes(form, floor, sizes):
    """Every candidate of a grid, as base + factor · x(n): (parameters (G, 2), base (G,), x (G, sizes), largest factor)."""
    n = np.array(sizes, float)
    first, rates = (part.ravel() for part in np.meshgrid(HALVES if form == "from chance" else CEILINGS, RATES))
    if form == "from chance":  # the factor is ceiling − floor
        return np.stack([first, rates], 1), np.full(len(first), floor), 1 / (1 + (first[:, None] / n) ** rates[:, None]), 1 - floor
    return np.stack([first, rates], 1), first, -(n ** -rates[:, None]), np.inf  # the factor is the gap


def fit(form, floor, sizes, scores):
    """Least squares for each row of scores (rows, sizes): (rows, 3), the last three arguments of the form.

    Given the two parameters of a candidate, the best factor is a division, so all candidates are tried at once: no start
    to choose and nothing that fails to converge (variable projection: Golub and Pereyra 1973). Each size counts alike.
    """
    parameters, base, x, most = shapes(form, floor, tuple(sizes))
    cross = scores @ x.T - base * x.sum(1)  # (rows, G)
    squares = (x**2).sum(1)
    factor = np.clip(cross / squares, 0, most)
    error = base**2 * x.shape[1] - 2 * base * scores.sum(1)[:, None] - 2 * factor * cross + factor**2 * squares
    best = error.argmin(1)
    factor, (first, rate) = factor[np.arange(len(best)), best], parameters[best].T
    return np.stack([floor + factor, first, rate] if form == "from chance" else [first, factor, rate], 1)


# ---- fit and predict ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A fitted learning curve, and the curves that other draws of the training examples would have given."""

    form: str
    floor: float
    parameters: tuple  # the last three arguments of the form
    draws: np.ndarray = field(repr=False)  # (resamples, 3)
    sizes: tuple
    seeds: int

    def __call__(self, n):
        """The fitted score at n examples."""
        return FORMS[self.form](np.asarray(n, float), self.floor, *self.parameters)

    def predict(self, n):
        """The mean score of the recipe at n examples, with its 95 % interval."""
        drawn = FORMS[self.form](float(n), self.floor, *self.draws.T)
        return self._interval(float(self(n)), drawn)

    def gain(self, few, many):
        """What the step from `few` to `many` examples brings, as a difference of scores with its interval."""
        at = [FORMS[self.form](float(n), self.floor, *self.draws.T) for n in (few, many)]
        return self._interval(float(self(many) - self(few)), at[1] - at[0])

    @property
    def ceiling(self):
        """Where the curve levels off, with its interval."""
        return self._interval(self.parameters[0], self.draws[:, 0])

    def _interval(self, estimate, drawn):
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def fit_curve(runs, floor, column="accuracy", form="from chance", least=0, up_to=None, resamples=300, seed=0):
    """Fit a learning curve to the means over draws of the training examples.

    runs: a table with columns n, seed and `column` (a share), every seed at every n, at least 3 seeds and 4 sizes
    floor: what a blind guess scores, 1 / number of labels; form: a name in FORMS
    least, up_to: fit no smaller and no larger n; a sample of hardly more examples than labels holds one of each by design
    The interval comes from drawing the seeds again with replacement, each with all its sizes, since the draws of one seed
    share examples. With few seeds a bootstrap is too sure (Hesterberg 2014, arXiv 1411.5279), so the drawn means are spread
    out as Student's t asks. The interval knows the luck of the draw, and nothing of whether the form is right.
    Raises ValueError for a table that cannot be fitted.
    """
    from scipy.stats import norm, t

    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    if not 0 <= floor < 1:
        raise ValueError(f"floor is what a blind guess scores, a share from 0 to below 1, got {floor}")
    table = runs[(runs["n"] >= least) & (runs["n"] <= (up_to or np.inf))]
    table = table.pivot(index="seed", columns="n", values=column)
    seeds, sizes = len(table), tuple(int(n) for n in table.columns)
    if seeds < 3 or len(sizes) < 4:
        raise ValueError(f"a curve needs at least 3 seeds and 4 sizes, got {seeds} and {len(sizes)}; run more of either")
    if table.isna().any(axis=None):
        n, missing = next((n, list(column[column.isna()].index)) for n, column in table.items() if column.isna().any())
        raise ValueError(f"every seed must have been run at every size; at n = {n} seeds {missing} are missing")
    scores = table.to_numpy(float)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"{column} must hold shares from 0 to 1, got {scores.min():g} to {scores.max():g}; divide percentages by 100")
    floor = float(floor)
    again = np.random.default_rng(seed).integers(0, seeds, (resamples, seeds))
    mean, spread = scores.mean(0), np.sqrt(seeds / (seeds - 1)) * t.ppf(0.975, seeds - 1) / norm.ppf(0.975)
    best = fit(form, floor, sizes, mean[None])[0]
    draws = fit(form, floor, sizes, (mean + spread * (scores[again].mean(1) - mean)).clip(0, 1))
    return Curve(form, floor, tuple(map(float, best)), draws, sizes, seeds)


def back_test(runs, floor, form="from chance", least=0, column="accuracy"):
    """Foretell what is known: fit up to each cut, predict the largest size; a table, a row per cut (arguments as of fit_curve).

    foretold, low, high: the prediction with its interval; measured: the mean at the largest size; held: is it inside?
    """
    import pandas as pd

    sizes = sorted(n for n in runs["n"].unique() if n >= least)
    measured, rows = float(runs.loc[runs["n"] == sizes[-1], column].mean()), []
    for cut in sizes[3:-1]:
        found = fit_curve(runs, floor, column, form, least, cut).predict(sizes[-1])
        held = bool(found.low <= measured <= found.high)
        rows.append({"cut": int(cut), "foretold": found.estimate, "low": found.low, "high": found.high, "measured": measured, "held": held})
    return pd.DataFrame(rows)


# ---- how many examples -------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """How many examples a target takes: a number with its interval, each inf where the curve levels off below the target."""

    target: float
    n: float
    low: float
    high: float
    never: float  # share of the draws in which the target is out of reach
    ceiling: Interval
    largest: int  # measured size

    def __str__(self):
        if not np.isfinite(self.n):
            surely = "" if self.never == 1 else "probably "
            words = f"{self.target:.0%} is {surely}out of reach: the curve levels off at {self.ceiling}"
            words += f"; only in {1 - self.never:.0%} of the draws it gets there." if surely else "."
            return words + " More of the same examples will not get there; clearer labels, another method or another target may."
        about = "0" if self.n < 1 else f"{round_to_two(self.n):,}"
        if np.isfinite(self.high):
            words = f"{self.target:.0%} takes about {about} examples ({round_to_two(self.low):,} to {round_to_two(self.high):,})."
        else:
            words = f"{self.target:.0%} takes about {about} examples, at least {round_to_two(self.low):,}, and perhaps no number will do:"
            words += f" in {max(self.never, 0.01):.0%} of the draws the curve levels off below."
        far = self.n > 3 * self.largest
        return words + (f" That lies far beyond the {self.largest:,} that were measured: take it as a direction." if far else "")


def round_to_two(n):
    """A number of examples with two digits that count: 1,234 becomes 1,200."""
    return int(float(f"{n:.2g}"))


def examples_for(curve, target):
    """How many examples the fitted curve needs for a target score (a share): a Need, which says "out of reach" in words."""
    if not 0 < target < 1:
        raise ValueError(f"target is a share between 0 and 1, such as 0.8, got {target}")
    drawn = numbers_for(curve, curve.draws, target)
    found = float(numbers_for(curve, np.array([curve.parameters]), target)[0])
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")  # no mean with inf
    never = float(np.isinf(drawn).mean())
    return Need(target, found, min(float(low), found), max(float(high), found), never, curve.ceiling, curve.sizes[-1])


def numbers_for(curve, parameters, target):
    """The form turned round, for each row of parameters: n at which the score is `target`; inf at or above the ceiling."""
    ceiling, second, rate = parameters.T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if curve.form == "from chance":
            way = (target - curve.floor) / (ceiling - curve.floor)
            n = second * (way / (1 - way)) ** (1 / rate)
            n = np.where(target <= curve.floor, 0.0, n)
        else:
            n = (second / (ceiling - target)) ** (1 / rate)
    return np.where((target >= ceiling) & (target > curve.floor), np.inf, n)


def plot_growth(curves, measured, furthest=None, ylabel="test accuracy", ax=None):
    """Fitted curves (name to Curve) with their bands over what was measured (n to Interval), as far as `furthest` examples.

    Sizes beyond those that the first curve was fitted to are drawn hollow: they test it.
    """
    ax = ax or plots.figure(6.8, 3.9)[1]
    fitted = next(iter(curves.values())).sizes
    sizes = np.unique(np.geomspace(min(fitted), furthest or max(measured), 40).round().astype(int))
    said = []
    for (name, curve), (color, dash, _) in zip(curves.items(), plots.SERIES, strict=False):
        bands = [curve.predict(n) for n in sizes]
        ax.plot(sizes, [band.estimate for band in bands], dash, color=color, label=name)
        ax.fill_between(sizes, [band.low for band in bands], [band.high for band in bands], color=color, alpha=0.2, linewidth=0)
        said.append(f"{name} says {bands[-1]} at {sizes[-1]:,}")
    for n, found in measured.items():
        inside = fitted[0] <= n <= fitted[-1]
        face = "black" if inside else "white"
        ax.errorbar(n, found.estimate, yerr=plots.arms(found), fmt="o", color="black", markerfacecolor=face, capsize=3, markersize=6)
        said.append(f"measured {found.estimate:.0%} at {n:,}{'' if inside else ' (kept from the fit)'}")
    ax.set(xscale="log", xlabel="training examples", ylabel=ylabel)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend()
    return plots.describe(ax, f"{ylabel} against training examples: " + "; ".join(said) + ".")


# ---- E03: a job with two answers ---------------------------------------------------------------


def by_mood(data):
    """The tickets with their mood as label: "negative" or "other"."""
    from utils.data import as_datasets

    def mood(split):
        rows = zip(split["text"], split["sentiment"], strict=True)
        return [{"text": text, "label": "negative" if said == "negative" else "other"} for text, said in rows]

    return as_datasets(**{name: mood(split) for name, split in data.items()})


# ---- E02: learned by heart ---------------------------------------------------------------------

PASSES, SHORT, WATCHED, TOKENS = 12, 110, 120, 48  # passes; letters of a ticket; tickets that watch; tokens


def short_tickets(data):
    """The training and validation tickets of at most SHORT letters: quick to learn from."""
    kept = {name: [i for i, text in enumerate(data[name]["text"]) if len(text) <= SHORT] for name in ("train", "validation")}
    return data.__class__({name: data[name].select(rows) for name, rows in kept.items()})


def by_heart(trained, n, seed, data, model_id):
    """E02: n short tickets read PASSES times, without a stop; losses and accuracy on unseen tickets after each pass.

    trained: "full" (every weight) or "head" (the last layer only); last: the loss on the tickets learned, in the last pass
    rise: how far the loss on unseen tickets lies above its lowest point at the end
    """
    from utils.data import sample
    from utils.train import fine_tune

    short = short_tickets(data)
    few = data.__class__(train=sample(short["train"], n, seed), validation=sample(short["validation"], WATCHED))
    run = fine_tune(model_id, few, mode=trained, epochs=PASSES, batch_size=16, max_tokens=TOKENS, patience=None, seed=seed)
    steps = np.array(run.train_loss)  # (epoch, loss), several a pass
    seen = [float(steps[np.ceil(steps[:, 0] - 1e-6) == turn, 1].mean()) for turn in range(1, PASSES + 1)]
    unseen = [loss for _, loss in run.validation_loss]
    return {
        "seen": [round(loss, 4) for loss in seen],
        "unseen": [round(loss, 4) for loss in unseen],
        "accuracy": [round(share, 4) for _, share in run.validation_accuracy],
        "last": round(seen[-1], 4),
        "rise": round(unseen[-1] - min(unseen), 4),
    }
