"""Costs add up by hand, prices are dated and checked, and uncertainty reaches the result."""

import itertools
import math
from datetime import date

import numpy as np
import pytest

from utils import costs, plots, portfolio
from utils.costs import (
    DIALS,
    GUESSES,
    annuity,
    break_even_months,
    break_even_requests,
    cache_hits,
    check_project,
    dollars,
    likely,
    monthly,
    net_value,
    once,
    outlook,
    price,
    read_prices,
    serving,
    simulate,
    tornado,
    training,
)
from utils.stats import Interval

HEAD = "service,kind,price,unit,source,read,note\n"
ROW = "a,input,2.0,USD per million tokens,https://a.org,2026-11-01,\n"


@pytest.fixture
def table(tmp_path):
    """Prices of one made-up service, whose numbers are easy to multiply."""
    rows = [("train", 0.5), ("input", 2.0), ("cached", 0.2), ("write", 2.5), ("output", 8.0)]
    body = "".join(f"a,{kind},{value},unit,https://a.org,2026-11-01,\n" for kind, value in rows)
    path = tmp_path / "prices.csv"
    path.write_text(HEAD + body + "box,hour,0.1,USD per hour,https://b.org,2026-11-01,\n")
    return read_prices(path)


def project(**changes):
    return likely(GUESSES) | changes


def test_the_courses_prices_are_all_linked_dated_and_not_from_the_future():
    for found in read_prices().values():
        assert found.source.startswith("https://") and found.price > 0 and found.note
        assert date(2026, 1, 1) <= found.read <= max(date.today(), date(2026, 11, 30))


def test_a_training_costs_examples_times_tokens_times_epochs_times_price(table):
    assert training(project(examples=1000, tokens=500, epochs=3), "a", table) == pytest.approx(0.75)
    assert training(project(examples=1000, tokens=500, epochs=3)) == pytest.approx(0.69)  # at Ori's price: the claim's own sum


def test_what_is_paid_once_adds_up_by_hand(table):
    plan = project(examples=600, test_examples=200, minutes=3, wage=20, engineering=10, engineer=50, tokens=1000, epochs=2, runs=4)
    assert once(plan, "a", table) == pytest.approx({"labels": 600, "evaluation": 200, "engineering": 500, "training": 2.4})


def test_what_is_paid_each_month_adds_up_by_hand(table):
    plan = project(
        examples=600, test_examples=200, minutes=3, wage=20, engineer=50, tokens=1000, epochs=2, retrainings=6, relabel=0.5, upkeep=2
    )
    assert monthly(plan, "a", table) == pytest.approx({"upkeep": 100, "retraining": 0.5 * (0.5 * 800 + 0.6)})


def test_a_remembered_prompt_is_cheap_only_where_requests_come_often(table):
    assert cache_hits(0) == 0 and cache_hits(1e7) == pytest.approx(1)
    busy = serving("a", 1e6, 100, 1000, 50, table=table) / 1e6
    quiet = serving("a", 100, 100, 1000, 50, table=table) / 100
    plain = serving("a", 100, 100, 1000, 50, cache=False, table=table) / 100
    assert busy == pytest.approx((100 * 2 + 1000 * 0.2 + 50 * 8) / 1e6, rel=1e-3)
    assert plain == pytest.approx((1100 * 2 + 50 * 8) / 1e6)
    assert quiet > plain, "a cache that is always cold costs its writing"


def test_the_share_of_cache_hits_is_that_of_random_arrivals():
    rng = np.random.default_rng(0)
    gaps = rng.exponential(costs.HOURS * 60 / 9000, 100_000)  # minutes between 9,000 requests a month
    assert cache_hits(9000) == pytest.approx((gaps < 5).mean(), abs=0.01)


def test_a_service_by_the_hour_costs_the_same_however_many_ask(table):
    assert serving("box", 1, 9, 9, 9, table=table) == pytest.approx(73) == serving("box", 1e6, 9, 9, 9, table=table)


