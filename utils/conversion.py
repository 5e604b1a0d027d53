"""One row of training data from format to format: messages, prompt and completion, Alpaca, ShareGPT, preference, Gemini, Bedrock.

Every format is read into one form, an *example*: {"messages": [{"role", "content"}, …]}, the last message being the answer to
learn; a preference has "chosen" and "rejected" beside messages that end with the question. What the other format has no
place for is refused with a remedy, never dropped in silence.
"""

from utils.format_rules import CONVERSE, KEYS, brief, formats_of

# ---- from a row to an example ------------------------------------------------------------------


def read_example(row):
    """One row of any format as an example. Raises ValueError for what an example cannot hold."""
    forms = formats_of(row)
    if len(forms) != 1 or forms == ["text"]:
        said = f"it could be {' or '.join(forms)}" if forms else f"the keys are {', '.join(row)}"
        known = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in KEYS.items() if name != "text")
        raise ValueError(
            f"{'plain text has no question and no answer' if forms == ['text'] else said}; a row needs the keys of one format ({known})"
        )
    try:
        return READ[forms[0]](row)
    except (TypeError, KeyError, AttributeError) as error:  # a number where a list should be, and the like
        raise ValueError(f"the row is not built as {forms[0]} prescribes ({error}); compare it with a sound one") from error


def turn(role, content, weight=1):
    """One message, checked; a weight of 1 is what is meant without one."""
    if role not in ("system", "user", "assistant"):
        raise ValueError(f"a message of {brief(role)} cannot be converted; only system, user and assistant can, so take tool calls out")
    if not isinstance(content, str):
        raise ValueError(f"the content of a message is {brief(content)}, not a text; make it one with json.dumps, or split off its parts")
    return {"role": role, "content": content} | ({"weight": 0} if weight == 0 else {})


def chat(value):
    """A list of messages, or a plain text, which is taken as what the user says."""
    if isinstance(value, str):
        return [turn("user", value)]
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise ValueError(f"{brief(value)} is no list of messages; write [{{'role': …, 'content': …}}, …]")
    if extra := {key for message in value for key in message} - {"role", "content", "weight"}:
        raise ValueError(f"a message has the key {sorted(extra)[0]!r}, which other formats have no place for; remove it")
    return [turn(message.get("role"), message.get("content"), message.get("weight", 1)) for message in value]


def take(row, *keys):
    """The values of the keys; anything else in the row is refused, since it would be lost."""
    if extra := [key for key in row if key not in keys]:
        raise ValueError(f"the key {extra[0]!r} has no place in another format; leave it out with --drop {','.join(map(str, extra))}")
    return [row.get(key) for key in keys]


def answer(value):
    """The one text that a preference compares."""
    messages = [turn("assistant", value)] if isinstance(value, str) else chat(value)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise ValueError(f"an answer is {brief(value)}; it must be one message of the assistant")
    return messages[0]["content"]


def read_messages(row):
    (messages,) = take(row, "messages")
    return {"messages": chat(messages)}


def read_prompt_completion(row):
    prompt, completion = take(row, "prompt", "completion")
    return {"messages": [*chat(prompt), turn("assistant", answer(completion))]}


def read_alpaca(row):
    """Instruction and input become one question, joined by a line break, as LLaMA-Factory does; their border is then lost."""
    instruction, given, output, system, history = take(row, "instruction", "input", "output", "system", "history")
    asked = f"{instruction}\n{given}" if given and isinstance(instruction, str) else instruction
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in history or []):
        raise ValueError(f"history is {brief(history)}; write pairs of texts: [[asked, answered], …]")
    earlier = [turn(role, text) for pair in history or [] for role, text in zip(("user", "assistant"), pair, strict=True)]
    opening = [turn("system", system)] if system else []
    return {"messages": [*opening, *earlier, turn("user", asked), turn("assistant", output)]}


SPEAKERS = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


def read_sharegpt(row):
    turns, system = take(row, "conversations", "system")
    if not isinstance(turns, list) or not all(isinstance(t, dict) and set(t) == {"from", "value"} for t in turns):
        raise ValueError(f"conversations is {brief(turns)}; write [{{'from': …, 'value': …}}, …] and nothing else in a turn")
    opening = [turn("system", system)] if system else []
    return {"messages": opening + [turn(SPEAKERS.get(t["from"], t["from"]), t["value"]) for t in turns]}


def read_preference(row):
    prompt, chosen, rejected = take(row, "prompt", "chosen", "rejected")
    return {"messages": chat(prompt), "chosen": answer(chosen), "rejected": answer(rejected)}


def read_preference_pairs(row):
    asked, chosen, rejected = take(row, "input", "preferred_output", "non_preferred_output")
    (messages,) = take(asked if isinstance(asked, dict) else {"messages": asked}, "messages")
    return {"messages": chat(messages), "chosen": answer(chosen), "rejected": answer(rejected)}


def only_part(parts):
    """The text of a list that holds one part."""
    if not isinstance(parts, list) or len(parts) != 1 or set(parts[0]) != {"text"}:
        raise ValueError(
            f"a message has the parts {brief(parts)}; one part with a text can be converted, so join texts, and take files out"
        )
    return parts[0]["text"]


def read_gemini(row):
    contents, system = take(row, "contents", "systemInstruction")
    opening = [turn("system", only_part(system["parts"]))] if system else []
    names = {"user": "user", "model": "assistant"}
    return {"messages": opening + [turn(names.get(c.get("role"), c.get("role")), only_part(c.get("parts"))) for c in contents]}


