"""Documents in an embedded database, one SQLite file, found by words, by meaning, or by both.

    with Store(runs_dir() / "policies.sqlite") as store:
        store.ingest([Document("returns", text, since="2026-07-01")])
        store.search("How long may I keep it?", k=3, on="2026-07-15")

FTS5 indexes the words and ranks by BM25; vectors lie beside them as BLOBs, and NumPy compares them all with the question's.
One transaction changes both: a search sees the old documents or the new ones, never a mixture, and an ingest that is killed
leaves the old. SQLite's write-ahead log lets others read while one writes (on a local disk: network folders lack its locks).
"""

import contextlib
import re
import sqlite3
import time
from pathlib import Path

import numpy as np

from utils.passages import Passage, checked, day, split_markdown

FORMAT = 1  # of these tables, kept in the file as user_version
OPEN = "9999-12-31"  # the end of a version that no other has followed
POOL = 50  # how many of each ranking take part in the fusion
CONSTANT, WEIGHT = 5, 0.5  # of the fusion: chosen on Fernhill's validation questions, where the published 60 and 1 find less
WAIT = 30  # seconds until a writer gives up while another one writes
SCHEMA = """
CREATE TABLE documents (id INTEGER PRIMARY KEY, source TEXT, since TEXT, until TEXT, checksum TEXT, UNIQUE (source, since));
CREATE TABLE passages (id INTEGER PRIMARY KEY, document INTEGER, vector BLOB);
CREATE INDEX passages_of ON passages (document);
CREATE VIRTUAL TABLE words USING fts5 (heading, text, tokenize = 'porter unicode61');
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT);
INSERT INTO notes VALUES ('changes', '0');
PRAGMA user_version = 1
"""
WAYS = ["hybrid", "vector", "words"]


# ---- words and places --------------------------------------------------------------------------


def match_any(words):
    """Words as a query of FTS5: any of them. They hold no signs, so none is a syntax error."""
    return " OR ".join(f'"{word}"' for word in words) or '""'


def fuse(rankings, weights=None, constant=CONSTANT):
    """Several rankings (lists of ids, best first) as one: {id: score}, best first; a place gives weight / (constant + place).

    Reciprocal-rank fusion (Cormack, Clarke and Büttcher 2009, SIGIR): it needs no common scale, only the order. A large constant
    makes places alike, so that whatever both rankings hold leads; a small one trusts the first places.
    """
    scores = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for place, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + weight / (constant + place)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


class Encoder:
    """Texts to vectors by a pretrained encoder, which is loaded with the first text; about 256 tokens of each are read."""

    def __init__(self, model_id="minilm"):
        self.name, self._classifier = model_id, None

    def __call__(self, texts):
        """An array (n, D)."""
        if self._classifier is None:
            from utils.classifiers import Classifier

            self._classifier = Classifier.from_base(self.name, ["no", "yes"], max_tokens=256)
        return self._classifier.vectors(texts)


# ---- the store ---------------------------------------------------------------------------------


