"""Attention for many rows that begin alike: the beginning is read once, and every row looks at it.

A system prompt with examples is the same for every ticket. Causal attention makes a token's vectors depend only on
what stands before it, so the beginning's keys and values are the same in every row: one copy serves all, in training
(gradients from all rows add up in it) and in generation. The result equals reading every row whole, up to rounding
(the idea of Hydragen, arXiv 2402.05099).
"""

import contextlib
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import eager_mask

NAME = "shared_prefix"
HIDDEN = torch.finfo(torch.float16).min  # added to a score, it makes the weight zero in every number type


def attend(module, query, key, value, attention_mask, scaling, prefix=None, **_):
    """Attention over a row's own tokens and, where there is one, over the shared beginning.

    query: (B, H, T, D); key, value: (B, K, L, D), each for H / K heads, which are not copied; attention_mask: (B or 1, 1, T, L),
    added to the scores; prefix: per layer (keys, values) of shape (1, K, P, D), seen by every token. Returns (B, T, H, D).
    """
    B, H, T, D = query.shape
    K, L = key.shape[1], key.shape[2]
    q = (query * scaling).reshape(B, K, H // K * T, D)
    scores = q @ key.transpose(2, 3)  # (B, K, H/K·T, L)
    scores = (scores.view(B, K, H // K, T, L) + attention_mask[:, :, None]).view(B, K, -1, L)
    if prefix is None:
        out = scores.softmax(-1).to(value.dtype) @ value
    else:
        first_keys, first_values = (part[0] for part in prefix[module.layer_idx])  # (K, P, D)
        P = first_keys.shape[1]
        flat = q.transpose(0, 1).reshape(K, -1, D)  # all rows at once: one large product instead of B small ones
        before = (flat @ first_keys.transpose(1, 2)).view(K, B, -1, P).transpose(0, 1)
        weights = torch.cat([before, scores], -1).softmax(-1).to(value.dtype)
        out = weights[..., P:] @ value
        shared = weights[..., :P].transpose(0, 1).reshape(K, -1, P) @ first_values
        out = out + shared.view(K, B, -1, D).transpose(0, 1)
    return out.reshape(B, H, T, D).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, eager_mask)


# ---- rows of tokens to tensors -----------------------------------------------------------------


@dataclass
class Rows:
    """Token rows, padded: `ids`, `real` and `positions` are (B, T); `prefix` (1, P) is what they all begin with, or None."""

    ids: torch.Tensor
    real: torch.Tensor
    positions: torch.Tensor
    prefix: torch.Tensor | None

    def to(self, device):
        """The same on another device."""
        return Rows(*(part if part is None else part.to(device) for part in (self.ids, self.real, self.positions, self.prefix)))


def common_beginning(rows, at_most=None):
    """How many tokens all rows share at their start; at least one is left to each row."""
    limit = min(min(map(len, rows)) - 1, at_most if at_most is not None else 10**9)
    first, last = min(rows), max(rows)  # if these two agree, so do all between them
    return next((i for i in range(limit) if first[i] != last[i]), max(limit, 0))


def pad(rows, shared=0, left=False, multiple=1, token=0):
    """Rows of token numbers as tensors; the first `shared` tokens, equal in all rows, are taken out once."""
    own = [row[shared:] for row in rows]
    width = -(-max(map(len, own)) // multiple) * multiple
    ids = torch.full((len(rows), width), token)
    real = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(own):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place] = torch.tensor(row)
        real[i, place] = True
    positions = (real.cumsum(1) - 1).clamp(min=0) + shared
    return Rows(ids, real, positions, torch.tensor(rows[0][:shared])[None] if shared else None)


def pad_vectors(rows, width):
    """Rows of vectors (T, hidden) of different lengths as one tensor (B, width, hidden), with zeros behind."""
    return torch.stack([F.pad(row, (0, 0, 0, width - len(row))) for row in rows])


# ---- reading -----------------------------------------------------------------------------------


@contextlib.contextmanager
def some_layers(decoder, first=0, last=None):
    """For a while the decoder has only its layers first to last; its final norm comes after the last of all."""
    layers, norm = decoder.layers, decoder.norm
    decoder.layers = layers[first:last]
    decoder.norm = norm if last is None else nn.Identity()
    try:
        yield
    finally:
        decoder.layers, decoder.norm = layers, norm


def start(ids, lower=None):
    """What a decoder starts from: tokens (B, T), or the vectors (B, T, hidden) that the layers below have made of them."""
    return {"input_ids": ids} if lower is None else {"inputs_embeds": lower}


def read_beginning(decoder, prefix, lower=None):
    """Keys and values of the tokens (1, P) that all rows begin with: one pair (1, K, P, D) per layer."""
    if prefix is None:
        return None
    P, cache = prefix.shape[1], DynamicCache()
    sees = torch.full((P, P), HIDDEN, device=prefix.device).triu(1)[None, None]
    places = torch.arange(P, device=prefix.device)[None]
    decoder(**start(prefix, lower), attention_mask=sees, position_ids=places, past_key_values=cache)
    return [(layer.keys, layer.values) for layer in cache.layers]


def causal(real):
    """The mask (B, 1, T, T) to add to scores: a token sees itself and the real tokens before it."""
    T = real.shape[1]
    sees = torch.ones(T, T, dtype=torch.bool, device=real.device).tril() & real[:, None]
    sees = sees | torch.eye(T, dtype=torch.bool, device=real.device)  # padding sees itself: no row without a weight
    return torch.zeros(sees.shape, device=real.device).masked_fill(~sees, HIDDEN)[:, None]


def read(decoder, rows, beginning=None, cache=None, lower=None):
    """Final vectors (B, T, hidden) of padded rows; what the cache is given it keeps."""
    return decoder(
        **start(rows.ids, lower),
        attention_mask=causal(rows.real),
        position_ids=rows.positions,
        past_key_values=cache,
        use_cache=cache is not None,
        prefix=beginning,
    ).last_hidden_state


class Room(DynamicLayer):
    """One layer's keys and values in a place that is large enough from the start: a step writes one column, and copies none."""

    def __init__(self, size):
        super().__init__()
        self.size, self.used = size, 0

    def update(self, keys, values, *_, **__):
        if not self.is_initialized:
            shape = (*keys.shape[:2], self.size, keys.shape[3])
            self.keys, self.values, self.is_initialized = keys.new_zeros(shape), values.new_zeros(shape), True
        start, self.used = self.used, self.used + keys.shape[2]
        self.keys[:, :, start : self.used], self.values[:, :, start : self.used] = keys, values
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def get_seq_length(self):
        return self.used


def room(layers, size):
    """An empty cache for `layers` layers with `size` places in each."""
    return Cache(layers=[Room(size) for _ in range(layers)])
