"""Notebooks in clean form, and labs made from solutions.

    python -m utils.labs            clean notebooks/ and solutions/, write labs/
    python -m utils.labs --check    change nothing; exit 1 and name what is stale

solutions/NN_name.ipynb is the only source of labs/NN_name.ipynb. In a code cell, the lines between
`### BEGIN SOLUTION` and `### END SOLUTION` become a stub; a cell tagged `solution` is left out
(nbgrader's marks). Links to Colab and the set-up cell are made from pyproject.toml's repository.
"""

import re
import sys
import tomllib

import nbformat

from utils.runtime import ROOT

REGION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(?:(?!### BEGIN).)*?^[ \t]*### END SOLUTION$", re.DOTALL | re.MULTILINE)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def course():
    """Where the course is published: repository and branch, from pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["course"]


def setup_cell(folder):
    """The source of every notebook's set-up cell: find the course, and on Colab fetch and install it."""
    published = course()
    return f"""import os, sys  # this cell is the same in every notebook: it finds the course, and on Colab installs it

if "google.colab" in sys.modules and not os.path.exists("../utils"):
    !git clone --quiet --depth 1 --branch {published["branch"]} {published["repository"]} /content/course
    os.chdir("/content/course/{folder}")
sys.path.insert(0, "..")
from utils.runtime import prepare, set_seed

prepare()
set_seed(0)"""


def badge(folder, name):
    """The line of a notebook's first cell that opens it on Colab."""
    published = course()
    place = published["repository"].removeprefix("https://github.com/")
    return (
        "[![Open in Colab](../jupyter/open_in_colab.svg)]"
        f"(https://colab.research.google.com/github/{place}/blob/{published['branch']}/{folder}/{name}.ipynb)"
    )


def clean(notebook, folder, name):
    """The notebook in its committed form: no outputs, no counts, tags only, set-up cell and Colab link as made."""
    result = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        source = cell.source.rstrip()
        if "setup" in tags:
            source = setup_cell(folder)
        if cell.cell_type == "markdown":
            source = re.sub(r"^\[!\[Open in Colab\].*$", lambda _: badge(folder, name), source, flags=re.MULTILINE)
        make = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")
        result.cells.append(make(source, id=cell.id, metadata={"tags": tags} if tags else {}))
    return result


def make_lab(solution, name):
    """The learner's version of a solved notebook."""
    lab = clean(solution, "labs", name)
    lab.cells = [cell for cell in lab.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in lab.cells:
        cell.source = REGION.sub(STUB, cell.source)
        if "### BEGIN SOLUTION" in cell.source or "### END SOLUTION" in cell.source:
            raise ValueError(f"solutions/{name}.ipynb, cell {cell.id}: a BEGIN SOLUTION or END SOLUTION mark has no partner")
    return lab


def wanted():
    """Every notebook file as it should be: a dict of path to text."""
    files = {}
    for folder in ("notebooks", "solutions"):
        for path in sorted((ROOT / folder).glob("*.ipynb")):
            source = nbformat.read(path, as_version=4)
            files[path] = nbformat.writes(clean(source, folder, path.stem)) + "\n"
            if folder == "solutions":
                files[ROOT / "labs" / path.name] = nbformat.writes(make_lab(source, path.stem)) + "\n"
    return files


def stale():
    """Paths that differ from their source, or have none."""
    files = wanted()
    differing = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    orphans = [path for path in sorted((ROOT / "labs").glob("*.ipynb")) if path not in files]
    return differing, orphans


def main(arguments):
    """Write, or with --check only compare; returns the exit status."""
    differing, orphans = stale()
    if arguments == ["--check"]:
        for path in differing:
            print(f"{path.relative_to(ROOT)} is stale: run python -m utils.labs")
        for path in orphans:
            print(f"{path.relative_to(ROOT)} has no solution: add one or delete it")
        return 1 if differing or orphans else 0
    if arguments:
        print("usage: python -m utils.labs [--check]", file=sys.stderr)
        return 2
    files = wanted()
    for path in differing:
        path.parent.mkdir(exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    for path in orphans:
        path.unlink()
        print(f"deleted {path.relative_to(ROOT)}, which has no solution")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
