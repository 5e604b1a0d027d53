"""Data sets in: Fernhill's, your own CSV, JSONL or Parquet file, or one from the hub; splits that do not leak.

load("fernhill-tickets")                     the course's support tickets
load("tickets.csv", label="topic")           your own file
load("train.csv", test="test.csv")           a published split stays as it is
"""

import json
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

from utils.duplicates import near_duplicates
from utils.runtime import ROOT

# The course's own data sets: name, file, and which column is the label.
FERNHILL = {
    "fernhill-tickets": ("data/tickets.jsonl", "intent"),
    "fernhill-tickets-es": ("data/tickets_es.jsonl", "intent"),
    "clinic-notes": ("data/domains/medical.jsonl", "label"),
    "contract-clauses": ("data/domains/legal.jsonl", "label"),
    "news-headlines": ("data/domains/finance.jsonl", "label"),
    "property-listings": ("data/domains/real_estate.jsonl", "label"),
}
LONGEST_TEXT = 20_000  # characters; a base model reads a few thousand at most


def load(source, text="text", label=None, test=None, validation_size=0.2, test_size=0.2, seed=0):
    """Return a `datasets.DatasetDict` with train, validation and test; columns `text` and `label` are strings.

    source: a name in FERNHILL, a path to a CSV, JSONL or Parquet file, or a hub name
    text, label: the columns to read (other columns are kept as they are)
    test: a path to a published test set, which is then used whole
    validation_size, test_size: shares of all rows; a published test set takes none of them
    Texts that say the same, exactly or nearly, and rows with one `group` stay in one split.
    Raises ValueError, naming the file, the row and what to do.
    """
    if source in FERNHILL:
        path, own_label = FERNHILL[source]
        source, label = ROOT / path, label or own_label
    label = label or "label"
    if not 0 < validation_size < 1 or not 0 < test_size < 1 or validation_size + test_size >= 1:
        raise ValueError(
            "validation_size and test_size are shares between 0 and 1 that leave something to train on, "
            f"got {validation_size} and {test_size}"
        )
    rows = read(source, text, label)
    if test is None:
        test_rows, rows = split_off(rows, test_size, seed)
        validation_size = validation_size / (1 - test_size)
    else:
        test_rows = read(test, text, label, complete=False)
        rows = drop_leaks(rows, test_rows, source)
    validation_rows, train_rows = split_off(rows, validation_size, seed)
    return as_datasets(train=train_rows, validation=validation_rows, test=test_rows)


def labels_of(data):
    """All labels of a DatasetDict, in alphabetical order."""
    return sorted({label for split in data.values() for label in split["label"]})


def sample(split, n, seed=0):
    """n random rows of one split, with at least one of every label, so that a small run knows all labels."""
    import numpy as np

    order = [int(i) for i in np.random.default_rng(seed).permutation(len(split))]
    labels = list(split["label"])
    first = {labels[i]: i for i in reversed(order)}
    if not len(first) <= n <= len(split):
        raise ValueError(f"n is {n}; with {len(first)} labels and {len(split)} rows it can be {len(first)} to {len(split)}")
    of_each = set(first.values())
    return split.select([*first.values(), *[i for i in order if i not in of_each][: n - len(of_each)]])


def as_datasets(**splits):
    """Lists of rows (dicts) to a DatasetDict; all splits have all columns, a column of several types becomes text."""
    from datasets import Dataset, DatasetDict

    rows = [row for split in splits.values() for row in split]
    columns = dict.fromkeys(column for row in rows for column in row)
    values = {column: of_one_type([row.get(column) for row in rows]) for column in columns}
    features = Dataset.from_dict(values).features
    data, start = DatasetDict(), 0
    for name, split in splits.items():
        part = {column: values[column][start : start + len(split)] for column in columns}
        data[name] = Dataset.from_dict(part, features=features)
        start += len(split)
    return data


def of_one_type(values):
    """The values as they are if they can share an Arrow column, else as text; None stays None."""
    import pyarrow as pa

    try:
        pa.array(values)
    except (pa.ArrowException, OverflowError):
        return [value if value is None else str(value) for value in values]
    return values


# ---- read and check ----------------------------------------------------------------------------


