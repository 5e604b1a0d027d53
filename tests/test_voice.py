"""utils.voice: each rule is kept by a good reply and broken by the change that it forbids."""

import pytest

from utils.voice import RULES, broken_rules

GOOD = """Hello Ann,

The refund of £3.50 for FH-20123 was paid on Monday, and your bank shows it within 5 working days.
We are sorry that the label was charged twice.

Next: the payments desk checks the account tomorrow and writes to you.

The Fernhill desk"""

BREAK = [
    ("greeting", "Hello Ann,", "Hi Ann,"),
    ("greeting", "Hello Ann,\n\n", "Hello Ann, "),
    ("we", "We are sorry", "I am sorry"),
    ("we", "writes to you", "writes to you for me"),
    ("short", "We are sorry that the label was charged twice.", "The label counts too. " * 20),
    ("plain_sentences", "was paid on Monday, and", "was paid on Monday, as the payments desk had promised to do it some days ago, and so"),
    ("calm", "paid on Monday", "paid on MONDAY"),
    ("calm", "charged twice.", "charged twice!"),
    ("calm", "charged twice.", "charged twice. \U0001f600"),
    ("no_stock_phrases", "We are sorry that", "Unfortunately it seems that"),
    ("next_step", "Next: the", "Then the"),
    ("next_step", "We are sorry", "Next: we are sorry"),
    ("sign_off", "The Fernhill desk", "Your Fernhill desk"),
    ("sign_off", "The Fernhill desk", "The Fernhill desk\nThanks again."),
]


def test_a_good_reply_breaks_no_rule():
    assert broken_rules(GOOD) == []


def test_a_reply_may_greet_without_a_name_and_hold_shorthand_and_order_numbers():
    assert broken_rules(GOOD.replace("Hello Ann,", "Hello,").replace("the label", "the VAT on the label")) == []


@pytest.mark.parametrize(("rule", "old", "new"), BREAK)
def test_the_change_that_a_rule_forbids_breaks_this_rule_alone(rule, old, new):
    assert old in GOOD and broken_rules(GOOD.replace(old, new)) == [rule]


def test_every_rule_has_a_change_that_breaks_it_and_stands_in_the_bible():
    from utils.fernhill import DATA

    page = (DATA / "fernhill.md").read_text(encoding="utf-8")
    assert {rule for rule, *_ in BREAK} == set(RULES)
    assert all(f"| `{rule}` |" in page for rule in RULES)


def test_an_empty_reply_breaks_rules_and_raises_nothing():
    assert "short" in broken_rules("") and "sign_off" in broken_rules("")
