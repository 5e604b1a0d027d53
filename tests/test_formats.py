"""Formats of training data: nothing is lost in silence, and each rule is seen to be broken."""

import json
import re

import pytest

from utils.conversion import READ, WRITE, convert, read_example, write_row
from utils.format_rules import KEYS, PLATFORMS, formats_of
from utils.formats import check, convert_file, main
from utils.planted import EVERYONE, FAULTS, plant


def say(*turns):
    """Messages from (role, content) pairs."""
    return [{"role": role, "content": content} for role, content in turns]


SINGLE = {"messages": say(("user", "Where is it?"), ("assistant", "In Penrith."))}
SYSTEM = {"messages": say(("system", "Be brief."), ("user", "Where is it?"), ("assistant", "In Penrith."))}
MULTI = {"messages": say(("user", "Hello"), ("assistant", "Hello"), ("user", "Where is it?"), ("assistant", "In Penrith."))}
TWICE = {"messages": say(("user", "Hello"), ("user", "Anybody?"), ("assistant", "Yes."))}
WEIGHT = {"messages": [*MULTI["messages"][:1], {"role": "assistant", "content": "Hello", "weight": 0}, *MULTI["messages"][2:]]}
PAIR = {"messages": say(("system", "Be brief."), ("user", "Where is it?")), "chosen": "In Penrith.", "rejected": "Dunno"}
EXAMPLES = {"single": SINGLE, "system": SYSTEM, "multi": MULTI, "twice": TWICE, "weight": WEIGHT, "pair": PAIR}
# What each format can hold; everything else must be refused.
HOLDS = {
    "messages": {"single", "system", "multi", "twice", "weight"},
    "prompt_completion": {"single"},
    "alpaca": {"single"},
    "llamafactory": {"single", "system", "multi"},
    "sharegpt": {"single", "system", "multi", "twice"},
    "preference": {"pair"},
    "preference_pairs": {"pair"},
    "gemini": {"single", "system", "multi", "twice"},
    "bedrock": {"single", "system", "multi", "twice"},
}


def as_file(path, rows):
    """Rows (dicts, or lines as bytes) in a JSONL file."""
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("to", WRITE)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_a_format_holds_comes_back_equal_and_the_rest_is_refused(to, kind):
    if kind in HOLDS[to]:
        assert read_example(write_row(EXAMPLES[kind], to)) == EXAMPLES[kind]
    else:
        with pytest.raises(ValueError, match=f"^{to} .*;"):
            write_row(EXAMPLES[kind], to)


def test_every_written_row_has_exactly_one_format():
    for to, kinds in HOLDS.items():
        for kind in kinds:
            assert formats_of(write_row(EXAMPLES[kind], to)) == ["alpaca" if to == "llamafactory" else to]
    assert set(READ) == set(KEYS) - {"text"}


def test_a_long_way_round_brings_the_same_row_back():
    row = {"messages": SYSTEM["messages"]}
    for to in ("sharegpt", "gemini", "llamafactory", "bedrock", "messages"):
        row = convert(row, to)
    assert row == {"messages": SYSTEM["messages"]}


def test_an_alpaca_input_joins_the_instruction():
    row = convert({"instruction": "Translate:", "input": "Zelt", "output": "tent"}, "messages")
    assert row["messages"][0]["content"] == "Translate:\nZelt"


def test_plain_and_conversational_texts_of_trl_read_the_same():
    plain = {"prompt": "Where?", "chosen": "Here.", "rejected": "No."}
    lists = {
        "prompt": say(("user", "Where?")),
        "chosen": say(("assistant", "Here.")),
        "rejected": say(("assistant", "No.")),
    }
    assert read_example(plain) == read_example(lists)


