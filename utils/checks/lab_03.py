"""Checks of lab 03, audit a dirty export."""

import json
import math

from utils.feedback import expect, right
from utils.fernhill import rows_of
from utils.formats import check

RECALL, PRECISION = 0.8, 0.9  # what a duplicate finder must reach on the export


def check_find_same(find_same):
    """Exercise 1: messages that are equal but for capitals, spaces and punctuation."""
    texts = ["Where is my parcel?", "Help", "where is my  PARCEL", "Help!", "help me"]
    found = find_same(texts)
    expect(found is not None, "the function returns nothing; end it with return and the list of pairs")
    expect(
        all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in found),
        "return pairs of row numbers, such as [(0, 2)], the first of each being the earlier row",
    )
    found = [tuple(pair) for pair in found]
    expect((2, 0) not in found, "put the earlier row first in each pair")
    expect(found, "you found none; compare the texts after normalise, which drops capitals, spaces and punctuation")
    expect((0, 2) in found, "'Where is my parcel?' and 'where is my  PARCEL' are one message: compare the texts after normalise")
    expect(
        all(4 not in pair for pair in found),
        "'help me' is not the same message as 'Help': the whole texts must be equal, one inside the other is not enough",
    )
    expect(sorted(found) == [(0, 2), (1, 3)], f"each later copy belongs to its earliest like, once: expect two pairs, got {found}")
    thrice = [tuple(pair) for pair in find_same(["a", "A", "a!"])]
    expect(sorted(thrice) == [(0, 1), (0, 2)], f"of three equal messages, both later ones belong to the first; you return {thrice}")
    right("Equal messages are found, however they are typed.")


def check_overlap(overlap):
    """Exercise 2: how much two messages share."""
    short, long = {"my", "tent", "is", "wet"}, {"my", "tent", "is", "very", "wet", "today"}
    found = overlap(short, long)
    expect(isinstance(found, int | float), f"return one number, got {type(found).__name__}")
    expect(not math.isclose(found, 4), "that is the number of shared words; divide it by the number of words that either has")
    expect(
        not math.isclose(found, 1.0), "you divided by the words of one text only: a short message inside a long one would count as a copy"
    )
    expect(
        not math.isclose(found, 0.8), "you divided by both numbers of words added up: words that both have must count once below the line"
    )
    expect(math.isclose(found, 4 / 6), f"four words are shared, and six stand in at least one of the two; got {found}")
    try:
        nothing = overlap(set(), set())
    except ZeroDivisionError:
        nothing = None
    expect(nothing == 0, "two messages without a word share nothing: return 0.0 for them, and do not divide by zero")
    right("This number is called the Jaccard index.")


def check_near_copies(near_copies):
    """Exercise 3: rows that an earlier row resembles."""
    texts = ["my blue tent is wet", "where is order 5", "my blue tent is very wet", "where is my money", "my blue tent is wet!"]
    found = near_copies(texts, 0.8)
    expect(found is not None, "the function returns nothing; end it with return and the row numbers")
    expect(all(isinstance(row, int) for row in found), "return row numbers, not texts and not pairs")
    found = sorted(found)
    expect(0 not in found, "the first of its kind is no copy: only later rows go; compare each row with the rows before it")
    expect(4 in found, "row 4 is row 0 with an exclamation mark: compare words, without punctuation (words_of)")
    expect(2 in found, "row 2 shares five of six words with row 0, which is above the line of 0.8")
    expect(3 not in found, "row 3 shares two of six words with row 1, which is far below the line")
    expect(found == [2, 4], f"each copy counts once; you return {found}")
    expect(near_copies(["a b c d", "a b c d e"], 0.8) == [1], "an overlap of exactly the line counts as a copy")
    right("Copies are found, and the first of each kind stays.")


def check_copies(found, rows):
    """Exercise 3, on the export: found are row numbers in rows; the key knows the copies."""
    key = {row["id"]: row["faults"] for row in rows_of("tickets_raw_key.jsonl")}
    copies = {i for i, row in enumerate(rows) if {"duplicate", "near_duplicate"} & set(key.get(row["id"], []))}
    hits = set(found) & copies
    expect(found, "your finder finds nothing in the export; lower the line")
    recall, precision = len(hits) / len(copies), len(hits) / len(set(found))
    expect(recall >= RECALL, "your finder misses more than one copy in five; read a few of those it misses, and lower the line")
    expect(precision >= PRECISION, "more than one of your finds in ten is no copy; read a few of them, and raise the line")
    right(f"Of {len(copies)} copies you find {recall:.0%}; {precision:.0%} of your finds are copies.")


