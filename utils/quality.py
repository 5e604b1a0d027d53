"""Audit a data set before you train on it: what is wrong, in which row, and a cleaned copy with a log.

python -m utils.quality tickets.csv --label topic                  a table of what was found
python -m utils.quality train.jsonl --test test.jsonl --clean out  and a cleaned copy
python -m utils.quality data/                                      the course's own data, and the proof that they are good
"""

import csv
import html
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils import pii
from utils.duplicates import near_duplicates, normalise

# What can be wrong with a row: name, what it means, what `clean` does about it.
CHECKS = {
    "unparsable": ("the line is no row, or lacks the text or the label column", "removed"),
    "empty": ("no text, or no label", "removed"),
    "too_short": ("fewer than two words", "removed"),
    "damaged": ("letters broken by a wrong encoding, markup, or a quoted earlier message", "repaired"),
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
LONGEST = 350  # words, about 512 tokens of English
RARE = 10  # a label with fewer rows can hardly be learned and tested
SAMPLE = 20_000  # rows that the label check learns from: more would take minutes and find little more


@dataclass(frozen=True)
class Finding:
    """One fault: the check, the row's place (line or row number), a detail, and the place of the row it resembles."""

    check: str
    place: int
    detail: str = ""
    other: int | None = None


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
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file (looked in {Path.cwd()}); check the path")
    if path.suffix.lower() == ".jsonl":
        yield from jsonl_records(path)
    elif path.suffix.lower() == ".csv":
        yield from csv_records(path)
    elif path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        place = 0
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                place += 1
                yield place, row
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


def csv_records(path):
    """Rows of a CSV file; the place is the row's number below the header."""
    csv.field_size_limit(10_000_000)
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        for place, row in enumerate(csv.DictReader(file, restkey="…"), 1):
            yield place, "more values than the header has names" if "…" in row else row


def label_column(source, label):
    """The label column: the one asked for, else `label` or `intent` if the first row has it, else None."""
    first = next((row for _, row in records(source) if isinstance(row, dict)), {})
    if label is not None and label not in first:
        raise ValueError(f"{source}: no column {label!r}; the columns are {', '.join(map(str, first))}: choose one with label='…'")
    return label or next((column for column in ("label", "intent") if column in first), None)


# ---- repair ------------------------------------------------------------------------------------

TAG = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>|<!--.*?-->", re.S)
QUOTED = re.compile(r"^(?:>|On .{5,80} wrote:|-{2,} ?(?:Original|Forwarded) [Mm]essage|From: .+|Sent: .+|-- ?$)", re.M)
BROKEN_LINE = re.compile(r"=(?:\r?\n|3D|20\b|[CE]\d=[89AB][0-9A-F])")


def repair(text):
    """The text without encoding damage, markup and quoted earlier messages; sound text comes back as it is."""
    if text.isascii() and not re.search(r"[<&>=]|\bwrote:|^-", text, re.M):
        return text
    from ftfy import TextFixerConfig, fix_text

    repaired = text
    if len(BROKEN_LINE.findall(repaired)) > 0:
        import quopri

        repaired = quopri.decodestring(repaired.encode()).decode("utf-8", "replace")
    repaired = TAG.sub(" ", re.sub(r"<br ?/?>|</p>", "\n", repaired))
    repaired = html.unescape(repaired).replace("\xa0", " ")
    # Only what is broken: a curly quote, a ligature or a wide letter is somebody's choice.
    keep = TextFixerConfig(uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, fix_line_breaks=False)
    repaired = fix_text(repaired, keep)
    if (quoted := QUOTED.search(repaired)) and repaired[: quoted.start()].strip():
        repaired = repaired[: quoted.start()]
    return text if repaired == text else re.sub(r"[ \t]+", " ", repaired).strip()


# ---- find what is wrong ------------------------------------------------------------------------


def audit(source, text="text", label=None, test=None):
    """Look for every fault in CHECKS; returns an Audit.

    source, test: a path to a CSV, JSONL or Parquet file, or a list of rows (dicts); test is searched for leaks
    text, label: the columns to read; without a label column the checks on labels are left out
    A million short rows take a few minutes and less than 4 GB. Raises ValueError for a file or column that is not there.
    """
    label = label_column(source, label)
    seen = Audit(source, text, label)
    texts, labels, places = read_texts(seen)
    found = seen.findings
    found += cut_off(texts, places)
    found += other_language(texts, places)
    groups = same_texts(texts, labels, places, found)
    if test is not None:
        found += leaks(texts, places, test, text)
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


def missing(row, text, label):
    """What a row lacks, or None; "no …" is an empty value, anything else makes the row unusable."""
    if text not in row or (label and label not in row):
        return f"without the column {text if text not in row else label!r}"
    if row[text] is None or not str(row[text]).strip():
        return "no text"
    if not isinstance(row[text], str):
        return f"the text is {row[text]!r}, not a string"
    if label and (row[label] is None or not str(row[label]).strip()):
        return "no label"
    return None


def shorten(text, length=40):
    """The beginning of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def cut_off(texts, places):
    """Texts whose last word occurs nowhere else, while a longer word that begins so is common."""
    counts = Counter(word for text in texts for word in re.findall(r"[^\W\d_]+", text.lower()))
    longer = Counter()
    for word, count in counts.items():
        if count >= 2:
            for end in range(2, len(word)):
                longer[word[:end]] += count
    found = []
    for text, place in zip(texts, places, strict=True):
        last = re.search(r"([^\W\d_]{2,})$", text.lower())
        if last and counts[last[1]] == 1 and longer[last[1]] >= 3 and len(text) > 40:
            found.append(Finding("cut_off", place, f"… {text[-25:]}"))
    return found


LANGUAGES = [
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "nl",
    "pl",
    "cs",
    "sv",
    "da",
    "no",
    "fi",
    "hu",
    "ro",
    "el",
    "ru",
    "uk",
    "tr",
    "ar",
    "he",
    "hi",
    "zh",
    "ja",
    "ko",
]


def other_language(texts, places, sure=0.9):
    """Texts that are surely in another language than most (py3langid; very short ones are not judged)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    judged = [identifier.classify(text) if len(text) >= 25 else (None, 0) for text in texts]
    counts = Counter(language for language, _ in judged if language)
    main = counts.most_common(1)[0][0] if counts else None
    return [
        Finding("other_language", place, language)
        for (language, confidence), place in zip(judged, places, strict=True)
        if language not in (None, main) and confidence >= sure
    ]


def same_texts(texts, labels, places, found):
    """Note duplicates and conflicts among the texts; returns one number per text, shared by those that say the same."""
    groups = list(range(len(texts)))  # each text's first likeness
    for i, j in near_duplicates(texts):
        groups[j] = min(groups[j], groups[i])
        if groups[j] != j and labels[j] != labels[i]:
            found.append(Finding("label_conflict", places[j], f"{labels[j]}, and {labels[i]} in row {places[i]}", places[i]))
    for j, first in enumerate(groups):
        if first != j:
            same = normalise(texts[j]) == normalise(texts[first])
            found.append(Finding("duplicate" if same else "near_duplicate", places[j], f"as row {places[first]}", places[first]))
    return groups


def leaks(texts, places, test, text):
    """Rows that say what a row of the test set says."""
    of_test = [(place, repair(row[text])) for place, row in records(test) if isinstance(row, dict) and isinstance(row.get(text), str)]
    split, partner = len(of_test), {}
    for i, j in near_duplicates([t for _, t in of_test] + texts):
        if j >= split:
            origin = i if i < split else partner.get(i)
            if origin is not None:
                partner.setdefault(j, origin)
    return [
        Finding("leak", places[j - split], f"as row {of_test[i][0]} of the test set", of_test[i][0]) for j, i in sorted(partner.items())
    ]


def suspect_labels(texts, labels, places, groups, folds=5, seed=0):
    """Rows on whose label a model that did not see them disagrees with confidence.

    Confident learning (Northcutt, Jiang & Chuang 2021, arXiv 1911.00068): a row counts for a label when its
    probability is at least the mean that rows of this label get; a row that counts for another label only is suspect.
    """
    names, given = np.unique(labels, return_inverse=True)
    p = out_of_fold(texts, given, groups, folds, seed)
    limit = np.array([p[given == k, k].mean() for k in range(len(names))])
    over = np.where(p >= limit, p, 0)
    best = over.argmax(1)
    rows = np.arange(len(p))
    wrong = (over.max(1) > 0) & (best != given) & (over[rows, given] == 0)
    return [
        Finding("suspect_label", places[i], f"{names[given[i]]}; the model says {names[best[i]]} ({p[i, best[i]]:.0%})")
        for i in np.flatnonzero(wrong)
    ]


def out_of_fold(texts, given, groups, folds=5, seed=0):
    """Probabilities (n, labels) from models that saw neither the row nor one that says the same; TF-IDF and logistic regression."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    counts = HashingVectorizer(ngram_range=(1, 2), n_features=2**18, alternate_sign=False, norm=None, dtype=np.float32).transform(texts)
    x = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    draw = np.random.default_rng(seed)
    fold = draw.integers(0, folds, len(texts))[np.asarray(groups)]
    p = np.zeros((len(texts), given.max() + 1), np.float32)
    for k in range(folds):
        learn = draw.permutation(np.flatnonzero(fold != k))[:SAMPLE]
        if len(set(given[learn])) < 2:
            continue
        model = LogisticRegression(C=10, max_iter=300).fit(x[learn], given[learn])
        asked = np.flatnonzero(fold == k)
        if len(asked):
            p[np.ix_(asked, model.classes_)] = model.predict_proba(x[asked])
    return p


# ---- the cleaned copy --------------------------------------------------------------------------


def clean(seen, out, drop=()):
    """Write OUT.jsonl without the faults that CHECKS says are removed, repaired or masked, and OUT.log.jsonl with each change.

    drop: further checks whose rows shall go, such as ("suspect_label", "cut_off")
    Both files are complete or not there. Returns a Counter of what was done.
    """
    if unknown := set(drop) - set(CHECKS):
        raise ValueError(f"no check {sorted(unknown)[0]!r}; choose from {', '.join(CHECKS)}")
    out, by_place = Path(out), {}
    for finding in seen.findings:
        by_place.setdefault(finding.place, []).append(finding)
    done = Counter()
    paths = [out.with_name(out.name + end) for end in (".jsonl", ".log.jsonl")]
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
