"""utils.data: every format in, every bad input named, splits that do not leak."""

import csv
import json
import random
import re
import string
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from utils.data import FERNHILL, as_datasets, group_rows, labels_of, load, read, read_rows, sample
from utils.duplicates import near_duplicates, normalise

FORMATS = ["csv", "jsonl", "parquet"]


def toy_text(words=6, seed=0):
    """Words of random letters: two such texts are never near duplicates."""
    draw = random.Random(seed)
    return " ".join("".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 8))) for _ in range(words))


def toy_rows(n=24, labels="abc"):
    return [{"id": f"r{i}", "text": toy_text(seed=i), "label": labels[i % len(labels)]} for i in range(n)]


def write(folder, form, rows):
    path = folder / f"toy.{form}"
    if form == "csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_bytes(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def complaint(path, **options):
    """The message of the ValueError that load raises; a subclass, such as UnicodeDecodeError, is no sentence of ours."""
    with pytest.raises(ValueError) as error:
        load(path, **options)
    assert error.type is ValueError and str(path) in str(error.value)
    return str(error.value)


# ---- bad input ---------------------------------------------------------------------------------

BAD_ROW = {  # what stands in row 7: formats that can hold it, where, remedy
    "empty text": ({"text": "  "}, FORMATS, "row 7", "fill it in or remove the row"),
    "no text": ({"text": None}, ["jsonl", "parquet"], "row 7", "write it as text, or remove the row"),
    "a number for a text": ({"text": 5}, ["jsonl"], "row 7", "write it as text, or remove the row"),
    "empty label": ({"label": ""}, FORMATS, "row 7", "fill it in or remove the row"),
    "no label": ({"label": None}, ["jsonl", "parquet"], "row 7", "fill it in or remove the row"),
    "a label seen once": ({"label": "rare"}, FORMATS, "row 7: the label 'rare'", "add examples, or merge it"),
    "an id used before": ({"id": "r2"}, FORMATS, "row 7: id 'r2' stands in row 3", "give each row its own id"),
    "a million characters": ({"text": "x" * 1_000_000}, FORMATS, "row 7", "shorten or split it"),
    "half a character": ({"text": "\ud83d"}, ["jsonl"], "line 7", "must be one complete object"),
}


@pytest.mark.parametrize(("case", "form"), [(case, form) for case, (_, forms, *_) in BAD_ROW.items() for form in forms])
def test_a_bad_row_is_named_with_a_remedy(case, form, tmp_path):
    change, _, place, remedy = BAD_ROW[case]
    rows = toy_rows()
    rows[6] = {**rows[6], **change}
    message = complaint(write(tmp_path, form, rows))
    assert place in message and remedy in message and len(message) < 400


@pytest.mark.parametrize("key", ["text", "label"])
def test_a_jsonl_row_that_lacks_a_column_is_named(key, tmp_path):
    rows = toy_rows()
    del rows[6][key]
    assert f"row 7: the {key}" in complaint(write(tmp_path, "jsonl", rows))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("parameter", ["text", "label"])
def test_a_missing_column_is_named_with_those_that_are_there(parameter, form, tmp_path):
    message = complaint(write(tmp_path, form, toy_rows()), **{parameter: "topic"})
    assert "no column 'topic'; the columns are id, text, label" in message and f"{parameter}='…'" in message


@pytest.mark.parametrize("form", FORMATS)
def test_one_label_only_is_refused(form, tmp_path):
    message = complaint(write(tmp_path, form, toy_rows(labels="a")))
    assert "all 24 rows have the label 'a'" in message and "at least two labels" in message


GOOD_LINES = b"".join(b"%s,%s\n" % (toy_text(seed=i).encode(), b"ab"[i % 2 :][:1]) for i in range(8))
GOOD_JSON = b"".join(json.dumps(row).encode() + b"\n" for row in toy_rows(8, "ab"))


def parquet_bytes(rows, damage=slice(0)):
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema({"text": pa.string(), "label": pa.string()})), buffer)
    content = bytearray(buffer.getvalue())
    content[damage] = b"\xff" * len(content[damage])
    return bytes(content)


