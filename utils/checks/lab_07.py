"""Checks of lab 07, draw a learning curve and decide when to stop labelling."""

import itertools
import math
from collections import Counter

import numpy as np

from utils.feedback import expect, right
from utils.growth import from_chance


def number_in(found, what="one number"):
    """The answer as a number, or a sentence that says what came instead."""
    expect(found is not None, f"the function returns nothing; end it with return and {what}")
    expect(not isinstance(found, complex), f"return {what}, got the complex {found}; a root of a negative number was taken")
    is_number = isinstance(found, int | float | np.number) and not isinstance(found, bool)
    expect(is_number, f"return {what}, got {type(found).__name__} {found!r}")
    return float(found)


def numbers_in(found, names):
    """The answer as so many numbers."""
    expect(found is not None, f"the function returns nothing; end it with return {names}")
    count = len(names.split(", "))
    try:
        values = [float(value) for value in found]
    except (TypeError, ValueError):
        expect(False, f"return {count} numbers, {names}, got {found!r}")
    expect(len(values) == count, f"return {count} numbers, {names}, got {len(values)}")
    return values


def check_sizes_to_try(sizes_to_try):
    """Exercise 1: sizes that grow by a factor."""
    sizes = sizes_to_try(20, 320, 5)
    expect(sizes is not None, "the function returns nothing; end it with return and the list of sizes")
    expect(isinstance(sizes, list | tuple), f"return a list, got {type(sizes).__name__}")
    expect(len(sizes) == 5, f"for count = 5 expect five sizes, got {len(sizes)}: {list(sizes)}")
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in sizes)
    expect(whole, f"a size is a whole number of Python's own kind, got {[type(n).__name__ for n in sizes]}; use round(n) or int(n)")
    expect(sizes[0] == 20 and sizes[-1] == 320, f"the first size is least = 20 and the last most = 320, got {list(sizes)}")
    steps = {b - a for a, b in itertools.pairwise(sizes)}
    expect(
        max(steps) - min(steps) > 1,
        f"yours grow by equal steps, {list(sizes)}; most of them lie where the curve is flat: let each be the same factor times the last",
    )
    expect(list(sizes) == [20, 40, 80, 160, 320], f"from 20 to 320 in five sizes each is twice the one before, got {list(sizes)}")
    expect(list(sizes_to_try(10, 100, 2)) == [10, 100], "with count = 2 only least and most remain")
    sizes = sizes_to_try(24, 200, 4)
    expect(list(sizes) == [24, 49, 99, 200], f"from 24 to 200 in four sizes, rounded, expect 49 and 99 in between, got {list(sizes)}")
    right("Each size costs a factor more, and tells about as much as the one before.")


def check_draw_rows(draw_rows):
    """Exercise 2: draws that hold every label, the smaller within the larger."""
    labels = ["common"] * 60 + ["other"] * 37 + ["rare"] * 3
    drawn = {(n, seed): draw_rows(labels, n, seed) for n in (3, 10, 40) for seed in range(8)}
    for (n, seed), rows in drawn.items():
        expect(rows is not None, "the function returns nothing; end it with return and the row numbers")
        try:
            drawn[n, seed] = [int(row) for row in rows]
        except (TypeError, ValueError):
            expect(False, f"return row numbers, such as [17, 3, 88], got {rows!r}")
        rows = drawn[n, seed]
        expect(len(rows) == n, f"for n = {n} expect {n} row numbers, got {len(rows)}")
        expect(all(0 <= row < 100 for row in rows), f"100 labels have the row numbers 0 to 99, got {min(rows)} to {max(rows)}")
        expect(len(set(rows)) == n, f"for n = {n} some row came twice; draw without replacement")
    expect(
        draw_rows(labels, 10, 1) == drawn[10, 1] or list(draw_rows(labels, 10, 1)) == drawn[10, 1],
        "the same seed gave other rows; make the generator from the seed, inside the function",
    )
    expect(len({tuple(sorted(drawn[10, seed])) for seed in range(8)}) > 1, "every seed gave the same rows; shuffle them by the seed")
    missing = [n for (n, _), rows in drawn.items() if {labels[row] for row in rows} != set(labels)]
    expect(not missing, f"with n = {missing[0] if missing else 0} some draw lacks the label 'rare'; take one row of each label first")
    nested = all(set(drawn[3, s]) <= set(drawn[10, s]) and set(drawn[10, s]) <= set(drawn[40, s]) for s in range(8))
    expect(nested, "for one seed the 10 rows should be among the 40; shuffle all rows once, and take them from the front")
    counts = Counter(labels[row] for s in range(8) for row in drawn[40, s])
    expect(
        counts["common"] > 140 and counts["rare"] < 20,
        f"of 8 draws of 40, {counts['common']} rows are 'common' and {counts['rare']} 'rare'; after one of each, take rows as they come",
    )
    right("A larger set holds the smaller one, as it would on your desk.")