@pytest.mark.parametrize(("months", "discount"), [(1, 0.1), (24, 0.1), (36, 0.0), (12, 1.0)])
def test_the_annuity_is_the_sum_of_the_months(months, discount):
    assert annuity(months, discount) == pytest.approx(sum((1 + discount) ** (-m / 12) for m in range(1, months + 1)))


def test_the_net_value_is_all_that_comes_in_less_all_that_goes_out(table):
    plan = project(requests=1000, gain=0.1, worth=2.0, months=12, discount=0.0)
    paid = sum(once(plan, "a", table).values()) + 12 * sum(monthly(plan, "a", table).values())
    assert net_value(plan, service="a", table=table) == pytest.approx(12 * 200 - paid)
    assert net_value(plan, extra=5.0, service="a", table=table) == pytest.approx(12 * 200 - paid - 60)


@pytest.mark.parametrize(("requests", "gain", "discount"), itertools.product((0, 500, 9000, 10**6), (-0.1, 0, 0.02, 0.3), (0, 0.1)))
def test_at_break_even_the_net_value_is_zero_and_months_agree_with_it(requests, gain, discount):
    plan = project(requests=requests, gain=gain, discount=discount)
    needed = break_even_requests(plan)
    if gain > 0:
        assert net_value({**plan, "requests": needed}) == pytest.approx(0, abs=1e-6)
    else:
        assert needed == math.inf
    months = break_even_months(plan)
    if months < math.inf:
        assert net_value({**plan, "months": months}) >= 0
        assert months == 1 or net_value({**plan, "months": months - 1}) < 0
    else:
        assert net_value({**plan, "months": 600}) < 0


@pytest.mark.parametrize(
    ("dial", "sign"), [("gain", 1), ("requests", 1), ("worth", 1), ("minutes", -1), ("engineering", -1), ("upkeep", -1)]
)
def test_each_dial_pushes_the_net_value_its_own_way(dial, sign):
    plan = project()
    assert sign * (net_value({**plan, dial: plan[dial] * 1.5}) - net_value(plan)) > 0


def test_many_projects_at_once_are_the_same_as_one_by_one():
    drawn = simulate(GUESSES, 5, seed=3)
    alone = [net_value({name: float(values[i]) for name, values in drawn.items()}) for i in range(5)]
    assert np.allclose(net_value(drawn), alone)


def test_the_same_seed_draws_the_same_and_another_guess_leaves_the_other_dials_alone():
    first, again = simulate(GUESSES, 50, seed=1), simulate({"months": 9, **GUESSES, "worth": (1, 2, 3)}, 50, seed=1)
    assert np.array_equal(first["gain"], again["gain"]) and not np.array_equal(first["worth"], again["worth"])
    assert not np.array_equal(first["gain"], simulate(GUESSES, 50, seed=2)["gain"])


def test_a_guess_is_drawn_within_its_ends_and_a_measurement_with_its_interval():
    drawn = simulate({"guess": (1, 2, 9), "measured": Interval(0.1, 0.06, 0.14), "known": 7}, 20_000)
    assert drawn["guess"].min() >= 1 and drawn["guess"].max() <= 9 and drawn["guess"].mean() == pytest.approx(4, abs=0.05)
    assert np.quantile(drawn["measured"], [0.025, 0.975]) == pytest.approx([0.06, 0.14], abs=0.002)
    assert (drawn["known"] == 7).all()


def test_less_doubt_gives_a_narrower_outlook_and_none_gives_a_point():
    wide, narrow = outlook(GUESSES, 4000), outlook({**GUESSES, "gain": 0.1, "worth": 1.0}, 4000)
    assert narrow.net.high - narrow.net.low < wide.net.high - wide.net.low
    certain = outlook(likely(GUESSES), 100)
    assert certain.net.low == certain.net.high == pytest.approx(net_value(likely(GUESSES))) and certain.pays in (0, 1)
    assert wide.net.low < wide.net.estimate < wide.net.high and "of 4,000 draws" in str(wide)


