"""Chats: build them, see what the model really reads, turn them into numbers, read them from a file.

A chat ("conversation") is a list of messages, {"role": "system" | "user" | "assistant", "content": text}.
Only the last answer of the assistant is learned: elsewhere the label is -100, which the loss leaves out.
"""

import html

from utils.data import check_is_file, read_jsonl

ROLES = ["system", "user", "assistant"]
NO_LOSS = -100  # PyTorch's cross-entropy skips this label


# ---- build -------------------------------------------------------------------------------------


def zero_shot(system, user):
    """A chat that asks without an example; system may be None."""
    start = [{"role": "system", "content": system}] if system else []
    return [*start, {"role": "user", "content": user}]


def few_shot(system, examples, user):
    """A chat that shows examples, pairs of question and answer, as turns, and then asks."""
    turns = [{"role": role, "content": text} for pair in examples for role, text in zip(("user", "assistant"), pair, strict=True)]
    start = zero_shot(system, user)
    return [*start[:-1], *turns, start[-1]]


def choose_examples(pool, n, user=None, vectors=None, seed=0):
    """n pairs of a pool of (question, answer) pairs: at random, or those whose questions mean most nearly the same.

    vectors: a function from texts to vectors (n, D), such as Classifier.vectors; needs `user`, the question to be near to.
    The nearest comes last, next to the question. Random examples are the same for every question, so their cost is paid once.
    """
    import numpy as np

    if not 0 <= n <= len(pool):
        raise ValueError(f"n is {n}, but the pool holds {len(pool)} examples; ask for 0 to {len(pool)}")
    if vectors is None:
        return [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))[:n]]
    points = np.asarray(vectors([question for question, _ in pool] + [user]), dtype=float)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    nearest = np.argsort(points[:-1] @ points[-1])[len(pool) - n :]
    return [pool[i] for i in nearest]


# ---- check and encode --------------------------------------------------------------------------


def check_chat(messages, where="this chat", answered=False, special=()):
    """Say in one sentence what is wrong with a chat; `where` names its row, `answered` demands an answer as last turn.

    special: tokens of the tokenizer that steer the model; a text that contains one could pose as another speaker.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'{where}: expected a list of messages like {{"role": "user", "content": "…"}}, got {str(messages)[:40]}')
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(f"{where}, message {number}: expected an object with the texts role and content, got {str(message)[:60]}")
        if message.get("role") not in ROLES:
            raise ValueError(f"{where}, message {number}: unknown role {message.get('role')!r}; use one of {', '.join(ROLES)}")
        for token in special:
            if token in message["content"]:
                raise ValueError(f"{where}, message {number}: the text holds the control token {token!r}; remove it, the template adds it")
    if answered and messages[-1]["role"] != "assistant":
        raise ValueError(f"{where}: the last turn is the {messages[-1]['role']}'s; to learn from, it must be the assistant's answer")
    if answered and not messages[-1]["content"].strip():
        raise ValueError(f"{where}: the assistant's answer is empty; write one, or leave the row out")


def prompt_text(tokenizer, messages):
    """What the model reads before it writes, as one text: the chat in the tokenizer's template.

    A chat that ends with the user's turn gets the header of an answer; one that ends with the assistant's is to be continued.
    """
    if not tokenizer.chat_template:
        raise ValueError("this tokenizer has no chat template; load an instruct model, such as smollm2")
    given = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    head = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    return tokenizer.apply_chat_template(head, tokenize=False, add_generation_prompt=True) + given


def encode_prompt(tokenizer, messages, where="this chat"):
    """The token numbers of a prompt: a list."""
    check_chat(messages, where, special=tokenizer.all_special_tokens)
    return tokenizer(prompt_text(tokenizer, messages), add_special_tokens=False)["input_ids"]


def encode_chat(tokenizer, messages, max_tokens=1024, where="this chat"):
    """{"input_ids", "labels"}: lists of equal length; labels are NO_LOSS outside the last answer and its end-of-turn token.

    Prompt and answer are cut into tokens one by one, since that is how the answer will be generated.
    Raises ValueError, naming `where`, for a chat that cannot be learned from.
    """
    check_chat(messages, where, answered=True, special=tokenizer.all_special_tokens)
    prompt = encode_prompt(tokenizer, messages[:-1], where) if messages[:-1] else []
    if not prompt:
        raise ValueError(f"{where}: there is nothing before the answer; add the user's turn")
    answer = tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    if len(prompt) + len(answer) > max_tokens:
        what = "the answer alone" if len(answer) > max_tokens else "prompt and answer"
        size = len(answer) if len(answer) > max_tokens else len(prompt) + len(answer)
        raise ValueError(f"{where}: {what} takes {size} tokens, the context has {max_tokens}; shorten the text or raise max_tokens")
    return {"input_ids": prompt + answer, "labels": [NO_LOSS] * len(prompt) + answer}


def read_chats(path):
    """Chats of a JSONL file, one {"messages": [...]} a line; returns rows, each checked.

    Raises ValueError with file, line and what to do.
    """
    from pathlib import Path

    check_is_file(Path(path))
    rows = read_jsonl(Path(path))
    for number, row in enumerate(rows, 1):
        if "messages" not in row:
            raise ValueError(f"{path}, row {number}: no messages; each line must be an object with the list messages")
        check_chat(row["messages"], f"{path}, row {number}", answered=True)
    return rows


# ---- see ---------------------------------------------------------------------------------------


def shown_tokens(tokenizer, messages):
    """What the model reads of an answered chat, token by token: a list of {"text", "role", "learns"}.

    role: whose content the token belongs to, or "template" for what the chat template adds.
    """
    encoded = encode_chat(tokenizer, messages, max_tokens=10**9)
    text, spans = prompt_text(tokenizer, messages[:-1]), []
    after = 0
    for message in messages[:-1]:
        start = text.find(message["content"].strip(), after)
        if start >= 0:
            after = start + len(message["content"].strip())
            spans.append((start, after, message["role"]))
    places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    roles = [next((role for a, b, role in spans if a <= start < b), "template") for start, _ in places]
    roles += ["assistant"] * (len(encoded["input_ids"]) - len(roles) - 1) + ["template"]
    texts = [tokenizer.decode([token]) for token in encoded["input_ids"]]
    learns = [label != NO_LOSS for label in encoded["labels"]]
    return [dict(text=t, role=r, learns=x) for t, r, x in zip(texts, roles, learns, strict=True)]


STYLES = {"template": "color:#777", "system": "background:#eee", "user": "background:#dbe9f6", "assistant": "background:#fff"}


def show_tokens(tokens):
    """The tokens of shown_tokens as a display for a notebook: what is learned is orange, bold and underlined."""
    from IPython.display import HTML

    learned = "background:#fdd9a8;font-weight:bold;text-decoration:underline"
    cells = []
    for token in tokens:
        shown = html.escape(token["text"]).replace(" ", "·").replace("\n", "⏎<br>")
        style = learned if token["learns"] else STYLES[token["role"]]
        title = f"{token['role']}, {'learned' if token['learns'] else 'read only'}"
        cells.append(f'<span title="{title}" style="{style};color:{"#777" if token["role"] == "template" else "#111"}">{shown}</span>')
    count = sum(token["learns"] for token in tokens)
    legend = f"{len(tokens)} tokens; the {count} that are <b><u>bold and underlined</u></b> carry loss, the others are only read"
    return HTML(f'<div style="font-family:monospace;line-height:1.7">{"&#8203;".join(cells)}</div><p>{legend}</p>')