def check_leaks(leaks):
    """Exercise 4: training rows that say what a judging row says."""
    train, judges = ["my tent is wet now", "where is my order", "cancel it please"], ["where is MY order?", "my tent is wet", "hello"]
    found = leaks(train, judges, 0.8)
    expect(found is not None, "the function returns nothing; end it with return and the row numbers")
    expect(all(isinstance(row, int) for row in found), "return row numbers of the training rows")
    found = sorted(found)
    expect(found != [0], "an equal message leaks as well as a similar one; do not leave out an overlap of 1")
    expect(found != [1], "row 0 of the training rows shares four of five words with a judging row, which is exactly the line: it leaks")
    expect(2 not in found, "no judging row resembles training row 2")
    expect(found == [0, 1], f"training rows 0 and 1 leak, each once; you return {found}")
    inner = leaks(["a b c", "a b c"], ["x y z"], 0.8)
    expect(inner == [], "two training rows that are alike are copies, not leaks: compare training rows with judging rows only")
    right("Every question that was already answered in training is found.")


def check_grouped_split(grouped_split):
    """Exercise 5: a split that keeps groups together."""
    groups = [n // 3 for n in range(300)]
    parts = grouped_split(groups, 0.2, 0)
    expect(isinstance(parts, tuple | list) and len(parts) == 2, "return two lists of row numbers: to learn from, to judge")
    learn, judge = (list(part) for part in parts)
    expect(sorted(learn + judge) == list(range(300)), "each row belongs to exactly one of the two parts")
    both = {groups[i] for i in learn} & {groups[i] for i in judge}
    expect(not both, "some groups stand on both sides; draw groups, not rows")
    expect(len(judge) > 0, "nothing is left to judge")
    expect(len(judge) <= len(learn), "the parts are swapped: the share belongs to the second list")
    expect(0.15 <= len(judge) / 300 <= 0.25, "about the asked share of the rows should judge")
    expect(grouped_split(groups, 0.2, 0) == grouped_split(groups, 0.2, 0), "the same seed must give the same split: random.Random(seed)")
    expect(
        sorted(grouped_split(groups, 0.2, 0)[1]) != sorted(grouped_split(groups, 0.2, 1)[1]),
        "another seed must give another split; shuffle the groups before you take some",
    )
    right("No customer's story stands on both sides.")


def sounds(*rows):
    """What the rules of OpenAI and Together say of a list of rows, apart from its length."""
    return [str(fault) for platform in ("openai", "together") for fault in check(list(rows), platform) if fault.line]


def check_fix_row(fix_row):
    """Exercise 6: rows of an old tool become rows that a platform reads."""
    ask, answer = {"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "In Penrith."}
    sound = {"messages": [ask, answer]}
    found = fix_row(json.loads(json.dumps(sound)))
    expect(found is not None, "a sound row should come back as it is; your function returns None")
    expect(found == sound, "a sound row should come back as it is")
    found = fix_row({"id": "R1", **sound})
    expect(set(found) == {"messages"}, f"keep messages only; you keep {', '.join(sorted(found))}")
    found = fix_row({"messages": [{**ask, "role": "customer"}, {**answer, "role": "agent"}]})
    roles = [message["role"] for message in found["messages"]] if found else []
    expect(roles == ["user", "assistant"], f"customer becomes user and agent becomes assistant; your roles are {roles}")
    triage = {"intent": "order_status"}
    found = fix_row({"messages": [ask, {"role": "assistant", "content": triage}]})
    content = found["messages"][1]["content"]
    expect(isinstance(content, str), "an answer that is an object must become text: json.dumps")
    try:
        same = json.loads(content) == triage
    except ValueError:
        same = False
    expect(same, "str() writes Python, with single quotes; json.dumps writes JSON that can be read back")
    found = fix_row({"messages": [ask, {"role": "user", "content": "Hello?"}, answer]})
    expect(found is not None and len(found["messages"]) == 2, "two messages of one speaker in a row become one")
    asked = found["messages"][0]["content"]
    expect("Where is it?" in asked and "Hello?" in asked, "join the two questions; both belong to what the customer said")
    expect(asked == "Where is it?\nHello?", f"join them in their order with a line break between; you wrote {asked!r}")
    expect(fix_row({"messages": [ask]}) is None, "a row without an answer has nothing to learn: return None")
    both = fix_row({"messages": [{**ask, "role": "customer"}, ask, answer]})
    expect(both is not None and len(both["messages"]) == 2, "customer and user are one speaker: rename first, then join")
    row = {"id": "R2", "messages": [ask, {**ask, "role": "customer"}, {"role": "agent", "content": triage}]}
    before = json.dumps(row)
    expect(not sounds(fix_row(row)), f"the rules still refuse a mended row: {(sounds(fix_row(row)) or [''])[0]}")
    expect(json.dumps(row) == before, "your function changes the row that it is given; build a new one")
    right("Two platforms read what you write.")
