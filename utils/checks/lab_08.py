"""Checks of lab 08, write the decision memo: they look at reasons and numbers, not at wording."""

import math

import numpy as np

from utils.briefs import BRIEFS, ORDER, QUESTIONS, WHERE, net_draws, settled, turning
from utils.feedback import expect, right


def numbers(found, count, words):
    """The answer as that many numbers."""
    expect(found is not None, f"the function returns nothing; end it with return {words}")
    try:
        values = [float(value) for value in found]
    except (TypeError, ValueError):
        expect(False, f"return {words}, got {found!r}")
    expect(len(values) == count, f"return {words}, {count} numbers, got {len(values)}")
    return values


def check_three_readings(three_readings):
    """Exercise 1: points, relative, errors removed."""
    names = ["points", "relative", "errors removed"]
    for before, after in ((0.8, 0.84), (0.5, 0.6), (0.6, 0.57)):
        found = three_readings(before, after)
        expect(isinstance(found, dict) and set(found) == set(names), f"return a dict with the keys {names}, got {found!r}")
        case = f"from {before:.0%} to {after:.0%} right"
        gain = after - before
        wanted = {"points": gain, "relative": gain / before, "errors removed": gain / (1 - before)}
        for name in names:
            value = found[name]
            expect(
                not (math.isclose(value, 100 * wanted[name]) and gain),
                f"{case}, {name}: a share is wanted, {wanted[name]:.2f}, got {value:.1f}; do not multiply by 100",
            )
            expect(not math.isclose(value, -wanted[name]), f"{case}, {name}: the sign is turned; subtract before from after")
            expect(
                not (name == "relative" and math.isclose(value, gain / after)),
                f"{case}, relative: you divide by the share after; 'better than before' divides by the one before",
            )
            expect(
                math.isclose(value, wanted[name], abs_tol=1e-9),
                f"{case}, {name}: expect {wanted[name]:.3f}, got {value:.3f}; errors before are one minus the share right before",
            )
    right("Now you can ask which one somebody means.")


def check_paid_once(paid_once):
    """Exercise 2: what is paid before the first request."""
    project = {"examples": 600, "test_examples": 200, "minutes": 3, "wage": 20, "engineering": 10, "engineer": 50}
    project |= {"tokens": 1000, "epochs": 2, "runs": 4}
    wanted = {"labels": 600.0, "evaluation": 200.0, "engineering": 500.0, "training": 2.4}
    found = paid_once(dict(project), 0.5)
    expect(isinstance(found, dict) and set(found) == set(wanted), f"return a dict with the keys {list(wanted)}, got {found!r}")
    expect(
        not math.isclose(found["labels"], 36_000), "labels: minutes were taken for hours; a wage is for an hour, so divide minutes by 60"
    )
    expect(
        not math.isclose(found["training"], 0.6),
        "training: that is one run; the project pays for every run until one is kept",
    )
    expect(
        not math.isclose(found["training"], 2.4e6),
        "training: the price is for a million tokens; divide the tokens by 1e6",
    )
    expect(not math.isclose(found["training"], 1.2), "training: each example is read `epochs` times; multiply by it")
    for name, amount in wanted.items():
        expect(math.isclose(found[name], amount), f"{name}: expect ${amount:,.2f}, got ${found[name]:,.2f}")
    again = paid_once({**project, "test_examples": 0}, 0.5)
    expect(again["evaluation"] == 0, f"evaluation: nothing is labelled where no example judges, got {again['evaluation']}")
    right("Look at the share of training in it.")


