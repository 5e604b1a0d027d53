"""The published rules of platforms and libraries for training data, as checks of one row.

A row is one object of a JSONL file. Each check yields pairs (what is wrong, what to do about it); `PLATFORMS` says
where the rules were read. Only rules that stand there are checked: a row that passes may still be a poor example.
"""

from collections import Counter
from dataclasses import dataclass

# What tells the formats apart: the keys that each needs.
KEYS = {
    "messages": ("messages",),
    "prompt_completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "preference": ("prompt", "chosen", "rejected"),
    "preference_pairs": ("input", "preferred_output", "non_preferred_output"),
    "gemini": ("contents",),
    "bedrock": ("schemaVersion", "messages"),
    "text": ("text",),
}
CONVERSE = "bedrock-conversation-2024"  # the only schemaVersion that Bedrock's page names


def formats_of(row):
    """The formats whose keys a row has; a sound row has one."""
    found = [name for name, keys in KEYS.items() if all(key in row for key in keys)]
    return [name for name in found if name != "messages"] if "bedrock" in found else found


# ---- messages ----------------------------------------------------------------------------------


def bad_messages(messages, roles, keys=None, role="role", text="content", name="messages", calls=(), filled=False):
    """What is wrong with a list of messages, each alone.

    roles: allowed; keys: allowed in a message, None for any; calls: keys that may stand in place of a text
    filled: whether a text must not be empty
    """
    if not isinstance(messages, list) or not messages:
        yield f"{name} is {brief(messages)}, not a list of messages", f'write {name} as [{{"{role}": …, "{text}": …}}, …]'
        return
    for number, message in enumerate(messages, 1):
        where = f"message {number} of {name}"
        if not isinstance(message, dict):
            yield f"{where} is {brief(message)}, not an object", f'write it as {{"{role}": …, "{text}": …}}'
            continue
        if role not in message:
            yield f"{where} has no {role!r}", f"say who speaks: {', '.join(roles)}"
        elif message[role] not in roles:
            yield f"{where} has the {role} {brief(message[role])}", f"choose from {', '.join(roles)}"
        content = message.get(text)
        if not any(message.get(call) for call in calls):
            if not isinstance(content, str | list):
                yield f"{where} has {brief(content)} as its {text}", "write it as text; an object becomes text with json.dumps"
            elif filled and (not content or (isinstance(content, str) and not content.strip())):
                yield f"{where} has an empty {text}", "fill it in or remove the row"
        if keys and (unknown := sorted(set(message) - set(keys))):
            yield f"{where} has the unknown key {unknown[0]!r}", f"remove it; known are {', '.join(keys)}"


def bad_turns(messages, first="user", second="assistant", role="role", system="system"):
    """Do the two take turns, `first` beginning, after at most one system message? messages: each sound alone."""
    roles = [message[role] for message in messages]
    if system in roles[1:]:
        place = roles.index(system, 1) + 1
        yield f"message {place} is a {system} message", f"only the first may be one: move its text there, or to the {first}"
    turns = [found for found in roles if found != system]
    for number, found in enumerate(turns):
        if found != (first, second)[number % 2]:
            said = f"turn {number + 1} is of the {found}" + (" again" if number and found == turns[number - 1] else "")
            yield said, f"{first} and {second} take turns and the {first} begins: join neighbours, or remove what comes before"
            return


def bad_ending(messages, last="assistant", role="role"):
    """Is the last message the one to learn? messages: each sound alone."""
    if messages[-1][role] != last:
        yield f"the last message is of the {messages[-1][role]}", f"the last must be the {last}'s: add it, or cut the list there"


def bad_weights(messages):
    """Is each weight 0 or 1? messages: each sound alone."""
    for number, message in enumerate(messages, 1):
        weight = message.get("weight", 1)
        if isinstance(weight, bool) or weight not in (0, 1):
            yield f"message {number} has the weight {brief(weight)}", "write 0 (do not learn this answer) or 1"


def bad_texts(row, keys, or_messages=False):
    """Is each of these values a text?"""
    for key in keys:
        if isinstance(row.get(key), list) and or_messages:
            yield from bad_messages(row[key], ("system", "user", "assistant", "tool"), calls=("tool_calls",), name=key)
        elif not isinstance(row.get(key), str):
            yield f"{key} is {brief(row.get(key))}, not a text", "write it as text; an object becomes text with json.dumps"


