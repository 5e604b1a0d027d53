"""utils.labs: clean notebooks, labs made from solutions, and what is stale."""

import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from utils import labs
from utils.runtime import ROOT

SOLVED = """\
def mean(values):
    total = sum(values)
    ### BEGIN SOLUTION
    n = len(values)
    return total / n
    ### END SOLUTION

answer = mean([1, 2])
### BEGIN SOLUTION
print(answer)
### END SOLUTION"""

STUBBED = """\
def mean(values):
    total = sum(values)
    # YOUR CODE HERE
    raise NotImplementedError

answer = mean([1, 2])
# YOUR CODE HERE
raise NotImplementedError"""


def used():
    """A notebook as it comes out of Jupyter."""
    output = new_output("stream", text="3")
    return new_notebook(
        cells=[
            new_markdown_cell("# 01 · Toys\n\n[![Open in Colab](old)](old)\n", id="title"),
            new_code_cell("old setup", id="setup", metadata={"tags": ["setup"]}),
            new_code_cell("quick = False\n\n", id="dials", metadata={"tags": ["parameters"], "collapsed": True}, execution_count=7),
            new_code_cell(SOLVED, id="exercise", execution_count=8, outputs=[output]),
            new_code_cell("secret()", id="answer", metadata={"tags": ["solution"]}),
            new_raw_cell("raw", id="raw"),
        ],
        metadata={"kernelspec": {"name": "mine", "display_name": "Mine"}, "widgets": {"state": {}}, "language_info": {"name": "python"}},
    )


def test_cleaning_drops_outputs_counts_and_metadata_and_keeps_ids_and_tags():
    cleaned = labs.clean(used(), "notebooks", "01_toys")
    assert [cell.id for cell in cleaned.cells] == ["title", "setup", "dials", "exercise", "answer", "raw"]
    assert [cell.metadata for cell in cleaned.cells] == [{}, {"tags": ["setup"]}, {"tags": ["parameters"]}, {}, {"tags": ["solution"]}, {}]
    assert all(cell.execution_count is None and cell.outputs == [] for cell in cleaned.cells if cell.cell_type == "code")
    assert cleaned.metadata == {"kernelspec": labs.KERNEL} and cleaned.cells[2].source == "quick = False"
    nbformat.validate(cleaned)


def test_cleaning_twice_changes_nothing():
    once = labs.clean(used(), "notebooks", "01_toys")
    assert nbformat.writes(labs.clean(once, "notebooks", "01_toys")) == nbformat.writes(once)


def test_the_colab_link_and_the_setup_cell_name_the_notebooks_own_place():
    title, setup = labs.clean(used(), "labs", "01_toys").cells[:2]
    assert "/blob/main/labs/01_toys.ipynb)" in title.source and "old" not in title.source
    assert "/content/course/labs" in setup.source and "git clone" in setup.source
    assert setup.source.index("prepare()") < setup.source.index("set_seed(0)")


def test_a_lab_has_stubs_with_the_marks_indentation_and_no_solution_cells():
    cells = {cell.id: cell.source for cell in labs.make_lab(used(), "01_toys").cells}
    assert cells["exercise"] == STUBBED
    assert list(cells) == ["title", "setup", "dials", "exercise", "raw"]


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### END SOLUTION\nx = 1\n### BEGIN SOLUTION",
        "### BEGIN SOLUTION\nx = 1\n### BEGIN SOLUTION\ny = 2\n### END SOLUTION",
        "### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n### END SOLUTION",
    ],
)
def test_a_mark_without_partner_is_an_error_that_names_the_cell(source):
    with pytest.raises(ValueError, match=r"solutions/01_toys.ipynb, cell odd: .* has no partner"):
        labs.make_lab(new_notebook(cells=[new_code_cell(source, id="odd")]), "01_toys")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one solved notebook, in a folder of its own."""
    monkeypatch.setattr(labs, "ROOT", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("notebooks", "solutions"):
        (tmp_path / folder).mkdir()
    nbformat.write(used(), tmp_path / "solutions" / "01_toys.ipynb")
    return tmp_path


def test_writing_makes_the_lab_and_then_nothing_is_stale(course, capsys):
    assert labs.main(["--check"]) == 1 and not (course / "labs").exists()
    assert "solutions/01_toys.ipynb is stale: run python -m utils.labs" in capsys.readouterr().out
    assert labs.main([]) == 0 and labs.main(["--check"]) == 0
    before = (course / "labs" / "01_toys.ipynb").read_bytes()
    assert labs.main([]) == 0 and (course / "labs" / "01_toys.ipynb").read_bytes() == before


@pytest.mark.parametrize("folder", ["labs", "solutions"])
def test_check_finds_an_edited_file_and_changes_nothing(folder, course, capsys):
    labs.main([])
    path = course / folder / "01_toys.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace('"metadata": {}', '"metadata": {"edited": true}', 1), encoding="utf-8")
    edited = path.read_bytes()
    assert labs.main(["--check"]) == 1 and path.read_bytes() == edited
    assert f"{folder}/01_toys.ipynb is stale" in capsys.readouterr().out


def test_a_lab_without_a_solution_is_reported_and_then_deleted(course, capsys):
    labs.main([])
    (course / "solutions" / "01_toys.ipynb").unlink()
    assert labs.main(["--check"]) == 1 and "labs/01_toys.ipynb has no solution" in capsys.readouterr().out
    assert labs.main([]) == 0 and not list((course / "labs").iterdir())


def test_an_unknown_argument_is_misuse(course):
    assert labs.main(["--chekc"]) == 2