def check_request_cost(request_cost):
    """Exercise 3: a request with a remembered prompt."""
    prices = {"input": 2.0, "cached": 0.2, "output": 8.0}
    case = "150 new, 1,000 shared and 50 written tokens"
    for hits, wanted in ((0.0, 0.0027), (1.0, 0.0009), (0.5, 0.0018)):
        found = request_cost(150, 1000, 50, prices, hits)
        expect(isinstance(found, int | float), f"return one number, got {found!r}")
        expect(not math.isclose(found, wanted * 1e6), f"{case}: prices are for a million tokens; divide by 1e6")
        expect(
            not (hits == 1.0 and math.isclose(found, 0.00063)),
            f"{case}, all remembered: new tokens are never remembered, they cost the full price",
        )
        expect(
            not (hits == 0.0 and math.isclose(found, wanted - 0.002)),
            f"{case}, nothing remembered: the shared tokens are free in your sum; without a hit they cost the price of input",
        )
        expect(math.isclose(found, wanted), f"{case}, remembered for {hits:.0%} of the requests: expect ${wanted:.5f}, got ${found:.5f}")
    right("A cache that is never warm saves nothing.")


def check_net_present_value(net_present_value):
    """Exercise 4: money that comes later counts less."""
    expect(net_present_value(100.0, 10.0, 12, 0.0) is not None, "the function returns nothing; return one number")
    found = net_present_value(100.0, 10.0, 12, 0.0)
    expect(math.isclose(found, 20.0), f"without discount, 12 months of $10 less $100 make $20, got {found}")
    wanted = sum(10 * 1.1 ** (-month / 12) for month in range(1, 13)) - 100
    found = float(net_present_value(100.0, 10.0, 12, 0.1))
    case = f"12 months of $10 at a discount of 10 % a year, less $100: expect ${wanted:.2f}, got ${found:.2f}"
    expect(not math.isclose(found, 20.0), f"{case}; the discount is not used")
    expect(not math.isclose(found, 120 / 1.1 - 100), f"{case}; each month has its own discount, not the whole sum that of a year")
    expect(
        not math.isclose(found, sum(10 * 1.1 ** (-month / 12) for month in range(12)) - 100),
        f"{case}; the first month's money comes at its end: months are 1 to 12, not 0 to 11",
    )
    expect(
        not math.isclose(found, sum(10 * 1.1**-month for month in range(1, 13)) - 100),
        f"{case}; the discount is for a year, so month m has the exponent m / 12",
    )
    expect(math.isclose(found, wanted, rel_tol=1e-6), case)
    many = net_present_value(np.array([0.0, 100.0]), np.array([10.0, 10.0]), 12, 0.0)
    expect(np.allclose(many, [120, 20]), f"it should work for arrays of once and flow, too: expect [120, 20], got {many!r}")
    right("What comes in, in today's money, less what goes out.")


def check_net_interval(net_interval):
    """Exercise 5: guesses in, an interval out."""
    brief = BRIEFS["Outlet"]
    low, middle, high, share = numbers(net_interval(dict(brief), 20_000, 0), 4, "low, middle, high and the share that pays")
    expect(tuple(net_interval(dict(brief), 500, 3)) == tuple(net_interval(dict(brief), 500, 3)), "the same seed should give the same draws")
    expect(
        tuple(net_interval(dict(brief), 500, 3)) != tuple(net_interval(dict(brief), 500, 4)),
        "another seed should give other draws; make the generator from the seed, inside the function",
    )
    values = net_draws(brief)
    wanted = np.quantile(values, [0.025, 0.5, 0.975])
    expect(low < middle < high, f"expect low < middle < high, got {low:,.0f}, {middle:,.0f} and {high:,.0f}")
    close = 0.04 * (wanted[2] - wanted[0])
    expect(0 <= share <= 1, f"the last number is a share between 0 and 1, got {share}")
    expect(
        not abs(high - low - np.diff(np.quantile(values, [0.05, 0.95]))[0]) < close,
        "your interval holds the middle 90 %; cut off 2.5 % at each end",
    )
    expect(
        not (abs(low - values.min()) < 5 * close and abs(high - values.max()) < 5 * close and high - low > 1.3 * (wanted[2] - wanted[0])),
        "you return the smallest and the largest draw; take the quantiles 0.025 and 0.975",
    )
    for name, value, target in zip(("low", "middle", "high"), (low, middle, high), wanted, strict=True):
        expect(
            abs(value - target) < close,
            f"{name}: expect about {target:,.0f}, got {value:,.0f}; draw gain, worth, once and monthly each from its own triangle",
        )
    expect(abs(share - (values > 0).mean()) < 0.02, f"share that pays: expect about {(values > 0).mean():.2f}, got {share:.2f}")
    right("Now a number says how sure it is.")


