"""Documents in one SQLite file: pieces, search, updates, days, a kill in the middle, readers beside a writer, bad input."""

import itertools
import re
import signal
import sqlite3
import subprocess
import sys
import zlib

import numpy as np
import pytest

from utils.passages import Document, cut, split_markdown
from utils.retrieval import Store, fuse, match_any
from utils.runtime import ROOT


def embed(texts):
    """Texts that share words are near: words counted in 64 boxes. No weights."""
    vectors = np.full((len(texts), 64), 0.01, "float32")
    for row, text in zip(vectors, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            row[zlib.crc32(word.encode()) % 64] += 1
    return vectors


embed.name = "toy"

TENTS = "# Tents\n\nA tent keeps rain away.\n\n## Care\n\nDry it before you pack it.\n\n## Price\n\nIt costs £90."
BOOTS = "# Boots\n\nWax the leather twice a year.\n\n## Price\n\nThey cost £120."


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "shop.sqlite", embed) as store:
        store.ingest([Document("tents", TENTS), Document("boots", BOOTS)])
        yield store


def sound(store):
    """Words and vectors describe the same passages, and the file is whole."""
    store.db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    words, passages = (
        {number for (number,) in store.db.execute(f"SELECT {key} FROM {name}")} for key, name in (("rowid", "words"), ("id", "passages"))
    )
    return words == passages


# ---- pieces ------------------------------------------------------------------------------------


def test_a_section_is_a_passage_that_carries_the_headings_above_it():
    assert split_markdown(TENTS) == [
        ("Tents", "A tent keeps rain away."),
        ("Tents › Care", "Dry it before you pack it."),
        ("Tents › Price", "It costs £90."),
    ]


def test_headings_nest_by_level_even_where_one_is_skipped():
    text = "intro\n# A\n### B\nb\n### C\nc\n## D ##\nd\n# E\ne"
    assert split_markdown(text) == [("", "intro"), ("A › B", "b"), ("A › C", "c"), ("A › D", "d"), ("E", "e")]


def test_a_hash_in_a_code_block_or_without_a_space_is_no_heading():
    text = "# Shell\n\n```\n# a comment\nls\n```\n#tag\n"
    assert split_markdown(text) == [("Shell", "```\n# a comment\nls\n```\n#tag")]


def test_a_long_section_is_cut_at_paragraphs_and_a_long_paragraph_within():
    assert cut("a b c\n\nd e\n\nf", 5) == ["a b c\n\nd e", "f"]
    assert cut("a b c d e f g\n\nh", 3) == ["a b c", "d e f", "g\n\nh"]
    assert cut("  \n\n ", 5) == []


# ---- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["hybrid", "vector", "words"])
def test_the_right_passage_comes_first(store, by):
    found = store.search("how often must I wax leather?", k=2, by=by)
    assert (found[0].source, found[0].heading, found[0].text) == ("boots", "Boots", "Wax the leather twice a year.")
    assert all(a.score >= b.score for a, b in itertools.pairwise(found))


def test_words_are_found_by_their_stem_and_in_headings(store):
    assert store.search("waxed leathers", by="words")[0].source == "boots"
    assert {passage.heading for passage in store.search("prices", by="words")} == {"Boots › Price", "Tents › Price"}


def test_hybrid_is_the_fusion_of_both_rankings(store):
    question = "cost of boots, and how to dry them"
    both = [[(p.source, p.heading) for p in store.search(question, k=50, by=by)] for by in ("vector", "words")]
    expected = fuse(both, [1, 0.25], 7)
    found = store.search(question, k=50, weight=0.25, constant=7)
    assert {(p.source, p.heading): pytest.approx(p.score) for p in found} == expected
    assert fuse([["a", "b"], ["b", "c"]], constant=60) == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62})


def test_vector_search_finds_what_a_full_comparison_finds(tmp_path):
    generator = np.random.default_rng(0)
    points = generator.normal(size=(300, 16)).astype("float32")
    numbers = {f"n{i}": i for i in range(300)}

    def by_number(texts):
        return points[[numbers[text.split()[-1]] for text in texts]]

    with Store(tmp_path / "many.sqlite", by_number) as store:
        store.ingest(Document(name, f"# x\n\n{name}") for name in numbers)
        unit = points / np.linalg.norm(points, axis=1, keepdims=True)
        for i in (0, 7, 299):
            nearest = np.argsort(-(unit @ unit[i]))[:10]
            found = store.search(f"n{i}", k=10, by="vector")
            assert [numbers[p.source] for p in found] == nearest.tolist()
            assert [p.similarity for p in found] == pytest.approx((unit @ unit[i])[nearest].tolist(), abs=1e-5)


