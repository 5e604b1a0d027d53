"""Checks of lab 06, a RAG that stays current."""

import math
import sqlite3

from utils.feedback import expect, right

DOCUMENT = """# Lockers

In force from 1 July.

A locker keeps a parcel for a week.

Bring the code.

## What you pay

Nothing.

## Where

"""
SHOP = [
    ("lockers", "2026-01-01"),
    ("gas", "2026-01-01"),
    ("lockers", "2026-07-01"),
    ("circle", "2026-10-01"),
    ("lockers", "2026-07-01"),
    ("lockers", "2026-09-01"),
]


def check_split(split):
    """Exercise 1: sections with their headings."""
    found = split(DOCUMENT)
    expect(found is not None, "the function returns nothing; return a list of pairs, heading and text")
    expect(
        isinstance(found, list) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in found),
        f"return a list of pairs, heading and text, got {str(found)[:80]}",
    )
    headings, texts = [pair[0] for pair in found], " ".join(str(pair[1]) for pair in found)
    expect("In force" not in texts, "the line 'In force from …' is still in a passage; leave it out, exercise 2 reads it")
    expect(not any("#" in str(part) for pair in found for part in pair), "a '#' is left in heading or text; take the marks off")
    expect(
        "Where" not in " ".join(headings),
        "the section 'Where' has no text, so it should give no passage",
    )
    expect(
        "What you pay" not in headings,
        "a section's heading should carry the title, 'Lockers › What you pay', got 'What you pay' alone",
    )
    expect("Bring the code." in texts, "a section with two paragraphs lost its second one; keep all lines up to the next heading")
    wanted = [("Lockers", "A locker keeps a parcel for a week.\n\nBring the code."), ("Lockers › What you pay", "Nothing.")]
    expect([tuple(pair) for pair in found] == wanted, f"expect {wanted}, got {found}; strip the empty lines around a text")
    expect(
        [tuple(pair) for pair in split("# Gas\n\nNo returns.")] == [("Gas", "No returns.")],
        "a document without '## ' sections should give one passage, with its title as heading",
    )
    right("Each passage knows what it is about.")


def check_first_day(first_day):
    """Exercise 2: the day of a document."""
    found = first_day(DOCUMENT, 2026)
    expect(isinstance(found, str), f"return the day as a text such as '2026-07-01', got {type(found).__name__} {found!r}")
    expect(found != "2026-7-1", "write month and day with two digits, 2026-07-01, so that days can be compared as texts")
    expect(found == "2026-07-01", f"'In force from 1 July.' in 2026 is 2026-07-01, got {found}")
    found = first_day("# X\n\nIn force from 15 October until 30 November.\n\nText.", 2027)
    expect(found != "2027-11-30", "two days stand there, and yours is the last; the first one counts")
    expect(found == "2027-10-15", f"'In force from 15 October until 30 November.' in 2027 begins on 2027-10-15, got {found}")
    try:
        found = first_day("# X\n\nText.", 2026)
    except ValueError as error:
        expect(str(error), "the ValueError should say what is missing: raise ValueError('…')")
    except Exception as error:
        expect(False, f"a document without the line should raise ValueError, it raised {type(error).__name__}: test for None first")
    else:
        expect(False, f"a document without the line should raise ValueError, it gave {found!r}; a guessed day would be believed")
    right("A document that does not say its day is refused, not guessed.")