def read(source, text="text", label="label", complete=True):
    """Read and check one file (or hub data set): a list of dicts with `text` and `label`, in file order.

    complete=False drops the demand that every label occurs twice (for a published test set).
    """
    path = Path(source)
    if path.suffix.lower() in READERS:
        check_is_file(path)
        rows = READERS[path.suffix.lower()](path)
    elif path.exists():
        raise ValueError(f"{path}: cannot tell what this is; the name must end in {', '.join(READERS)}")
    else:
        rows = read_hub(str(source))
    check_columns(rows, text, label, source)
    rows = [{**row, "text": row.get(text), "label": row.get(label)} for row in rows]
    check_rows(rows, source)
    check_labels(rows, source, complete)
    return rows


def check_is_file(path):
    """The file must be there."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); check the path")


def read_rows(path, schema):
    """The rows of a JSONL file as they are, each checked against a schema.

    schema: column name to what may stand there: a type, a collection of values, or a tuple of types and values
    Raises ValueError, naming the file, the row and what to do.
    """
    path = Path(path)
    check_is_file(path)
    rows, seen = read_jsonl(path), {}
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        for column in schema.keys() ^ row.keys():
            raise ValueError(f"{where}: the column {column!r} is {'missing' if column in schema else 'not in the schema'}; make them agree")
        for column, allowed in schema.items():
            if not allows(allowed, row[column]):
                raise ValueError(f"{where}: {column} is {row[column]!r}, which the schema does not allow; correct the row")
        if (identity := row.get("id")) is not None and seen.setdefault(identity, number) != number:
            raise ValueError(f"{where}: id {identity!r} stands in row {seen[identity]} already; give each row its own id")
    return rows


def allows(allowed, value):
    """True when a schema's entry allows a value: `str`, `["low", "high"]`, `range(1, 13)`, or `(str, None)`."""
    if isinstance(allowed, type):
        return type(value) is allowed and (value != "" or allowed is not str)
    return any(allows(one, value) if isinstance(one, type) else type(one) is type(value) and one == value for one in allowed)


def read_csv(path):
    """Rows of a CSV file; every value is text, and empty stays empty."""
    import pandas as pd

    text = decode(path)
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; it needs a header line and rows below it")
    try:
        table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{path}: not well-formed CSV ({str(error).strip()}); a text that holds commas or line breaks must stand in double quotes"
        ) from error
    if len(table) and not isinstance(table.index, pd.RangeIndex):  # pandas then took the first values for row names
        raise ValueError(
            f"{path}, line 2: more values than the header has names ({', '.join(table.columns)}); "
            "a text that holds commas must stand in double quotes, and no line may end in a comma"
        )
    return table.to_dict("records") if len(table) else only_header(path, table.columns)


def only_header(path, columns):
    """Complain about a file without rows."""
    raise ValueError(f"{path}: it has a header ({', '.join(columns)}) and no rows; add rows below it")


