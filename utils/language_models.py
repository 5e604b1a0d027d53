"""A causal language model and its tokenizer: generate, stream, score answers, choose, measure perplexity."""

import contextlib
import copy
import time
from pathlib import Path

import numpy as np
import torch

from utils import attention, models
from utils.adapters import base_of, check_adapter, mark_base
from utils.prompts import encode_prompt
from utils.runtime import device, fastest_dtype

FEW = 512  # positions whose scores over all 49,152 tokens are held at once: 100 MB


class LanguageModel:
    """Text in, text out. A conversation is a list of {"role", "content"}; one that ends with the assistant's turn is continued.

    network: a transformers causal model, or a peft model around one; tokenizer: with a chat template
    base: the name, folder or hub id that the weights came from
    last: what the last call of generate or stream took: {"new_tokens", "prompt_tokens", "shared_tokens", "seconds"}
    """

    def __init__(self, network, tokenizer, base=None):
        self.network, self.tokenizer, self.base = network.eval(), tokenizer, str(base) if base else None
        self.last = {}
        self.plain.config._attn_implementation = attention.NAME

    # ---- load and save -------------------------------------------------------------------------

    @classmethod
    def load(cls, model_id, adapter=None):
        """A base model by name, folder or hub id; adapter: a folder written by peft (or by `save`) for this very base.

        A folder that `save` wrote with an adapter may be given alone. Weights are float32 on a CPU, the fastest type on a GPU.
        Raises ValueError for an adapter of another base model.
        """
        from transformers import AutoModelForCausalLM

        if adapter is None and (Path(model_id) / "adapter_config.json").exists():
            model_id, adapter = base_of(model_id)["base"], model_id
        if adapter is not None:
            check_adapter(model_id, adapter)
        dtype = torch.float32 if device() == "cpu" else getattr(torch, fastest_dtype())
        with models.quiet_transformers():
            network = AutoModelForCausalLM.from_pretrained(models.locate(model_id), dtype=dtype, attn_implementation=attention.NAME)
            if adapter is not None:
                from peft import PeftModel

                network = PeftModel.from_pretrained(network, str(adapter))
        return cls(network.to(device()), models.load_tokenizer(model_id), model_id)

    def save(self, folder):
        """Write the adapter alone if there is one, else the whole model; safetensors and tokenizer; returns the folder."""
        with models.quiet_transformers():
            self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.network is not self.plain:
            mark_base(folder, self.base)
        return Path(folder)

    def merge(self):
        """A model with the adapter added into the weights, a copy: same answers, no extra work, no adapter any more."""
        if self.network is self.plain:
            return self
        return LanguageModel(copy.deepcopy(self.network).merge_and_unload(), self.tokenizer)

    @property
    def plain(self):
        """The transformers model inside; adapters, where there are any, sit in its layers."""
        return self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network

    # ---- reading -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _fast(self):
        """No gradients, and the number type that this machine multiplies fastest."""
        dtype, was = fastest_dtype(), self.network.training
        self.network.eval()
        with torch.inference_mode(), torch.autocast(device(), getattr(torch, dtype), enabled=dtype != "float32"):
            yield
        self.network.train(was)

    def _encode(self, conversations):
        """Token numbers of each prompt."""
        return [encode_prompt(self.tokenizer, messages, f"conversation {i}") for i, messages in enumerate(conversations, 1)]

    def count_tokens(self, conversations):
        """How many tokens the model reads of each conversation, its template included."""
        return [len(ids) for ids in self._encode(conversations)]

    def _ends(self):
        """The tokens that end a turn."""
        ends = self.plain.generation_config.eos_token_id
        return {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}

    def _log_probabilities(self, hidden, targets):
        """Log-probability of each target token (N,) given the vectors (N, hidden) before it, a few at a time."""
        head = self.plain.get_output_embeddings()
        parts = []
        for h, t in zip(hidden.split(FEW), targets.split(FEW), strict=True):
            scores = head(h).float()
            parts.append(scores.gather(1, t[:, None])[:, 0] - scores.logsumexp(-1))
        return torch.cat(parts)

    def _nats(self, rows, starts, batch_size):
        """For each row of tokens the summed log-probability of those from its start on, each given all before it."""
        found, decoder = np.zeros(len(rows)), self.plain.get_decoder()
        shared = attention.common_beginning(rows, min(starts) - 1)
        shared = shared if len(rows) > 1 and shared >= 8 else 0
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        with self._fast():
            beginning = attention.read_beginning(decoder, torch.tensor(rows[0][:shared])[None].to(device()) if shared else None)
            for first in range(0, len(order), batch_size):
                chosen = order[first : first + batch_size]
                batch = attention.pad([rows[i] for i in chosen], shared, multiple=4).to(device())
                hidden = attention.read(decoder, batch, beginning)[:, :-1]
                start = torch.tensor([starts[i] for i in chosen], device=hidden.device)[:, None]
                wanted = batch.real[:, 1:] & (batch.positions[:, 1:] >= start)
                nats = torch.zeros(wanted.shape, device=hidden.device)
                nats[wanted] = self._log_probabilities(hidden[wanted], batch.ids[:, 1:][wanted])
                found[chosen] = nats.sum(1).cpu().numpy()
        return found

    # ---- scoring -------------------------------------------------------------------------------

    def log_likelihood(self, conversations, answers, batch_size=16):
        """(nats, tokens): two arrays, the log-probability of each answer (end of turn included) and its number of tokens.

        A conversation that ends with the assistant's turn is continued, and its continuation has no end of turn.
        """
        prompts = self._encode(conversations)
        answers = [self._answer(text, messages) for text, messages in zip(answers, conversations, strict=True)]
        nats = self._nats([p + a for p, a in zip(prompts, answers, strict=True)], [len(p) for p in prompts], batch_size)
        return nats, np.array([len(a) for a in answers])

    def _answer(self, text, messages):
        """Token numbers of an answer, its end of turn included unless it continues the assistant's turn."""
        end = [] if messages[-1]["role"] == "assistant" else [self.tokenizer.eos_token_id]
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] + end

    def perplexity(self, texts, batch_size=16):
        """Nats per token of each text, read as plain text without a template: an array; exp of the mean is the perplexity."""
        start = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
        rows = [[start, *self.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in texts]
        if empty := [i for i, row in enumerate(rows, 1) if len(row) < 2]:
            raise ValueError(f"text {empty[0]} is empty; leave it out")
        return -self._nats(rows, [1] * len(rows), batch_size) / np.array([len(row) - 1 for row in rows])

    def option_scores(self, conversations, options, normalise=True, batch_size=16):
        """Log-probability of each option as the answer to each conversation: an array (conversations, options).

        normalise: per token, so that a long option is not unlikely for its length alone.
        Each prompt is read once; all options then follow it side by side, none seeing another.
        """
        prompts = self._encode(conversations)
        pieces = [self._answer(option, conversations[0]) for option in options]
        if len({messages[-1]["role"] == "assistant" for messages in conversations}) > 1:
            raise ValueError("some conversations end with the assistant's turn and some do not; choose for them in two calls")
        flat = torch.tensor([token for piece in pieces for token in piece])
        owner = torch.tensor([o for o, piece in enumerate(pieces) for _ in piece])
        depth = torch.tensor([d for piece in pieces for d in range(len(piece))])
        mine = (owner[:, None] == owner) & (depth[:, None] >= depth)  # a token sees its own option's tokens up to itself
        scores, decoder = np.zeros((len(prompts), len(options))), self.plain.get_decoder()
        shared = attention.common_beginning(prompts) if len(prompts) > 1 else 0
        shared = shared if shared >= 8 else 0
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        with self._fast():
            beginning = attention.read_beginning(decoder, torch.tensor(prompts[0][:shared])[None].to(device()) if shared else None)
            for first in range(0, len(order), batch_size):
                chosen = order[first : first + batch_size]
                batch = attention.pad([prompts[i] for i in chosen], shared, left=True).to(device())
                B, T = batch.ids.shape
                cache = attention.room(self.plain.config.num_hidden_layers, T + len(flat))
                last = attention.read(decoder, batch, beginning, cache)[:, -1]  # (B, hidden)
                sees = torch.cat([batch.real[:, None].expand(-1, len(flat), -1), mine.to(device()).expand(B, -1, -1)], -1)
                hidden = decoder(
                    input_ids=flat.to(device()).expand(B, -1),
                    attention_mask=torch.zeros(sees.shape, device=device()).masked_fill(~sees, attention.HIDDEN)[:, None],
                    position_ids=batch.positions[:, -1:] + 1 + depth.to(device()),
                    past_key_values=cache,
                    use_cache=True,
                    prefix=beginning,
                ).last_hidden_state  # (B, all options' tokens, hidden)
                # What predicts a token: the vector before it, or the prompt's last for an option's first token.
                before = torch.where((depth == 0)[None, :, None].to(device()), last[:, None], hidden.roll(1, 1))
                nats = self._log_probabilities(before.flatten(0, 1), flat.to(device()).repeat(B)).view(B, -1).cpu()
                sums = torch.zeros(B, len(options)).index_add_(1, owner, nats)
                scores[chosen] = (sums / torch.bincount(owner) if normalise else sums).numpy()
        return scores

    def choose(self, conversations, options, normalise=True, batch_size=16):
        """For each conversation the option that the model thinks likeliest as its answer."""
        return [options[i] for i in self.option_scores(conversations, options, normalise, batch_size).argmax(1)]

    # ---- generating ----------------------------------------------------------------------------

    def generate(self, conversations, max_new_tokens=96, temperature=0.0, seed=0, batch_size=64, stop=None):
        """One text per conversation, in their order.

        temperature: 0 takes the likeliest token each time (greedy), 1 samples as the model believes
        stop: texts that end an answer; the answer is cut before them
        Prompts of like length share a batch, what all begin with is read once, rows that end leave.
        On real weights a greedy answer can differ from one that was generated alone where two tokens are almost equally likely.
        """
        started, prompts = time.perf_counter(), self._encode(conversations)
        shared = attention.common_beginning(prompts) if len(prompts) > 1 else 0
        shared = shared if shared >= 8 else 0
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found = [None] * len(prompts)
        pick = Picker(temperature, seed)
        with self._fast():
            head = torch.tensor(prompts[0][:shared])[None].to(device()) if shared else None
            beginning = attention.read_beginning(self.plain.get_decoder(), head)
            for first in range(0, len(order), batch_size):
                chosen = order[first : first + batch_size]
                tokens = [[] for _ in chosen]
                for alive, new in self._steps([prompts[i] for i in chosen], shared, beginning, max_new_tokens, pick):
                    ended = []
                    for row, token in zip(alive, new, strict=True):
                        tokens[row].append(token)
                        ended.append(bool(stop) and any(s in self._text(tokens[row]) for s in stop))
                    alive[:] = [-1 if end else row for end, row in zip(ended, alive, strict=True)]
                for i, row in zip(chosen, tokens, strict=True):
                    found[i] = row
        self.last = dict(
            new_tokens=sum(map(len, found)),
            prompt_tokens=sum(map(len, prompts)),
            shared_tokens=shared,
            seconds=time.perf_counter() - started,
        )
        return [cut(self._text(row), stop) for row in found]

    def _text(self, tokens):
        """Tokens as text, without the end of turn."""
        return self.tokenizer.decode([t for t in tokens if t not in self._ends()], skip_special_tokens=True)

    def _steps(self, prompts, shared, beginning, max_new_tokens, pick):
        """Yield (rows still writing, their next token), step by step; a caller ends a row by setting it to -1 in the list."""
        decoder, head, ends = self.plain.get_decoder(), self.plain.get_output_embeddings(), self._ends()
        batch = attention.pad(prompts, shared, left=True, multiple=4).to(device())
        T = batch.ids.shape[1]
        cache = attention.room(self.plain.config.num_hidden_layers, T + max_new_tokens)
        hidden = attention.read(decoder, batch, beginning, cache)[:, -1]
        sees = torch.zeros(len(prompts), 1, 1, T + max_new_tokens, device=hidden.device)
        sees[:, 0, 0, :T].masked_fill_(~batch.real, attention.HIDDEN)
        positions, slots = batch.positions[:, -1:], list(range(len(prompts)))  # slot: the row that a line of the batch works on, or -1
        for step in range(max_new_tokens):
            new = pick(head(hidden).float())
            tokens = new.tolist()
            lines = [i for i, row in enumerate(slots) if row >= 0]
            alive = [slots[i] for i in lines]
            yield alive, [tokens[i] for i in lines]
            for i, row in zip(lines, alive, strict=True):
                slots[i] = -1 if tokens[i] in ends else row
            left = [i for i, row in enumerate(slots) if row >= 0]
            if not left:
                return
            if len(left) <= 0.75 * len(slots):  # moving the rest together costs a copy: only when a quarter has ended
                keep = torch.tensor(left, device=new.device)
                slots = [slots[i] for i in left]
                new, sees, positions = new[keep], sees[keep], positions[keep]
                cache.batch_select_indices(keep)
            positions = positions + 1
            hidden = decoder(
                input_ids=new[:, None],
                attention_mask=sees[..., : T + step + 1],
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                prefix=beginning,
            ).last_hidden_state[:, -1]

    def stream(self, messages, max_new_tokens=256, temperature=0.0, seed=0):
        """Yield (piece of text, tokens per second so far) while one answer is written."""
        started, prompts = time.perf_counter(), self._encode([messages])
        tokens, shown = [], ""
        with self._fast():
            for _, new in self._steps(prompts, 0, None, max_new_tokens, Picker(temperature, seed)):
                tokens += new
                text = self._text(tokens)
                if not text.endswith("\ufffd") and len(text) > len(shown):  # half a character waits for its other half
                    piece, shown = text[len(shown) :], text
                    yield piece, len(tokens) / (time.perf_counter() - started)
        self.last = dict(new_tokens=len(tokens), prompt_tokens=len(prompts[0]), shared_tokens=0, seconds=time.perf_counter() - started)


class Picker:
    """The next token of each row from its scores (B, vocabulary): the likeliest, or drawn at a temperature."""

    def __init__(self, temperature, seed):
        if temperature < 0:
            raise ValueError(f"temperature must be 0 (greedy) or more, got {temperature}")
        self.temperature, self.generator = temperature, torch.Generator(device()).manual_seed(seed)

    def __call__(self, scores):
        if self.temperature == 0:
            return scores.argmax(-1)
        return torch.multinomial((scores / self.temperature).softmax(-1), 1, generator=self.generator)[:, 0]


def cut(text, stop):
    """The text before the first of the stop texts."""
    places = [text.find(s) for s in stop or [] if s in text]
    return text[: min(places)] if places else text