BAD_FILE = {  # name, content, what the message says of place and remedy
    "missing.csv": (None, ["there is no such file", "check the path"]),
    "missing.jsonl": (None, ["there is no such file", "check the path"]),
    "missing.parquet": (None, ["there is no such file", "check the path"]),
    "empty.csv": (b"", ["is empty", "needs a header line"]),
    "blank.csv": (b"\xef\xbb\xbf \r\n\r\n", ["is empty", "needs a header line"]),
    "empty.jsonl": (b"\n\n", ["no rows", "one JSON object a line"]),
    "empty.parquet": (b"", ["not a Parquet file", "to_parquet"]),
    "header.csv": (b"text,label\n", ["header (text, label) and no rows", "add rows"]),
    "latin.csv": ("text,label\nfine,a\ncafé,b\n".encode("latin-1"), ["line 3", "0xe9", "save the file as UTF-8"]),
    "latin.jsonl": (GOOD_JSON + '{"text": "café", "label": "a"}'.encode("latin-1"), ["line 9", "save the file as UTF-8"]),
    "utf16.csv": ("text,label\nfine,a\n".encode("utf-16"), ["line 1", "save the file as UTF-8"]),
    "long_line.csv": (b"text,label\n" + GOOD_LINES + b"Hello, world,a\n", ["line 10", "double quotes"]),
    "long_first_line.csv": (b"text,label\nHello, world,a\n" + GOOD_LINES, ["line 2", "double quotes"]),
    "open_quote.csv": (b"text,label\n" + GOOD_LINES + b'"Hello,a\n', ["row 9", "double quotes"]),
    "short_line.csv": (b"text,label\n" + GOOD_LINES + b"Hello\n", ["row 9", "label is empty"]),
    "cut_off.jsonl": (GOOD_JSON + b'{"text": "x", "la', ["line 9", "one complete object"]),
    "array.jsonl": (GOOD_JSON + b"[1, 2]\n", ["line 9", "expected an object"]),
    "nested.jsonl": (b"[" * 200_000, ["line 1", "one complete object"]),
    "huge_number.jsonl": (b'{"text": "x", "label": %s}' % (b"1" * 5000), ["line 1", "one complete object"]),
    "text.parquet": (b"text,label\nx,a\n", ["not a Parquet file", "to_parquet"]),
    "header.parquet": (parquet_bytes([]), ["header (text, label) and no rows", "add rows"]),
    "half.parquet": (parquet_bytes(toy_rows())[:600], ["not a Parquet file", "to_parquet"]),
    "bad_pages.parquet": (parquet_bytes(toy_rows(), slice(30, 120)), ["a damaged one", "to_parquet"]),
    "bad_footer.parquet": (parquet_bytes(toy_rows(), slice(-200, -10)), ["a damaged one", "to_parquet"]),
    "no-such-data-set": (None, ["the hub did not deliver", "check the spelling"]),
    "table.xlsx": (b"PK", ["cannot tell what this is", ".csv, .jsonl, .parquet"]),
}


@pytest.mark.parametrize("name", BAD_FILE)
def test_a_file_that_cannot_be_read_is_named_with_place_and_remedy(name, tmp_path):
    content, parts = BAD_FILE[name]
    message = complaint(tmp_path / name if content is None else write_bytes(tmp_path, name, content))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("shares", [(0, 0.2), (0.2, 1), (0.5, 0.5), (-0.1, 0.2)])
def test_shares_that_leave_nothing_to_train_on_are_refused(shares, tmp_path):
    with pytest.raises(ValueError, match="leave something to train on"):
        load(write(tmp_path, "csv", toy_rows()), validation_size=shares[0], test_size=shares[1])


# ---- good input --------------------------------------------------------------------------------


def test_csv_jsonl_and_parquet_give_the_same_result(tmp_path):
    results = [[list(split) for split in load(write(tmp_path, form, toy_rows())).values()] for form in FORMATS]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("form", FORMATS)
def test_texts_survive_as_they_are(form, tmp_path):
    texts = ["NA", "123", "null", "nan", "1e5", "TRUE", 'she said "no", twice', "two\nlines, and\n\nmore", " edge ", "naïve 北京 🏔️"]
    rows = [{"text": text, "label": "ab"[i % 2], "amount": "007"} for i, text in enumerate(texts)]
    assert read(write(tmp_path, form, rows)) == rows


GOOD_CSV = b"id,text,label\n" + b"".join(",".join(row.values()).encode() + b"\n" for row in toy_rows(8, "ab"))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize(("name", "content"), [("toy.csv", GOOD_CSV), ("toy.jsonl", GOOD_JSON)])
def test_byte_order_marks_windows_line_ends_and_blank_lines_do_no_harm(name, content, ending, mark, tmp_path):
    assert read(write_bytes(tmp_path, name, mark + content.replace(b"\n", ending))) == toy_rows(8, "ab")