def test_similarity_is_the_cosine_whatever_the_order_and_unknown_by_words(store):
    question = "boots cost leather"
    cosine = {p.heading: p.score for p in store.search(question, k=9, by="vector")}
    assert {p.heading: pytest.approx(p.similarity) for p in store.search(question, k=9)} == cosine
    assert store.search(question, by="words")[0].similarity is None


@pytest.mark.parametrize("question", ['"', "NEAR(", "a AND OR *", "wax; DROP TABLE words", "£", "wax " * 5000, "x" * 10_000, "col:wax^"])
def test_no_question_is_a_syntax_error(store, question):
    for by in ("hybrid", "words"):
        assert isinstance(store.search(question, by=by), list)
    assert sound(store)


def test_a_long_question_of_many_words_is_searched_too(store):
    assert store.search(" ".join(f"word{i}" for i in range(3000)) + " leather", by="words")[0].source == "boots"


def test_words_that_half_of_the_passages_have_are_left_out_and_nothing_else_changes(tmp_path):
    assert match_any(["tents", "or"]) == '"tents" OR "or"' and match_any([]) == '""'
    with Store(tmp_path / "many.sqlite", embed) as store:
        store.ingest(Document(f"d{i}", f"# x\n\nthe {'red' if i % 3 else 'blue'} thing {i} {'rare' if i == 7 else ''}") for i in range(30))
        assert store.search("The rare, blue thing, the", by="words", k=1)[0].source == "d7"
        kept = store._telling("The rare, blue thing, the")
        assert kept == ["rare", "blue"]
        all_words = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT 11"
        ranked = [number for (number,) in store.db.execute(all_words, (match_any(["the", "rare", "blue", "thing"]),))]
        assert {number - 1 for number in ranked} == {int(p.source[1:]) for p in store.search("the rare blue thing", by="words", k=11)}
        assert len(store.search("the thing", by="words", k=9)) == 9, "where all words are common they have to do"
        store.ingest(Document(f"e{i}", "# x\n\nrare") for i in range(40))
        assert store._telling("the rare") == ["the"], "counts are renewed when the store changes"


def test_an_empty_store_finds_nothing(tmp_path):
    with Store(tmp_path / "empty.sqlite", embed) as store:
        assert [store.search("tent", by=by) for by in ("hybrid", "vector", "words")] == [[], [], []]
        store.ingest([Document("tents", TENTS)])
        store.delete("tents")
        assert store.search("tent") == [] and store.documents() == []


# ---- update, delete, days ----------------------------------------------------------------------


def test_a_changed_document_replaces_its_words_and_vectors_and_an_unchanged_one_costs_nothing(store):
    counts = store.ingest([Document("tents", TENTS.replace("£90", "£75")), Document("boots", BOOTS)])
    assert {name: counts[name] for name in ("new", "replaced", "unchanged", "passages")} == dict(new=0, replaced=1, unchanged=1, passages=3)
    texts = {p.text for p in store.search("cost", k=9)}
    assert "It costs £75." in texts and "It costs £90." not in texts and sound(store)
    asked = []
    store.embed = lambda texts: asked.append(texts) or embed(texts)
    assert store.ingest([Document("boots", BOOTS)])["unchanged"] == 1 and asked == []


def test_a_deleted_document_is_found_no_more(store):
    assert store.delete("boots") == 1
    assert {p.source for p in store.search("leather boots price", k=9)} == {"tents"} and sound(store)


