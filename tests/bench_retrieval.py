"""Our one-file store against LanceDB and bm25s: the same passages, vectors and questions, each in a process of its own.

    python -m tests.bench_retrieval [--sizes 1000 10000 100000] [--questions 200]

Text is made up (words drawn by Zipf's law, some shared within a topic) and so are vectors (a topic's centre and noise),
so no model is needed; a question is the words and the vector of one passage, both disturbed. Recall at 5 is the share of
the five exactly nearest passages that come back; for words, of the five that our BM25 finds (the variants of BM25 differ).
The peers run in an environment of their own, made in runs/ on first use. With OMP_NUM_THREADS=1 ours uses one thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from utils.runtime import ROOT, peak_memory_mb, runs_dir

PINS = ["lancedb==0.40.0", "bm25s==0.3.16", "numpy==2.4.6", "pyarrow==25.0.0"]
LOOK = """
import importlib.metadata, sys
for name, version in (pin.split("==") for pin in sys.argv[1:]):
    assert importlib.metadata.version(name) == version
"""
WORDS, TOPICS, WIDTH, LENGTH, PER_DOCUMENT = 30_000, 500, 384, 60, 10
K = 5


def peers_python(folder):
    """The interpreter of the peers' environment, which is made if it is not there with these very versions."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists() and subprocess.run([python, "-c", LOOK, *PINS], capture_output=True).returncode == 0:
        return python
    print(f"making the peers' environment in {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *PINS], check=True)
    return python


def make_data(folder, n, questions, seed=0):
    """Write texts, vectors, questions and their exact answers; the same for the same numbers."""
    rng = np.random.default_rng(seed)
    names = np.array(["".join(rng.choice(list("bdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(4)) for _ in range(WORDS)])
    common = 1 / np.arange(1, WORDS + 1)
    topic = rng.integers(TOPICS, size=n)
    drawn = rng.choice(WORDS, size=(n, LENGTH), p=common / common.sum())
    own = rng.integers(WORDS, size=(TOPICS, 40))  # the words of a topic
    swap = rng.random((n, LENGTH)) < 0.3
    drawn[swap] = own[np.repeat(topic[:, None], LENGTH, 1)[swap], rng.integers(40, size=swap.sum())]
    texts = [f"p{i} " + " ".join(names[row]) for i, row in enumerate(drawn)]
    centres = rng.normal(size=(TOPICS, WIDTH))
    vectors = unit(centres[topic] + rng.normal(size=(n, WIDTH))).astype("float32")
    asked = rng.choice(n, questions, replace=False)
    query_texts = [" ".join(names[np.concatenate([rng.choice(drawn[i], 6), rng.choice(WORDS, 2, p=common / common.sum())])]) for i in asked]
    query_vectors = unit(vectors[asked] + 0.05 * rng.normal(size=(questions, WIDTH))).astype("float32")
    nearest = np.argsort(-(query_vectors.astype(float) @ vectors.T.astype(float)), axis=1, kind="stable")[:, :K]
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "query_vectors.npy", query_vectors)
    (folder / "texts.json").write_text(json.dumps(texts))
    (folder / "questions.json").write_text(json.dumps(query_texts))
    return nearest.tolist()


def unit(vectors):
    """Each row scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def timed(search, questions):
    """(milliseconds per question, what was found), after one question to warm up."""
    search(*questions[0])
    took, found = [], []
    for question in questions:
        started = time.perf_counter()
        found.append(search(*question))
        took.append(1000 * (time.perf_counter() - started))
    return took, found


def run_ours(folder, out):
    """Build and ask our store; runs in a process of its own, so that its memory is its own."""
    from utils.passages import Document
    from utils.retrieval import Store

    texts, vectors = json.loads((folder / "texts.json").read_text()), np.load(folder / "vectors.npy")
    questions = list(zip(json.loads((folder / "questions.json").read_text()), np.load(folder / "query_vectors.npy"), strict=True))
    known = dict(questions)
    before = peak_memory_mb()

    def embed(asked):
        return [known[text] if text in known else vectors[int(text.split("\n")[1].split()[0][1:])] for text in asked]

    embed.name = "made up"
    starts = range(0, len(texts), PER_DOCUMENT)
    documents = [
        Document(f"d{i}", "\n\n".join(f"# {name}\n\n{text}" for name, text in enumerate(texts[i : i + PER_DOCUMENT]))) for i in starts
    ]
    started, path = time.perf_counter(), folder / "ours.sqlite"
    with Store(path, embed) as store:
        store.ingest(documents)
    result = dict(build=time.perf_counter() - started, disk=path.stat().st_size / 1e6)
    with Store(path, embed) as store:
        started = time.perf_counter()
        store.search(*questions[0][:1], k=K, by="vector")
        result["first"] = 1000 * (time.perf_counter() - started)
        for by in ("vector", "words", "hybrid"):
            result[by] = timed(lambda text, vector: [int(p.text.split()[0][1:]) for p in store.search(text, k=K, by=by)], questions)  # noqa: B023
        started = time.perf_counter()
        store.ingest([Document("d0", "# new\n\n" + texts[0])])
        result["update"] = 1000 * (time.perf_counter() - started)
        started = time.perf_counter()
        store.search(questions[0][0], k=K)
        result["after update"] = 1000 * (time.perf_counter() - started)
    out.write_text(json.dumps({"ours (SQLite, NumPy)": result | dict(memory=peak_memory_mb(), before=before)}))


def run_peers(python, folder, peer, out):
    """One peer in its environment; returns what it wrote."""
    done = subprocess.run([python, ROOT / "tests" / "retrieval_run.py", peer, folder, out, str(K)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{peer} failed:\n{done.stderr[-2000:]}")


def line(name, result, nearest, words):
    """One row of the table."""
    cells = [f"{name:22}", f"{result['build']:7.1f} s", f"{result['disk']:6.0f} MB", f"{result['memory'] - result['before']:6.0f} MB"]
    for by, truth in (("vector", nearest), ("words", words), ("hybrid", None)):
        if by not in result:
            cells.append(f"{'–':>24}")
            continue
        took, found = result[by]
        shared = "" if truth is None else f" {np.mean([len(set(a) & set(b)) / K for a, b in zip(truth, found, strict=True)]):.0%}"
        cells.append(f"{statistics.median(took):6.1f} /{np.quantile(took, 0.95):6.1f} ms{shared:>5}")
    return " | ".join(cells)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_retrieval", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="passages")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--environment", type=Path, default=runs_dir() / "retrieval-env", help="the peers'; made if it is not there")
    parser.add_argument("--ours", type=Path, nargs=2, metavar=("FOLDER", "OUT"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.ours:
        return run_ours(*a.ours)
    import tempfile

    python = peers_python(a.environment.resolve())
    print("memory: peak above the data in memory; vector, words, hybrid: median / 95th percentile, and recall at 5", flush=True)
    for n in a.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            nearest, results = make_data(folder, n, min(a.questions, n)), {}
            subprocess.run([sys.executable, "-m", "tests.bench_retrieval", "--ours", folder, folder / "ours.json"], cwd=ROOT, check=True)
            for peer in ("lancedb", "bm25s"):
                run_peers(python, folder, peer, folder / f"{peer}.json")
            for file in ("ours", "lancedb", "bm25s"):
                results |= json.loads((folder / f"{file}.json").read_text())
            ours = next(iter(results.values()))
            print(f"\n{n:,} passages of {LENGTH} words, {WIDTH} numbers each")
            for peer, result in results.items():
                print(line(peer, result, nearest, ours["words"][1]), flush=True)
            print(
                f"ours: first search of a new process {ours['first']:.0f} ms; one document replaced in {ours['update']:.0f} ms, "
                f"and the search after it, which reads all vectors again, {ours['after update']:.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
