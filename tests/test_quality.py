"""utils.quality: every planted fault is found and named, the cleaned copy holds what it should, bad input gets a sentence."""

import json
import random

import pytest

from utils import quality
from utils.data import as_datasets
from utils.faults import repair
from utils.quality import CHECKS, audit, clean, records
from utils.runtime import ROOT

WORDS = {
    "tent": "the tent pole snapped in the wind near camp and the canvas tore along its seam while rain came down hard all evening",
    "refund": "my money has never been returned to the bank account although the parcel went back three weeks ago by courier",
}


def text_of(label, seed, words=14):
    """Words of one label's vocabulary, and a few of nobody's, so that no two texts are alike."""
    draw = random.Random(f"{label} {seed}")
    own = draw.choices(WORDS[label].split(), k=words)
    return " ".join(own + ["".join(draw.choices("aeioulmnrst", k=7)) for _ in range(6)]) + "."


def toy_rows(n=120):
    return [{"id": i, "text": text_of(label, i), "label": label} for i, label in enumerate(["tent", "refund"] * (n // 2))]


def write(path, rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def places(seen, check):
    return [finding.place for finding in seen.of(check)]


PLANTED = {  # check: what row 7 becomes
    "unparsable": '{"text": "half a row',
    "empty": {"text": "  ", "label": "tent"},
    "too_short": {"text": "hello", "label": "tent"},
    "damaged": {"text": text_of("tent", 500) + " I canâ€™t sleep in it", "label": "tent"},
    "lost_letters": {"text": text_of("tent", 504) + " I haven?t slept", "label": "tent"},
    "cut_off": {"text": text_of("tent", 501)[:-1] + " and ever since then the canv", "label": "tent"},
    "too_long": {"text": " ".join(text_of("tent", i) for i in range(600, 640)), "label": "tent"},
    "personal_data": {"text": text_of("tent", 502) + " Mail me at jo@example.com", "label": "tent"},
    "other_language": {"text": "Bonjour, la tente que vous m'avez envoyée est déchirée et je voudrais la renvoyer.", "label": "tent"},
    "duplicate": {"text": text_of("tent", 2).upper(), "label": "tent"},
    "near_duplicate": {"text": text_of("tent", 2) + " thx", "label": "tent"},
    "label_conflict": {"text": text_of("tent", 2) + " thx", "label": "refund"},
    "suspect_label": {"text": text_of("refund", 503, words=30), "label": "tent"},
}


@pytest.mark.parametrize("check", PLANTED)
def test_a_planted_fault_is_found_in_its_row(check, tmp_path):
    rows = toy_rows()
    rows[6] = PLANTED[check]
    assert places(audit(write(tmp_path / "toy.jsonl", rows)), check) == [7]


def test_every_check_has_a_planted_fault_or_a_test_of_its_own():
    assert set(CHECKS) == set(PLANTED) | {"leak"}


def test_sound_rows_raise_no_finding():
    assert audit(toy_rows()).findings == []


@pytest.mark.parametrize("near", [0, 1, -0.5])
def test_an_impossible_overlap_is_refused(near):
    with pytest.raises(ValueError, match="near is an overlap between 0 and 1"):
        audit(toy_rows(), near=near)


def test_a_lower_overlap_finds_looser_likenesses():
    rows = toy_rows()
    words = rows[2]["text"].split()
    rows[6] = {"text": " ".join([*words[:12], "something", "else", "altogether"]), "label": "tent"}
    assert places(audit(rows, near=0.9), "near_duplicate") == [] and places(audit(rows, near=0.3), "near_duplicate") == [7]


def test_a_text_of_the_test_set_is_a_leak_however_it_is_written(tmp_path):
    rows, test = toy_rows(), toy_rows(8)
    test += [{"text": text_of("tent", 900), "label": "tent"}]
    rows.insert(8, {"text": text_of("tent", 900).title() + "!", "label": "tent"})
    found = audit(rows, test=write(tmp_path / "test.jsonl", test)).of("leak")
    assert [finding.place for finding in found] == list(range(1, 10)) and found[-1].other == 9


def test_all_forms_of_a_file_give_the_same_findings(tmp_path):
    import pandas as pd

    rows = toy_rows()
    rows[6] = {"id": 6, "text": rows[2]["text"], "label": "tent"}
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "toy.csv", index=False)
    table.to_parquet(tmp_path / "toy.parquet")
    write(tmp_path / "toy.jsonl", rows)
    found = [audit(tmp_path / f"toy.{form}").findings for form in ("csv", "parquet", "jsonl")] + [audit(rows).findings]
    assert found[0] and all(one == found[0] for one in found)


def test_the_label_column_is_found_or_left_out():
    rows = [{"text": row["text"], "intent": row["label"]} for row in toy_rows()]
    assert audit(rows).label == "intent" and audit([{"text": row["text"]} for row in rows]).label is None


DAMAGED = [
    ("I canâ€™t â€“ really", "I can’t – really"),
    ("paid Â£30 at the cafÃ©", "paid £30 at the café"),
    ("<p>two<br>lines</p> &amp; more&nbsp;text", "two\nlines\n & more text"),
    ("=C2=A330 is what I =\npaid", "£30 is what I paid"),
    ("My reply.\n\nOn 3 March Ann wrote:\n> hello", "My reply."),
    ("> hello\n> there\n\nMy reply below.", "My reply below."),
    ("From: Ann\nTo: Bob\nSubject: x\n\nMy reply below.", "My reply below."),
    ("My reply.\n\n-----Original Message-----\nFrom: Ann\nHello Bob", "My reply."),
    ("My reply.\n-- \nAnn Example\nSales", "My reply."),
]


@pytest.mark.parametrize(("broken", "sound"), DAMAGED)
def test_damage_is_repaired(broken, sound):
    assert repair(broken) == sound


@pytest.mark.parametrize(
    "text",
    [
        "I can’t – really, “no”",
        "5 < 6 and 7 > 3, a = b",
        "café, naïve, 北京, ½ price",
        "> quoted only",
        "a <3 b",
        "  two  spaces ",
        "FROM: here to there I walked",
    ],
)
def test_sound_text_stays_as_it_is(text):
    assert repair(text) == text


def test_the_cleaned_copy_keeps_sound_rows_and_logs_each_change(tmp_path):
    rows = toy_rows()
    for number, check in enumerate(PLANTED):
        rows.insert(7 * number + 6, PLANTED[check])
    seen = audit(write(tmp_path / "toy.jsonl", rows))
    done = clean(seen, tmp_path / "out")
    kept = [row for _, row in records(tmp_path / "out.jsonl")]
    log = [row for _, row in records(tmp_path / "out.log.jsonl")]
    assert len(kept) == done["kept"] == len(rows) - 6
    assert {row["check"] for row in log} == {check for check in PLANTED if CHECKS[check][1] != "kept"}
    assert any("can’t" in row["text"] for row in kept) and any("[EMAIL]" in row["text"] for row in kept)
    again = audit(tmp_path / "out.jsonl")
    assert {finding.check for finding in again.findings} <= {check for check in CHECKS if CHECKS[check][1] == "kept"}


def test_suspect_rows_go_only_when_asked(tmp_path):
    rows = toy_rows()
    rows[6] = PLANTED["suspect_label"]
    seen = audit(rows)
    assert clean(seen, tmp_path / "a")["kept"] == 120 and clean(seen, tmp_path / "b", drop=("suspect_label",))["kept"] == 119


def test_an_unknown_check_is_named(tmp_path):
    with pytest.raises(ValueError, match="no check 'typos'; choose from unparsable"):
        clean(audit(toy_rows()), tmp_path / "out", drop=["typos"])


def test_the_copy_never_replaces_its_source(tmp_path):
    path = write(tmp_path / "toy.jsonl", toy_rows())
    with pytest.raises(ValueError, match="would replace what it was made from"):
        clean(audit(path), tmp_path / "toy")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 120


def test_half_of_planted_label_errors_and_few_others_are_suspected():
    rows = toy_rows(400)
    wrong = set(range(1, 400, 20))
    for i in wrong:
        rows[i]["label"] = "tent" if rows[i]["label"] == "refund" else "refund"
    found = {place - 1 for place in places(audit(rows), "suspect_label")}
    assert len(found & wrong) >= 0.5 * len(wrong) and len(found - wrong) <= 4


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("missing.csv", "there is no such file"),
        ("toy.xlsx", "the name must end in .csv, .jsonl or .parquet"),
        ("empty.jsonl", "there are no rows"),
        ("bad.parquet", "not a Parquet file"),
        ("bad.csv", "not well-formed CSV"),
    ],
)
def test_bad_input_gets_a_sentence_and_exit_status_2(source, complaint, tmp_path, capsys):
    (tmp_path / "toy.xlsx").write_text("x")
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "bad.parquet").write_text("x")
    (tmp_path / "bad.csv").write_bytes(b"text,label\na" + b"b" * 11_000_000 + b",c\n")
    assert quality.main([str(tmp_path / source)]) == 2
    assert complaint in capsys.readouterr().err


def test_an_unknown_label_column_is_named_with_those_that_are_there(tmp_path, capsys):
    path = write(tmp_path / "toy.jsonl", toy_rows())
    assert quality.main([str(path), "--label", "topic"]) == 2
    assert "no column 'topic'; the columns are id, text, label" in capsys.readouterr().err


def test_the_command_prints_what_was_found_and_writes_the_copy(tmp_path, capsys):
    rows = toy_rows()
    rows[6] = PLANTED["personal_data"]
    path = write(tmp_path / "toy.jsonl", rows)
    assert quality.main([str(path), "--clean", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "120 rows, 2 labels" in printed and "personal_data" in printed and (tmp_path / "out.jsonl").is_file()


def test_the_figure_says_in_words_what_it_shows():
    rows = toy_rows()
    rows[6] = PLANTED["duplicate"]
    fig, words = audit(rows).draw()
    assert "duplicate 1" in words and "120 rows" in words and len(fig.axes) == 3


def test_an_audit_takes_what_the_loader_gives():
    data = as_datasets(train=toy_rows())
    assert len(audit(list(data["train"])).places) == 120


def test_importing_the_audit_does_not_load_torch():
    import subprocess
    import sys

    code = "import utils.quality, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "False"
