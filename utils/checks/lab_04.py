"""Checks of lab 04, build the ladder on another data set."""

import math

import numpy as np

from utils.feedback import expect, right
from utils.stats import needed_n, wilson


def check_majority_score(majority_score):
    """Exercise 1: the commonest label that was read, on labels that judge."""
    read, judge = ["a", "a", "b"], ["b"] * 6 + ["a"] * 3 + ["c"]
    found = majority_score(read, judge)
    expect(isinstance(found, tuple | list) and len(found) == 3, "return three numbers: the share, and both ends of its interval")
    share, low, high = map(float, found)
    expect(share <= 1 and high <= 1, "return shares between 0 and 1: divide by the number of labels that judge")
    expect(
        not math.isclose(share, 0.6),
        "you took the commonest label of those that judge; nobody knows it beforehand: take the commonest that was read",
    )
    expect(
        not math.isclose(share, 2 / 3),
        "that is the label's share among those that were read; count how often it is right among those that judge",
    )
    expect(math.isclose(share, 0.3), f"'a' is read most often, and 3 of the 10 labels that judge are 'a'; you return {share:.3g}")
    expect(low < share < high, "give the interval as its lower end and then its upper end, with the share between them")
    wanted = wilson(3, 10)
    expect(
        math.isclose(low, wanted.low, abs_tol=1e-3) and math.isclose(high, wanted.high, abs_tol=1e-3),
        "the interval is not that of 3 right answers of 10; give wilson the number that is right, then the number that judges",
    )
    right("Every rung has to stand above this, with its whole interval.")


def check_rules(by_rules, rows):
    """Exercise 2: rules that answer every headline, and the read ones better than one answer for all. rows: dicts with text and label."""
    names = sorted({row["label"] for row in rows})
    given = [by_rules(row["text"]) for row in rows]
    expect(None not in given, "some headlines get no answer; decide on a label for those that no rule matches")
    expect(set(given) <= set(names), f"answer with one of {', '.join(names)}; you also say {sorted(set(map(str, given)) - set(names))}")
    strange = by_rules("")
    expect(strange in names, "a headline without a known word needs an answer, too, even an empty one")
    same = [by_rules(row["text"].upper()) == answer for row, answer in zip(rows, given, strict=True)]
    expect(all(same), "in capitals some headlines get another answer; compare lower-case words with text.lower()")
    expect(len(set(given)) == len(names), f"your rules never say {', '.join(sorted(set(names) - set(given)))}; each label needs a rule")
    truth = [row["label"] for row in rows]
    hits = sum(a == b for a, b in zip(given, truth, strict=True))
    expect(
        hits > max(map(truth.count, names)),
        "on the headlines that you read, your rules are no better than always the same answer; "
        "look at those that they get wrong, and at the order in which rules are asked",
    )
    long = [text for row in rows if len(text := row["text"]) > 20]
    kept = sum(by_rules(text) == by_rules(text + " Zzz") for text in long)
    expect(kept >= 0.9 * len(long), "one more word at the end changes your answers: a rule asks for words, not for whole headlines")
    right("The next cell judges them on headlines that you have not seen; expect fewer hits there.")


class Spy:
    """A system that remembers what it learned from and what it was asked."""

    log = []  # (texts learned from, labels learned from, texts asked), one per system

    def __init__(self, texts, labels):
        self.record = [list(texts), list(labels), None]
        Spy.log.append(self.record)

    def predict(self, texts):
        """One answer per text, made of the text, so that the order of answers shows."""
        self.record[2] = list(texts)
        return [f"answer to {text}" for text in texts]