def check_bm25(bm25):
    """Exercise 3: BM25."""
    texts = [["tent", "rain", "tent"], ["boots", "rain"], ["rain", "gas", "stove", "cold", "night"]]
    found = bm25(["tent"], texts)
    expect(found is not None and len(found) == 3, f"return one score per text, a list of 3 numbers, got {found!r}")
    expect(found[0] > found[1], "the text with the word should have the highest score")
    expect(found[1] == found[2] == 0, f"a text without any word of the question scores 0, got {list(found)}")
    rare, frequent = math.log(1 + 2.5 / 1.5), math.log(1 + 0.5 / 3.5)
    case, mean = "for the word 'tent', twice in a text of 3 words where the mean is 10/3", 10 / 3
    wanted = rare * 4.4 / (2 + 1.2 * (0.25 + 0.75 * 3 / mean))
    expect(
        not math.isclose(found[0], rare * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 3 / mean)), rel_tol=1e-3),
        f"{case}, you counted it once; f is how often the text has the word",
    )
    expect(
        not math.isclose(found[0], rare * 4.4 / (2 + 1.2), rel_tol=1e-3),
        f"{case}, the length makes no difference in yours; divide the text's length by the mean length",
    )
    expect(
        not math.isclose(found[0], rare * 2.2, rel_tol=1e-3) and not math.isclose(found[0], rare * 2, rel_tol=1e-3),
        f"{case}, yours is the plain product of rarity and count; the count must level off, by f / (f + …)",
    )
    expect(math.isclose(found[0], wanted, rel_tol=1e-3), f"{case}, expect {wanted:.3f}, got {found[0]:.3f}; compare with the formula")
    found = bm25(["rain"], texts)
    expect(
        min(found) > 0, f"'rain' is in all texts; the 1 within the logarithm keeps its weight above 0, got {[round(x, 3) for x in found]}"
    )
    expect(found[1] > found[2], "'rain' is once in both; the shorter text should score higher")
    wanted = frequent * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / mean))
    expect(math.isclose(found[1], wanted, rel_tol=1e-3), f"for 'rain' in the second text expect {wanted:.3f}, got {found[1]:.3f}")
    once, twice = bm25(["rain"], texts), bm25(["rain", "rain"], texts)
    expect(list(once) == list(twice), "a word that stands twice in the question counts twice; take set(question)")
    both = bm25(["rain", "tent"], texts)[0]
    expect(math.isclose(both, once[0] + bm25(["tent"], texts)[0], rel_tol=1e-6), "the scores of a question's words should be added up")
    right("This is what search engines ran on for decades.")


def check_fuse(fuse):
    """Exercise 4: reciprocal-rank fusion."""
    found = fuse([[5, 3, 8], [3, 9]], [1, 1], 60)
    expect(found is not None, "the function returns nothing; return a list of numbers")
    expect(not isinstance(found, dict), "you return the scores; return the numbers alone, best first: sorted(scores, key=scores.get, …)")
    found = list(found)
    expect(len(found) == len(set(found)), f"each number should come once, got {found}")
    expect(set(found) == {3, 5, 8, 9}, f"all numbers of both rankings should come back, [3, 5, 8, 9] in some order, got {found}")
    expect(found != [8, 9, 5, 3], f"the worst comes first, {found}; sort with reverse=True")
    expect(found[0] == 3, f"3 is second in one ranking and first in the other, so it should lead; got {found}")
    expect(found == [3, 5, 9, 8], f"expect [3, 5, 9, 8], got {found}; a place gives weight / (constant + place)")
    found = list(fuse([[1, 2, 3], [1, 3, 2], [3, 2, 1]], [0.1, 0.1, 1], 10))
    expect(found[0] == 3, f"with weights 0.1, 0.1 and 1 the last ranking's first, 3, should lead; got {found}: use the weights")
    a, b = list(fuse([[1, 2, 3], [3, 4, 2]], [1, 1], 0)), list(fuse([[1, 2, 3], [3, 4, 2]], [1, 1], 60))
    expect(
        a[:2] == [3, 1] and b[:2] == [3, 2],
        f"with constant 0 one first place beats two middle ones ([3, 1, …]), with 60 it does not ([3, 2, …]); got {a} and {b}",
    )
    right("No scale was needed, only order.")