def check_mean_interval(mean_interval):
    """Exercise 3: how sure the mean over draws is."""
    scores, error = [0.60, 0.64, 0.58, 0.66, 0.62], 0.0316228 / math.sqrt(5)
    mean, low, high = numbers_in(mean_interval(scores), "mean, low, high")
    case = f"for the scores {scores}"
    expect(math.isclose(mean, 0.62, abs_tol=1e-6), f"{case} the mean is 0.62, got {mean:.4f}")
    expect(low < high, f"{case} low should be below high, got {low:.4f} and {high:.4f}")
    half = (high - low) / 2
    expect(math.isclose((low + high) / 2, 0.62, abs_tol=1e-6), f"{case} the interval lies evenly around 0.62, got {low:.4f} to {high:.4f}")
    expect(
        not math.isclose(half, 0.04, abs_tol=1e-6),
        f"{case} you return the smallest and the largest; asked is how sure their mean is",
    )
    expect(
        not any(math.isclose(half, factor * 0.0316228, abs_tol=2e-4) for factor in (1.96, 2.7764)),
        f"{case} that is how far single runs scatter; divide the standard deviation by the root of their number",
    )
    expect(
        not any(math.isclose(half, factor * error, abs_tol=2e-4) for factor in (1.96, 1.96 * math.sqrt(0.8))),
        f"{case} you multiply by 1.96, as for many runs; with five the factor of Student's t is larger",
    )
    expect(
        not math.isclose(half, 2.7764 * error * math.sqrt(0.8), abs_tol=2e-4),
        f"{case} the standard deviation of a sample divides by the number of runs less one: ddof=1",
    )
    expect(
        not math.isclose(half, 2.1318 * error, abs_tol=2e-4),
        f"{case} that is a 90 % interval; for 95 % the t is taken at 0.975, since both sides share the 5 %",
    )
    expect(math.isclose(half, 2.7764 * error, abs_tol=2e-4), f"{case} expect 0.62 ± {2.7764 * error:.4f}, got ± {half:.4f}")
    right("Few draws, wide interval.")


def check_gain_per_hundred(gain_per_hundred):
    """Exercise 4: what a hundred more examples bring."""
    sizes, scores = [50, 150, 350, 750], [0.40, 0.50, 0.56, 0.58]
    found = gain_per_hundred(sizes, scores)
    expect(found is not None, "the function returns nothing; end it with return and the list of gains")
    try:
        gains = [float(gain) for gain in found]
    except (TypeError, ValueError):
        expect(False, f"return a list of numbers, one per step, got {found!r}")
    expect(len(gains) == 3, f"four sizes have three steps between them, got {len(gains)} gains")
    case = "from 150 to 350 the score goes from 0.50 to 0.56"
    expect(gains[1] > 0, f"{case}: that is a gain, so it is positive, got {gains[1]:.3f}; subtract the earlier score from the later one")
    expect(
        not math.isclose(gains[1], 6),
        f"{case}, 6 points for 200 examples; you give the points of the whole step, asked is for a hundred examples",
    )
    expect(not math.isclose(gains[1], 0.03), f"{case}: you give a share; a point is a hundredth")
    expect(not math.isclose(gains[1], 0.03 / 100) and not math.isclose(gains[1], 0.0003), f"{case}: that is for one example")
    wanted = [10, 3, 0.5]
    agree = all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(gains, wanted, strict=True))
    expect(agree, f"{case}: 6 points for 200 examples, 3 for a hundred; expect {wanted}, got {[round(gain, 3) for gain in gains]}")
    right("The same hundred brings less and less.")