def test_a_day_finds_the_version_in_force(tmp_path):
    with Store(tmp_path / "shop.sqlite", embed) as store:
        prices = {"2026-01-01": "£4.95", "2026-07-01": "£3.95"}
        store.ingest([Document("post", f"# Post\n\nIt costs {price}.", since) for since, price in prices.items()])
        store.ingest([Document("gifts", "# Gifts\n\nWrapping costs £2.", "2026-09-01")])
        for by in ("hybrid", "vector", "words"):
            found = {
                on: [p.text for p in store.search("post costs", k=1, by=by, on=on)] for on in ("2026-06-30", "2026-07-01", "2026-08-31")
            }
            assert found == {"2026-06-30": ["It costs £4.95."], "2026-07-01": ["It costs £3.95."], "2026-08-31": ["It costs £3.95."]}
            assert len(store.search("costs", k=9, by=by)) == 3 and store.search("costs", by=by, on="2025-12-31") == []
            assert len(store.search("costs", k=9, by=by, on="2026-08-31")) == 1
        assert [(d["since"], d["until"]) for d in store.documents() if d["source"] == "post"] == [
            ("2026-01-01", "2026-07-01"),
            ("2026-07-01", "9999-12-31"),
        ]
        store.delete("post", "2026-07-01")
        assert store.search("post costs", k=1, on="2026-08-01")[0].text == "It costs £4.95."


# ---- crashes and neighbours --------------------------------------------------------------------

KILLED = """
import os, signal, sys
from tests.test_retrieval import embed
from utils.passages import Document
from utils.retrieval import Store

store, left = Store(sys.argv[1], embed), int(sys.argv[2])

def count(statement):
    global left
    left -= not statement.startswith(("SELECT", "--"))
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

store.db.set_trace_callback(count)
store.ingest([Document(f"d{i}", f"# Fresh {i}\\n\\nversion B of {i}") for i in range(40)])
"""


def start(code, *arguments):
    """Code in an interpreter of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def letters(store, **options):
    """The versions that a search meets: a set of letters, and how many passages."""
    found = store.search("version", k=100, **options)
    return {passage.text.split()[1] for passage in found}, len(found)


@pytest.mark.parametrize("statements", [1, 5, 60, 165])
def test_an_ingest_killed_in_its_middle_leaves_the_last_good_version(tmp_path, statements):
    path = tmp_path / "shop.sqlite"
    with Store(path, embed) as store:
        store.ingest([Document(f"d{i}", f"# Old {i}\n\nversion A of {i}") for i in range(40)])
    killed = start(KILLED, path, statements)
    _, errors = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, errors
    with Store(path, embed) as store:
        assert letters(store) == ({"A"}, 40) and letters(store, by="words") == ({"A"}, 40) and sound(store)
        store.ingest([Document(f"d{i}", f"# Fresh {i}\n\nversion B of {i}") for i in range(40)])
        assert letters(store) == ({"B"}, 40) and letters(store, by="words") == ({"B"}, 40) and sound(store)


def test_an_ingest_that_fails_leaves_the_last_good_version(store):
    def fails(statement):
        if statement.startswith("INSERT INTO words"):
            store.db.interrupt()

    store.db.set_trace_callback(fails)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        store.ingest([Document("tents", TENTS.replace("£90", "£75")), Document("hats", "# Hats\n\nWool.")])
    store.db.set_trace_callback(None)
    assert {d["source"] for d in store.documents()} == {"tents", "boots"} and sound(store)
    assert "It costs £90." in {p.text for p in store.search("cost", k=9)}


READER = """
import sys
from pathlib import Path
from tests.test_retrieval import embed, letters
from utils.retrieval import Store

path, stop, seen = sys.argv[1], Path(sys.argv[2]), []
with Store(path, embed) as store:
    print("ready", flush=True)
    while not stop.exists() or not seen:
        for by in ("hybrid", "vector", "words"):
            seen.append(letters(store, by=by))