def check_in_force(in_force):
    """Exercise 5: the version of a day."""
    shop = [dict(source=source, since=since) for source, since in SHOP]
    wanted = {"2026-06-30": [0, 1], "2026-07-01": [1, 2, 4], "2026-08-31": [1, 2, 4], "2026-12-01": [1, 3, 5], "2025-12-31": []}
    found = {day: in_force(shop, day) for day in wanted}
    expect(found["2026-06-30"] is not None, "the function returns nothing; return a list of places in the list")
    found = {day: list(places) for day, places in found.items()}
    expect(
        all(isinstance(place, int) for places in found.values() for place in places),
        f"return places in the list, whole numbers, got {str(found['2026-06-30'])[:60]}",
    )
    expect(found["2026-06-30"] == [0, 1], f"on 30 June the first two passages hold, [0, 1], got {found['2026-06-30']}")
    expect(
        {2, 4} & set(found["2026-07-01"]),
        "a version holds from its own day on: on 1 July the passages of 2026-07-01 count already; compare with <=",
    )
    expect(0 not in found["2026-07-01"], "on 1 July the old version of 'lockers' is still there; the next one has ended it")
    expect(
        1 in found["2026-07-01"],
        "'gas' has one version, of January, and it still holds in July; look for the latest version of each source, not of all",
    )
    expect(found["2026-07-01"] == [1, 2, 4], f"both passages of the new 'lockers' hold, [1, 2, 4], got {found['2026-07-01']}")
    for day, places in wanted.items():
        expect(found[day] == places, f"on {day} expect {places}, got {found[day]}")
    right("Two versions in one store, and one answer a day.")


def check_replace(replace):
    """Exercise 6: one transaction."""

    def shop():
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.execute("CREATE TABLE passages (source TEXT, text TEXT)")
        db.executemany("INSERT INTO passages VALUES (?, ?)", [("gas", "old 1"), ("gas", "old 2"), ("post", "it's £4.95")])
        return db

    def rows(db, source):
        return [text for (text,) in db.execute("SELECT text FROM passages WHERE source = ? ORDER BY rowid", (source,))]

    def fails():
        yield "new 1"
        raise OSError("the disk is full")

    db = shop()
    try:
        replace(db, "gas", (text for text in ["it's new", "new 2", "new 3"]))
    except sqlite3.Error as error:
        expect(False, f"SQLite refused a command ({error}); give values as (?, ?), BEGIN once and COMMIT once")
    expect(not db.in_transaction, "the transaction is still open at the end; say COMMIT")
    expect("it's £4.95" in rows(db, "post"), "the texts of another source are gone; delete WHERE source = ?")
    expect(not any(text.startswith("old") for text in rows(db, "gas")), f"old texts are still there: {rows(db, 'gas')}; delete them first")
    expect(rows(db, "gas") == ["it's new", "new 2", "new 3"], f"expect the three new texts in order, got {rows(db, 'gas')}")
    db, raised = shop(), False
    try:
        replace(db, "gas", fails())
    except OSError:
        raised = True
    except sqlite3.Error as error:
        expect(False, f"after the error SQLite says: {error}; say ROLLBACK once, and nothing after it but raise")
    left = rows(db, "gas")
    expect(not db.in_transaction, "after an error the transaction is still open, and nobody else can write; say ROLLBACK")
    expect(left != ["new 1"], "the second text failed, and now there is half of the new version; the old one should be back: ROLLBACK")
    expect(left != [], "the second text failed, and now there is no version at all; delete and insert belong in one transaction")
    expect(left == ["old 1", "old 2"], f"after a failure expect the old texts, got {left}")
    expect(raised, "the error disappeared, so the caller believes that all went well; raise it again after ROLLBACK")
    right("Customers read the old version or the new one, never half.")