def check_verdict(verdict):
    """Exercise 6: the strongest vote, in whatever order they come."""

    def asked(cast):
        found = verdict([dict(vote) for vote in cast])
        expect(
            isinstance(found, tuple | list) and len(found) == 2,
            f"return two values, the verdict and the list of questions that decided, got {found!r}",
        )
        return found[0], list(found[1])

    def vote(question, says):
        return {"question": question, "verdict": says}

    yes = [vote(name, "tune") for name in QUESTIONS]
    said, reasons = asked(yes)
    expect(
        said == "tune" and sorted(reasons) == sorted(QUESTIONS), f"five votes for tune: expect tune, with all five, got {said!r}, {reasons}"
    )
    mixed = [vote("examples", "prompt first"), vote("expertise", "skip"), vote("worth", "tune"), vote("production", "skip")]
    mixed += [vote("updates", "tune")]
    for cast in (mixed, mixed[::-1]):
        said, reasons = asked(cast)
        words = f"votes {[v['verdict'] for v in cast]}"
        expect(said != "tune", f"{words}: one vote against is enough, got 'tune'; do not count heads")
        expect(
            said == "skip",
            f"{words}: expect 'skip', the strongest by {ORDER}, got {said!r}; the order of the votes must not matter",
        )
        expect(
            sorted(reasons) == ["expertise", "production"],
            f"{words}: expect the questions that voted so, expertise and production, got {reasons}",
        )
    said, _ = asked([*mixed, vote("updates", "retrieve")])
    expect(said == "retrieve", f"with a vote for retrieve expect 'retrieve', which is strongest, got {said!r}")
    right("Whoever asks first no longer matters.")


def check_briefs(briefs):
    """Exercise 7: the numbers of three briefs."""
    expect(isinstance(briefs, dict) and set(briefs) == set(BRIEFS), f"make a dict with the keys {list(BRIEFS)}, got {briefs!r:.80}")
    for name, wanted in BRIEFS.items():
        for field, value in wanted.items():
            expect(field in briefs[name], f"{name}: {field!r} is missing; it says {WHERE[field]}")
            found = briefs[name][field]
            where = f"{name}, {field}: this does not fit the brief; look for {WHERE[field]}"
            if isinstance(value, tuple):
                expect(
                    isinstance(found, tuple | list) and len(found) == 3,
                    f"{name}, {field}: write three numbers, (low, likely, high), got {found!r}",
                )
                expect(
                    not np.allclose(found, [100 * part for part in value]) or field != "gain",
                    f"{name}, gain: write shares, 0.05 for five points",
                )
                expect(np.allclose(found, value), where)
            else:
                expect(type(found) is type(value), f"{name}, {field}: expect {'True or False' if value in (True, False) else 'a number'}")
                expect(found == value, where)
    right("A brief becomes numbers, and what is missing becomes a question.")


