"""Where we run: laptop, Colab or CI; cores, memory, device, number types, seed and folders."""

import functools
import json
import os
import random
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def where():
    """Return "colab", "ci" or "laptop"."""
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        return "colab"
    return "ci" if os.environ.get("CI") else "laptop"


def cache_dir():
    """Folder for downloaded base models: FTM_CACHE, else the user's cache folder."""
    if "FTM_CACHE" in os.environ:
        return Path(os.environ["FTM_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fine-tuning-measured"


def runs_dir():
    """Folder for what you produce: checkpoints, saved models, executed notebooks. Safe to delete."""
    return Path(os.environ.get("FTM_RUNS", ROOT / "runs")).expanduser()


def cores():
    """CPU cores this process may use (containers and batch systems often allow fewer than the machine has)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        limit, period = quota.read_text().split()
        if limit != "max":
            allowed = min(allowed, max(1, int(limit) // int(period)))
    return allowed


def memory_gb():
    """Memory of this machine, or of this container if it may use less, in GB (10^9 bytes)."""
    import psutil

    total = psutil.virtual_memory().total
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        total = min(total, int(text))
    return total / 1e9


def peak_memory_mb():
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")  # Linux; getrusage there also counts the process that started this one
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows keeps the peak elsewhere
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def release_memory():
    """Give memory that Python and the C library keep for later back to the machine (Linux; elsewhere only collects)."""
    import ctypes
    import gc

    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim:
            trim(0)


def write_whole(path, text):
    """Write a text file beside its place and rename it, so that a crash keeps the old one and no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def append_line(path, entry):
    """Add one entry to a file of JSON lines; a last line that a crash broke stays apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps(entry, ensure_ascii=False) + "\n")


def read_lines(path):
    """The entries of a file of JSON lines, damaged ones passed over; none where there is no file."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def device():
    """The torch device to train on: "cuda" where there is one, else "cpu".

    Apple's "mps" is left out: results and number types there were not checked.
    """
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def set_seed(seed=0):
    """Seed Python, NumPy and torch; on the CPU the same seed then gives the same run."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@functools.cache
def matrix_rate(dtype="float32", seconds=0.2):
    """Matrix products per second in one number type, measured, in GFLOP/s; 0.0 where it does not work.

    Two 1024 × 1024 matrices (4096 on a GPU), best of the repeats that fit into `seconds`.
    """
    import torch

    where = device()
    size = 1024 if where == "cpu" else 4096
    wait = torch.cuda.synchronize if where == "cuda" else lambda: None
    try:
        a = torch.ones(size, size, dtype=getattr(torch, dtype), device=where)
        started = time.perf_counter()
        a @ a  # the first product also sets the library up
        wait()
        best = first = time.perf_counter() - started
        # A type that is only emulated takes seconds for one product: one look is enough.
        while first < seconds and time.perf_counter() - started < seconds:
            tick = time.perf_counter()
            a @ a
            wait()
            best = min(best, time.perf_counter() - tick)
    except RuntimeError:
        return 0.0
    return 2 * size**3 / best / 1e9


@functools.cache
def fastest_dtype():
    """The number type that this machine multiplies fastest: "float32", "bfloat16" or "float16".

    Measured, not assumed: many CPUs accept bfloat16 and are slower in it, and a T4 GPU
    only emulates it. A half-width type must win by 20 % to be worth its lost digits.
    float16 is for GPUs: its narrow range needs loss scaling.
    """
    candidates = ["bfloat16"] if device() == "cpu" else ["bfloat16", "float16"]
    best = max(candidates, key=matrix_rate)
    return best if matrix_rate(best) > 1.2 * matrix_rate("float32") else "float32"


# What the course teaches has our version on Colab, too; all else that Colab has stays as it is,
# since its torch, numpy and the like match its GPU driver and each other.
OURS_ON_COLAB = {"transformers", "peft", "datasets", "accelerate", "papermill", "huggingface_hub"}


def colab_requirements(lines, installed):
    """(what to install, what to keep) on Colab, as lines for pip.

    lines: those of requirements.txt; installed: package to version, as Colab has them.
    """
    wanted, kept = [], []
    for line in lines:
        requirement = line.split("#")[0].strip()
        name, _, version = requirement.partition("==")
        if not requirement or installed.get(name.lower()) == version:
            continue
        if name in OURS_ON_COLAB or name.lower() not in installed:
            wanted.append(requirement)
        else:
            kept.append(f"{name}=={installed[name.lower()]}")
    return wanted, kept


def prepare():
    """Make this kernel ready for the course: on Colab, install what is missing; elsewhere, nothing to do."""
    if where() == "colab":
        install_on_colab()


def install_on_colab():
    """Install on Colab what the course needs and Colab lacks; must come before torch is imported."""
    import subprocess
    from importlib.metadata import distributions

    installed = {d.name.lower(): d.version for d in distributions() if d.name}
    wanted, kept = colab_requirements((ROOT / "requirements.txt").read_text().splitlines(), installed)
    if not wanted:
        return
    if "torch" in sys.modules:
        raise RuntimeError("torch is loaded already: choose Runtime, Restart session, and run this cell first")
    constraints = Path("/tmp/colab-constraints.txt")
    constraints.write_text("\n".join(kept) + "\n")
    print(f"installing {len(wanted)} packages (about a minute)")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-c", str(constraints), *wanted], check=True)
