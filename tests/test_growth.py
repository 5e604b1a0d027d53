"""A learning curve is fitted, predicts with an interval that keeps its word, and says when a target is out of reach."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from utils import plots
from utils.data import as_datasets
from utils.growth import Curve, by_heart, by_mood, examples_for, fit_curve, from_chance, plot_growth, power_law, round_to_two, short_tickets
from utils.label_budget import label_budget
from utils.stats import Interval

SIZES = (50, 100, 200, 400, 800)
TRUE = {"from chance": (0.7, 150, 1.0), "power law": (0.75, 2.0, 0.4)}


def runs_of(form="from chance", seeds=10, noise=0.0, sizes=SIZES, seed=0, floor=0.05):
    """Made-up runs around a curve of known parameters; a seed is lucky or not at all its sizes."""
    draw, curve = np.random.default_rng(seed), {"from chance": from_chance, "power law": power_law}[form]
    luck = draw.normal(0, noise, (seeds, 1)) + draw.normal(0, noise, (seeds, len(sizes)))
    scores = (curve(np.array(sizes, float), floor, *TRUE[form]) + luck).clip(0, 1)
    return pd.DataFrame([{"n": n, "seed": k, "accuracy": scores[k, i]} for k in range(seeds) for i, n in enumerate(sizes)])


@pytest.mark.parametrize("form", TRUE)
def test_without_noise_the_parameters_come_back_and_so_do_far_scores(form):
    curve = fit_curve(runs_of(form), 0.05, form=form)
    assert curve.parameters == pytest.approx(TRUE[form], rel=0.08)
    far = {"from chance": from_chance, "power law": power_law}[form](20_000.0, 0.05, *TRUE[form])
    assert curve.predict(20_000).estimate == pytest.approx(far, abs=0.01)
    assert curve.predict(20_000).low == pytest.approx(curve.predict(20_000).high, abs=1e-9)  # all draws are alike


@pytest.mark.parametrize(("form", "start"), [("from chance", (0.6, 100, 1)), ("power law", (0.8, 1, 0.5))])
def test_the_fit_is_as_close_as_scipys(form, start):
    runs = runs_of(form, noise=0.02)
    means = runs.groupby("n")["accuracy"].mean()
    function = {"from chance": from_chance, "power law": power_law}[form]
    best, _ = curve_fit(lambda n, *p: function(n, 0.05, *p), means.index.to_numpy(float), means, p0=start, bounds=(0, [1, 1e6, 3]))
    curve = fit_curve(runs, 0.05, form=form)
    theirs, ours = (np.sqrt(np.mean((means - function(means.index.to_numpy(float), 0.05, *p)) ** 2)) for p in (best, curve.parameters))
    assert ours < theirs + 0.002
    assert curve.predict(1600).estimate == pytest.approx(function(1600.0, 0.05, *best), abs=0.01)


@pytest.mark.parametrize("seeds", [4, 10])
def test_the_interval_holds_the_true_score_as_often_as_it_says(seeds):
    truth, held = from_chance(3000.0, 0.05, *TRUE["from chance"]), []
    for seed in range(60):
        found = fit_curve(runs_of(seeds=seeds, noise=0.015, seed=seed), 0.05, resamples=150).predict(3000)
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) >= 0.87  # 95 % are promised; of 60 simulations, fewer than 87 % come by luck once in a hundred


def test_the_wrong_form_misses_where_it_has_not_looked():
    runs = runs_of(noise=0.01)
    textbook = fit_curve(runs, 0.05, form="power law", up_to=400).predict(3000)
    assert not textbook.low <= from_chance(3000.0, 0.05, *TRUE["from chance"]) <= textbook.high


def test_the_gain_of_a_step_is_surer_than_its_two_ends():
    curve = fit_curve(runs_of(seeds=5, noise=0.02), 0.05)
    gain, near, far = curve.gain(400, 800), curve.predict(400), curve.predict(800)
    assert gain.estimate == pytest.approx(far.estimate - near.estimate)
    assert gain.high - gain.low < (far.high - far.low) + (near.high - near.low)


def test_more_draws_make_it_surer():
    few = runs_of(seeds=6, noise=0.02)
    many = pd.concat([few.assign(seed=few["seed"] + 6 * copy) for copy in range(10)])
    wide, narrow = (fit_curve(runs, 0.05).predict(3000) for runs in (few, many))
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_sizes_out_of_bounds_take_no_part_in_the_fit():
    runs = pd.concat([runs_of(), *(pd.DataFrame({"n": n, "seed": range(10), "accuracy": 0.99}) for n in (10, 1600))])
    assert fit_curve(runs, 0.05, least=50, up_to=800).sizes == SIZES
    assert fit_curve(runs, 0.05, least=50, up_to=800).parameters == fit_curve(runs_of(), 0.05).parameters


@pytest.mark.parametrize(
    ("runs", "settings", "words"),
    [
        (runs_of(seeds=2), {}, "at least 3 seeds and 4 sizes, got 2 and 5"),
        (runs_of(sizes=(50, 100, 200)), {}, "got 10 and 3"),
        (runs_of().drop(index=7), {}, r"at n = 200 seeds \[1\] are missing"),
        (runs_of().assign(accuracy=lambda t: 100 * t["accuracy"]), {}, "divide percentages by 100"),
        (runs_of(), {"form": "straight"}, "form must be one of from chance, power law, got 'straight'"),
        (runs_of(), {"floor": 5.0}, "a share from 0 to below 1, got 5.0"),
    ],
)
def test_what_cannot_be_fitted_is_named(runs, settings, words):
    with pytest.raises(ValueError, match=words):
        fit_curve(runs, **{"floor": 0.05, **settings})


# ---- how many ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", TRUE)
def test_the_examples_for_a_target_are_those_at_which_the_curve_gets_there(form):
    curve = fit_curve(runs_of(form, noise=0.01), 0.05, form=form)
    need = examples_for(curve, 0.6)
    assert curve(need.n) == pytest.approx(0.6, abs=1e-6)
    assert need.low <= need.n <= need.high and need.never == 0
    assert f"about {round_to_two(need.n):,} examples" in str(need)


def test_a_target_above_the_ceiling_is_out_of_reach_in_words():
    need = examples_for(fit_curve(runs_of(noise=0.005), 0.05), 0.9)
    assert (need.n, need.low, need.high, need.never) == (math.inf, math.inf, math.inf, 1.0)
    assert str(need).startswith("90% is out of reach: the curve levels off at") and "nan" not in str(need) and "inf" not in str(need)


def test_a_target_just_above_the_ceiling_is_probably_out_of_reach():
    curve = fit_curve(runs_of(seeds=5, noise=0.02, seed=3), 0.05)
    need = examples_for(curve, curve.ceiling.estimate + 0.01)
    assert math.isinf(need.n) and 0.5 < need.never < 1
    assert "is probably out of reach" in str(need) and f"only in {1 - need.never:.0%} of the draws" in str(need)


def test_a_target_near_the_ceiling_may_be_out_of_reach():
    curve = fit_curve(runs_of(seeds=5, noise=0.02, seed=3), 0.05)
    need = examples_for(curve, curve.ceiling.estimate - 0.01)
    assert math.isfinite(need.n) and math.isinf(need.high) and 0 < need.never < 1
    assert "perhaps no number will do" in str(need)


def test_a_far_target_comes_with_a_warning_and_a_near_one_without():
    curve = fit_curve(runs_of("power law", noise=0.002), 0.05, form="power law")
    assert "far beyond the 800" in str(examples_for(curve, 0.7)) and "far beyond" not in str(examples_for(curve, 0.6))


def test_guessing_needs_no_examples():
    need = examples_for(fit_curve(runs_of(), 0.05), 0.05)
    assert need.n == 0 and "takes about 0 examples" in str(need)


def test_a_target_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.8, got 80"):
        examples_for(fit_curve(runs_of(), 0.05), 80)


def test_the_figure_says_what_was_kept_from_the_fit():
    runs = runs_of(noise=0.01)
    measured = {n: Interval(group.mean(), group.min(), group.max()) for n, group in runs.groupby("n")["accuracy"]}
    ax = plot_growth({"from chance": fit_curve(runs, 0.05, up_to=400)}, measured, 5000)
    words = plots.words_of(ax.figure)
    assert "at 800 (kept from the fit)" in words and "at 400 (kept" not in words and "at 5,000" in words
    plots.image_of(ax.figure)


# ---- the widget --------------------------------------------------------------------------------


def test_the_budget_follows_target_minutes_and_wage():
    box = label_budget(fit_curve(runs_of(noise=0.01), 0.05), 0.6)
    need = examples_for(fit_curve(runs_of(noise=0.01), 0.05), 0.6)
    count = round_to_two(need.n)
    assert f"likely: {count:,} examples, {count * 2 / 60:,.0f} hours, ${count * 2 / 60 * 25:,.0f}" in box.text.value
    figure = box.picture.value
    box.wage.value, box.minutes.value = 60, 1
    assert f"likely: {count:,} examples, {count / 60:,.0f} hours, ${count:,.0f}" in box.text.value
    assert box.picture.value == figure  # prices do not move the curve
    box.goal.value = 0.9
    assert "out of reach" in box.text.value and "likely: no number of examples" in box.text.value
    assert box.picture.value != figure and "90% is out of reach" in box.picture.value


def test_what_is_labelled_already_need_not_be_paid_again():
    curve = fit_curve(runs_of(noise=0.01), 0.05)
    need = examples_for(curve, 0.6)
    assert f"likely: {round_to_two(need.n - 300):,} examples" in label_budget(curve, 0.6, have=300).text.value
    assert "likely: 0 examples, 0 hours, $0 more" in label_budget(curve, 0.3, have=300).text.value


def test_the_slider_starts_at_a_target_that_was_nearly_reached():
    curve = Curve("from chance", 0.05, TRUE["from chance"], np.array([TRUE["from chance"]] * 3), SIZES, 10)
    assert label_budget(curve).goal.value == pytest.approx(float(curve(800)) - 0.02, abs=0.01)


# ---- experiments -------------------------------------------------------------------------------


def toy_tickets():
    """Moods told by a word; a few long ones that E02 leaves out."""

    def text(i):
        return f"{'awful' if i % 2 else 'fine'} zip {i}" + " and more" * (20 * (i % 10 == 0))

    rows = [{"text": text(i), "sentiment": ("neutral", "negative")[i % 2]} for i in range(300)]
    return as_datasets(train=rows[:160], validation=rows[160:], test=rows[:20])


def test_moods_are_negative_or_other_and_long_tickets_are_left_out():
    data = by_mood(toy_tickets())
    assert data["train"]["label"][:2] == ["other", "negative"]
    short = short_tickets(data)
    assert set(short) == {"train", "validation"} and all(len(text) <= 110 for text in short["train"]["text"])
    assert len(short["train"]) == 144


def test_a_run_of_e02_follows_both_losses_pass_by_pass(tiny):
    found = by_heart("head", 16, 0, by_mood(toy_tickets()), tiny)
    assert len(found["seen"]) == len(found["unseen"]) == len(found["accuracy"]) == 12
    assert found["last"] == found["seen"][-1] < found["seen"][0]
    assert found["rise"] == pytest.approx(found["unseen"][-1] - min(found["unseen"]), abs=2e-4) and found["rise"] >= 0
