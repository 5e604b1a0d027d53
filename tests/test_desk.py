"""The desk's jobs as chats, and the rivals that need no language model."""

import json

from utils.desk import (
    FORM_LETTER,
    PILOT,
    TICKET_FIELDS,
    Template,
    desk_data,
    named_product,
    read_triage,
    reply_messages,
    takes_up,
    voice_in_words,
)
from utils.voice import RULES, broken_rules


def test_a_reply_is_asked_for_with_as_many_rules_as_wanted():
    plain, three, all_rules = (reply_messages("where?", n)[0]["content"] for n in (0, 3, len(RULES)))
    assert "A reply" not in plain and three.count("- A reply") == 3 and all_rules.count("- A reply") == len(RULES)
    assert "ends with the line `The Fernhill desk`" in all_rules and list(voice_in_words()) == list(RULES)


def test_the_template_is_valid_and_knows_what_its_tickets_show():
    rows = [
        {"text": f"{word} number {n}", "intent": intent, "priority": priority}
        for n in range(6)
        for word, intent, priority in (("where is my parcel", "order_status", "normal"), ("the stove burnt me", "safety_concern", "urgent"))
    ]
    answers = Template(rows).predict(["where is the parcel with my Ember Stove", "it burnt me"])
    assert all(read_triage(answer, TICKET_FIELDS) for answer in answers)
    assert json.loads(answers[0]) == {"intent": "order_status", "priority": "normal", "product": "Ember Stove"}
    assert json.loads(answers[1])["intent"] == "safety_concern"


def test_of_several_products_the_longest_name_is_taken():
    assert named_product("a larch jacket, no, Larch Trousers") == "Larch Trousers" and named_product("a tent") is None


def test_the_form_letter_keeps_every_rule_and_takes_up_nothing():
    assert broken_rules(FORM_LETTER) == []
    ticket = "my jacket leaks at the shoulder"
    assert not takes_up(FORM_LETTER, ticket) and takes_up("We are sorry that your jacket leaks.", ticket)


def test_the_pilot_has_six_intents_in_its_tickets_and_in_its_rules():
    rows = desk_data("triage", TICKET_FIELDS, told=True, intents=PILOT)
    assert {row["intent"] for split in rows.values() for row in split} == set(PILOT)
    rules = rows["test"][0]["messages"][0]["content"]
    assert all(intent in rules for intent in PILOT) and "price_match" not in rules
    assert len(desk_data("triage", TICKET_FIELDS)["test"]) > 2 * len(rows["test"])
