"""Checks of lab 14, would you ship it?"""

import math

import numpy as np

from utils.feedback import expect, right

POWER_SIZES = [20, 50, 100, 200, 500, 1000, 2000]


def pair_of(found, names):
    """The two values of an answer that should be a pair."""
    expect(found is not None, f"the function returns nothing; end it with return {names}")
    try:
        first, second = found
    except (TypeError, ValueError):
        expect(False, f"return two values, {names}, got {found!r}")
    return first, second


def answered(low, high):
    """An interval in words."""
    return f"{low:.3f} to {high:.3f}"


def check_share_interval(share_interval):
    """Exercise 1: Wilson's interval."""
    for n, s, wanted in ((40, 30, (0.5981, 0.8581)), (20, 20, (0.8389, 1.0)), (20, 0, (0.0, 0.1611))):
        items = np.arange(n) < s
        low, high = pair_of(share_interval(items), "low and high")
        share, error = s / n, math.sqrt(s * (n - s) / n**3)
        case = f"for {s} right of {n}"
        wald = (share - 1.96 * error, share + 1.96 * error)
        expect(
            not (math.isclose(low, wald[0], abs_tol=1e-3) and math.isclose(high, wald[1], abs_tol=1e-3)),
            f"{case} you give {answered(low, high)}: that is share ± 1.96 standard errors, which claims certainty where all items agree; "
            "use Wilson's centre and half width",
        )
        expect(low <= high, f"{case} low should not be above high, got {low:.3f} and {high:.3f}; return centre - half and centre + half")
        expect(high <= 1.2 and low >= -0.2, f"{case} expect shares between 0 and 1, got {answered(low, high)}; divide by n + z²")
        expect(
            not (s == 30 and math.isclose((low + high) / 2, share, abs_tol=1e-3)),
            f"{case} your interval lies evenly around {share:.2f}; Wilson's centre is drawn towards one half",
        )
        expect(
            math.isclose(low, wanted[0], abs_tol=1e-3) and math.isclose(high, wanted[1], abs_tol=1e-3),
            f"{case} expect {answered(*wanted)}, got {answered(low, high)}",
        )
    right("It is honest even where every answer is right.")


def check_paired_bootstrap(paired_bootstrap):
    """Exercise 2: the interval of a difference on the same items."""
    a = np.repeat([True, True, False, False], [240, 10, 30, 120])
    b = np.repeat([True, False, True, False], [240, 10, 30, 120])
    found = paired_bootstrap(a, b, 4000, 1)
    low, high = pair_of(found, "low and high")
    again = {tuple(paired_bootstrap(a, b, 50, 1)) for _ in range(5)}
    expect(len(again) == 1, "calls with the same seed gave different intervals; make the generator from the seed, inside the function")
    case = "b gets 20 of 400 items more than a, a difference of +0.050"
    expect(
        high - low > 1e-9,
        f"{case}, and every draw gave {low:.3f}; draw with replacement (rng.integers), not a new order of all items",
    )
    expect(low < high, f"{case}: low should be below high, got {low:.3f} and {high:.3f}")
    expect(not -0.07 < (low + high) / 2 < -0.03, f"{case}, yours lies around {(low + high) / 2:+.3f}; take b minus a")
    width = high - low
    expect(
        abs(width - 0.132) > 0.01,
        f"{case} with an interval about 0.06 wide, yours is {width:.3f} wide; "
        "you drew the items of the two systems separately: use one draw of rows for both",
    )
    expect(
        not (abs(width - 0.0513) < 0.003),
        f"your interval is {width:.3f} wide, that is the middle 90 %; cut off 2.5 % at each end",
    )
    wanted = (0.0200, 0.0800)
    expect(
        abs(low - wanted[0]) < 0.005 and abs(high - wanted[1]) < 0.005,
        f"{case}: expect about {answered(*wanted)}, got {answered(low, high)}",
    )
    right("Both systems met the same draws.")