def check_decide_brief(decide_brief):
    """Exercise 8: from a brief to a verdict with reasons and money."""
    yes = BRIEFS["Northlight"]
    cases = {
        "the Northlight brief": yes,
        "Northlight with facts that change": {**yes, "updates": True},
        "Northlight with 499 examples": {**yes, "examples": 499},
        "Northlight with exactly 500 examples": {**yes, "examples": 500},
        "Northlight without experts": {**yes, "expertise": False},
        "the Outlet brief": BRIEFS["Outlet"],
        "the Meadow brief": BRIEFS["Meadow"],
        "Northlight with answers worth a hundredth": {**yes, "worth": (0.01, 0.02, 0.03)},
    }
    for case, brief in cases.items():
        found = decide_brief(dict(brief))
        expect(
            isinstance(found, dict) and {"verdict", "reasons", "net"} <= set(found),
            f"return a dict with verdict, reasons and net, got {found!r:.80}",
        )
        verdict, reasons = settled(brief)
        expect(found["verdict"] in ORDER, f"{case}: the verdict should be one of {ORDER}, got {found['verdict']!r}")
        low, middle, high = numbers(found["net"], 3, "net as low, middle, high")
        values = net_draws(brief)
        wanted = np.quantile(values, [0.025, 0.5, 0.975])
        close = 0.06 * (wanted[2] - wanted[0])
        expect(
            np.allclose((low, middle, high), wanted, atol=close),
            f"{case}: net should be about {', '.join(f'{v:,.0f}' for v in wanted)}, got {low:,.0f}, {middle:,.0f}, {high:,.0f}",
        )
        expect(
            found["verdict"] == verdict,
            f"{case}: expect {verdict!r}, since {sorted(reasons)} vote so, got {found['verdict']!r}",
        )
        expect(
            set(found["reasons"]) == reasons,
            f"{case}: the reasons are the questions that voted {verdict!r}, {sorted(reasons)}, got {list(found['reasons'])}",
        )
    right("Verdict, reasons and money agree.")


def check_what_would_change(what_would_change):
    """Exercise 9: single answers that turn the verdict."""
    for name, brief in {**BRIEFS, "Northlight with facts that change": {**BRIEFS["Northlight"], "updates": True}}.items():
        before = dict(brief)
        found = what_would_change(before)
        expect(found is not None, "the function returns nothing; return a list of names")
        expect(before == brief, f"{name}: the brief was changed; work on a copy, {{**brief, field: value}}")
        wanted = turning(brief)
        expect(
            "worth" not in found,
            "worth is a calculation, not an answer; try expertise, examples, production and updates only",
        )
        missing, extra = sorted(wanted - set(found)), sorted(set(found) - wanted)
        expect(not missing, f"{name}: {missing} would turn the verdict, too; try each alone, examples from 500 to 499 or the other way")
        expect(not extra, f"{name}: changing {extra} alone leaves the verdict as it is; compare the verdicts, not the reasons")
    right("A verdict that nothing turns needs no more debate.")


def check_memos(memos):
    """Exercise 10: three memos."""
    expect(isinstance(memos, dict) and set(memos) == set(BRIEFS), f"make a memo for each of {list(BRIEFS)}, got {memos!r:.80}")
    for name, brief in BRIEFS.items():
        memo, (verdict, reasons) = memos[name], settled(brief)
        fields = {"verdict", "reasons", "net", "would_change", "next_step"}
        expect(isinstance(memo, dict) and fields <= set(memo), f"{name}: a memo has {sorted(fields)}, got {memo!r:.80}")
        expect(memo["verdict"] == verdict, f"{name}: the verdict does not follow from the brief; run decide_brief on it")
        expect(set(memo["reasons"]) == reasons, f"{name}: name the questions that decided, and only these; got {list(memo['reasons'])}")
        wanted = np.quantile(net_draws(brief), [0.025, 0.5, 0.975])
        found = numbers(memo["net"], 3, "net as low, middle, high")
        expect(
            np.allclose(found, wanted, atol=0.06 * (wanted[2] - wanted[0])),
            f"{name}: the net value does not follow from the brief; its low, middle and high come from your interval",
        )
        expect(set(memo["would_change"]) == turning(brief), f"{name}: would_change should be what your function says of this brief")
        step = memo["next_step"]
        expect(
            isinstance(step, str) and len(step.split()) >= 5,
            f"{name}: next_step is a sentence of yours, five words or more: who does what, until when",
        )
    steps = {memo["next_step"] for memo in memos.values()}
    expect(len(steps) == len(memos), "the three next steps are the same; a yes, a no and a perhaps ask for different things")
    right("Three decisions that somebody else can check.")