@pytest.mark.parametrize(
    ("row", "to", "words"),
    [
        ({"id": 1, **SINGLE}, "sharegpt", "the key 'id' has no place .*--drop id"),
        ({"question": "Where?"}, "messages", "the keys are question; a row needs the keys of one format"),
        ({"text": "A page."}, "messages", "plain text has no question"),
        ({"messages": [], "conversations": []}, "alpaca", "it could be messages or sharegpt"),
        ({"messages": [{"role": "tool", "content": "5"}]}, "sharegpt", "message of 'tool' cannot be converted"),
        ({"messages": [{"role": "user", "content": ["picture"]}]}, "sharegpt", "not a text"),
        ({"messages": [{"role": "user", "content": "a", "name": "Ann"}]}, "sharegpt", "has the key 'name'"),
        ({"contents": [{"role": "user", "parts": [{"fileData": {}}]}]}, "messages", "one part with a text"),
        ({"contents": 5}, "messages", "not built as gemini prescribes"),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, "messages", "history is"),
        ({"prompt": "a", "completion": say(("user", "b"))}, "messages", "one message of the assistant"),
        (SINGLE, "parquet", "no format 'parquet'; choose from messages"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_a_remedy(row, to, words):
    with pytest.raises(ValueError, match=words):
        convert(row, to)


# ---- rules -------------------------------------------------------------------------------------

GOOD = {
    "openai": [SINGLE, WEIGHT, TWICE, convert({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference_pairs")],
    "together": [SINGLE, SYSTEM, {"prompt": "a", "completion": "b"}, {"text": "a"}, WEIGHT],
    "bedrock": [SINGLE, {"system": "s", **SINGLE}, convert(SYSTEM, "bedrock"), {"prompt": "a", "completion": "b"}],
    "trl": [
        SINGLE,
        TWICE,
        {"text": "a"},
        {"prompt": "a", "completion": "b"},
        write_row(PAIR, "preference"),
        {"chosen": "a", "rejected": "b"},
    ],
    "llamafactory": [
        SYSTEM,
        write_row(MULTI, "llamafactory"),
        write_row(SYSTEM, "sharegpt"),
        {"instruction": "a", "chosen": "b", "rejected": "c"},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "{}"}]},
        {"text": "a"},
    ],
}
BAD = {
    "openai": [
        ({"messages": []}, "not a list of messages"),
        ({"messages": say(("user", "a"))}, "the last message is of the user"),
        ({"messages": say(("user", "a"), ("bot", "b"))}, "role 'bot'; choose from"),
        ({"messages": say(("user", "a"), ("assistant", " "))}, "empty content"),
        ({"messages": say(("user", "a"), ("assistant", None))}, "nothing as its content"),
        ({"messages": [{"role": "user", "text": "a"}, *say(("assistant", "b"))]}, "unknown key 'text'"),
        ({"messages": [*say(("user", "a")), {"role": "assistant", "content": "b", "weight": 2}]}, "weight 2"),
        ({"messages": [{"content": "a"}, *say(("assistant", "b"))]}, "has no 'role'"),
        ({"messages": ["hello"]}, "not an object"),
        ({"prompt": "a", "completion": "b"}, "a row needs messages"),
        (
            {"input": {"messages": say(("user", "a"))}, "preferred_output": [], "non_preferred_output": say(("assistant", "b"))},
            "preferred_output",
        ),
    ],
    "together": [
        (TWICE, "turn 2 is of the user again"),
        ({"messages": say(("assistant", "b"))}, "turn 1 is of the assistant"),
        ({"messages": say(("user", "a"), ("system", "s"), ("assistant", "b"))}, "message 2 is a system message"),
        ({"id": 1, **SINGLE}, "--drop id"),
        ({"text": "a", **SINGLE}, "keys of messages and text"),
        ({"prompt": {"a": 1}, "completion": "b"}, "prompt is .*not a text"),
        (
            {"input": SINGLE, "preferred_output": 2 * say(("assistant", "b")), "non_preferred_output": say(("assistant", "c"))},
            "has 2 messages; keep the one",
        ),
        ({"question": "a"}, "a row needs messages, or"),
    ],
    "bedrock": [
        (SYSTEM, "role 'system'"),
        (TWICE, "again"),
        ({"id": 1, **SINGLE}, "'id' is not allowed"),
        ({"system": 5, **SINGLE}, "system is 5"),
        ({**convert(SINGLE, "bedrock"), "schemaVersion": "2023"}, "schemaVersion is '2023'"),
        ({"schemaVersion": "bedrock-conversation-2024", **SINGLE}, "list of parts"),
        ({"text": "a"}, "a row needs"),
    ],
    "trl": [
        ({"prompt": say(("user", "a")), "completion": "b"}, "partly texts and partly lists"),
        ({"text": 5}, "text is 5"),
        ({"messages": [{"role": "user"}]}, "nothing as its content"),
        ({"question": "a"}, "a row needs"),
    ],
    "llamafactory": [
        ({"instruction": "a"}, "output is nothing"),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, "history is"),
        ({"instruction": "a", "output": "b", "input": 5}, "input is 5"),
        (TWICE, "again"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "the last message is of the human"),
        ({"conversations": [{"from": "user", "value": "a"}]}, "choose from system, human"),
        ({"question": "a"}, "a row needs"),
    ],
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_sound_rows_pass_and_broken_ones_are_explained(platform):
    for row in GOOD[platform]:
        assert [f.what for f in check([row] * 10, platform)] == [], row
    for row, words in BAD[platform]:
        faults = [fault for fault in check([row] * 10, platform) if fault.line == 1]
        assert any(re.search(words, str(fault)) for fault in faults), (row, words, faults)


def test_rules_of_the_whole_file():
    assert [str(f) for f in check([SINGLE] * 9, "openai")] == ["the file: the file has 9 rows; openai needs at least 10"]
    mixed = [SINGLE, {"prompt": "a", "completion": "b"}]
    assert ["several formats" in f.what for f in check(mixed, "together")] == [True]
    assert list(check(mixed, "bedrock")) == []
    with pytest.raises(ValueError, match="no rules of 'replicate'; choose from openai"):
        list(check([SINGLE], "replicate"))


@pytest.mark.parametrize("platform", EVERYONE)
def test_all_planted_faults_that_the_rules_forbid_are_found_and_nothing_else(platform, tmp_path):
    rows = [{"messages": say(("user", f"Question {n}?"), ("assistant", f"Answer {n}, and what it costs."))} for n in range(40)]
    for seed in range(5):
        lines, key = plant(rows, seed)
        assert sorted(key.values()) == sorted(FAULTS)
        found = {fault.line for fault in check(as_file(tmp_path / "chats.jsonl", lines), platform)}
        assert found == {line for line, name in key.items() if platform in FAULTS[name][1]}
    with pytest.raises(ValueError, match="at least 24 rows"):
        plant(rows[:20])


# ---- files -------------------------------------------------------------------------------------


def test_a_file_is_converted_whole_or_not_at_all(tmp_path):
    source, out = as_file(tmp_path / "in.jsonl", [SINGLE, MULTI]), tmp_path / "out.jsonl"
    assert convert_file(source, "sharegpt", out) == 2
    assert [json.loads(line) for line in out.read_text().splitlines()] == [convert(row, "sharegpt") for row in (SINGLE, MULTI)]
    before = out.read_text()
    with pytest.raises(ValueError, match=r"in\.jsonl, line 2: alpaca holds one question and one answer, not 4 messages; choose"):
        convert_file(source, "alpaca", out)
    assert out.read_text() == before and sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    with pytest.raises(ValueError, match="would replace what it is made from"):
        convert_file(source, "messages", source)
    with pytest.raises(ValueError, match="line 1: not valid JSON"):
        convert_file(as_file(tmp_path / "bad.jsonl", [b"{'a': 1}"]), "messages", out)
    with pytest.raises(ValueError, match="there are no rows"):
        convert_file(as_file(tmp_path / "none.jsonl", []), "messages", out)


def test_unreadable_lines_are_named(tmp_path):
    path = as_file(tmp_path / "x.jsonl", [b"\xef\xbb\xbf" + json.dumps(SINGLE).encode(), b"", b"{", b"\xff", b"5", b'{"text": "\\ud83d"}'])
    found = {fault.line: fault.what for fault in check(path, "trl")}
    assert set(found) == {3, 4, 5, 6} and "not UTF-8" in found[4] and "not an object" in found[5]
    listed = as_file(tmp_path / "list.jsonl", [b"[", json.dumps(SINGLE).encode() + b",", b"]"])
    assert "one JSON list" in next(check(listed, "trl")).what


def test_the_command_line_tells_faults_from_trouble(tmp_path, capsys):
    good, bad = as_file(tmp_path / "good.jsonl", [SINGLE] * 10), as_file(tmp_path / "bad.jsonl", [{"a": 1}] * 30)
    assert main([str(good), "--check", "openai"]) == 0
    assert "nothing that openai refuses" in capsys.readouterr().out
    assert main([str(bad), "--check", "openai"]) == 1
    said = capsys.readouterr().out
    assert f"{bad}, line 1: the keys are 'a'" in said and "… and 10 more" in said and "https://" in said
    assert main([str(tmp_path / "lost.jsonl"), "--check", "openai"]) == 2
    assert "no such file" in capsys.readouterr().err
    kept = as_file(tmp_path / "ids.jsonl", [{"id": 1, **SINGLE}])
    assert main([str(kept), "--to", "alpaca"]) == 2 and "--drop id" in capsys.readouterr().err
    assert main([str(kept), "--to", "alpaca", "--drop", "id"]) == 0
    assert json.loads((tmp_path / "ids.alpaca.jsonl").read_text())["output"] == "In Penrith."


def test_a_long_file_needs_no_more_memory_than_a_short_one(tmp_path):
    import tracemalloc

    peaks = []
    for size in (200, 4000):
        path = as_file(tmp_path / f"{size}.jsonl", [SINGLE] * size)
        tracemalloc.start()
        assert list(check(path, "openai")) == []
        convert_file(path, "sharegpt", tmp_path / "out.jsonl")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
