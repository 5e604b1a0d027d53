"""What you have done in this course: labs, quizzes, claims; kept on this machine and shown in lesson 00.

One line of JSON per event in `.journal.jsonl`, in the course's folder (FTM_JOURNAL moves it).
"""

import json
import os
import re
import time
from pathlib import Path

from utils.runtime import ROOT, append_line, read_lines


def journal_path():
    """Where your journal lies."""
    return Path(os.environ.get("FTM_JOURNAL", ROOT / ".journal.jsonl")).expanduser()


def note(kind, lesson, **details):
    """Write down that something was done: kind "exercise" or "quiz", lesson "03"."""
    append_line(journal_path(), {"kind": kind, "lesson": lesson, **details, "date": time.strftime("%Y-%m-%d %H:%M")})


def events(kind, lesson):
    """What was noted of one kind for one lesson, oldest first."""
    found = (entry for entry in read_lines(journal_path()) if isinstance(entry, dict))
    return [entry for entry in found if entry.get("kind") == kind and entry.get("lesson") == lesson]


def exercises(lesson):
    """The exercises of a lesson's lab, by the names of their checks; none where there is no lab."""
    checks = ROOT / "utils" / "checks" / f"lab_{lesson}.py"
    return re.findall(r"^def check_(\w+)", checks.read_text(encoding="utf-8"), re.MULTILINE) if checks.exists() else []


def progress():
    """A table, a row per lesson that is here: exercises passed, quiz, claims in your ledger."""
    import pandas as pd

    from utils.claims import claims, records

    recorded = [claims()[found.number]["lesson"] for found in records()]
    measured = [claim["lesson"] for claim in claims().values() if claim["kind"] == "measured"]
    rows = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        lesson, title = path.stem[:2], "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
        tasks, answered = exercises(lesson), events("quiz", lesson)
        passed = {entry.get("exercise") for entry in events("exercise", lesson)} & set(tasks)
        open_quiz = "open" if quiz_file(lesson).exists() else "none"
        rows.append(
            {
                "lesson": title.removeprefix("# "),
                "lab": f"{len(passed)} of {len(tasks)} exercises" if tasks else "none",
                "quiz": f"{answered[-1]['right']} of {answered[-1]['of']} right" if answered else open_quiz,
                "claims in your ledger": f"{recorded.count(lesson)} of {measured.count(lesson)}",
            }
        )
    return pd.DataFrame(rows)


def quiz_file(lesson):
    """Where a lesson's quiz lies."""
    return ROOT / "data" / "quizzes" / f"{lesson}.json"