def check_cheapest_point(cheapest_point):
    """Exercise 7: when to refuse."""
    similarities, known = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [True, True, False, True, False, False]

    def cost(point, price):
        return sum(price if not k else 0 for s, k in zip(similarities, known, strict=True) if s >= point) + sum(
            k for s, k in zip(similarities, known, strict=True) if s < point
        )

    found = cheapest_point(list(similarities), list(known), 3)
    expect(found is not None, "the function returns nothing; return a number, the point")
    expect(not isinstance(found, bool) and isinstance(found, int | float), f"return one number, the point, got {found!r}")
    expect(
        cost(found, 3) != 9, f"at {found} everything is answered, and the price of 3 is paid three times; count false answers as the price"
    )
    expect(
        0.7 < found <= 0.8,
        f"at a price of 3 the cheapest point lies above 0.7 and up to 0.8 (cost 1), yours is {found} (cost {cost(found, 3)})",
    )
    found = cheapest_point(list(similarities), list(known), 0.5)
    expect(
        0.5 < found <= 0.6,
        f"at a price of 0.5 a false answer is cheaper than a refusal, and the point lies above 0.5 and up to 0.6; yours is {found}",
    )
    found = cheapest_point([0.3, 0.2], [False, False], 1)
    expect(found > 0.3, f"where no question has an answer, all should be refused, so the point lies above 0.3; yours is {found}")
    found = cheapest_point([0.3, 0.2], [True, True], 1)
    expect(found <= 0.2, f"where every question has an answer, none should be refused, so the point is at most 0.2; yours is {found}")
    right("The price decides, and you can name it.")


# ---- the questions that are not seen -----------------------------------------------------------


def hidden_questions(quick=False):
    """[(question row, version, day)] of the test part, in turns before and after 1 July; all share words with their document."""
    from utils.policies import DAYS, questions

    rows = questions("test", ["as written", "shared words"])[:: 10 if quick else 3]
    versions = [("v1", "v2")[i % 2] for i in range(len(rows))]
    return [(row, version, DAYS[version]) for row, version in zip(rows, versions, strict=True)]


def judged(ask, asked):
    """What `ask` makes of hidden questions: {name: (True and False per question, their rows)}."""
    from utils.fernhill import policies
    from utils.policies import found_in

    texts = {"v1": policies(1), "v2": policies(12)}
    known = [(row, version, ask(row["question"], day)) for row, version, day in asked if row["document"]]
    unknown = [(row, ask(row["question"], day)) for row, _, day in asked if not row["document"]]
    answered = [(row, found_in(passages, row, version, texts[version])) for row, version, passages in known if passages]
    return {
        "answered, though no document holds the answer": ([bool(passages) for _, passages in unknown], [row for row, _ in unknown]),
        "refused, though a document holds the answer": ([not passages for *_, passages in known], [row for row, *_ in known]),
        "answer among the passages, where it did not refuse": ([hit for _, hit in answered], [row for row, _ in answered]),
    }


def check_ask(ask, quick=False):
    """Exercise 8: all of it, on questions that were not seen."""
    asked = hidden_questions(quick)
    passages = []
    for row, _, day in asked[:20]:
        found = ask(row["question"], day)
        expect(isinstance(found, list), f"return a list of passages, an empty one to refuse, got {type(found).__name__}")
        expect(len(found) <= 3, f"return at most three passages, got {len(found)}")
        expect(
            all(isinstance(passage, dict) and {"source", "text", "since"} <= set(passage) for passage in found),
            f"return passages as they stand in the list passages, dicts with source, text and since, got {str(found[:1])[:60]}",
        )
        stale = [p for p in found if (p["since"] >= "2026-07-01") != (day >= "2026-07-01")]
        expect(not stale, f"asked on {day}, you return a passage of {stale and stale[0]['since']}; search only what is in force on the day")
        passages += found
    expect(passages, "all of the first twenty questions were refused; is your point above every similarity?")
    marks = judged(ask, asked)
    false, refused, held = ([*values] for values, _ in marks.values())
    answers = sum(held)
    expect(
        answers >= 0.85 * len(held),
        f"of {len(held)} hidden questions that you did not refuse, {answers} find their answer among the passages; "
        "a good join finds nine in ten: look at the order of your rankings, and at the places they stand for",
    )
    expect(
        not all(false) and sum(false) / len(false) < 1 - sum(refused) / len(refused),
        "questions without an answer are answered as often as those with one; refuse where the nearest passage is below the point",
    )
    expect(
        sum(refused) <= 0.5 * len(refused),
        f"{sum(refused)} of {len(refused)} questions with an answer are refused; a desk that mostly says nothing helps nobody",
    )
    right(f"Of {len(held)} hidden questions that it answered, {answers} found their answer.")