def check_cross_validate(cross_validate):
    """Exercise 3: every text is answered once, by a system that has not seen it."""
    texts = [f"headline {i}" for i in range(23)]
    labels = [f"label {i}" for i in range(23)]
    Spy.log = []
    given = cross_validate(Spy, texts, labels, 4)
    expect(given is not None, "the function returns nothing; end it with return and the answers")
    expect(
        len(given) == 23, f"23 texts need 23 answers, one each, got {len(given)}; the last part may be larger or smaller than the others"
    )
    expect(None not in list(given), "some texts have no answer; each belongs to exactly one part")
    expect(Spy.log, "make(texts, labels) was never called; each part needs a system of its own")
    for learned, known, asked in Spy.log:
        expect(asked is not None, "a system was made and never asked; let each answer the part that it has not seen")
        expect(
            len(learned) == len(known) and all(labels[texts.index(text)] == label for text, label in zip(learned, known, strict=True)),
            "texts and labels that a system learns from do not belong together; choose both with the same row numbers",
        )
        both = set(learned) & set(asked)
        expect(not both, "a system is asked about texts that it learned from; it must learn from the other parts only")
        expect(len(learned) > len(asked), "you learn from one part and judge on the others: turn it round")
        expect(len(learned) + len(asked) == 23, "each system should learn from all texts that it is not asked about")
    expect(len(Spy.log) == 4, f"4 parts need 4 systems, each made anew; you made {len(Spy.log)}")
    expect(
        list(given) == [f"answer to {text}" for text in texts],
        "the answers are not in the order of the texts; put each into the place of its row",
    )
    right("Every headline judges, and none judges what it taught.")


def check_vote(vote):
    """Exercise 4: the k nearest by cosine vote with their likeness."""
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    known = np.array([east * 0.1, north * 50 + east * 20, north])
    found = vote(known, ["near", "far", "far"], east, 1)
    expect(found is not None, "the function returns nothing; end it with return and a label")
    expect(isinstance(found, str), f"return a label, got {type(found).__name__}")
    expect(
        found == "near",
        "a long vector must not win for its length: divide by the lengths of the vectors, so that only the direction counts",
    )
    around = np.array([[np.cos(angle), np.sin(angle)] for angle in (0.1, 0.9, 1.0, 3.0, 3.1)])
    found = vote(around, ["a", "b", "b", "c", "c"], east, 3)
    expect(found != "c", "the least similar vectors have voted: the nearest have the largest cosine")
    expect(found == "b", "of the three nearest, two say 'b', and together they weigh more than the one 'a'")
    found = vote(around, ["a", "b", "b", "c", "c"], east, 1)
    expect(found == "a", "with k = 1 the single nearest decides; take k into account")
    close = np.array([[np.cos(angle), np.sin(angle)] for angle in (0.0, 1.4, 1.45)])
    found = vote(close, ["a", "b", "b"], east, 3)
    expect(found == "a", "one very similar vector weighs more than two that hardly resemble: add up cosines, do not count heads")
    right("No weight was trained, and it answers.")


