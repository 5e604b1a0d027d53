"""Audit a data set before you train on it: what is wrong, in which row, and a cleaned copy with a log.

python -m utils.quality tickets.csv --label topic                  a table of what was found
python -m utils.quality train.jsonl --test test.jsonl --clean out  and a cleaned copy
python -m utils.quality data/                                      the course's own data, and the proof that they are good
"""

import argparse
import csv
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils import pii, plots, proof
from utils.data import check_is_file
from utils.faults import (
    LONGEST,
    LOST,
    Finding,
    cut_off,
    leaks,
    missing,
    other_language,
    repair,
    same_texts,
    shorten,
    suspect_labels,
)
from utils.runtime import ROOT

# What can be wrong with a row: name, what it means, what `clean` does about it.
CHECKS = {
    "unparsable": ("the line is no row, or lacks the text or the label column", "removed"),
    "empty": ("no text, or no label", "removed"),
    "too_short": ("fewer than two words", "removed"),
    "damaged": ("letters broken by a wrong encoding, markup, or a quoted earlier message", "repaired"),
    "lost_letters": ("letters that a wrong encoding turned into question marks; only the sender knows them", "kept"),
    "cut_off": ("ends inside a word", "kept"),
    "too_long": ("longer than most base models read", "kept"),
    "personal_data": ("an email address, telephone, card or account number …", "masked"),
    "other_language": ("not in the language of the others", "kept"),
    "duplicate": ("an earlier row has the same text", "removed"),
    "near_duplicate": ("an earlier row says nearly the same", "removed"),
    "label_conflict": ("the same or nearly the same text has another label", "removed"),
    "leak": ("the test set has the same or nearly the same text", "removed"),
    "suspect_label": ("a model that did not see the row is sure of another label", "kept"),
}
RARE = 10  # a label with fewer rows can hardly be learned and tested


@dataclass
class Audit:
    """What an audit saw and found; `table()`, `draw()` and `clean()` are views of it."""

    source: object
    text: str
    label: str | None
    places: list = field(default_factory=list)
    words: list = field(default_factory=list)
    labels: Counter = field(default_factory=Counter)
    findings: list = field(default_factory=list)

    def of(self, check):
        """The findings of one check."""
        return [finding for finding in self.findings if finding.check == check]

    def table(self):
        """One row a check: name, meaning, rows, share of all rows, first example, what `clean` does."""
        import pandas as pd

        rows, total = [], max(1, len(self.places))
        for check, (meaning, action) in CHECKS.items():
            found = self.of(check)
            example = f"row {found[0].place}{': ' + found[0].detail if found[0].detail else ''}" if found else ""
            rows.append([check, meaning, len({f.place for f in found}), len({f.place for f in found}) / total, example, action])
        return pd.DataFrame(rows, columns=["check", "what it is", "rows", "share", "example", "clean"])

    def median_words(self):
        """The length that half of the texts do not exceed, in words."""
        return int(np.median(self.words or [0]))

    def draw(self):
        """A figure of three: findings, rows per label, words per row; returns (figure, its description)."""
        fig, (left, middle, right) = plots.figure(11.0, 4.0, columns=3)
        table = self.table().set_index("check")["rows"]
        table = table[table > 0][::-1]
        left.barh(list(table.index), list(table), color=plots.VERMILLION)
        left.set(xlabel="rows", title="What was found")
        labels = self.labels.most_common()[:24][::-1] if self.label else []
        middle.barh([str(label) for label, _ in labels], [count for _, count in labels], color=plots.BLUE)
        middle.set(xlabel="rows", title="Rows per label" if labels else "No labels")
        middle.tick_params(axis="y", labelsize=7)
        right.hist(np.clip(self.words, 0, 150), bins=30, color=plots.GREEN)
        right.set(xlabel="words (150 and more together)", ylabel="rows", title="Length")
        found = ", ".join(f"{check} {count}" for check, count in table[::-1].items()) or "nothing"
        return fig, (
            f"Three charts of {len(self.places):,} rows. Found: {found}. {len(self.labels)} labels, the commonest with "
            f"{max(self.labels.values(), default=0)} rows, the rarest with {min(self.labels.values(), default=0)}. "
            f"Median length {self.median_words()} words."
        )

    def rare_labels(self):
        """Labels with fewer than RARE rows."""
        return sorted(label for label, count in self.labels.items() if count < RARE)


# ---- read, tolerantly --------------------------------------------------------------------------


