"""Personal data in texts: patterns with checks, so that an order number is not taken for a card.

Patterns find what has a form: addresses, numbers, codes. Names of people have none; finding those takes a
language model and a reader.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """One piece of personal data: its kind, and where it stands in the text."""

    kind: str
    start: int
    end: int


def digits(text):
    """Only the digits."""
    return re.sub(r"\D", "", text)


def luhn(text):
    """True when the last digit of a card number fits the others (ISO/IEC 7812)."""
    values = [int(d) for d in digits(text)][::-1]
    total = sum(values[::2]) + sum(sum(divmod(2 * v, 10)) for v in values[1::2])
    return 13 <= len(values) <= 19 and total % 10 == 0


def iban(text):
    """True when an account number's two check digits fit (ISO 13616: the rest modulo 97 is 1)."""
    code = re.sub(r"\s", "", text).upper()
    return 15 <= len(code) <= 34 and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def address_of_machine(text):
    """True when all four parts of an IP address are at most 255."""
    return all(int(part) < 256 for part in text.split("."))


def telephone(text):
    """True for 7 to 15 digits with a sign of a telephone number: a leading 0 or +, or groups as in 555-0123."""
    count = len(digits(text))
    return 10 <= count <= 15 if re.match(r"[+(0]", text) else bool(re.fullmatch(r"(?:\(?\d{3}\)?[ .-])?\d{3}[.-]\d{4}", text))


DOMAIN = "(?:com|org|net|edu|gov|info|co|uk|de|fr|es|it|nl|ie|eu|io)"
BRACKETED_AT, BRACKETED_DOT = r"\s?[\[(]\s?at\s?[\])]\s?", r"(?:\.|\s?[\[(]\s?dot\s?[\])]\s?|\sdot\s)"
EMAIL = rf"[\w.+-]+(?:@|{BRACKETED_AT})(?:[\w-]+{BRACKETED_DOT})+{DOMAIN}\b|[\w.+-]+\sat\s(?:[\w-]+\sdot\s)+{DOMAIN}\b"
# In this order: what an earlier pattern has found, a later one does not look at.
PATTERNS = {
    "email": (re.compile(EMAIL, re.I), None),
    "iban": (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b"), iban),
    "card": (re.compile(r"(?<![\w-])\d(?:[ .-]?\d){12,18}(?!\w)"), luhn),
    "ip_address": (re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)"), address_of_machine),
    "telephone": (re.compile(r"(?<![\w£$€./-])(?:\+?\(?\d[\d() .\u2011-]{5,17}\d)(?![\w/])"), telephone),
    "date_of_birth": (
        re.compile(
            r"\b(?:d\.?o\.?b\.?|date of birth|born(?: on)?)\W{0,3}(?:is )?\d{1,2}(?:st|nd|rd|th)?[\s./-](?:\w{3,9}|\d{1,2})[\s./-]\d{2,4}",
            re.I,
        ),
        None,
    ),
    "postcode": (re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b"), None),
}


def find(text):
    """All personal data that have a form, in the order in which they stand: a list of Found."""
    found, left = [], text
    if not re.search(r"\d|@|\bat\b", text):
        return found
    for kind, (pattern, check) in PATTERNS.items():
        for match in pattern.finditer(left):
            if check is None or check(match.group()):
                found.append(Found(kind, match.start(), match.end()))
        for piece in found:  # blank what was found, so that places stay as they are
            left = left[: piece.start] + "\x00" * (piece.end - piece.start) + left[piece.end :]
    return sorted(found, key=lambda piece: piece.start)


def mask(text):
    """The text with each piece replaced by its kind, as in "call [TELEPHONE]"."""
    for piece in reversed(find(text)):
        text = text[: piece.start] + f"[{piece.kind.upper()}]" + text[piece.end :]
    return text