def check_fit_growth(fit_growth):
    """Exercise 5: three numbers that describe the curve."""
    sizes = [30, 60, 120, 240, 480]
    for ceiling, half, rate, floor in ((0.8, 100, 1.0, 0.1), (0.95, 300, 0.7, 0.5)):
        scores = [from_chance(n, floor, ceiling, half, rate) for n in sizes]
        found = fit_growth(list(sizes), [float(score) for score in scores], floor)
        matrices = isinstance(found, tuple) and len(found) == 2 and np.ndim(found[1]) == 2
        expect(not matrices, "curve_fit returns two things; the first holds the three numbers, return only that")
        got = numbers_in(found, "ceiling, half, rate")
        case = f"for scores made with ceiling {ceiling}, half {half}, rate {rate} and floor {floor}"
        n = 1000.0
        power = got[0] - got[1] * n ** -got[2]
        truth = from_chance(n, floor, ceiling, half, rate)
        if abs(from_chance(n, floor, *np.abs(got)) - truth) > 0.02:
            is_power = abs(got[0] - got[1] * 240.0 ** -got[2] - scores[3]) < 0.03 and abs(power - truth) < 0.15
            expect(not is_power, f"{case} you fit ceiling − gap · n^−rate; the form asked for starts at the floor")
            expect(0 < got[0] <= 1, f"{case} your ceiling is {got[0]:.2f}; a score lies between 0 and 1, so give curve_fit such bounds")
            expect(
                not any(math.isclose(got[0], other, rel_tol=0.03) for other in (half, rate)),
                f"{case} got {[round(value, 3) for value in got]}; the order is ceiling, half, rate",
            )
        for value, wanted, name in zip(got, (ceiling, half, rate), ("ceiling", "half", "rate"), strict=True):
            expect(
                math.isclose(value, wanted, rel_tol=0.05),
                f"{case} the {name} comes out as {value:.3f}; check the formula, that floor is kept fixed, and where the fit starts",
            )
    right("Three numbers now stand for the whole curve.")


def check_examples_needed(examples_needed):
    """Exercise 6: the curve turned round."""
    for ceiling, half, rate, floor, n in ((0.8, 100, 1.0, 0.1, 400), (0.9, 200, 0.5, 0.3, 50), (0.75, 150, 2.0, 0.0, 300)):
        target = float(from_chance(n, floor, ceiling, half, rate))
        try:
            found = number_in(examples_needed(ceiling, half, rate, floor, target), "a number of examples")
        except (ZeroDivisionError, OverflowError, ValueError) as error:
            expect(False, f"for a target of {target:.3f} below the ceiling {ceiling} the function fails: {error}")
        case = f"with ceiling {ceiling}, half {half}, rate {rate} and floor {floor} the curve reaches {target:.3f} at {n}"
        way = (target - floor) / (ceiling - floor)
        expect(
            not math.isclose(found, half * (way / (1 - way)) ** rate) or rate == 1,
            f"{case}; you raise to the power of rate: turning the formula round takes its inverse",
        )
        expect(
            floor == 0 or not math.isclose(found, half * (target / (ceiling - target)) ** (1 / rate)),
            f"{case}; you measure the way from zero: it begins at the floor",
        )
        expect(
            not math.isclose(found, half * ((1 - way) / way) ** (1 / rate)) or math.isclose(way, 0.5),
            f"{case}; yours falls when the target rises: the fraction is upside down",
        )
        expect(math.isclose(found, n, rel_tol=0.02), f"{case}, got {found:,.1f}")
    for target in (0.8, 0.9):
        try:
            found = number_in(examples_needed(0.8, 100, 1.0, 0.1, target), "a number, math.inf where no number will do")
        except (ZeroDivisionError, ValueError):
            expect(
                False, f"at a target of {target} with a ceiling of 0.8 the function fails; no number of examples will do: return math.inf"
            )
        expect(math.isinf(found) and found > 0, f"a ceiling of 0.8 never reaches {target}: expect math.inf, got {found:,.1f}")
    right("It knows when to say no.")