def records(source):
    """Yield (place, row) for each row of a file or list; row is a dict, or a text that says what is wrong with it.

    `utils.data.read` stops at the first fault; an audit has to see them all, and reads a line at a time.
    """
    if not isinstance(source, str | Path):
        yield from enumerate(source, 1)
        return
    path = Path(source)
    check_is_file(path)
    if path.suffix.lower() == ".jsonl":
        yield from jsonl_records(path)
    elif path.suffix.lower() == ".csv":
        yield from csv_records(path)
    elif path.suffix.lower() == ".parquet":
        yield from parquet_records(path)
    else:
        raise ValueError(f"{path}: cannot tell what this is; the name must end in .csv, .jsonl or .parquet")


def jsonl_records(path):
    """Rows of a JSONL file; the place is the line number."""
    with open(path, "rb") as file:
        for place, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
                yield place, row if isinstance(row, dict) else "not a JSON object"
            except UnicodeDecodeError:
                yield place, "not UTF-8"
            except (ValueError, RecursionError):
                yield place, "not valid JSON"


def parquet_records(path):
    """Rows of a Parquet file, a batch at a time; the place is the row's number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(path).iter_batches()
    except pa.ArrowException as error:
        raise ValueError(f"{path}: not a Parquet file, or a damaged one ({error}); write it with pandas: table.to_parquet(path)") from error
    yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)


def csv_records(path):
    """Rows of a CSV file; the place is the row's number below the header."""
    csv.field_size_limit(10_000_000)
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        try:
            for place, row in enumerate(csv.DictReader(file, restkey="…"), 1):
                yield place, "more values than the header has names" if "…" in row else row
        except csv.Error as error:
            raise ValueError(f"{path}: not well-formed CSV ({error}); save it again as CSV with double quotes around texts") from error


def label_column(source, label):
    """The label column: the one asked for, else `label` or `intent` if the first row has it, else None."""
    first = next((row for _, row in records(source) if isinstance(row, dict)), {})
    if label is not None and label not in first:
        raise ValueError(f"{source}: no column {label!r}; the columns are {', '.join(map(str, first))}: choose one with label='…'")
    return label or next((column for column in ("label", "intent") if column in first), None)


# ---- find what is wrong ------------------------------------------------------------------------


def audit(source, text="text", label=None, test=None, near=None):
    """Look for every fault in CHECKS; returns an Audit.

    source, test: a path to a CSV, JSONL or Parquet file, or a list of rows (dicts); test is searched for leaks
    text, label: the columns to read; without a label column the checks on labels are left out
    near: the overlap from which two texts are near-duplicates (0.7; above 100,000 rows 0.8). Lower
        finds more, and merges short texts that differ in the one word that matters ("my card", "my cash")
    A million short rows take a few minutes and less than 4 GB. Raises ValueError for a file or column that is not there.
    """
    if near is not None and not 0 < near < 1:
        raise ValueError(f"near is an overlap between 0 and 1, got {near}")
    label = label_column(source, label)
    seen = Audit(source, text, label)
    texts, labels, places = read_texts(seen)
    found = seen.findings
    near = near or (0.7 if len(texts) <= 100_000 else 0.8)
    found += cut_off(texts, places)
    found += other_language(texts, places)
    groups = same_texts(texts, labels, places, found, near)
    if test is not None:
        rows = [(place, repair(row[text])) for place, row in records(test) if isinstance(row, dict) and isinstance(row.get(text), str)]
        found += leaks(texts, places, rows, near)
    if label and len(set(labels)) > 1:
        found += suspect_labels(texts, labels, places, groups)
    order = {check: number for number, check in enumerate(CHECKS)}
    found.sort(key=lambda finding: (order[finding.check], finding.place))
    return seen