def test_the_tornado_puts_the_widest_swing_first_and_leaves_out_what_is_known():
    rows = tornado(GUESSES)
    swings = [abs(high - low) for _, low, high in rows]
    assert swings == sorted(swings, reverse=True) and {"months", "tokens"}.isdisjoint(name for name, *_ in rows)
    name, low, high = rows[0]
    middle = likely(GUESSES)
    assert low == pytest.approx(net_value({**middle, name: GUESSES[name][0]})) and high > low
    assert "net value" in plots.words_of(plots.plot_tornado(rows, net_value(middle), "net value, $").figure)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service,kind\na,input\n", "needs the columns note, price"),
        (HEAD + ROW.replace("2.0", "cheap"), "row 2: price must be a number"),
        (HEAD + ROW.replace("2026-11-01", "yesterday"), "row 2: .* read a day"),
        (HEAD + ROW + ROW, "row 3: a has two prices of kind input"),
        (HEAD + ROW.replace("https://a.org", "a friend"), "source a link"),
        (HEAD + ROW.replace("input", "lunch"), "kind must be one of train"),
        (HEAD + ROW.replace("2.0", "-1"), "at least 0"),
        (HEAD + ROW.replace("2.0", "nan"), "at least 0"),
        (HEAD + "a,input\n", "row 2"),
    ],
)
def test_a_table_that_cannot_be_used_names_its_row(tmp_path, text, words):
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_prices(path)


def test_an_unknown_price_names_those_that_exist():
    with pytest.raises(ValueError, match=r"no price of kind 'train' for 'openai'.*ori-10b"):
        price("openai", "train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain": 1.5}, "gain .* must be a number from -1 to 1"),
        ({"requests": -1}, "requests .* from 0"),
        ({"wage": "a lot"}, "wage .* got 'a lot'"),
        ({"worth": math.nan}, "worth"),
        ({"wages": 3}, "no dial 'wages'"),
    ],
)
def test_a_project_that_cannot_be_is_refused_by_its_dial(change, words):
    with pytest.raises(ValueError, match=words):
        check_project(project(**change))


def test_a_dial_that_is_missing_is_named():
    with pytest.raises(ValueError, match="lacks 'worth': dollars that one more right answer"):
        net_value({name: value for name, value in project().items() if name != "worth"})
    with pytest.raises(ValueError, match="in this order"):
        simulate({"gain": (3, 2, 1)})


@pytest.mark.parametrize(("amount", "words"), [(1250, "$1,250"), (0.69, "$0.69"), (-40.4, "-$40"), (5, "$5"), (-0.001, "$0.00")])
def test_dollars_in_words(amount, words):
    assert dollars(amount) == words


def test_every_dial_has_a_guess_and_a_meaning():
    assert set(GUESSES) == set(DIALS)
    check_project(likely(GUESSES))


def test_measuring_before_deciding_is_right_more_often_than_guessing_whatever_experts_are_worth():
    for factor in (1, 10, 100):
        firms = portfolio.draw(1500, seed=1, expert_factor=factor)
        pays = portfolio.net(firms) > 0
        right = {name: (tunes == pays).mean() for name, tunes in portfolio.rules(firms).items()}
        assert right["money, gain measured"] > right["money, gain guessed"] > right["always tune"]
        assert right["always tune"] == pytest.approx(1 - right["never tune"])


def test_a_rule_earns_what_it_tunes_and_a_trial_is_paid_for():
    firms = portfolio.draw(200, seed=2)
    everything, nothing = np.ones(200, bool), np.zeros(200, bool)
    assert np.allclose(portfolio.earned(firms, "always tune", everything), portfolio.net(firms))
    assert not portfolio.earned(firms, "never tune", nothing).any()
    assert np.allclose(portfolio.earned(firms, "money, gain measured", nothing), -portfolio.trial_cost(firms["project"]))
    assert np.array_equal(portfolio.net(firms), portfolio.net(portfolio.draw(200, seed=2)))
