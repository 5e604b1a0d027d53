"""Documents as they come, a Markdown text with a day from which it holds, and the passages that they are cut into."""

import datetime
import hashlib
import re
from dataclasses import dataclass

ALWAYS = "0001-01-01"  # in force from the first day on
HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*$")


@dataclass(frozen=True)
class Document:
    """A Markdown text by the name of its source, in force from a day on, until the next version of this source begins."""

    source: str
    text: str
    since: str = ALWAYS  # YYYY-MM-DD

    @property
    def checksum(self):
        """What tells two texts apart."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Passage:
    """A piece of a document that was found; `until` is the first day on which it is no longer in force."""

    source: str
    heading: str
    text: str
    since: str
    until: str
    score: float  # cosine, BM25 or fused, as was asked for: more is better
    similarity: float | None  # cosine with the question, None when only words were asked for


def split_markdown(text, longest=200):
    """[(heading, passage)] of a Markdown text: a passage per section, or several where a section has over `longest` words.

    All headings above a passage go with it, joined by " › ". A "#" within a code block is no heading.
    """
    path, sections, fenced = [], [("", [])], False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if not fenced and (found := HEADING.match(line)):
            level = len(found[1])
            path = [(above, title) for above, title in path if above < level] + [(level, found[2])]
            sections.append((" › ".join(title for _, title in path), []))
        else:
            sections[-1][1].append(line)
    return [(heading, piece) for heading, lines in sections for piece in cut("\n".join(lines), longest)]


def cut(text, longest):
    """A text in pieces of at most `longest` words: cut between paragraphs, and within one only if it is longer by itself."""
    pieces, room = [], 0
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        words = paragraph.split()
        for start in range(0, len(words), longest):
            some = words[start : start + longest]
            part = paragraph if len(words) <= longest else " ".join(some)
            if len(some) <= room:
                pieces[-1] += "\n\n" + part
            else:
                pieces.append(part)
                room = longest
            room -= len(some)
    return pieces


def checked(document):
    """The document with its day in one form; says in one sentence what is wrong with it."""
    if not isinstance(document, Document):
        raise ValueError(f"a store takes Document(source, text, since), got {type(document).__name__} {str(document)[:40]!r}")
    for name, value in (("source", document.source), ("text", document.text)):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"document {document.source!r}: its {name} must be a text that is not empty, got {value!r}")
    return Document(document.source, document.text, day(document.since, f"document {document.source!r}: "))


def day(text, where=""):
    """A day as YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(str(text)).isoformat()
    except ValueError:
        raise ValueError(f"{where}a day is written YYYY-MM-DD, such as 2026-07-01, got {text!r}") from None