def read_bedrock(row):
    _, system, messages = take(row, "schemaVersion", "system", "messages")
    opening = [turn("system", only_part(system))] if system else []
    return {"messages": opening + [turn(m.get("role"), only_part(m.get("content"))) for m in messages]}


# ---- from an example to a row ------------------------------------------------------------------


def write_row(example, to):
    """An example as a row of the format `to`. Raises ValueError for what the format cannot hold."""
    if to not in WRITE:
        raise ValueError(f"there is no format {to!r}; choose from {', '.join(WRITE)}")
    preference = to.startswith("preference")
    if preference != ("rejected" in example):
        remedy = (
            "add a rejected answer" if preference else "to train on the chosen answers, write prompt and chosen as prompt and completion"
        )
        raise ValueError(f"{to} {'needs two answers' if preference else 'has no place for a rejected answer'}; {remedy}")
    if to != "messages" and any("weight" in message for message in example["messages"]):
        raise ValueError(f"{to} has no place for an answer that shall not be learned (weight 0); cut the conversation into several rows")
    return WRITE[to](example)


def parts_of(example, to, system=True, earlier=True):
    """System text or None, the middle turns, and the last question and answer; refuses what the format cannot hold."""
    messages = example["messages"]
    opening = messages[0]["content"] if messages[0]["role"] == "system" else None
    turns = messages[1:] if opening is not None else messages
    roles = [message["role"] for message in turns]
    if opening is not None and not system:
        raise ValueError(
            f"{to} has no place for a system message; put its text into the question, or choose messages, sharegpt or llamafactory"
        )
    if roles != ["user", "assistant"] * (len(turns) // 2) or not turns:
        raise ValueError(
            f"{to} holds questions and answers in turn, but the roles are {', '.join(roles) or 'none'}; choose messages or sharegpt"
        )
    if len(turns) > 2 and not earlier:
        raise ValueError(f"{to} holds one question and one answer, not {len(turns)} messages; choose messages, sharegpt or llamafactory")
    return opening, turns[:-2], turns[-2]["content"], turns[-1]["content"]


def write_prompt_completion(example):
    _, _, asked, answered = parts_of(example, "prompt_completion", system=False, earlier=False)
    return {"prompt": asked, "completion": answered}


def write_alpaca(example):
    _, _, asked, answered = parts_of(example, "alpaca", system=False, earlier=False)
    return {"instruction": asked, "input": "", "output": answered}


def write_llamafactory(example):
    """Alpaca with LLaMA-Factory's two further columns, where they are needed."""
    system, earlier, asked, answered = parts_of(example, "llamafactory")
    row = {"instruction": asked, "input": "", "output": answered}
    texts = [message["content"] for message in earlier]
    history = [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    return row | ({"system": system} if system is not None else {}) | ({"history": history} if history else {})


def write_sharegpt(example):
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return {"conversations": [{"from": names[m["role"]], "value": m["content"]} for m in example["messages"]]}


def write_preference(example):
    chosen, rejected = ([turn("assistant", example[key])] for key in ("chosen", "rejected"))
    return {"prompt": example["messages"], "chosen": chosen, "rejected": rejected}


def write_preference_pairs(example):
    row = write_preference(example)
    return {"input": {"messages": row["prompt"]}, "preferred_output": row["chosen"], "non_preferred_output": row["rejected"]}


def beside(messages, to):
    """System text or None, and the other messages; a later system message is refused."""
    if any(message["role"] == "system" for message in messages[1:]):
        raise ValueError(f"{to} holds one system text, at the beginning; move the later one there")
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    return system, messages[1:] if system is not None else messages


def write_gemini(example):
    system, turns = beside(example["messages"], "gemini")
    names = {"user": "user", "assistant": "model"}
    opening = {} if system is None else {"systemInstruction": {"role": "system", "parts": [{"text": system}]}}
    return opening | {"contents": [{"role": names[m["role"]], "parts": [{"text": m["content"]}]} for m in turns]}


def write_bedrock(example):
    system, turns = beside(example["messages"], "bedrock")
    opening = {} if system is None else {"system": [{"text": system}]}
    messages = [{"role": m["role"], "content": [{"text": m["content"]}]} for m in turns]
    return {"schemaVersion": CONVERSE} | opening | {"messages": messages}


READ = {
    "messages": read_messages,
    "prompt_completion": read_prompt_completion,
    "alpaca": read_alpaca,
    "sharegpt": read_sharegpt,
    "preference": read_preference,
    "preference_pairs": read_preference_pairs,
    "gemini": read_gemini,
    "bedrock": read_bedrock,
}
WRITE = {
    "messages": lambda example: {"messages": example["messages"]},
    "prompt_completion": write_prompt_completion,
    "alpaca": write_alpaca,
    "llamafactory": write_llamafactory,
    "sharegpt": write_sharegpt,
    "preference": write_preference,
    "preference_pairs": write_preference_pairs,
    "gemini": write_gemini,
    "bedrock": write_bedrock,
}


def convert(row, to, drop=()):
    """A row of any format as a row of the format `to`; drop: keys to leave out. Raises ValueError, never loses anything."""
    return write_row(read_example({key: value for key, value in row.items() if key not in drop}), to)