def test_other_columns_are_kept_even_if_the_first_row_lacks_them(tmp_path):
    rows = toy_rows()
    rows[5]["channel"] = "chat"
    data = load(write(tmp_path, "jsonl", rows))
    assert all(split.column_names == ["id", "text", "label", "channel"] for split in data.values())
    assert sum(channel == "chat" for split in data.values() for channel in split["channel"]) == 1


def test_columns_can_have_other_names_and_labels_other_types(tmp_path):
    rows = [{"body": row["text"], "stars": i % 3} for i, row in enumerate(toy_rows())]
    data = load(write(tmp_path, "jsonl", rows), text="body", label="stars")
    assert labels_of(data) == ["0", "1", "2"] and data["train"]["text"][0] == data["train"]["body"][0]


@pytest.mark.parametrize("values", [[None, 5], [None, 5, "five"], [None, True, 2.5], [1, 2**70], [{"a": 1}, "b"], [[1], None, 2]])
def test_optional_values_of_mixed_type_do_not_break(values, tmp_path):
    rows = [{**row, "product": values[i % len(values)]} for i, row in enumerate(toy_rows())]
    data = load(write(tmp_path, "jsonl", rows))
    found = {row["id"]: row["product"] for split in data.values() for row in split}
    assert len({str(split.features) for split in data.values()}) == 1
    assert {row["id"] for row in rows if row["product"] is None} == {key for key, value in found.items() if value is None}


def test_an_empty_split_still_has_its_columns():
    assert as_datasets(train=toy_rows(), test=[])["test"].column_names == ["id", "text", "label"]


# ---- splits ------------------------------------------------------------------------------------


def places(data, key):
    """Each value of a column, and the set of splits in which it occurs."""
    found = {}
    for name, split in data.items():
        for value in split[key]:
            found.setdefault(value, set()).add(name)
    return found


@pytest.mark.parametrize("shares", [(0.2, 0.2), (0.1, 0.3)])
@pytest.mark.parametrize("seed", range(3))
def test_every_label_has_its_share_in_every_split(seed, shares, tmp_path):
    path = write(tmp_path, "csv", toy_rows(290, "aaaabbbccd"))
    data = load(path, validation_size=shares[0], test_size=shares[1], seed=seed)
    for label, n in Counter("aaaabbbccd" * 29).items():
        count = {name: list(split["label"]).count(label) for name, split in data.items()}
        assert sum(count.values()) == n
        assert abs(count["validation"] - shares[0] * n) <= 1 and abs(count["test"] - shares[1] * n) <= 1