print(sorted({("".join(sorted(found)), n) for found, n in seen}), flush=True)
"""


def test_two_readers_meet_whole_versions_while_one_writes(tmp_path):
    path, stop = tmp_path / "shop.sqlite", tmp_path / "stop"
    with Store(path, embed) as store:
        store.ingest([Document(f"d{i}", f"# x\n\nversion A of {i}") for i in range(20)])
        readers = [start(READER, path, stop) for _ in range(2)]
        assert [reader.stdout.readline() for reader in readers] == ["ready\n"] * 2
        for letter in "BCDEFGHIJ" * 3:
            store.ingest([Document(f"d{i}", f"# x\n\nversion {letter} of {i}") for i in range(20)])
        stop.touch()
        said = [reader.communicate(timeout=60) for reader in readers]
    for out, errors in said:
        assert errors == ""
        seen = eval(out)
        assert {n for _, n in seen} == {20} and all(len(found) == 1 for found, _ in seen), seen
    assert len(seen) > 1, "the reader never saw the writer's changes"


def test_a_reader_sees_what_another_has_written(store):
    with Store(store.path, embed) as reader:
        assert "gas" not in {p.source for p in reader.search("gas", k=9)}
        store.ingest([Document("gas", "# Gas\n\nGas is never returned.")])
        assert reader.search("gas", k=1)[0].source == reader.search("gas", k=1, by="vector")[0].source == "gas"


def test_a_file_that_was_closed_holds_everything(store):
    store.close()
    with Store(store.path, embed) as again:
        assert again.search("leather", k=1)[0].source == "boots"
    assert not store.path.with_name("shop.sqlite-wal").exists(), "one file is left when nobody has it open"


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([Document("tents", "  ")], "document 'tents': its text must be a text that is not empty"),
        ([Document("", TENTS)], "document '': its source must"),
        ([Document("tents", "# Tents\n\n## Care\n")], "document 'tents' has headings but no text"),
        ([Document("tents", TENTS, "1 July")], "document 'tents': a day is written YYYY-MM-DD, such as 2026-07-01, got '1 July'"),
        ([Document("tents", TENTS), Document("tents", BOOTS)], "two documents have the same source and day"),
        ([TENTS], "takes Document\\(source, text, since\\), got str '# Tents"),
    ],
)
def test_a_document_that_cannot_be_used_is_named(store, documents, words):
    with pytest.raises(ValueError, match=words) as refusal:
        store.ingest(documents)
    assert "\n" not in str(refusal.value).replace("\\n", "") and len(store.documents()) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(question=" "), "a question is a text that is not empty, got ' '"),
        (dict(question=None), "a question is a text that is not empty, got None"),
        (dict(question="tent", by="magic"), "by is one of hybrid, vector, words"),
        (dict(question="tent", k=0), "k at least 1, got by='hybrid' and k=0"),
        (dict(question="tent", on="July"), "a day is written YYYY-MM-DD"),
    ],
)
def test_a_question_that_cannot_be_asked_is_answered_in_a_sentence(store, options, words):
    with pytest.raises(ValueError, match=words):
        store.search(**options)


def test_deleting_what_is_not_there_says_so(store):
    with pytest.raises(ValueError, match="there is no document 'hats' to delete"):
        store.delete("hats")
    with pytest.raises(ValueError, match="no document 'tents' of 2026-07-01"):
        store.delete("tents", "2026-07-01")
    with pytest.raises(ValueError, match="a day is written"):
        store.delete("tents", "soon")


def test_another_encoder_is_refused(store):
    def other(texts):
        return np.ones((len(texts), 8))

    with Store(store.path, other) as again:
        for act in (lambda: again.search("tent"), lambda: again.ingest([Document("hats", "# Hats\n\nWool.")])):
            with pytest.raises(ValueError, match="vectors come from toy, 64 numbers, yours from a function, 8 numbers"):
                act()
        assert again.search("leather", by="words")[0].source == "boots"


@pytest.mark.parametrize("wrong", [np.ones(64), np.ones((1, 64)), np.full((3, 64), np.nan)])
def test_an_encoder_that_returns_the_wrong_shape_is_refused(tmp_path, wrong):
    with Store(tmp_path / "x.sqlite", lambda texts: wrong) as store, pytest.raises(ValueError, match="finite numbers of shape \\(3, D\\)"):
        store.ingest([Document("tents", TENTS)])


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and long enough to be read as one" * 40)
    with pytest.raises(ValueError, match=r"notes\.txt: cannot be used as a store"):
        Store(path, embed)
    assert path.read_text().startswith("not a database")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE documents (x)")
    with pytest.raises(ValueError, match="table documents already exists"):
        Store(other, embed)
    with sqlite3.connect(other) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(ValueError, match="format 7, here 1"):
        Store(other, embed)


def test_a_writer_that_waits_too_long_says_so(store, monkeypatch):
    blocker = sqlite3.connect(store.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store.db.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(ValueError, match="another program has been writing"):
        store.ingest([Document("hats", "# Hats\n\nWool.")])
    assert store.search("leather", k=1)[0].source == "boots", "reading goes on"
    blocker.close()