def unknown_format(row, known):
    """What to say of a row in none of the formats that a platform reads."""
    return f"the keys are {', '.join(map(repr, row)) or 'none'}", "a row needs " + ", or ".join(" and ".join(KEYS[name]) for name in known)


def brief(value):
    """A value in a few characters."""
    said = "nothing" if value is None else repr(value)
    return said if len(said) <= 40 else said[:37] + "…"


# ---- platforms ---------------------------------------------------------------------------------

CHAT = ("system", "user", "assistant")
OPENAI_KEYS = ("role", "content", "name", "weight", "refusal", "function_call", "tool_calls", "tool_call_id")


def openai(row):
    """Messages that end with an answer, or preference pairs."""
    form = [name for name in formats_of(row) if name in ("messages", "preference_pairs")]
    if form == ["messages"]:
        messages = row["messages"]
        alone = bad_messages(messages, (*CHAT, "tool", "function"), OPENAI_KEYS, calls=("function_call", "tool_calls"), filled=True)
        yield from list(alone) or [*bad_ending(messages), *bad_weights(messages)]
    elif form == ["preference_pairs"]:
        yield from bad_pairs(row)
    else:
        yield unknown_format(row, ("messages", "preference_pairs"))


def together(row):
    """One of four formats and nothing beside it; turns alternate."""
    known = ("messages", "prompt_completion", "preference_pairs", "text")
    forms = [name for name in formats_of(row) if name in known]
    if len(forms) != 1:
        yield (f"the row has the keys of {' and '.join(forms)}", "keep one format") if forms else unknown_format(row, known)
        return
    if extra := [key for key in row if key not in KEYS[forms[0]]]:
        yield f"the key {extra[0]!r} does not belong to {forms[0]}", f"remove it: --drop {','.join(extra)}"
    if forms[0] == "messages":
        messages = row["messages"]
        yield from list(bad_messages(messages, CHAT)) or [*bad_turns(messages), *bad_weights(messages)]
    elif forms[0] == "preference_pairs":
        yield from bad_pairs(row)
    else:
        yield from bad_texts(row, KEYS[forms[0]])


def bad_pairs(row):
    """Preference pairs as OpenAI and Together read them: what was asked, and two answers of one message each."""
    asked = row["input"].get("messages") if isinstance(row["input"], dict) else None
    yield from bad_messages(asked, (*CHAT, "tool", "function"), name="input.messages", calls=("function_call", "tool_calls"))
    for key in ("preferred_output", "non_preferred_output"):
        yield from bad_messages(row[key], ("assistant",), name=key)
        if isinstance(row[key], list) and len(row[key]) > 1:
            yield f"{key} has {len(row[key])} messages", "keep the one answer"


def bedrock(row):
    """Prompt and completion; or the Converse form; or the form of Claude 3 Haiku."""
    if "schemaVersion" in row:
        if row["schemaVersion"] != CONVERSE:
            yield f"schemaVersion is {brief(row['schemaVersion'])}", f"write {CONVERSE!r}"
        yield from bad_messages(row.get("messages"), ("user", "assistant"))
        parts = [("system", row.get("system", []))]
        parts += [("content", m.get("content")) for m in row.get("messages") or [] if isinstance(m, dict)]
        for key, value in parts:
            if not isinstance(value, list) or not all(isinstance(part, dict) and part for part in value):
                yield f"{key} is {brief(value)}", 'write it as a list of parts: [{"text": "…"}]'
                break
    elif "messages" in row:
        alone = list(bad_messages(row["messages"], ("user", "assistant"), ("role", "content")))
        yield from alone or [*bad_turns(row["messages"]), *bad_ending(row["messages"])]
        if "system" in row:
            yield from bad_texts(row, ("system",))
        if extra := [key for key in row if key not in ("system", "messages")]:
            yield f"the key {extra[0]!r} is not allowed", f"remove it: --drop {','.join(extra)}"
    elif "prompt_completion" in formats_of(row):
        yield from bad_texts(row, ("prompt", "completion"))
    else:
        yield unknown_format(row, ("messages", "prompt_completion"))