class Store:
    """Documents in one file, for one process that writes and any number that read; used in a `with`, or closed by `close`.

    embed: a function from n texts to an array (n, D); its `name` is kept in the file, since vectors of two encoders do not compare
    Raises ValueError in one sentence for a file, document, date or question that cannot be used.
    """

    def __init__(self, path, embed=None):
        self.path, self.embed, self._loaded = Path(path), embed or Encoder(), None
        self._counts = None  # with _loaded, what is remembered of the file until it changes
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)  # None: transactions are begun by hand
            self.db.execute("PRAGMA journal_mode = WAL")
            if not self._format():
                with self._transaction("IMMEDIATE"):
                    for line in SCHEMA.split(";") if not self._format() else []:  # another process may have been faster
                        self.db.execute(line)
            made = self._format()
        except sqlite3.Error as error:
            remedy = "use another Python, whose SQLite has it" if "fts5" in str(error) else "name another file, or delete this one"
            raise ValueError(f"{path}: cannot be used as a store ({error}); {remedy}") from None
        if made != FORMAT:
            raise ValueError(f"{path}: made by another version of the course (format {made}, here {FORMAT}); delete it and ingest again")

    def _format(self):
        """The format of the tables, 0 for a new file."""
        return self.db.execute("PRAGMA user_version").fetchone()[0]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Close the file."""
        self.db.close()

    @contextlib.contextmanager
    def _transaction(self, kind="DEFERRED"):
        """All of it or nothing, also when it is interrupted; DEFERRED reads one state, IMMEDIATE waits for its turn to write."""
        try:
            self.db.execute(f"BEGIN {kind}")
        except sqlite3.OperationalError as error:
            raise ValueError(f"{self.path}: {error}: another program has been writing to it for {WAIT} s; let it end, or stop it") from None
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:  # a full disk has ended it already
                self.db.execute("ROLLBACK")
            raise

    # ---- change --------------------------------------------------------------------------------

    def ingest(self, documents):
        """Add documents, and replace those of the same source and day: all of them or none. Unchanged ones cost nothing.

        Returns {"new", "replaced", "unchanged", "passages", "seconds"}.
        """
        started, documents = time.perf_counter(), [checked(document) for document in documents]
        named = {(document.source, document.since): document for document in documents}
        if len(named) < len(documents):
            raise ValueError("two documents have the same source and day; give one of them another name or day")
        known = {(source, since): mark for source, since, mark in self.db.execute("SELECT source, since, checksum FROM documents")}
        changed = [document for key, document in named.items() if known.get(key) != document.checksum]
        pieces = [(document, heading, text) for document in changed for heading, text in split_markdown(document.text)]
        if bare := {d.source for d in changed} - {d.source for d, _, _ in pieces}:
            raise ValueError(f"document {min(bare)!r} has headings but no text; add some, or leave it out")
        # Reading the texts takes longest, so it comes before the transaction: nobody waits for it.
        vectors = self._embedded([f"{heading}\n{text}" for _, heading, text in pieces])
        with self._transaction("IMMEDIATE"):
            encoder, known_to_file = self._check_encoder(vectors)
            if len(vectors) and not known_to_file:
                self.db.execute("INSERT INTO notes VALUES ('encoder', ?)", (encoder,))
            for document in changed:
                self._remove(document.source, document.since)
                row = (document.source, document.since, OPEN, document.checksum)
                self.db.execute("INSERT INTO documents (source, since, until, checksum) VALUES (?, ?, ?, ?)", row)
            numbers = {(source, since): number for number, source, since in self.db.execute("SELECT id, source, since FROM documents")}
            for (document, heading, text), vector in zip(pieces, vectors, strict=True):
                row = (numbers[document.source, document.since], vector.tobytes())
                number = self.db.execute("INSERT INTO passages (document, vector) VALUES (?, ?)", row).lastrowid
                self.db.execute("INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)", (number, heading, text))
            self._changed({document.source for document in changed})
        replaced = sum((document.source, document.since) in known for document in changed)
        counts = dict(new=len(changed) - replaced, replaced=replaced, unchanged=len(documents) - len(changed), passages=len(pieces))
        return counts | dict(seconds=time.perf_counter() - started)

    def delete(self, source, since=None):
        """Remove a document: the version of one day, or all of them; returns how many versions went."""
        with self._transaction("IMMEDIATE"):
            count = self._remove(source, since and day(since))
            self._changed([source])
        if not count:
            raise ValueError(f"{self.path}: there is no document {source!r}{f' of {since}' if since else ''} to delete")
        return count

    def _remove(self, source, since):
        """Take versions of a source out; returns how many."""
        rows = self.db.execute("SELECT id FROM documents WHERE source = ? AND ? IN (since, '')", (source, since or "")).fetchall()
        for row in rows:
            self.db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE document = ?)", row)
            self.db.execute("DELETE FROM passages WHERE document = ?", row)
            self.db.execute("DELETE FROM documents WHERE id = ?", row)
        return len(rows)

    def _changed(self, sources):
        """A version ends when the next one of its source begins; and whoever holds vectors in memory must read them again."""
        later = "SELECT min(since) FROM documents later WHERE later.source = documents.source AND later.since > documents.since"
        ends = f"UPDATE documents SET until = ifnull(({later}), '{OPEN}') WHERE source = ?"
        self.db.executemany(ends, [(source,) for source in sources])
        self.db.execute("UPDATE notes SET value = value + 1 WHERE name = 'changes'")

    def _embedded(self, texts):
        """Vectors of length 1, float32, (n, D)."""
        if not texts:
            return np.zeros((0, 0), "<f4")
        vectors = np.array(self.embed(texts), "<f4")
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ValueError(f"the encoder must return finite numbers of shape ({len(texts)}, D), it returned shape {vectors.shape}")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        return vectors

    def _check_encoder(self, vectors):
        """Refuse vectors that do not compare with those in the file; returns whose these are, and whether the file knows that."""
        mine = f"{getattr(self.embed, 'name', 'a function')}, {vectors.shape[1]} numbers"
        found = self.db.execute("SELECT value FROM notes WHERE name = 'encoder'").fetchone()
        if found and len(vectors) and found[0] != mine:
            raise ValueError(f"{self.path}: its vectors come from {found[0]}, yours from {mine}; use that encoder, or a new file")
        return mine, bool(found)

    # ---- search --------------------------------------------------------------------------------

    def search(self, question, k=3, by="hybrid", on=None, weight=WEIGHT, constant=CONSTANT):
        """The k best passages for a question, a list of Passage; fewer where the store holds fewer.

        by: "vector" (meaning), "words" (BM25) or "hybrid" (both, fused); on: only what is in force on this day, YYYY-MM-DD
        weight, constant: of the fusion: how much words count where vectors count 1, and how much places differ
        """
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"a question is a text that is not empty, got {question!r}")
        if by not in WAYS or k < 1:
            raise ValueError(f"by is one of {', '.join(WAYS)} and k at least 1, got by={by!r} and k={k!r}")
        on, pool = on and day(on), max(POOL, k)
        vector = self._embedded([question]) if by != "words" else None
        with self._transaction():
            near = {} if vector is None else self._nearest(vector, pool, on)
            words = {} if by == "vector" else self._with_words(question, pool, on)
            scores = {"vector": near, "words": words}.get(by)
            scores = fuse([list(near), list(words)], [1, weight], constant) if by == "hybrid" else scores
            best = list(scores)[:k]
            if vector is not None and len(best):
                ids, _, _, vectors = self._vectors()
                near = dict(zip(best, (vectors[np.searchsorted(ids, best)] @ vector[0]).tolist(), strict=True))
            return [Passage(*self._passage(number), score=scores[number], similarity=near.get(number)) for number in best]

    def _nearest(self, vector, pool, on):
        """{passage: cosine} of the nearest, best first: every vector is compared, so none is missed."""
        self._check_encoder(vector)
        ids, since, until, vectors = self._vectors()
        cosines = vectors @ vector[0] if len(ids) else np.zeros(0)
        if on:
            cosines[(since > np.datetime64(on)) | (until <= np.datetime64(on))] = -np.inf
        best = np.argpartition(-cosines, pool)[:pool] if len(ids) > pool else np.arange(len(ids))
        best = best[np.argsort(-cosines[best], kind="stable")]
        return {int(ids[i]): float(cosines[i]) for i in best if cosines[i] > -np.inf}

    def _with_words(self, question, pool, on):
        """{passage: BM25} of those that share words with the question, best first."""
        # CROSS JOIN keeps the order of the tables: rank the words first, then look at the days, until there are enough.
        join = "CROSS JOIN passages ON passages.id = words.rowid CROSS JOIN documents ON documents.id = document"
        valid = (join, "AND since <= :on AND :on < until") if on else ("", "")
        query = "SELECT words.rowid, -rank FROM words {} WHERE words MATCH :words {} ORDER BY rank LIMIT :pool".format(*valid)
        return dict(self.db.execute(query, dict(words=match_any(self._telling(question)), on=on, pool=pool)).fetchall())

    def _telling(self, question):
        """The words of a question but those that half of the passages have: BM25 gives them no weight, and ranking them takes longest."""
        changes = self._changes()
        if self._counts is None or self._counts[0] != changes:
            self._counts = changes, self.db.execute("SELECT count(*) FROM passages").fetchone()[0], {}
        _, passages, counts = self._counts
        words = list(dict.fromkeys(re.findall(r"\w+", question.lower())))
        for word in words:
            if word not in counts:
                counts[word] = self.db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match_any([word]),)).fetchone()[0]
        return [word for word in words if counts[word] <= passages / 2] or words

    def _changes(self):
        """How often the file has changed, as of this transaction."""
        return self.db.execute("SELECT value FROM notes WHERE name = 'changes'").fetchone()

    def _vectors(self):
        """(ids, since, until, vectors (n, D)) of all passages; read from the file only when it has changed."""
        changes = self._changes()
        if self._loaded is None or self._loaded[0] != changes:
            (n, size) = self.db.execute("SELECT count(*), ifnull(max(length(vector)), 0) FROM passages").fetchone()
            vectors, rows = np.empty((n, size // 4), "<f4"), []
            query = "SELECT passages.id, since, until, vector FROM passages JOIN documents ON documents.id = document ORDER BY passages.id"
            for place, (number, since, until, blob) in enumerate(self.db.execute(query)):
                rows.append((number, since, until))
                vectors[place] = np.frombuffer(blob, "<f4")
            ids, since, until = zip(*rows, strict=True) if rows else ([], [], [])
            self._loaded = changes, (np.array(ids, int), np.array(since, "M8[D]"), np.array(until, "M8[D]"), vectors)
        return self._loaded[1]

    def _passage(self, number):
        """Source, heading, text, since, until of a passage."""
        query = """SELECT source, heading, text, since, until FROM words JOIN passages ON passages.id = words.rowid
                   JOIN documents ON documents.id = document WHERE words.rowid = ?"""
        return self.db.execute(query, (number,)).fetchone()

    def documents(self):
        """What the store holds: a list of {"source", "since", "until", "passages"}."""
        query = """SELECT source, since, until, count(*) FROM documents JOIN passages ON document = documents.id
                   GROUP BY documents.id ORDER BY source, since"""
        return [dict(zip(("source", "since", "until", "passages"), row, strict=True)) for row in self.db.execute(query)]