def check_few_shot_chat(few_shot_chat, task, names):
    """Exercise 5: a chat with balanced examples in turn. task: the system message; names: the labels."""
    rows = [{"text": f"{label} headline {i}", "label": label} for label in names for i in range(4)]
    rows = rows[::-1]  # in blocks, as a file may have them
    chat = few_shot_chat(rows, 2, "What now?")
    expect(isinstance(chat, list) and chat and all(isinstance(m, dict) for m in chat), "return a list of messages")
    expect(chat[0] == {"role": "system", "content": task}, "the first message should be the system's, and its content TASK")
    expect(chat[-1]["role"] == "user", "the last turn is the user's; the answer is for the model to give")
    expect(chat[-1]["content"] == "What now?", "the last turn should be the headline that is asked, and nothing else")
    turns = chat[1:-1]
    expect(
        [m["role"] for m in turns] == ["user", "assistant"] * (len(turns) // 2),
        "each example is two turns: the user gives a headline, the assistant its label",
    )
    asked, said = [m["content"] for m in turns[::2]], [m["content"] for m in turns[1::2]]
    label_of = {row["text"]: row["label"] for row in rows}
    expect(all(text in label_of for text in asked), "the user's turns should be headlines of the rows, as they are")
    expect(
        all(label_of[text] == label for text, label in zip(asked, said, strict=True)),
        "an example shows a label that is not its headline's",
    )
    expect(
        all(said.count(label) == 2 for label in names),
        f"two examples of each label were asked for; you show { ({label: said.count(label) for label in names}) }",
    )
    expect(len(set(asked)) == len(asked), "one example stands there twice")
    expect(
        all(set(said[start : start + len(names)]) == set(names) for start in range(0, len(said), len(names))),
        "the labels come in blocks; show them in turn, so that none is read last and most",
    )
    mine = asked[0]
    again = few_shot_chat(rows, 2, mine)
    shown = [m["content"] for m in again[1:-1:2]]
    expect(mine not in shown, "the headline that is asked stands among the examples, with its answer: that is a leak")
    expect(len(shown) == 2 * len(names), "where you leave an example out, take the next one of its label")
    right("Now the model reads what you meant.")


def check_without_lean(without_lean):
    """Exercise 6: scores less their label's average."""
    nats, names = np.array([[-1.0, -3.0, -5.0], [-1.2, -2.0, -5.0], [-1.1, -3.0, -4.0]]), ["a", "b", "c"]
    kept = nats.copy()
    found = without_lean(nats, names)
    expect(found is not None, "the function returns nothing; end it with return and the labels")
    expect(np.array_equal(nats, kept), "your function changes the scores that it is given; make new ones")
    expect(len(found) == 3, f"three headlines need three answers, got {len(found)}")
    found = list(found)
    expect(all(isinstance(label, str) for label in found), "return labels, not column numbers: names[i]")
    expect(found != ["a", "a", "a"], "all three still get the label that the model likes best: take each label's average away first")
    expect(
        found != ["c", "c", "c"],
        "you took the label with the lowest score, or subtracted the wrong way round: a high score means likely",
    )
    expect(
        found == ["a", "b", "c"],
        f"each label's average over the headlines is mean(0), and the rest decides; you answer {found}",
    )
    tall = np.array([[-1.0, -3.0], [-1.0, -2.0], [-2.0, -3.1], [-1.0, -2.9]])
    expect(list(without_lean(tall, ["a", "b"])) == ["a", "b", "b", "a"], "with two labels and four headlines the answers are not right")
    right("What the model likes anyway is gone, and what the headline says is left.")


def check_not_dominated(not_dominated):
    """Exercise 7: systems that no other beats in accuracy and time."""
    found = not_dominated({"slow and good": (0.9, 100.0), "fast": (0.6, 1.0), "beaten": (0.5, 50.0)})
    expect(found is not None, "the function returns nothing; end it with return and the names")
    names = set(found)
    expect("beaten" not in names, "'beaten' is slower and less accurate than 'fast', so it is dominated")
    expect("slow and good" in names, "the most accurate one is dominated by nobody, however slow it is")
    expect("fast" in names, "the fastest one is dominated by nobody: nobody is as fast")
    found = set(not_dominated({"a": (0.8, 10.0), "b": (0.8, 20.0), "c": (0.7, 10.0)}))
    expect("b" not in found, "as accurate and slower is dominated: compare with >= and <=, and ask that one of the two is better")
    expect("c" not in found, "as fast and less accurate is dominated: compare with >= and <=, and ask that one of the two is better")
    expect(found == {"a"}, f"only 'a' is left of the three, you name {sorted(found)}")
    found = set(not_dominated({"one": (0.8, 10.0), "twin": (0.8, 10.0)}))
    expect(found == {"one", "twin"}, "two systems that are equal in both do not dominate each other; neither is better in anything")
    found = set(not_dominated({"a": (0.7, 5.0), "b": (0.8, 9.0), "c": (0.75, 7.0)}))
    expect(found == {"a", "b", "c"}, "each of these three is the better one in something, so none is dominated")
    right("The rest is choice, not measurement.")


def check_plan(plan):
    """Exercise 8: the gain that pays, and the test that sees it."""
    found = plan(600, 20_000, 0.5, 0.2)
    expect(isinstance(found, tuple | list) and len(found) == 2, "return two numbers: the least gain, and the size of the test")
    gain, size = found
    expect(not math.isclose(gain, 600 / 20_000), "what a right answer is worth is missing: a gain brings gain * items * value")
    expect(not math.isclose(gain, 6.0), "return the gain as a share of 1, not in points")
    expect(not math.isclose(gain, 20_000 * 0.5 / 600), "turn it round: the cost, divided by what all headlines together could bring")
    expect(math.isclose(gain, 0.06), f"0.06 of 20,000 headlines are 1,200, at 0.5 each that is the cost of 600; you return {gain:.3g}")
    expect(size == needed_n(0.06, 0.2), "the second number is not needed_n of this gain and this disagreement")
    try:
        gain, size = plan(600, 4_000, 0.5, 0.2)
    except ValueError:
        expect(False, "where the least gain is larger than the disagreement, needed_n refuses: give it the larger of the two")
    expect(math.isclose(gain, 0.3) and size == needed_n(0.3, 0.3), "where the disagreement is too small, put the gain in its place")
    right("Now you know what to ask for, and what to measure it with.")
