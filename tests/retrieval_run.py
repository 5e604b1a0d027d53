"""The peers' side of tests.bench_retrieval; runs in the throw-away environment: peer, folder, output file and k as arguments.

Writes {name: {build (s), disk (MB), memory and before (MB), vector, words, hybrid: [milliseconds, ids found]}}.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

peer, folder, out, k = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
texts, vectors = json.loads((folder / "texts.json").read_text()), np.load(folder / "vectors.npy")
questions = list(zip(json.loads((folder / "questions.json").read_text()), np.load(folder / "query_vectors.npy"), strict=True))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def size(place):
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6


def timed(search):
    search(*questions[0])
    took, found = [], []
    for question in questions:
        started = time.perf_counter()
        found.append(search(*question))
        took.append(1000 * (time.perf_counter() - started))
    return took, found


before = peak()
if peer == "bm25s":
    import bm25s

    started = time.perf_counter()
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    index.save(folder / "bm25s")
    result = dict(build=time.perf_counter() - started, disk=size(folder / "bm25s"))

    def words(text, vector):
        tokens = bm25s.tokenize([text], stopwords=None, show_progress=False)
        return [int(texts[i].split()[0][1:]) for i in index.retrieve(tokens, k=k, show_progress=False)[0][0]]

    results = {"bm25s": result | dict(words=timed(words))}
else:
    import lancedb
    import pyarrow as pa
    from lancedb.rerankers import RRFReranker

    started = time.perf_counter()
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = lancedb.connect(folder / "lance").create_table("passages", pa.table({"text": texts, "vector": column}))
    table.create_fts_index("text", use_tantivy=False, stem=True, remove_stop_words=False)
    result = dict(build=time.perf_counter() - started, disk=size(folder / "lance"))

    def ids(query):
        return [int(row["text"].split()[0][1:]) for row in query.limit(k).select(["text"]).to_list()]

    def near(text, vector):
        return ids(table.search(vector, query_type="vector").distance_type("cosine"))

    def hybrid(text, vector):
        query = table.search(query_type="hybrid").vector(vector).text(text).distance_type("cosine").rerank(RRFReranker())
        return [int(row["text"].split()[0][1:]) for row in query.limit(k).to_list()]

    result["vector"] = timed(near)
    result["words"] = timed(lambda text, vector: ids(table.search(text, query_type="fts")))
    result["hybrid"] = timed(hybrid)
    results = {"LanceDB, exact": result | dict(memory=peak(), before=before)}
    if len(texts) >= 5000:  # an index needs points to learn its cells from
        started = time.perf_counter()
        table.create_index(metric="cosine", index_type="IVF_PQ")
        built = result["build"] + time.perf_counter() - started
        refined = timed(
            lambda text, vector: ids(table.search(vector, query_type="vector").distance_type("cosine").nprobes(20).refine_factor(10))
        )
        results["LanceDB, IVF-PQ"] = dict(build=built, disk=size(folder / "lance"), vector=refined)
for found in results.values():
    found.setdefault("memory", peak())
    found.setdefault("before", before)
out.write_text(json.dumps(results))
