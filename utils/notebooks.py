"""Run a notebook without a browser.

    python -m utils.notebooks 09 [--quick]

runs notebooks/09_….ipynb through papermill and writes the executed notebook and its HTML to runs/executed/.
"""

import argparse
import sys
from pathlib import Path

from utils.runtime import ROOT, runs_dir


def find(name):
    """The path of a notebook: a file, or the number (or beginning) of a lesson."""
    if Path(name).suffix == ".ipynb":
        if not Path(name).is_file():
            raise ValueError(f"{name}: there is no such notebook")
        return Path(name)
    matches = sorted((ROOT / "notebooks").glob(f"{name}*.ipynb"))
    if len(matches) != 1:
        known = ", ".join(path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb")))
        raise ValueError(f"{name!r} names {len(matches)} lessons; choose one of {known}, or give a path")
    return matches[0]


def execute(path, folder, quick=False, progress=False, **parameters):
    """Run one notebook with papermill, in its own folder as working directory; returns the executed copy.

    Raises papermill.PapermillExecutionError when a cell fails; the copy then shows where.
    """
    import papermill

    target = Path(folder) / Path(path).name
    target.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        str(path),
        str(target),
        parameters={"quick": quick, **parameters},
        kernel_name="python3",
        cwd=str(Path(path).parent),
        progress_bar=progress,
    )
    return target


def to_html(path):
    """Write an executed notebook as one HTML file beside it, which needs no network to be read; its widgets stand still."""
    import nbformat
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", widget_renderer_url="", jquery_url="")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)  # their state moves them only where a program from the network runs
    html, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": Path(path).stem}})
    target = Path(path).with_suffix(".html")
    target.write_text(html, encoding="utf-8")
    return target


def main(arguments):
    """Run one notebook, say where the result lies; returns the exit status."""
    import papermill

    parser = argparse.ArgumentParser(prog="python -m utils.notebooks", description="Run one notebook without a browser.")
    parser.add_argument("notebook", help="number of a lesson (09), or a path")
    parser.add_argument("--quick", action="store_true", help="the one-minute size that the tests use")
    a = parser.parse_args(arguments)
    try:
        path = find(a.notebook)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    folder = runs_dir() / "executed"
    status = 0
    try:
        execute(path, folder, quick=a.quick, progress=True)
    except papermill.PapermillExecutionError as error:
        print(f"{path.name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}", file=sys.stderr)
        status = 1
    executed = folder / path.name
    print(f"executed notebook: {executed}\nas HTML:           {to_html(executed)}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