def check_missed_by(missed_by):
    """Exercise 7: predict what you know already."""
    sizes, scores, asked = [30, 60, 120, 240, 480], [0.40, 0.50, 0.60, 0.66, 0.70], []

    def fit(given, values, floor):
        expect(len(given) == len(values), f"fit got {len(given)} sizes and {len(values)} scores; leave out the same places of both")
        asked.append((list(given), list(values), floor))
        return 0.75, 60, 1.0

    found = number_in(missed_by(list(sizes), list(scores), 0.1, 240, fit))
    expect(asked, "the function never calls fit")
    given, values, floor = asked[-1]
    expect(480 not in given, "you show the fit the score that it should predict; give it only the sizes up to cut")
    expect(240 in given, "sizes up to cut take part, cut itself among them; you stop before it")
    expect(given == sizes[:4] and values == scores[:4], f"expect the fit to get {sizes[:4]} with their scores, it got {given}")
    expect(floor == 0.1, f"hand the floor on to fit as it came, it got {floor}")
    predicted = from_chance(480.0, 0.1, 0.75, 60, 1.0)
    case = f"at 480 the fitted curve says {predicted:.4f} and 0.70 was measured"
    expect(
        not math.isclose(found, 100 * (scores[3] - from_chance(240.0, 0.1, 0.75, 60, 1.0)), abs_tol=1e-3),
        "you compare at cut; compare at the largest size, which the fit has not seen",
    )
    expect(
        not math.isclose(found, 100 * (predicted - 0.70), abs_tol=1e-3), f"{case}: take measured minus predicted, so a let-down is negative"
    )
    expect(not math.isclose(found, 0.70 - predicted, abs_tol=1e-5), f"{case}: you give a share; return points, a hundred times as many")
    expect(
        math.isclose(found, 100 * (0.70 - predicted), abs_tol=1e-3),
        f"{case}: expect {100 * (0.70 - predicted):.2f} points, got {found:.2f}",
    )
    right("A forecast that was never tested is a wish.")


def check_stop_at(stop_at):
    """Exercise 8: when the next batch no longer pays."""

    def predict(n):
        return 0.8 - 0.5 * (n / 100) ** -1.0  # from 100 on, each batch of 100 brings less

    def gain(n):
        return 100 * (predict(n + 100) - predict(n))

    pays = {n: gain(n) * 40 > 100 * 0.5 for n in range(100, 9900, 100)}
    wanted = next(n for n in sorted(pays) if not pays[n])
    found = stop_at(predict, 100, 100, 40, 0.5, 9900)
    expect(found is not None, "the function returns nothing; end it with return and a number of examples")
    found = number_in(found, "a number of examples")
    case = f"where a point is worth 40 and an example costs 0.50, a batch of 100 costs 50 and must bring {50 / 40} points"
    expect(found != 9900, f"{case}: you never stop; the gain shrinks with every batch. Is it counted in points, a hundred to the whole?")
    expect(
        found != 100,
        f"{case}, and the first one brings {gain(100):.0f}: you stop at once. Is the gain counted in points, a hundred to the whole?",
    )
    later = next(n for n in range(200, 9900, 100) if not 100 * (predict(n) - predict(100)) / ((n - 100) / 100) * 40 > 50)
    expect(abs(found - later) > 100, f"{case}: you ask for the gain per batch since the beginning; ask what the next one brings")
    expect(
        found != wanted + 100,
        f"{case}: at {wanted} the next batch brings {gain(wanted):.2f} points, too few; stop before you buy it, not after",
    )
    expect(found == wanted, f"{case}: expect to stop at {wanted}, got {found:,.0f}")
    found = stop_at(predict, 100, 100, 1e9, 0.5, 700)
    expect(found == 700, f"where every batch pays, stop at most = 700, all that there is, got {found}")
    found = stop_at(predict, 100, 100, 0.01, 0.5, 9900)
    expect(found == 100, f"where not even the first batch pays, stop with the 100 that you have, got {found}")
    right("You stop for a reason, and can name it.")