def check_needed_items(needed_items):
    """Exercise 3: how many items show a gain."""
    found = needed_items(0.05, 0.2, POWER_SIZES)
    expect(found is not None, "for a gain of 0.05 and a disagreement of 0.2 expect 1000 items, got None; return the size")
    expect(
        isinstance(found, int | np.integer) and not isinstance(found, bool),
        f"return one of the sizes, a whole number, got {type(found).__name__} {found!r}",
    )
    expect(found in POWER_SIZES, f"return one of the given sizes {POWER_SIZES}, got {found}; the loop's number, not its place or its power")
    expect(found != 500, "500 items see a gain of 0.05 in less than 4 tests of 5; expect 1000: power should be at least 0.8")
    expect(found <= 1000, f"1000 items are enough for a gain of 0.05, got {found}; return the first size that suffices, not the last")
    expect(found == 1000, f"for a gain of 0.05 and a disagreement of 0.2 expect 1000 items, got {found}")
    found = needed_items(0.2, 0.2, POWER_SIZES)
    expect(
        found == 50,
        f"for a gain of 0.2 where b is right on every item that differs expect 50, got {found}; use gain and disagreement as they come",
    )
    found = needed_items(0.01, 0.2, POWER_SIZES)
    expect(found is None, f"no size up to {POWER_SIZES[-1]} shows a gain of 0.01: expect None, got {found}")
    right("Ask this before you collect a test set.")


def check_worst_slice(worst_slice):
    """Exercise 4: where does b lose most?"""
    values = ["chat"] * 10 + ["email"] * 20 + ["phone"] * 10 + ["fax"] * 2 + ["web"] * 30
    a = np.repeat([True, False] * 5, [5, 5, 18, 2, 6, 4, 2, 0, 21, 9])
    b = np.repeat([True, False] * 5, [9, 1, 17, 3, 3, 7, 0, 2, 24, 6])
    case = "chat +0.40, email -0.05, web +0.10, phone -0.30 and fax -1.00 (2 items only)"
    value, difference = pair_of(worst_slice(a, b, values, 5), "value and difference")
    expect(isinstance(value, str), f"return the slice's value first, then the difference, got {value!r} and {difference!r}")
    expect(value != "fax", f"{case}: 'fax' has fewer than least = 5 items; leave such slices out")
    expect(
        value != "chat",
        f"{case}: you name 'chat', where b gains most; look for the smallest b minus a, with its sign",
    )
    expect(value == "phone", f"{case}: the worst slice with at least 5 items is 'phone', got {value!r}")
    expect(
        not math.isclose(difference, 0.3),
        "phone falls from 0.60 to 0.30: b minus a is -0.30, got +0.30; subtract a from b",
    )
    expect(
        not math.isclose(difference, -3),
        "you counted items: expect a difference of shares, -0.30 for phone, got -3; divide by the slice's size",
    )
    expect(math.isclose(difference, -0.3), f"for phone expect b minus a = -0.30, got {difference:.2f}; use the slice's items only")
    value, _ = worst_slice(a, b, values, 20)
    expect(value == "email", f"with least = 20 expect 'email', which has exactly 20 items and so counts, got {value!r}")
    _, difference = worst_slice(b, b, values, 5)
    expect(math.isclose(difference, 0), f"two equal systems differ nowhere: expect 0.0, got {difference!r}")
    right("The average no longer hides it.")


def check_invariance_failures(invariance_failures):
    """Exercise 5: does a harmless change turn the label?"""

    def predict(texts):
        expect(not isinstance(texts, str), f"predict takes a list of texts, it got the single text {texts!r}")
        return ["loud" if text.isupper() else "question" if text.endswith("?") else "plain" for text in texts]

    texts = ["WHERE IS IT", "where is it?", "Thanks", "ok", "HELP", "Really?", "Fine", "no"]
    found = invariance_failures(predict, texts, str.lower)
    case = "lower case changes 5 of 8 texts and turns the label of 2"
    expect(found is not None, "the function returns nothing; return a share between 0 and 1")
    expect(isinstance(found, int | float | np.number), f"return one number, got {type(found).__name__}")
    expect(not math.isclose(found, 2), f"{case}: expect the share 2 / 5 = 0.4, got the count 2; divide by the number of changed texts")
    expect(
        not math.isclose(found, 2 / 8),
        f"{case}: expect 2 / 5 = 0.4, got 2 / 8; texts that the change leaves as they are prove nothing, leave them out",
    )
    expect(
        not (math.isclose(found, 3 / 5) or math.isclose(found, 6 / 8)),
        f"{case}: you return {found:.2f}, the share of labels that stay; expect the share that turn, 0.4",
    )
    expect(
        not math.isclose(found, 1),
        f"{case}: expect 0.4, got 1; compare the labels before and after the change, not the texts",
    )
    expect(math.isclose(found, 0.4), f"{case}: expect 2 / 5 = 0.4, got {found:.3f}")
    found = invariance_failures(predict, ["a", "b"], str.lower)
    expect(found == 0, f"where the change touches no text expect 0.0, got {found}")
    right("You measure steadiness without a single label.")


