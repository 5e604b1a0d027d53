"""A decision on one page: verdict, reasons, what would change it, the money, and the evidence from your own ledger.

`memo` gathers it, `markdown` and `html` write it down; what you typed is escaped in both.
"""

import html as markup
import re
import time
from dataclasses import dataclass

from utils.claims import records
from utils.costs import break_even_requests, dollars, likely, once, outlook, tornado
from utils.decide import MEANING, decide, sensitivity
from utils.runtime import runs_dir, write_whole

# The claims whose measurements speak to one of the five questions.
EVIDENCE = {
    "expertise": ("C10", "C12", "C25", "C42"),
    "examples": ("C43", "C48", "C49", "C50"),
    "production": ("C17", "C21", "C44"),
    "worth": ("C13", "C18", "C31", "C45", "C47", "C57", "C61"),
    "updates": ("C27", "C34", "C41", "C46"),
}
MOST = 8  # lines of evidence: the memo stays on one page


@dataclass(frozen=True)
class Memo:
    """A decision with all that belongs to it: title, decision, and sections, each a heading with lines."""

    title: str
    decision: object
    sections: list

    def markdown(self):
        """The memo in Markdown."""
        parts = [f"# {plain(self.title)}"]
        for heading, lines in self.sections:
            parts += [f"## {heading}", "\n".join(f"- {plain(line)}" for line in lines)]
        return "\n\n".join(parts) + "\n"

    def html(self):
        """The memo as a page of its own, which needs no network and prints on one sheet."""
        body = [f"<h1>{markup.escape(one_line(self.title))}</h1>"]
        for heading, lines in self.sections:
            rows = "".join(f"<li>{markup.escape(one_line(line))}</li>" for line in lines)
            body.append(f"<h2>{markup.escape(heading)}</h2><ul>{rows}</ul>")
        style = "body{font:15px/1.4 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}h1{font-size:1.5em}h2{font-size:1.1em}"
        head = f"<meta charset='utf-8'><title>{markup.escape(one_line(self.title))}</title><style>{style}</style>"
        return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"

    def save(self, folder=None):
        """Write both files into the folder (None: runs/memos), and return their paths."""
        folder = folder or runs_dir() / "memos"
        name = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:60] or "memo"
        paths = [folder / f"{name}.md", folder / f"{name}.html"]
        for path, text in zip(paths, (self.markdown(), self.html()), strict=True):
            write_whole(path, text)
        return paths


def one_line(text):
    """Any text on one line."""
    return " ".join(str(text).split())


def plain(text):
    """A text that Markdown shows as it is: no markup, no HTML, one line."""
    return re.sub(r"([\\`*_\[\]#|~])", r"\\\1", markup.escape(one_line(text), quote=False))


def money(guesses, extra=0.0, **settings):
    """The money in lines: net value with its interval, break-even, what is paid first, and what it hangs on."""
    result, middle = outlook(guesses, extra=extra, **settings), likely(guesses)
    parts = once(middle, **settings)
    swings = ", ".join(name for name, *_ in tornado(guesses, extra, **settings)[:3])
    needed = break_even_requests(middle, extra, **settings)
    even = f"{needed:,.0f} requests a month" if needed < 1e12 else "no number of requests"
    return [
        f"Net value over {middle['months']:.0f} months: {result}.",
        f"Paid before the first request: {dollars(sum(parts.values()))}, of which training {dollars(parts['training'])}.",
        f"It breaks even at {even}; expected: {middle['requests']:,.0f}.",
        f"It hangs most on: {swings or 'nothing that is uncertain'}.",
    ]


def evidence():
    """What your ledger says about the five questions, in lines; the newest record of each claim, full runs before quick ones."""
    wanted = {number: question for question, numbers in EVIDENCE.items() for number in numbers}
    found = [record for record in records() if record.number in wanted]
    lines = [
        f"{wanted[r.number]}: {r.number} {r.verdict}{' (quick run)' if r.quick else ''}, {r.size}." + (f" {r.note}" if r.note else "")
        for r in found[:MOST]
    ]
    if len(found) > MOST:
        lines.append(f"{len(found) - MOST} more in the ledger.")
    return lines or ["Nothing measured yet: the ledger is empty, so every number above is a guess."]


def memo(title, answers, reading="points", guesses=None, note="", extra=0.0, **settings):
    """Gather a decision memo.

    answers: utils.decide.Answers; guesses: dials of utils.costs, whose net value, if given, should be in answers.net
    note: a sentence of yours, or none
    """
    decision = decide(answers, reading)
    changes = [f"{change.question}: {change.words} → {change.verdict}" for change in sensitivity(answers, reading)]
    sections = [
        ("Decision", [f"{decision.verdict}: {MEANING[decision.verdict]}.", *([note] if note else [])]),
        ("Reasons", [f"{vote.question}: {vote.reason} → {vote.verdict}" for vote in decision.votes]),
        ("What would change it", changes or ["No single answer: it takes two or more."]),
        *([("Money", money(guesses, extra, **settings))] if guesses else []),
        ("Evidence", evidence()),
        ("Made", [f"{time.strftime('%Y-%m-%d')}, with Fine-Tuning, Measured. Read it again when an answer changes."]),
    ]
    return Memo(title, decision, sections)
