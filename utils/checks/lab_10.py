"""Checks of lab 10, teach JSON and voice on a data set of your own making."""

import json
import math
import random
import re

from utils.feedback import expect, right

FIELDS = ["item", "quantity", "day", "reply"]
NUMBERS = dict(zip(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), range(1, 10), strict=True))


def wording(note, items, days):
    """A note with its facts taken out: what is left is the way of saying it."""
    text = note.lower()
    for slot, values in (("ITEM", items), ("DAY", days), ("N", NUMBERS)):
        text = re.sub("|".join(map(re.escape, values)), slot, text)
    return re.sub(r"\d+", "N", text)


def check_make_note(make_note, items, days):
    """Exercise 1: a generator of examples."""
    rows = [make_note(random.Random(seed)) for seed in range(80)]
    expect(all(isinstance(row, dict) and set(row) == {"note", "answer"} for row in rows), "return a dict with the keys note and answer")
    again = [make_note(random.Random(seed)) for seed in range(80)]
    expect(rows == again, "the same rng should give the same note; draw every choice with rng, not with the random module")
    for row in rows:
        note, answer = row["note"].lower(), row["answer"]
        expect(isinstance(answer, dict) and list(answer) == FIELDS, f"the answer should have the keys {FIELDS} in this order, got {answer}")
        expect(answer["item"] in items, f"the item should be one of {items}, got {answer['item']!r}")
        expect(answer["day"] in days, f"the day should be one of {days}, got {answer['day']!r}")
        n = answer["quantity"]
        expect(type(n) is int and 1 <= n <= 9, f"the quantity should be a whole number from 1 to 9, not a text, got {n!r}")
        said = {int(d) for d in re.findall(r"\d+", note)} | {NUMBERS[w] for w in re.findall(r"[a-z]+", note) if w in NUMBERS}
        for name, told in (("item", answer["item"] in note), ("quantity", n in said), ("day", answer["day"] in note)):
            expect(told, f"the note {row['note']!r} does not say its {name}: nobody could learn it from there")
        reply = str(answer["reply"]).lower()
        expect(answer["item"] in reply and answer["day"] in reply, f"the reply should name item and day, got {answer['reply']!r}")
    patterns = {wording(row["note"], items, days) for row in rows}
    expect(len(patterns) >= 4, f"only {len(patterns)} ways of saying it in 80 notes; write at least four, or the model learns one by heart")
    for name, values in (("item", items), ("day", days)):
        found = {row["answer"][name] for row in rows}
        expect(found == set(values), f"in 80 notes the {name} is never {sorted(set(values) - found)}; draw from all of them")
    right(f"{len({row['note'] for row in rows})} different notes of 80, in {len(patterns)} wordings.")


def check_split(split):
    """Exercise 2: what is held out must be new."""
    draw = random.Random(1)
    rows = [
        {
            "note": f"note {i}",
            "answer": {"item": draw.choice("ab"), "quantity": draw.randint(1, 9), "day": draw.choice(["monday", "friday"]), "reply": ""},
        }
        for i in range(200)
    ]
    found = split([dict(row) for row in rows], 0.25, 0)
    expect(isinstance(found, tuple | list) and len(found) == 2, "return two lists: rows to train on, and rows held out")
    held_out = found[1]
    notes = sorted(row["note"] for part in found for row in part)
    expect(notes == sorted(row["note"] for row in rows), f"each of the 200 rows should be in exactly one list; {len(notes)} came back")
    share = len(held_out) / len(rows)
    expect(0.1 <= share <= 0.4, f"about a quarter of the rows should be held out, it is {share:.0%}; the held-out list comes second")
    orders = [{tuple(row["answer"][name] for name in FIELDS[:3]) for row in part} for part in found]
    both = orders[0] & orders[1]
    example = next(iter(both), None)
    expect(not both, f"{len(both)} orders stand in both lists, such as {example}; send all notes of one order to the same side")
    expect(split([dict(row) for row in rows], 0.25, 0)[1] == held_out, "the same seed should give the same split")
    expect(split([dict(row) for row in rows], 0.25, 1)[1] != held_out, "draw which orders are held out: another seed, another split")
    right("No order that is judged was ever trained on.")


def check_to_chat(to_chat):
    """Exercise 3: an example as a chat."""
    row = {"note": "two soaps, friday", "answer": {"item": "soap", "quantity": 2, "day": "friday", "reply": "We pack 2 soap for Friday."}}
    messages = to_chat(row)
    expect(isinstance(messages, list), f"return a list of messages, got {type(messages).__name__}")
    roles = [message.get("role") for message in messages]
    expect(roles == ["system", "user", "assistant"], f"the roles should be system, user and assistant, in this order, got {roles}")
    system, user, assistant = (message["content"] for message in messages)
    expect(user == row["note"], f"the user's turn should be the note and nothing else, got {user!r}")
    expect(
        "friday" not in system.lower() and "soap" not in system.lower(),
        "the system's turn gives this order away; make it the same for all",
    )
    try:
        answer = json.loads(assistant)
    except (TypeError, ValueError):
        expect(False, f"the assistant's turn is no JSON: {assistant!r}; use json.dumps, not str (JSON wants double quotes)")
    expect(answer == row["answer"], f"the assistant's turn should hold the whole answer, got {answer}")
    right("The chat is what the model will be asked and should answer.")


