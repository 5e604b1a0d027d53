"""Is this machine ready for the course? Every finding comes with what to do about it."""

import html
import json
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from utils.models import REGISTRY, is_present
from utils.runtime import ROOT, cache_dir, cores, device, fastest_dtype, matrix_rate, memory_gb, where


@dataclass
class Finding:
    """One thing looked at: its name, what was found, and a remedy if it is not good enough."""

    name: str
    value: str
    remedy: str = ""

    @property
    def good(self):
        """True if there is nothing to do."""
        return not self.remedy


class Checkup(list):
    """A list of findings that shows itself as a table."""

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td>{'ready' if f.good else '<b>to do</b>'}</td><td style='text-align:left'>{html.escape(f.name)}</td>"
            f"<td style='text-align:left'>{html.escape(f.value)}</td><td style='text-align:left'>{html.escape(f.remedy)}</td></tr>"
            for f in self
        )
        heads = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("", "what", "found", "what to do"))
        return f"<table><tr>{heads}</tr>{rows}</table>"

    def __repr__(self):
        return "\n".join(f"{'ready' if f.good else 'TO DO'}  {f.name}: {f.value}{'' if f.good else ' - ' + f.remedy}" for f in self)

    @property
    def good(self):
        """True if nothing is left to do."""
        return all(f.good for f in self)


def check_machine():
    """Look at Python, packages, cores, memory, disk, number types and models; takes a few seconds."""
    return Checkup([check_python(), check_packages(), check_cores(), check_memory(), check_disk(), check_speed(), *check_models()])


def check_python():
    """Python 3.11 or newer."""
    old = sys.version_info < (3, 11)
    return Finding("Python", platform.python_version(), "install Python 3.11 or newer, delete .venv, run make lab" if old else "")


def check_packages():
    """The installed versions are the pinned ones (Colab keeps its own torch and friends)."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line)
    differing = []
    for name, pin in pins.items():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            found = "missing"
        if found != pin:
            differing.append(f"{name} {found} instead of {pin}")
    if not differing or where() == "colab":
        return Finding("packages", f"{len(pins) - len(differing)} of {len(pins)} at the pinned version")
    return Finding(
        "packages",
        "; ".join(differing),
        "in the course's folder: .venv/bin/python -m pip install -r requirements.txt, then restart the kernel",
    )


def check_cores():
    """Two cores, as the times in the lessons assume."""
    n = cores()
    return Finding("CPU cores", str(n), "" if n >= 2 else "works, but expect twice the minutes; close other programs")


def check_memory():
    """Four gigabytes: a lesson takes up to three."""
    gb = memory_gb()
    return Finding("memory", f"{gb:.0f} GB", "" if gb >= 4 else "close other programs, or open the lesson on Colab (link at its top)")


def check_disk():
    """Two gigabytes free for checkpoints and saved models."""
    free = shutil.disk_usage(ROOT).free / 1e9
    return Finding("free disk", f"{free:.0f} GB", "" if free >= 2 else f"free 2 GB on the disk that holds {ROOT}")


def check_speed():
    """How fast the machine multiplies matrices, and in which number type."""
    dtype = fastest_dtype()
    return Finding("number type", f"{dtype} on {device()}: {matrix_rate(dtype):,.0f} GFLOP/s (float32: {matrix_rate('float32'):,.0f})")


def check_models():
    """Each base model is in the cache, verified."""
    remedy = "in a terminal, in the course's folder: .venv/bin/python -m utils.models fetch"
    return [
        Finding(f"model {m.name}", "in the cache, verified" if is_present(m) else f"not in {cache_dir()}", "" if is_present(m) else remedy)
        for m in REGISTRY.values()
    ]


def course_map():
    """A table of the lessons that are here: number, title, promise, minutes; read from the notebooks themselves."""
    import pandas as pd

    rows = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        lines = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()
        title, promise, price = (next(line for line in lines if line.startswith(mark)) for mark in ("# ", "> ", "**"))
        lab = ROOT / "labs" / path.name
        rows.append([title[2:], promise[2:], price.strip("*"), lab.name if lab.exists() else ""])
    return pd.DataFrame(rows, columns=["lesson", "promise", "price", "lab"])
