"""Fernhill's house voice: eight rules that a reply keeps or breaks, each one checked by a few lines of code.

The rules stand in words in data/fernhill.md. A rule here is a function of the reply that is true when it is kept.
"""

import re

STOCK_PHRASES = [
    "unfortunately",
    "inconvenience",
    "as per",
    "kindly",
    "please note",
    "valued customer",
    "rest assured",
    "do not hesitate",
    "don't hesitate",
    "we apologise for any",
    "at your earliest convenience",
    "policy",
]
SHORTHAND = {"UK", "EU", "VAT", "USB", "ID", "PDF", "GPS", "ZIP", "QR", "FAQ", "SMS", "TV", "UV", "XS", "XL", "XXL", "IBAN", "PIN", "OK"}
EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")


def words(text):
    """The words of a text; a number or a price is a word."""
    return re.findall(r"[\w£€'’%°.,-]*\w[\w'’%°]*", text)


def sentences(text):
    """The sentences of a reply: a line break ends one too, a full stop inside a number does not."""
    return [s for line in text.splitlines() for s in re.split(r"(?<=[.?!])\s+", line) if s.strip()]


def shouts(text):
    """Words in capitals that are no shorthand, size or number of an order."""
    return [word for word in re.findall(r"\b[A-Z]{2,}\b(?!-\d)", text) if word not in SHORTHAND]


def lines(text):
    """The lines that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


RULES = {
    "greeting": lambda reply: bool(re.match(r"Hello( [A-ZÀ-Ý][\w'’-]+)?,[ \t]*\n", reply)),
    "we": lambda reply: not re.search(r"\b(I|me|my|mine|I['’]\w+)\b", reply),
    "short": lambda reply: 30 <= len(words(reply)) <= 110,
    "plain_sentences": lambda reply: all(len(words(s)) <= 24 for s in sentences(reply)),
    "calm": lambda reply: "!" not in reply and not EMOJI.search(reply) and not shouts(reply),
    "no_stock_phrases": lambda reply: not any(phrase in reply.lower() for phrase in STOCK_PHRASES),
    "next_step": lambda reply: sum(line.startswith("Next:") for line in lines(reply)) == 1,
    "sign_off": lambda reply: bool(lines(reply)) and lines(reply)[-1] == "The Fernhill desk",
}


def broken_rules(reply):
    """The names of the rules that a reply breaks, in the order of RULES."""
    return [name for name, kept in RULES.items() if not kept(reply)]