def trl(row):
    """Texts throughout, or lists of messages throughout."""
    known = ("messages", "prompt_completion", "preference", "text")
    forms = [name for name in formats_of(row) if name in known]
    if not forms and {"chosen", "rejected"} <= row.keys():
        forms = ["preference"]  # TRL's implicit prompt: both answers repeat it
    if not forms:
        yield unknown_format(row, known)
        return
    if forms[0] == "messages":
        yield from bad_messages(row["messages"], (*CHAT, "tool", "developer"), calls=("tool_calls", "thinking"))
        return
    keys = [key for key in KEYS[forms[0]] if key in row]
    yield from bad_texts(row, keys, or_messages=forms[0] != "text")
    if len({type(row[key]) for key in keys}) > 1:
        yield f"{' and '.join(keys)} are partly texts and partly lists", "write all as texts, or all as lists of messages"


def llamafactory(row):
    """Alpaca columns, or a conversation in which user and assistant alternate."""
    forms = formats_of(row)
    if "sharegpt" in forms or "messages" in forms:
        key, role, text, system = (
            ("conversations", "from", "value", "system") if "sharegpt" in forms else ("messages", "role", "content", "system")
        )
        user, assistant = ("human", "gpt") if "sharegpt" in forms else ("user", "assistant")
        turns = row[key]
        alone = list(bad_messages(turns, (system, user, assistant, "observation", "function_call"), role=role, text=text, name=key))
        yield from alone
        if not alone:
            plain = {"observation": user, "function_call": assistant}  # a tool's result stands for a question, its call for an answer
            turns = [{role: plain.get(turn[role], turn[role])} for turn in turns]
            ranked = "chosen" in row or "rejected" in row
            yield from bad_turns(turns, user, assistant, role, system)
            yield from bad_ending(turns, user if ranked else assistant, role)
    elif "instruction" in row:
        answers = ("chosen", "rejected") if "chosen" in row or "rejected" in row else ("output",)
        yield from bad_texts(row, ("instruction", *answers))
        for key in ("input", "system"):
            if not isinstance(row.get(key, ""), str):
                yield f"{key} is {brief(row[key])}, not a text", "write it as text, or leave it out"
        history = row.get("history") or []
        if not isinstance(history, list) or not all(isinstance(pair, list) and [type(t) for t in pair] == [str, str] for pair in history):
            yield f"history is {brief(history)}", 'write pairs of texts: [["asked", "answered"], …]'
    elif "text" not in forms:
        yield unknown_format(row, ("alpaca", "sharegpt", "messages", "text"))


@dataclass(frozen=True)
class Platform:
    """Whose rules: the check of one row, the least number of rows, whether all rows need one format, and where the rules stand."""

    check: object
    links: tuple
    least: int = 1
    one_format: bool = False


PLATFORMS = {
    "openai": Platform(
        openai,
        (
            "https://developers.openai.com/docs/guides/distillation",
            "https://cookbook.openai.com/examples/chat_finetuning_data_prep",
            "https://developers.openai.com/api/docs/guides/direct-preference-optimization",
        ),
        least=10,
    ),
    "together": Platform(
        together,
        (
            "https://docs.together.ai/docs/fine-tuning/data-preparation",
            "https://docs.together.ai/docs/fine-tuning/preference-tuning",
            "https://github.com/togethercomputer/together-python/blob/main/src/together/utils/files.py",
        ),
        one_format=True,
    ),
    "bedrock": Platform(
        bedrock,
        (
            "https://docs.aws.amazon.com/bedrock/latest/userguide/preparing-text-data.html",
            "https://github.com/anthropics/claude-cookbooks/blob/main/finetuning/finetuning_on_bedrock.ipynb",
        ),
    ),
    "trl": Platform(trl, ("https://huggingface.co/docs/trl/dataset_formats",), one_format=True),
    "llamafactory": Platform(
        llamafactory,
        (
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md",
            "https://github.com/hiyouga/LLaMA-Factory/blob/main/src/llamafactory/data/converter.py",
        ),
        one_format=True,
    ),
}


def rules_of(platform):
    """The Platform of that name."""
    if platform not in PLATFORMS:
        raise ValueError(f"there are no rules of {platform!r}; choose from {', '.join(PLATFORMS)}")
    return PLATFORMS[platform]


def bad_file(platform, count, formats):
    """What is wrong with a whole file: too few rows, or rows of several formats; formats: names counted over its rows."""
    if count < rules_of(platform).least:
        yield f"the file has {count} rows", f"{platform} needs at least {rules_of(platform).least}"
    if rules_of(platform).one_format and len(formats) > 1:
        said = ", ".join(f"{name} {number} times" for name, number in Counter(formats).most_common())
        yield f"the rows have several formats: {said}", "write one file for each format"