def read_texts(seen):
    """Read all rows; returns repaired texts, labels and places of the usable ones, and notes what each row alone shows."""
    texts, labels, places = [], [], []
    shared = {}  # one string object per label, not one per row
    for place, row in records(seen.source):
        seen.places.append(place)
        problem = row if isinstance(row, str) else missing(row, seen.text, seen.label)
        if problem:
            seen.findings.append(Finding("empty" if problem.startswith("no ") else "unparsable", place, problem))
            continue
        raw = row[seen.text]
        text = repair(raw)
        count = len(text.split())
        seen.words.append(count)
        kept = shared.setdefault(str(row[seen.label]), str(row[seen.label])) if seen.label else None
        seen.labels[kept] += 1
        if text != raw:
            seen.findings.append(Finding("damaged", place, shorten(raw)))
        if lost := LOST.search(text):
            seen.findings.append(Finding("lost_letters", place, shorten(text[max(0, lost.start() - 15) :])))
        if pieces := pii.find(text):
            seen.findings.append(Finding("personal_data", place, ", ".join(sorted({piece.kind for piece in pieces}))))
        if count > LONGEST:
            seen.findings.append(Finding("too_long", place, f"{count} words"))
        if count < 2:
            seen.findings.append(Finding("too_short", place, shorten(text)))
            continue
        texts.append(text)
        labels.append(kept)
        places.append(place)
    if not seen.places:
        raise ValueError(f"{seen.source}: there are no rows")
    return texts, labels, places


# ---- the cleaned copy --------------------------------------------------------------------------


def clean(seen, out, drop=()):
    """Write OUT.jsonl without the faults that CHECKS says are removed, repaired or masked, and OUT.log.jsonl with each change.

    drop: further checks whose rows shall go, such as ("suspect_label", "cut_off")
    Both files are complete or not there. Returns a Counter of what was done.
    """
    if unknown := set(drop) - set(CHECKS):
        raise ValueError(f"no check {sorted(unknown)[0]!r}; choose from {', '.join(CHECKS)}")
    out, by_place = Path(out), {}
    paths = [out.with_name(out.name + end) for end in (".jsonl", ".log.jsonl")]
    if isinstance(seen.source, str | Path) and Path(seen.source).resolve() in [path.resolve() for path in paths]:
        raise ValueError(f"{seen.source}: the cleaned copy would replace what it was made from; choose another name")
    for finding in seen.findings:
        by_place.setdefault(finding.place, []).append(finding)
    done = Counter()
    out.parent.mkdir(parents=True, exist_ok=True)
    works = [path.with_name(path.name + ".part") for path in paths]
    with open(works[0], "w", encoding="utf-8") as rows, open(works[1], "w", encoding="utf-8") as log:
        for place, row in records(seen.source):
            actions = [(f, "removed" if f.check in drop else CHECKS[f.check][1]) for f in by_place.get(place, [])]
            if any(action == "removed" for _, action in actions):
                actions = [(f, action) for f, action in actions if action == "removed"]
            else:
                if actions:
                    row = {**row, seen.text: pii.mask(repair(row[seen.text]))}
                rows.write(json.dumps(row, ensure_ascii=False) + "\n")
                done["kept"] += 1
            for f, action in actions:
                if action != "kept":
                    log.write(json.dumps({"row": place, "action": action, "check": f.check, "why": f.detail}, ensure_ascii=False) + "\n")
            done.update({action for _, action in actions if action != "kept"})
    for work, path in zip(works, paths, strict=True):
        os.replace(work, path)
    return done


# ---- from the shell ----------------------------------------------------------------------------


def main(arguments):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m utils.quality", description="Audit a data set before you train on it.")
    parser.add_argument("source", help="a CSV, JSONL or Parquet file; or data/, the course's own")
    parser.add_argument("--text", default="text", help="the column with the text (text)")
    parser.add_argument("--label", help="the column with the label (label or intent, if there is one)")
    parser.add_argument("--test", help="a test set, to be searched for leaks")
    parser.add_argument("--near", type=float, help="the overlap, 0 to 1, from which two texts are near-duplicates (0.7)")
    parser.add_argument("--clean", metavar="OUT", help="write OUT.jsonl and OUT.log.jsonl")
    parser.add_argument("--train", action="store_true", help="with data/: also what needs the base models (minutes)")
    options = parser.parse_args(arguments)
    try:
        if Path(options.source).resolve() == ROOT / "data":
            return 0 if proof.report(proof.gates() + proof.difficulty(options.train)) else 1
        seen = audit(options.source, options.text, options.label, options.test, options.near)
        table = seen.table()
        print(f"{len(seen.places):,} rows, {len(seen.labels) if seen.label else 'no'} labels, median {seen.median_words()} words")
        print(table[table["rows"] > 0].drop(columns="what it is").to_string(index=False, formatters={"share": "{:.1%}".format}))
        if rare := seen.rare_labels() if seen.label else []:
            print(f"labels with fewer than {RARE} rows: {', '.join(rare)}")
        if options.clean:
            print(f"{options.clean}.jsonl and {options.clean}.log.jsonl: {dict(clean(seen, options.clean))}")
        return 0
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