def read_jsonl(path):
    """Rows of a JSONL file: one JSON object a line."""
    rows = []
    for number, line in enumerate(decode(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()  # half a character ("\ud83d") is JSON, but no text
        except (ValueError, RecursionError) as error:
            reason = str(error).split(": line ")[0]
            raise ValueError(f"{path}, line {number}: not valid JSON ({reason}); each line must be one complete object") from error
        if not isinstance(row, dict):
            raise ValueError(f'{path}, line {number}: expected an object like {{"text": …, "label": …}}, got {line[:40]}')
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: the file has no rows; it needs one JSON object a line")
    return rows


def read_parquet(path):
    """Rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a Parquet file, or a damaged one ({error}); write it with pandas: table.to_parquet(path)") from error
    return table.to_pylist() or only_header(path, table.column_names)


READERS = {".csv": read_csv, ".jsonl": read_jsonl, ".parquet": read_parquet}


def read_hub(name):
    """All rows of a hub data set, label numbers turned into their names."""
    from datasets import ClassLabel, load_dataset

    try:
        data = load_dataset(name)
    except Exception as error:
        raise ValueError(
            f"{name}: no file of that name here, and the hub did not deliver a data set ({type(error).__name__}: "
            f"{str(error)[:200]}); check the spelling, or download it to a CSV file first"
        ) from error
    rows = []
    for split in data.values():
        names = {c: f.names for c, f in split.features.items() if isinstance(f, ClassLabel)}
        rows += [{c: names[c][v] if c in names else v for c, v in row.items()} for row in split]
    return rows


def decode(path):
    """The file as text, or a ValueError that names the first line that is not UTF-8."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {number}: not UTF-8 text (byte {raw[error.start]:#04x}); save the file as UTF-8, or convert it: "
            f"text = open(path, encoding='cp1252').read(), then open(path, 'w', encoding='utf-8').write(text)"
        ) from error


def check_columns(rows, text, label, source):
    """Both columns must be there."""
    for column, parameter in ((text, "text"), (label, "label")):
        if column not in rows[0]:
            known = ", ".join(map(str, rows[0]))
            raise ValueError(f"{source}: no column {column!r}; the columns are {known}: choose one with {parameter}='…'")


def check_rows(rows, source):
    """Every row needs a text and a label that can be used; ids must differ."""
    seen = {}
    for number, row in enumerate(rows, 1):
        where = f"{source}, row {number}"
        text, label = row.get("text"), row.get("label")
        if not isinstance(text, str):
            raise ValueError(f"{where}: the text is {text!r}, not a string; write it as text, or remove the row")
        if not text.strip():
            raise ValueError(f"{where}: the text is empty; fill it in or remove the row")
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{where}: the text has {len(text):,} characters (limit {LONGEST_TEXT:,}); shorten or split it")
        if label is None or not str(label).strip():
            raise ValueError(f"{where}: the label is empty; fill it in or remove the row")
        row["label"] = str(label)
        if (identity := row.get("id")) is not None:
            if (key := str(identity)) in seen:
                raise ValueError(f"{where}: id {identity!r} stands in row {seen[key]} already; give each row its own id")
            seen[key] = number


def check_labels(rows, source, complete):
    """At least two labels, each often enough to be learned and tested."""
    first, count = {}, {}
    for number, row in enumerate(rows, 1):
        first.setdefault(row["label"], number)
        count[row["label"]] = count.get(row["label"], 0) + 1
    if not complete:
        return
    if len(count) < 2:
        raise ValueError(f"{source}: all {len(rows)} rows have the label {rows[0]['label']!r}; a classifier needs at least two labels")
    if once := [label for label in count if count[label] == 1]:
        raise ValueError(
            f"{source}, row {first[once[0]]}: the label {once[0]!r} occurs only once, so it cannot be both learned and tested; "
            f"add examples, or merge it with another label ({len(once)} such labels)"
        )


# ---- same texts, groups, splits ----------------------------------------------------------------


def group_rows(rows):
    """One number per row; rows that share a `group`, or say nearly the same, share the number."""
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = near_duplicates([row["text"] for row in rows])
    first = {}
    for i, row in enumerate(rows):
        if row.get("group") not in (None, ""):
            pairs.append((first.setdefault(str(row["group"]), i), i))
    a, b = np.array(pairs or [(0, 0)]).T
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(rows), len(rows)))
    return connected_components(graph, directed=False)[1]


def split_off(rows, share, seed=0):
    """Split rows in two, (about `share` of each label, the rest), never through a group.

    Groups come in random order; each goes where its labels still lack most. The first group
    of a label goes to the rest, so that every label can be learned.
    """
    import numpy as np

    groups = {}
    for row, number in zip(rows, group_rows(rows), strict=True):
        groups.setdefault(number, []).append(row)
    order = [list(groups)[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    order.sort(key=lambda number: -len(groups[number]))  # large groups first, while there is room
    taken, seen, chosen = Counter(), Counter(), set()
    for number in order:
        labels = Counter(row["label"] for row in groups[number])
        new = labels.keys() - seen.keys()
        seen.update(labels)
        lack = sum(share * seen[label] - taken[label] for label in labels)
        if lack >= len(groups[number]) / 2 and not new:
            chosen.add(number)
            taken.update(labels)
    inside = {id(row) for number in chosen for row in groups[number]}
    return [r for r in rows if id(r) in inside], [r for r in rows if id(r) not in inside]


def drop_leaks(rows, test_rows, source):
    """The rows that do not repeat a row of the published test set, exactly or nearly."""
    groups = group_rows(test_rows + rows)
    of_test, of_rows = set(groups[: len(test_rows)]), groups[len(test_rows) :]
    kept = [row for row, group in zip(rows, of_rows, strict=True) if group not in of_test]
    if leaked := len(rows) - len(kept):
        message = f"{source}: left {leaked} of {len(rows)} rows out, since the test set holds the same or nearly the same text"
        print(message, file=sys.stderr)
    count = Counter(row["label"] for row in kept)
    if scarce := sorted({row["label"] for row in rows if count[row["label"]] < 2}):
        raise ValueError(
            f"{source}: without the rows that the test set repeats, fewer than two are left of the label {scarce[0]!r}; "
            f"add examples, or test on other texts ({len(scarce)} such labels)"
        )
    return kept
