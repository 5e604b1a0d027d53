"""Fernhill's world as data: its files and their columns, its catalogue, the policies and facts in force in a month.

catalogue()                    the products of data/fernhill.md
policies(month=8)              the forty documents in force in August
in_force(fact, month=8)        a fact's answer in August
rows_of("replies.jsonl")       a file's rows, checked against its schema
"""

import re

from utils.data import read_rows
from utils.runtime import ROOT
from utils.voice import RULES

DATA = ROOT / "data"
CHANGE = 7  # the month in which the second version of the policies takes effect

INTENTS = [
    "account_access",
    "care_and_cleaning",
    "change_or_cancel_order",
    "damaged_on_arrival",
    "delivery_options",
    "discount_or_gift_card",
    "exchange_item",
    "group_order",
    "lost_parcel",
    "order_status",
    "out_of_scope",
    "payment_problem",
    "price_match",
    "product_advice",
    "refund_status",
    "repair_or_parts",
    "returns_policy",
    "safety_concern",
    "service_complaint",
    "setup_help",
    "start_return",
    "stock_availability",
    "warranty_claim",
    "wrong_or_missing_item",
]
PRIORITIES = ["low", "normal", "high", "urgent"]
SENTIMENTS = ["positive", "neutral", "negative"]
CHANNELS = ["email", "chat", "social", "phone"]
MONTHS = range(1, 13)
# What a rejected reply of preferences.jsonl breaks: a rule of the voice, or one of these.
BREACHES = [*RULES, "wrong_fact", "invented_promise", "forbidden_exception", "leaks_data"]
FIELDS = [
    "animals",
    "astronomy",
    "chemistry",
    "everyday_physics",
    "food_and_cooking",
    "geography",
    "history",
    "human_body",
    "literature_and_language",
    "music_and_art",
    "plants",
    "technology_and_inventions",
]
TICKET = {
    "id": str,
    "text": str,
    "intent": INTENTS,
    "second": [*INTENTS, None],
    "priority": PRIORITIES,
    "sentiment": SENTIMENTS,
    "product": (str, None),
    "channel": CHANNELS,
    "month": MONTHS,
    "group": str,
}
DOMAIN = {"id": str, "text": str, "label": str, "group": str}
# Each file, its least number of rows, and for each column the values or types that it may hold.
FILES = {
    "tickets.jsonl": (3000, TICKET),
    "tickets_es.jsonl": (400, TICKET),
    "tickets_raw.jsonl": (1200, {"id": str, "text": (str, ""), "intent": INTENTS, "channel": CHANNELS, "month": MONTHS}),
    "tickets_raw_key.jsonl": (400, {"id": str, "faults": list, "true_intent": [*INTENTS, None], "like": (str, None)}),
    "agreement.jsonl": (200, {"id": str, "ticket": str, "a": INTENTS, "b": INTENTS}),
    "replies.jsonl": (
        700,
        {"id": str, "ticket": str, "message": str, "reply": str, "triage": dict, "month": MONTHS, "facts": list, "group": str},
    ),
    "preferences.jsonl": (
        300,
        {
            "id": str,
            "ticket": str,
            "prompt": str,
            "chosen": str,
            "rejected": str,
            "broken": BREACHES,
            "month": MONTHS,
            "facts": list,
            "group": str,
        },
    ),
    "facts.jsonl": (
        150,
        {
            "id": str,
            "document": (str, None),
            "question": str,
            "v1": (str, None),
            "v2": (str, None),
            "paraphrases": list,
            "options": list,
            "inverted": (str, None),
            "inverted_answer": (str, None),
        },
    ),
    "general.jsonl": (400, {"id": str, "field": FIELDS, "question": str, "answer": str, "options": list}),
    "general_text.jsonl": (150, {"id": str, "topic": str, "text": str}),
    "guardrails.jsonl": (
        120,
        {
            "id": str,
            "text": str,
            "kind": ["harmless", "hate_or_abuse", "medical_or_legal", "personal_data", "prompt_attack", "refund_abuse", "unsafe_advice"],
            "behaviour": str,
            "acceptable": str,
            "unacceptable": str,
            "month": MONTHS,
            "facts": list,
            "hand_over": ["safety desk", "data desk", "payments desk", "service manager", None],
        },
    ),
    "domains/medical.jsonl": (400, DOMAIN),
    "domains/legal.jsonl": (400, DOMAIN),
    "domains/finance.jsonl": (400, DOMAIN),
    "domains/real_estate.jsonl": (400, DOMAIN),
}


# ---- the world ---------------------------------------------------------------------------------


def rows_of(name):
    """The rows of one of Fernhill's files, checked against its schema."""
    return read_rows(DATA / name, FILES[name][1])


def catalogue():
    """Product name to (kind, price, specifications), from the tables of data/fernhill.md."""
    page = (DATA / "fernhill.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (£\d+) \| ([^|]+) \|$", page, re.M)
    return {name.strip(): (kind.strip(), price, specification.strip()) for name, kind, price, specification in rows}


def policies(month):
    """Document name to text, in the version in force in a month (1 to 12)."""
    folder = DATA / "policies" / ("v1" if month < CHANGE else "v2")
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}


def facts():
    """The facts that have an answer, by id."""
    return {row["id"]: row for row in rows_of("facts.jsonl") if row["document"]}


def in_force(fact, month):
    """A fact's answer in a month."""
    return fact["v1"] if month < CHANGE else fact["v2"]