def check_learnable(learnable):
    """Exercise 4: the mask."""
    found = learnable([11, 12, 13], [21, 22], 2)
    expect(isinstance(found, tuple | list) and len(found) == 2, "return two lists: the token numbers and the labels")
    ids, labels = (list(part) for part in found)
    expect(ids != [11, 12, 13, 21, 22], "the end token is missing: without it the model never learns to stop")
    expect(ids == [11, 12, 13, 21, 22, 2], f"expect the prompt, the answer and the end token, one after the other, got {ids}")
    expect(len(labels) == len(ids), f"there should be one label per token, got {len(labels)} for {len(ids)}")
    expect(labels != ids, "every token carries loss; hide the prompt's with -100")
    expect(labels[:3] == [-100] * 3, f"the prompt's labels should all be -100, got {labels[:3]}")
    expect(labels[-1] != -100, "the end token carries no loss: it is part of the answer, and the model must learn it")
    expect(
        labels[3:] == [21, 22, 2], f"the answer's labels should be its own tokens (the shift by one happens in the loss), got {labels[3:]}"
    )
    right("The model will learn to answer, and not to write notes.")


def check_read_answer(read_answer, items, days):
    """Exercise 5: valid or not."""
    good = {"item": items[0], "quantity": 2, "day": days[0], "reply": "We pack it."}
    found = read_answer(json.dumps(good))
    expect(found == good, f"for valid JSON return it as a dict, got {found!r}")
    bad = {
        "text around the JSON": "Sure! " + json.dumps(good),
        "JSON that breaks off": json.dumps(good)[:-1],
        "a field too few": json.dumps({k: v for k, v in good.items() if k != "day"}),
        "a field too many": json.dumps({**good, "note": "x"}),
        "an item that is not sold": json.dumps({**good, "item": "gold"}),
        "a day that is not one": json.dumps({**good, "day": "someday"}),
        "a quantity in words": json.dumps({**good, "quantity": "2"}),
        "true as quantity (which equals 1 in Python)": json.dumps({**good, "quantity": True}),
        "a list as item": json.dumps({**good, "item": [items[0]]}),
        "a list": "[1, 2]",
        "an empty answer": "",
    }
    for name, text in bad.items():
        try:
            found = read_answer(text)
        except Exception as error:
            expect(False, f"{name} should give None, but raised {type(error).__name__}: a model writes anything, so catch it")
        expect(found is None, f"{name} should give None, got {found!r}")
    right("What passes here, a program can use.")


def check_voice(voice):
    """Exercise 6: the voice as code."""
    cases = [
        ("We pack 2 soap for Friday.", []),
        ("I pack 2 soap for Friday.", ["we"]),
        ("We hope that I may pack it!", ["calm", "we"]),
        ("We pack it for Friday!", ["calm"]),
        ("We have received your order and we will pack all of it for you and send it on the coming Friday.", ["short"]),
        ("We pack it. It goes out on Friday.", ["one_sentence"]),
        ("We pack it for Friday", ["one_sentence"]),
        ("Weather permitting it goes out on Friday.", ["we"]),
        ("", ["one_sentence", "we"]),
    ]
    for text, broken in cases:
        try:
            found = voice(text)
        except Exception as error:
            expect(False, f"the reply {text!r} raised {type(error).__name__}; a model writes anything, even nothing")
        expect(isinstance(found, dict), f"return a dict of rule to True or False, got {type(found).__name__}")
        expect(set(found) == {"we", "calm", "short", "one_sentence"}, f"the rules are we, calm, short, one_sentence, got {sorted(found)}")
        for rule, kept in found.items():
            words = "breaks" if rule in broken else "keeps"
            expect(bool(kept) == (rule not in broken), f"{text!r} {words} the rule {rule!r}; your code says otherwise")
    right("Four assertions that no reply can talk its way out of.")


def check_run(run, before):
    """Exercise 7: the model learned; before: nats per answer token of the untuned model on the validation chats."""
    expect(hasattr(run, "validation_loss") and hasattr(run, "model"), f"return what fine_tune_chat returns, got {type(run).__name__}")
    after = min(loss for _, loss in run.validation_loss)
    expect(not math.isnan(after), "the loss is no number; lower the learning rate")
    expect(
        after < before,
        f"validation loss is {after:.2f} nats, untuned it was {before:.2f}: nothing was learned; is lr large enough?",
    )
    right(f"Validation loss went from {before:.2f} to {after:.2f} nats per answer token.")


def check_cheapest(cheapest):
    """Exercise 8: decide by a rule."""
    systems = {"a": {"low": 0.90, "seconds": 2.0}, "b": {"low": 0.80, "seconds": 0.5}, "c": {"low": 0.95, "seconds": 3.0}}
    asked = json.loads(json.dumps(systems))
    found = cheapest(asked, 0.85)
    expect(found != "b", "b is fastest, but its lower end misses the bar: leave such systems out first")
    expect(found != "c", "c is the best; asked for is the fastest of those that are good enough")
    expect(found == "a", f"expect 'a', got {found!r}; return the system's name")
    expect(cheapest(asked, 0.80) == "b", "a lower end that equals the bar reaches it: at 0.80 b is good enough")
    expect(cheapest(asked, 0.99) is None, "no system reaches 0.99: return None, and buy none")
    right("The rule is yours, and it was there before the result.")
