"""utils.pii: what has the form of personal data is found, what only looks like it is not."""

import pytest

from utils.pii import find, mask

PERSONAL = {
    "mail jo.b+shop@example.co.uk today": "email",
    "write to jo (at) example dot org": "email",
    "it's jo at example dot com": "email",
    "card 4242 4242 4242 4242 exp": "card",
    "card:5555-5555-5555-4444": "card",
    "amex 3782 822463 10005": "card",
    "GB33BUKB20201555555555 please": "iban",
    "GB33 BUKB 2020 1555 5555 55": "iban",
    "I came from 192.0.2.14 as the log says": "ip_address",
    "ring 07700 900123": "telephone",
    "ring (01632) 960 001 after six": "telephone",
    "+44 7700 900 222": "telephone",
    "call 555-0123": "telephone",
    "I live at 3 Hill Row, ZZ1 2AB": "postcode",
    "DOB: 3/4/1980": "date_of_birth",
    "born on 3rd March 1980": "date_of_birth",
}
HARMLESS = [
    "order FH-20123 and FH-20124, return RT-4567",
    "paid £1,200.50 on 12/03/2024 for two",
    "on 2024-03-12 at 10:22 it said 20,000 mm, 60 m by 9.8 mm",
    "tracking number 4242 4242 4242 4241",
    "my 45 litre pack, 30 days, 5 to 7, size 42",
    "see you at work. com on",
    "version 1.2.3 and 300.1.2.3",
    "GB34BUKB20201555555555",
    "",
]


@pytest.mark.parametrize(("text", "kind"), PERSONAL.items())
def test_personal_data_are_found_and_masked(text, kind):
    assert [piece.kind for piece in find(text)] == [kind]
    assert mask(text).count(f"[{kind.upper()}]") == 1 and find(mask(text)) == []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_personal_data_stays(text):
    assert mask(text) == text


def test_several_pieces_are_masked_in_place():
    assert mask("a@example.com or 07700 900123, thanks") == "[EMAIL] or [TELEPHONE], thanks"
