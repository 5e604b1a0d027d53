"""Fernhill's data: every file keeps its schema, every gate holds, and the card says what is there."""

import re
from collections import Counter

import pytest

from utils import fernhill, proof
from utils.fernhill import DATA, FILES, INTENTS, catalogue, facts, in_force, policies, rows_of
from utils.proof import faults_of_reply, skeleton

KNOWN = {"£155", "45"}
FACTS = {"returns-1": {"v1": "30 days", "v2": "45 days"}, "returns-3": {"v1": "£3.50", "v2": "nothing"}}


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_its_columns_its_rows_and_unique_ids(name):
    assert len(rows_of(name)) >= FILES[name][0]


def test_every_file_under_data_is_known():
    shipped = {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.jsonl")}
    assert shipped == {*FILES, "claims.jsonl"}  # the claims are the course's, not Fernhill's


def failures(gates):
    return [f"{gate.what} of {gate.file}: {gate.found}, should be {gate.bound}" for gate in gates if not gate.kept]


@pytest.mark.parametrize("name", FILES)
def test_texts_of_a_file_differ_from_each_other(name):
    assert failures(proof.gates_of(name)) == []


def test_no_group_and_no_near_duplicate_stands_in_two_splits():
    assert failures(proof.splits()) == []


def test_replies_keep_the_house_voice_and_the_facts_in_force():
    assert failures(proof.truth_of_replies()) == []


def test_documents_state_their_facts_and_only_those_of_their_version():
    assert failures(proof.truth_of_facts()) == []


def test_word_counts_do_well_but_not_too_well():
    assert failures(proof.difficulty()) == []


def test_the_report_says_which_gate_fails():
    lines = []
    gates = [proof.Gate("a.jsonl", "rows", "3", "at least 2", True), proof.Gate("a.jsonl", "leaks", "1", "none", False)]
    assert not proof.report(gates, lines.append) and lines[1].startswith("FAIL a.jsonl: leaks")
    assert proof.report(gates[:1], lines.append)


# ---- tickets -----------------------------------------------------------------------------------


def test_tickets_have_every_intent_and_the_promised_shares():
    rows = rows_of("tickets.jsonl")
    count = Counter(row["intent"] for row in rows)
    assert set(count) == set(INTENTS) and min(count.values()) >= 60
    assert max(count.values()) > 2 * min(count.values())
    assert 0.06 <= count["out_of_scope"] / len(rows) <= 0.10
    assert 0.05 <= sum(row["second"] is not None for row in rows) / len(rows) <= 0.08
    assert all(row["second"] != row["intent"] for row in rows)


@pytest.mark.parametrize("name", ["tickets.jsonl", "tickets_es.jsonl"])
def test_a_ticket_names_products_of_the_catalogue_and_only_once_they_are_sold(name):
    new = {"Teal": 8, "Rime": 10, "Sorrel -10": 10}
    for row in rows_of(name):
        assert row["product"] is None or row["product"] in catalogue(), row["id"]
        for line, month in new.items():
            sold = month <= row["month"]
            assert sold or not (row["product"] or "").startswith(line), row["id"]
            assert sold or not re.search(rf"\b{line}\b", row["text"]), row["id"]


def test_new_lines_bring_new_words_after_month_8_and_10():
    rows = rows_of("tickets.jsonl")
    late = [row for row in rows if row["month"] >= 8]
    assert sum(bool(re.search(r"teal|packraft|locker", row["text"], re.I)) for row in late) >= 100
    assert sum(bool(re.search(r"rime|crampon|snowshoe|circle", row["text"], re.I)) for row in late if row["month"] >= 10) >= 70


def test_spanish_tickets_have_the_same_intents():
    assert {row["intent"] for row in rows_of("tickets_es.jsonl")} == set(INTENTS)


def test_the_key_of_the_dirty_export_names_rows_that_are_there():
    rows = {row["id"]: row for row in rows_of("tickets_raw.jsonl")}
    key = rows_of("tickets_raw_key.jsonl")
    assert {row["id"] for row in key} <= set(rows)
    planted = Counter(fault for row in key for fault in row["faults"])
    assert {"pii", "html", "quoted", "cut", "encoding", "junk", "wrong_label", "duplicate", "near_duplicate"} <= set(planted)
    for row in key:
        if "wrong_label" in row["faults"]:
            assert row["true_intent"] in INTENTS and row["true_intent"] != rows[row["id"]]["intent"]


def test_two_more_annotators_agree_with_the_labels():
    rows = {row["id"]: row for row in rows_of("tickets.jsonl")}
    pairs = rows_of("agreement.jsonl")
    assert len(pairs) >= 200
    for annotator in ("a", "b"):
        assert sum(pair[annotator] == rows[pair["ticket"]]["intent"] for pair in pairs) / len(pairs) >= 0.90


# ---- replies and facts -------------------------------------------------------------------------


def test_replies_point_to_their_tickets():
    tickets = {row["id"]: row for row in rows_of("tickets.jsonl")}
    for name, column in (("replies.jsonl", "message"), ("preferences.jsonl", "prompt")):
        for row in rows_of(name):
            ticket = tickets[row["ticket"]]
            assert (row[column], row["month"], row["group"]) == (ticket["text"], ticket["month"], ticket["group"]), row["id"]


def test_a_triage_repeats_the_labels_of_its_ticket():
    tickets = {row["id"]: row for row in rows_of("tickets.jsonl")}
    for row in rows_of("replies.jsonl"):
        triage, ticket = row["triage"], tickets[row["ticket"]]
        assert list(triage) == ["intent", "priority", "product", "needs_human"] and isinstance(triage["needs_human"], bool)
        assert all(triage[column] == ticket[column] for column in ("intent", "priority", "product"))
        assert triage["needs_human"] or triage["intent"] != "safety_concern", row["id"]


def test_preferences_break_each_rule_about_equally_often():
    count = Counter(row["broken"] for row in rows_of("preferences.jsonl"))
    assert set(count) == set(fernhill.BREACHES) and max(count.values()) <= 2 * min(count.values())


def test_forty_documents_in_two_versions_of_which_about_half_the_facts_change():
    assert len(policies(6)) == len(policies(7)) == 40 and policies(6).keys() == policies(7).keys()
    changed = sum(fact["v1"] != fact["v2"] for fact in facts().values())
    assert 0.4 <= changed / len(facts()) <= 0.6
    assert all("In force from 1 January until 30 June." in text for text in policies(1).values())
    assert all("In force from 1 July." in text for text in policies(12).values())


def test_a_fact_changes_on_1_july():
    assert in_force(facts()["refunds-1"], 6) == "10 working days" and in_force(facts()["refunds-1"], 7) == "5 working days"


@pytest.mark.parametrize(
    ("reply", "cited", "month", "fault"),
    [
        ("You have 30 days.", ["returns-1"], 6, None),
        ("You have 30 days.", ["returns-1"], 7, "cites returns-1, but does not say '45 days'"),
        ("It costs £9.", [], 6, "£9 is in no source"),
        ("The boots cost £155, FH-20123.", [], 6, None),
        ("It is free of charge.", ["returns-3"], 9, None),
        ("Fine.", ["returns-9"], 9, "there is no fact returns-9"),
    ],
)
def test_a_reply_that_says_what_no_source_says_is_found(reply, cited, month, fault):
    found = faults_of_reply(reply, "Where is FH-20123?", cited, month, KNOWN, FACTS)
    assert (found == []) if fault is None else (fault in found)


def test_texts_that_differ_in_numbers_names_and_products_share_a_skeleton():
    a = skeleton("Is the Tarn 2 still £210 for Anna in 30 days?", ["Tarn 2", "Wren 45"])
    assert a == skeleton("Is the Wren 45 still £95 for Bertil in 14 days?", ["Tarn 2", "Wren 45"])
    assert a != skeleton("Is the Tarn 2 sold out for Anna in 30 days?", ["Tarn 2", "Wren 45"])


def test_a_general_question_has_one_answer_among_four_options():
    for row in rows_of("general.jsonl"):
        assert row["answer"] in row["options"] and len(set(row["options"])) == 4, row["id"]


# ---- the card ----------------------------------------------------------------------------------

CARD = (DATA / "README.md").read_text(encoding="utf-8")


def test_the_card_names_every_file_with_its_number_of_rows():
    for name in FILES:
        assert f"| `{name}` | {len(rows_of(name)):,} |" in CARD, name


def test_the_card_gives_the_size_of_every_intent():
    count = Counter(row["intent"] for row in rows_of("tickets.jsonl"))
    for intent in INTENTS:
        assert re.search(rf"^\| `{intent}` \| {count[intent]} \|", CARD, re.M), intent


def test_the_card_has_the_headings_that_the_hub_asks_for():
    for heading in ("Dataset Description", "Uses", "Dataset Structure", "Dataset Creation", "Bias, Risks, and Limitations"):
        assert f"## {heading}" in CARD