def check_minimum_functionality(minimum_functionality):
    """Exercise 6: which plain cases fail?"""

    def predict(texts):
        expect(not isinstance(texts, str), f"predict takes a list of texts, it got the single text {texts!r}")
        return ["danger" if "fire" in text else "other" for text in texts]

    cases = [("fire in the tent", "danger"), ("gas leak", "danger"), ("hello", "other"), ("fire sale?", "other")]
    found = minimum_functionality(predict, cases)
    wanted = [("gas leak", "danger", "other"), ("fire sale?", "other", "danger")]
    expect(found is not None, "the function returns nothing; return a list of the failed cases")
    expect(
        isinstance(found, list | tuple),
        f"return the failed cases themselves, a list, so that one can read them; got {type(found).__name__} {found!r}",
    )
    found = [tuple(case) if isinstance(case, list | tuple) else case for case in found]
    expect(
        {case[0] for case in found if isinstance(case, tuple)} != {"fire in the tent", "hello"},
        "you return the cases with the right answer; return those where the answer differs from the label",
    )
    expect(
        all(isinstance(case, tuple) and len(case) == 3 for case in found),
        f"each failed case should be (text, label, answer), such as {wanted[0]}, got {found[:1]}",
    )
    expect(
        found != [(text, answer, label) for text, label, answer in wanted],
        f"label and answer are the wrong way round: expect {wanted[0]}, got {found[:1]}",
    )
    expect(found == wanted, f"expect {wanted}, in the order of the cases, got {found}")
    expect(
        list(minimum_functionality(predict, cases[:1])) == [],
        "where every case is right expect an empty list",
    )
    right("A failed case is a sentence that you can show to anybody.")


def check_ship(ship):
    """Exercise 7: a decision from evidence and a rule."""
    rule = {"gain": 0.02, "low": 0.0, "p": 0.05, "worst_slice": -0.05, "invariance": 0.1, "must_pass_failures": 0, "ms": 250}
    good = {"gain": 0.06, "low": 0.03, "p": 0.001, "worst_slice": 0.01, "invariance": 0.04, "must_pass_failures": 0, "ms": 30}
    least = ("gain", "low", "worst_slice")

    def asked(evidence, case, names):
        decision, reasons = pair_of(ship(dict(evidence), dict(rule)), "the decision and the list of reasons")
        expect(
            decision in ("ship", "do not ship"),
            f"the first value should be 'ship' or 'do not ship', got {decision!r}",
        )
        expect(
            isinstance(reasons, list | tuple) and all(isinstance(reason, str) for reason in reasons),
            f"the second value should be a list of sentences, got {reasons!r}",
        )
        said = [name for name in rule if any(name_in(name, reason) for reason in reasons)]
        expect(
            set(names) <= set(said) and len(reasons) >= len(names),
            f"{case} expect a reason for each of {names}, got {list(reasons)}; go on after the first, and name the bound in its reason",
        )
        expect(len(reasons) == len(names), f"{case} expect {len(names)} reasons {names}, got {list(reasons)}")
        wanted = "do not ship" if names else "ship"
        expect(decision == wanted, f"{case} expect '{wanted}', got '{decision}'; one broken bound is enough")

    _, reasons = pair_of(ship(dict(good), dict(rule)), "the decision and the list of reasons")
    named = [name for name in least if any(name_in(name, str(reason)) for reason in (reasons or []))]
    expect(
        not named,
        f"where all is well you complain of {named}: for these three more is better, so the bound is the least that is allowed",
    )
    asked(good, "where no bound is broken", [])
    asked(rule, "where each bound is met exactly (nothing is broken)", [])
    bad = {"gain": 0.01, "low": -0.02, "p": 0.3, "worst_slice": -0.2, "invariance": 0.3, "must_pass_failures": 2, "ms": 900}
    for name, value in bad.items():
        asked(good | {name: value}, f"where only {name} is broken ({value} against {rule[name]})", [name])
    asked(good | {"low": -0.02, "p": 0.3, "ms": 900}, "where low, p and ms are broken", ["low", "p", "ms"])
    right("The rule decides, and it says why.")


def name_in(name, sentence):
    """Whether a reason names the bound, as a word of its own; a space may stand for an underscore."""
    words = "".join(c if c.isalnum() or c == "_" else " " for c in sentence).split()
    return name in words or f" {name.replace('_', ' ')} " in f" {' '.join(words)} "
