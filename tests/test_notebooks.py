"""Every notebook runs, has the course's form, and labs match their solutions."""

import re
import subprocess
import sys

import nbformat
import papermill
import pytest

from utils.claims import claims, records
from utils.labs import stale
from utils.notebooks import execute, find, to_html
from utils.runtime import ROOT

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
LABS = sorted((ROOT / "labs").glob("*.ipynb"))
ALL = LESSONS + SOLUTIONS + LABS


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@pytest.mark.notebook
@pytest.mark.weights
@pytest.mark.timeout(1500)  # a slow machine, one thread
@pytest.mark.parametrize("path", LESSONS + SOLUTIONS, ids=name_of)
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.setenv("FTM_LEDGER", str(tmp_path / "ledger.jsonl"))
    executed = execute(path, tmp_path, quick=True)
    for cell in cells(executed):
        for output in cell.outputs:
            assert output.output_type != "error"
            if "image/png" in output.get("data", {}):
                pytest.fail(f"cell {cell.id} shows a figure without a description: use utils.plots.show")
            for image in re.findall(r"<img[^>]*>", output.get("data", {}).get("text/html", "")):
                assert 'alt=""' not in image and "alt=" in image
    html = to_html(executed).read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://[^"]+"', html), "the HTML should need no network"
    found = {record.number: record for record in records()}
    if path in LESSONS:
        assert measured_in(path) <= set(found), "each claim that this lesson measures is recorded"
    for record in found.values():
        assert record.n >= 1 and record.low <= record.estimate <= record.high and record.verdict and record.quick


def measured_in(lesson):
    """The claims that a lesson measures, by data/claims.jsonl."""
    return {number for number, claim in claims().items() if claim["lesson"] == lesson.stem[:2] and claim["kind"] == "measured"}


@pytest.mark.notebook
@pytest.mark.parametrize("path", LABS, ids=name_of)
def test_a_lab_stops_at_its_first_exercise(path, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError) as stop:
        execute(path, tmp_path, quick=True)
    assert stop.value.ename == "NotImplementedError"
    first = next(i for i, cell in enumerate(cells(path)) if "raise NotImplementedError" in cell.source)
    ran = [cell.execution_count for cell in cells(tmp_path / path.name) if "papermill-error-cell-tag" not in str(cell.metadata)]
    assert sum(count is not None for count in ran) <= first + 3


def test_every_solution_has_a_lab_and_nothing_is_stale():
    differing, orphans = stale()
    assert [str(path) for path in differing + orphans] == [], "run python -m utils.labs"


@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_a_lesson_keeps_to_its_size(path):
    code = [[line for line in cell.source.splitlines() if line.strip()] for cell in cells(path)]
    lengths = sorted(len(lines) for lines in code)
    words = sum(len(cell.source.split()) for cell in cells(path, "markdown"))
    assert 20 <= len(nbformat.read(path, as_version=4).cells) <= 60
    assert lengths[len(lengths) // 2] <= 5
    assert lengths[-1] <= 25
    assert words / sum(lengths) >= 6


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_it_opens_with_promise_price_dials_and_set_up(path):
    notebook = nbformat.read(path, as_version=4)
    opening = notebook.cells[0].source
    assert re.match(r"# (Lab )?\d\d · ", opening)
    assert "\n> " in opening and re.search(r"\*\*\d+ minutes · .* · .*\*\*", opening) and "You will be able to" in opening
    assert "colab.research.google.com" in opening
    code = cells(path)
    assert code[0].metadata.get("tags") == ["parameters"] and code[0].source.startswith("quick = False")
    assert code[1].metadata.get("tags") == ["setup"]
    assert "torch" not in "".join(cell.source for cell in code[:2]).replace("set_seed", "")


@pytest.mark.parametrize("path", LESSONS + SOLUTIONS, ids=name_of)
def test_prose_quotes_no_measured_number(path):
    for cell in cells(path, "markdown"):
        typed = re.findall(r"\d+\.\d+ ?%|\b[pn] ?[=<] ?\d|\baccuracy (?:of|is) \d", cell.source)
        assert not typed, f"cell {cell.id}: {typed}: quote a variable instead"


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_links_between_notebooks_lead_somewhere(path):
    for cell in cells(path, "markdown"):
        for target in re.findall(r"\]\(([^)#]+)", cell.source):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"cell {cell.id} links to {target}"


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_code_shown_is_the_code_that_runs(path):
    for cell in cells(path):
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("utils."):
                module = ROOT / (tag.replace(".", "/") + ".py")
                assert cell.source.strip() in module.read_text(encoding="utf-8"), f"cell {cell.id} differs from {tag}"


def test_notebooks_and_code_are_linted_and_formatted():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_lesson_is_found_by_its_number():
    assert find("00").name == "00_start_here.ipynb"
    with pytest.raises(ValueError, match="names 0 lessons; choose one of 00_start_here"):
        find("98")
    with pytest.raises(ValueError, match="no such notebook"):
        find("lost.ipynb")
