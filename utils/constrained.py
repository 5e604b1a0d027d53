"""JSON of a fixed shape without tuning: the fixed parts are written for the model, which only chooses each value.

The result is valid by construction, so tuning for format has an honest rival; what remains to measure is whether the
values are right. For free shapes there are grammars (outlines, xgrammar); a fixed shape with listed values needs none.
"""

import json


def fill(model, conversations, allowed, batch_size=16):
    """One JSON text per conversation, with exactly the fields of `allowed`: field to the values that it may have.

    Field by field, the value with the highest probability given the prompt and the fields before it. Value and closing
    sign are one piece, and a blank belongs to the piece after it: that is how the tokenizer cuts such JSON when it is whole.
    """
    written = ["{"] * len(conversations)
    for number, (name, values) in enumerate(allowed.items(), 1):
        start = f"{json.dumps(name)}:" if number == 1 else f" {json.dumps(name)}:"
        options = [f" {json.dumps(value)}{'}' if number == len(allowed) else ','}" for value in values]
        written = [text + start for text in written]
        asked = [[*chat, {"role": "assistant", "content": text}] for chat, text in zip(conversations, written, strict=True)]
        chosen = model.choose(asked, options, normalise=False, batch_size=batch_size)
        written = [text + piece for text, piece in zip(written, chosen, strict=True)]
    return written
