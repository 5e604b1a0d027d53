"""What can be wrong with a row of text and label, and how it is found; `utils.quality` puts it together."""

import html
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from utils.duplicates import near_duplicates, normalise

LONGEST = 350  # words, about 512 tokens of English
SAMPLE, FEATURES = 20_000, 20_000  # rows and columns that the label check learns from: more take minutes and find little more


@dataclass(frozen=True)
class Finding:
    """One fault: the check, the row's place (line or row number), a detail, and the place of the row it resembles."""

    check: str
    place: int
    detail: str = ""
    other: int | None = None


# ---- one row alone -----------------------------------------------------------------------------


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


TAG = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>|<!--.*?-->", re.S)
# Lines of an earlier message, and the mark below which nothing but an earlier message follows.
HEADER = (
    r"(?:From|To|Cc|Sent|Date|Subject): .*|.{0,80}\bwrote:|(?:Begin f|F)orwarded(?: message)?:?|-+ ?(?:Original|Forwarded) [Mm]essage ?-*"
)
EARLIER = re.compile(rf"^(?:>.*|{HEADER})\s*$\n?", re.M)
BELOW = re.compile(rf"^(?:-- ?|{HEADER})\s*$", re.M)
LOST = re.compile(r"\ufffd|[^\W\d_]\?[a-zß-ÿ]")
BROKEN_LINE = re.compile(r"=(?:\r?\n|3D|20\b|[CE]\d=[89AB][0-9A-F])")


def repair(text):
    """The text without encoding damage, markup and quoted earlier messages; sound text comes back as it is."""
    if text.isascii() and not re.search(r"[<&>=]|\bwrote:|^-|^(?:From|To|Sent|Date|Subject): ", text, re.M):
        return text
    from ftfy import TextFixerConfig, fix_text

    repaired = text
    if BROKEN_LINE.search(repaired):
        import quopri

        repaired = quopri.decodestring(repaired.encode()).decode("utf-8", "replace")
    repaired = TAG.sub(" ", re.sub(r"<br ?/?>|</p>", "\n", repaired))
    repaired = html.unescape(repaired).replace("\xa0", " ")
    # Only what is broken: a curly quote, a ligature or a wide letter is somebody's choice.
    keep = TextFixerConfig(uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, fix_line_breaks=False)
    repaired = fix_text(repaired, keep)
    repaired = own_words(repaired)
    return text if repaired == text else re.sub(r"[ \t]+", " ", repaired).strip()


def own_words(text):
    """The text without quoted lines, their headers, and what follows a header or a signature's mark; never empty."""
    above = BELOW.split(text)[0]
    if above.strip() and not text.lstrip().startswith(">"):
        text = above if not re.search(r"^>", text, re.M) else text
    left = EARLIER.sub("", text)
    return left if left.strip() else text


# ---- a row among the others --------------------------------------------------------------------


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
        last = re.search(r"\b([a-zß-ÿ]{2,})$", text)
        if last and counts[last[1]] == 1 and longer[last[1]] >= 3 and len(text) > 40:
            found.append(Finding("cut_off", place, f"… {text[-25:]}"))
    return found


# Those that a text is compared with; more would find rare languages in short English messages.
LANGUAGES = [
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sv", "da",
    "no", "fi", "hu", "ro", "el", "ru", "uk", "tr", "ar", "zh", "ja",
]  # fmt: skip


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


def same_texts(texts, labels, places, found, near):
    """Note duplicates, from an overlap of `near` on, and conflicts of their labels.

    Returns one number per text, shared by those that say the same.
    """
    groups = list(range(len(texts)))  # each text's first likeness
    for i, j in near_duplicates(texts, near):
        groups[j] = min(groups[j], groups[i])
        if groups[j] != j and labels[j] != labels[i]:
            found.append(Finding("label_conflict", places[j], f"{labels[j]}, and {labels[i]} in row {places[i]}", places[i]))
    for j, first in enumerate(groups):
        if first != j:
            same = normalise(texts[j]) == normalise(texts[first])
            found.append(Finding("duplicate" if same else "near_duplicate", places[j], f"as row {places[first]}", places[first]))
    return groups


def leaks(texts, places, of_test, near):
    """Rows that say what a row of the test set says; of_test: (place, text) of its rows."""
    split, partner = len(of_test), {}
    for i, j in near_duplicates([t for _, t in of_test] + texts, near):
        if j >= split:
            origin = i if i < split else partner.get(i)
            if origin is not None:
                partner.setdefault(j, origin)
    return [
        Finding("leak", places[j - split], f"as row {of_test[i][0]} of the test set", of_test[i][0]) for j, i in sorted(partner.items())
    ]


def suspect_labels(texts, labels, places, groups, times=3, seed=0):
    """Rows for which a model that did not see them finds another label at least `times` as probable as the given one.

    The model must also be half as sure as it is of the middling row's own label: with many labels, 6 % against 2 % says little.
    The idea of confident learning (Northcutt, Jiang & Chuang 2021, arXiv 1911.00068), with plain limits.
    """
    names, given = np.unique(labels, return_inverse=True)
    p = out_of_fold(texts, given, groups, seed=seed)
    best, rows = p.argmax(1), np.arange(len(p))
    own, rival = p[rows, given], p[rows, best]
    suspect = np.flatnonzero((rival > times * own) & (rival > np.median(own) / 2))
    return [Finding("suspect_label", places[i], f"{names[given[i]]}; the model says {names[best[i]]} ({rival[i]:.0%})") for i in suspect]


def out_of_fold(texts, given, groups, folds=5, seed=0):
    """Probabilities (n, labels) from models that saw neither the row nor one that says the same.

    TF-IDF of the FEATURES commonest words and word pairs, and a logistic regression on at most SAMPLE rows.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    # Hashing needs no dictionary, which for a million texts would be the largest thing in memory.
    counts = HashingVectorizer(ngram_range=(1, 2), n_features=2**20, alternate_sign=False, norm=None, dtype=np.float32).transform(texts)
    common = np.sort(np.argsort(-np.bincount(counts.indices, minlength=counts.shape[1]), kind="stable")[:FEATURES])
    x = TfidfTransformer(sublinear_tf=True).fit_transform(counts[:, common])
    draw = np.random.default_rng(seed)
    fold = draw.integers(0, folds, len(texts))[np.asarray(groups)]
    p = np.full((len(texts), given.max() + 1), 1e-6, np.float32)
    for k in range(folds):
        learn, asked = draw.permutation(np.flatnonzero(fold != k))[:SAMPLE], np.flatnonzero(fold == k)
        if len(asked) and len(set(given[learn])) > 1:
            model = LogisticRegression(C=10, max_iter=200).fit(x[learn], given[learn])
            p[np.ix_(asked, model.classes_)] = model.predict_proba(x[asked])
    return p