def test_a_seed_gives_one_split_and_another_seed_another(tmp_path):
    path = write(tmp_path, "csv", toy_rows(90))
    first, again, other = ([list(split["id"]) for split in load(path, seed=seed).values()] for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("group", [0, "g0", 1.5])
def test_groups_stay_whole(group, tmp_path):
    rows = [{**row, "group": group if i < 16 else f"of four {i // 4}"} for i, row in enumerate(toy_rows(200))]
    data = load(write(tmp_path, "jsonl", rows))
    assert all(len(splits) == 1 for splits in places(data, "group").values())
    assert min(len(split) for split in data.values()) >= 30


@pytest.mark.parametrize("nothing", [None, ""])
def test_rows_without_a_group_are_not_one_group(nothing, tmp_path):
    data = load(write(tmp_path, "jsonl", [{**row, "group": nothing} for row in toy_rows(100)]))
    assert min(len(split) for split in data.values()) >= 15


@pytest.mark.parametrize("seed", range(3))
def test_every_label_is_in_train_even_when_one_group_holds_all_its_rows(seed, tmp_path):
    rows = [{**row, "group": f"g{i}"} for i, row in enumerate(toy_rows(100, "ab"))]
    rows += [{"id": f"x{i}", "text": toy_text(seed=200 + i), "label": "rare" if i < 2 else "a", "group": "big"} for i in range(12)]
    rows += [{"id": f"y{i}", "text": toy_text(seed=300 + i), "label": "alone" if i < 9 else "a", "group": "first"} for i in range(20)]
    for test_size in (0.2, 0.7):
        data = load(write(tmp_path, "jsonl", rows), test_size=test_size, seed=seed)
        assert set(data["train"]["label"]) == {"a", "b", "rare", "alone"}


CHANGES = {
    "nothing": lambda text, _: text,
    "case": lambda text, _: text.upper(),
    "punctuation": lambda text, _: text.replace(" ", ", ") + "!!",
    "spacing": lambda text, _: "  " + text.replace(" ", " \n "),
    "one word": lambda text, i: " ".join("elsewhere" if n == i % 30 else word for n, word in enumerate(text.split())),
}


@pytest.mark.parametrize("change", CHANGES)
def test_exact_and_near_duplicates_never_straddle_a_split(change, tmp_path):
    rows = []
    for i in range(150):
        text = toy_text(30, seed=i)
        rows += [{"text": t, "label": "ab"[i % 2], "family": i} for t in (text, CHANGES[change](text, i))]
    data = load(write(tmp_path, "jsonl", rows))
    assert all(len(splits) == 1 for splits in places(data, "family").values())
    assert min(len(split) for split in data.values()) >= 50


def test_texts_that_merely_share_some_words_are_no_duplicates():
    texts = ["where is my parcel", "where is my refund", "the zip of my tent broke", "the pole of my tent broke", ""]
    assert near_duplicates(texts) == [] and len(set(group_rows([{"text": text} for text in texts]))) == len(texts)


def test_normalising_keeps_words_of_every_script():
    assert normalise("  Déjà-vu,\n北京!  ") == "déjà vu 北京"


def test_a_published_test_set_stays_whole_and_its_repeats_leave_training(tmp_path, capsys):
    rows = toy_rows(60)
    path = write(tmp_path, "csv", rows)
    published = [{"text": rows[0]["text"].upper() + "!", "label": "a"}, *toy_rows(70)[65:], {"text": "only here", "label": "new"}]
    (tmp_path / "published").mkdir()
    data = load(path, test=write(tmp_path / "published", "jsonl", published))
    assert list(data["test"]["text"]) == [row["text"] for row in published]
    learned = [*data["train"]["id"], *data["validation"]["id"]]
    assert sorted(learned) == sorted(row["id"] for row in rows[1:]) and len(data["validation"]) == 12
    assert "left 1 of 60 rows out" in capsys.readouterr().err


def test_a_test_set_that_repeats_a_whole_label_is_refused(tmp_path):
    path = write(tmp_path, "csv", toy_rows())
    assert "test on other texts" in complaint(path, test=path)


def test_a_sample_has_every_label_and_no_row_twice():
    split = as_datasets(train=toy_rows(60, "aaaaaaaaab"))["train"]
    for seed in range(20):
        small = sample(split, 5, seed)
        assert len(small) == len(set(small["id"])) == 5 and set(small["label"]) == {"a", "b"}
    assert sample(split, 5)["id"] == sample(split, 5)["id"] != sample(split, 5, seed=1)["id"]


@pytest.mark.parametrize("n", [1, 61])
def test_a_sample_of_an_impossible_size_is_refused(n):
    with pytest.raises(ValueError, match=f"n is {n}; with 2 labels and 60 rows it can be 2 to 60"):
        sample(as_datasets(train=toy_rows(60, "ab"))["train"], n)


# ---- a schema

ROW = {"id": "a", "kind": "low", "month": 3, "note": None, "tags": ["x"]}
SCHEMA = {"id": str, "kind": ["low", "high"], "month": range(1, 13), "note": (str, None), "tags": list}


def test_rows_that_fit_the_schema_come_back_as_they_are(tmp_path):
    assert read_rows(write(tmp_path, "jsonl", [ROW]), SCHEMA) == [ROW]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "mid"}, "row 2: kind is 'mid', which the schema does not allow"),
        ({"month": 13}, "row 2: month is 13"),
        ({"month": True}, "row 2: month is True"),
        ({"note": 5}, "row 2: note is 5"),
        ({"id": ""}, "row 2: id is ''"),
        ({"tags": "x"}, "row 2: tags is 'x'"),
        ({"id": "a"}, "row 2: id 'a' stands in row 1 already"),
        ({"colour": 1}, "row 2: the column 'colour' is not in the schema"),
    ],
)
def test_a_row_that_breaks_the_schema_is_named(change, message, tmp_path):
    path = write(tmp_path, "jsonl", [ROW, {**ROW, "id": "b", **change}])
    with pytest.raises(ValueError, match=re.escape(message)):
        read_rows(path, SCHEMA)


def test_a_column_that_is_missing_is_named(tmp_path):
    path = write(tmp_path, "jsonl", [{k: v for k, v in ROW.items() if k != "note"}])
    with pytest.raises(ValueError, match="row 1: the column 'note' is missing"):
        read_rows(path, SCHEMA)


# ---- what the course ships ---------------------------------------------------------------------


@pytest.mark.parametrize("name", FERNHILL)
def test_every_split_of_a_shipped_data_set_has_every_label(name):
    data = load(name)
    assert set(data["train"]["label"]) == set(data["validation"]["label"]) == set(data["test"]["label"])
