"""A pretrained encoder with a head: text in, label out; save, load, predict."""

import functools
import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from utils import models
from utils.runtime import runs_dir

HEAD_C = 10.0  # how freely a head on frozen vectors may fit: 3 to 30 differ by a point or less on validation tickets


def mean_over_tokens(hidden, attention_mask):
    """Average the token vectors of each text, padding left out: (B, T, D) to (B, D)."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


class EncoderWithHead(PreTrainedModel):
    """Tokens → encoder → mean over the tokens → one linear layer → one score per label.

    The mean is what MiniLM was pretrained with (Sentence-BERT, arXiv 1908.10084). The usual head,
    on the first token only, throws that away, which costs most when examples are few.
    """

    base_model_prefix = "encoder"
    _keys_to_ignore_on_load_unexpected = [r"pooler", r"position_ids"]
    supports_gradient_checkpointing = True

    def __init__(self, config):
        super().__init__(config)
        self.encoder = AutoModel.from_config(config, attn_implementation=config._attn_implementation)
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # only the first-token head would use it
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask, labels=None):
        """input_ids, attention_mask: (B, T); labels: (B,) numbers; returns loss and logits (B, num_labels)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, D)
        scores = self.classifier(mean_over_tokens(hidden, attention_mask))
        loss = None if labels is None else F.cross_entropy(scores.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=scores)


class Classifier:
    """An encoder with a head, its tokenizer and its labels: text in, label out."""

    def __init__(self, network, tokenizer):
        self.network, self.tokenizer = network, tokenizer
        self.labels = [network.config.id2label[i] for i in range(network.config.num_labels)]

    @classmethod
    def from_base(cls, model_id, labels, max_tokens=128, seed=0, **options):
        """A pretrained encoder with a new, untrained head for these labels.

        max_tokens: longer texts are cut; the work grows with the length, its attention part with the square.
        """
        folder = models.locate(model_id)
        names = dict(id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)})
        torch.manual_seed(seed)  # the head's first weights
        network, tokenizer = load_network(folder, **names, **options), models.load_tokenizer(folder)
        tokenizer.model_max_length = min(max_tokens, getattr(network.config, "max_position_embeddings", max_tokens))
        return cls(network, tokenizer)

    def encode(self, texts):
        """Token numbers of each text, cut to the classifier's length: a list of lists."""
        return self.tokenizer(list(texts), truncation=True)["input_ids"]

    def count_tokens(self, texts):
        """How many tokens the encoder reads of each text."""
        return [len(ids) for ids in self.encode(texts)]

    @classmethod
    def load(cls, folder):
        """A classifier saved with `save`."""
        if not (Path(folder) / "model.safetensors").exists():
            raise ValueError(f"{folder}: no saved classifier here (model.safetensors is missing); save one with classifier.save(folder)")
        return cls(load_network(Path(folder)), models.load_tokenizer(folder))

    def save(self, folder):
        """Write weights (safetensors), configuration and tokenizer; returns the folder."""
        with models.quiet_transformers():
            self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        return Path(folder)

    def vectors(self, texts, batch_size=16):
        """What the head sees: one vector per text, (n, D), the mean of its tokens."""
        return self.vectors_of(self.encode(texts), batch_size).numpy()

    def vectors_of(self, encoded, batch_size=16):
        """The same for texts that are token numbers already; a tensor (n, D)."""
        return self._run(lambda means: means, encoded, batch_size)

    def scores(self, texts, batch_size=16):
        """Probabilities (n, labels)."""
        head = self.network.classifier
        return self._run(lambda means: head(means).softmax(-1), self.encode(texts), batch_size).numpy()

    def _run(self, read_out, encoded, batch_size):
        """read_out(means) for all texts, sorted by length in between so that little is padding."""
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        rows = [None] * len(encoded)
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                rows_of_ids = {"input_ids": [encoded[i] for i in chosen]}
                batch = self.tokenizer.pad(rows_of_ids, return_tensors="pt", pad_to_multiple_of=4).to(self.network.device)
                mask = batch["attention_mask"]
                hidden = self.network.encoder(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
                for i, row in zip(chosen, read_out(mean_over_tokens(hidden, mask)).float().cpu(), strict=True):
                    rows[i] = row
        return torch.stack(rows)

    def predict(self, texts, batch_size=16):
        """One label per text."""
        return [self.labels[i] for i in self.scores(texts, batch_size).argmax(-1)] if len(texts) else []


def load_network(folder, **options):
    """EncoderWithHead from a base model (new head) or a saved classifier."""
    # Plain ("eager") attention: for short texts on a CPU it is faster than torch's fused kernel.
    attention = "eager" if not torch.cuda.is_available() else "sdpa"
    with models.quiet_transformers():
        config = AutoConfig.from_pretrained(folder, attn_implementation=attention, **options)
        return EncoderWithHead.from_pretrained(folder, config=config, dtype=torch.float32)


class Prototypes:
    """The pretrained encoder as it comes: a text gets the label whose training texts are nearest on average.

    No weight is trained: each label is the mean of its texts' vectors (a nearest-centroid classifier
    on sentence embeddings), so this measures what the model knew before fine-tuning.
    """

    def __init__(self, model_id, texts, labels):
        self.labels = sorted(set(labels))
        self.classifier = Classifier.from_base(model_id, self.labels)
        vectors, labels = self.embed(texts), list(labels)
        means = [vectors[[i for i, label in enumerate(labels) if label == name]].mean(0) for name in self.labels]
        self.means = F.normalize(torch.stack(means), dim=-1)  # (labels, D)

    def embed(self, texts):
        """One vector of length 1 per text: (n, D)."""
        return F.normalize(torch.from_numpy(self.classifier.vectors(texts)), dim=-1)

    def predict(self, texts):
        """One label per text."""
        return [self.labels[i] for i in (self.embed(texts) @ self.means.T).argmax(-1)]


class LabelNames(Prototypes):
    """Zero-shot: a text gets the label whose name, read as a phrase, means most nearly the same."""

    def __init__(self, model_id, labels):
        names = sorted(set(labels))
        super().__init__(model_id, [name.replace("_", " ") for name in names], names)


def frozen_vectors(model_id, texts):
    """What the pretrained encoder makes of each text, scaled to length 1: an array (n, D); each text is read once, ever.

    Remembered in runs/vectors/, per model, so that a sweep over a frozen encoder costs no more than its first run.
    """
    from safetensors.numpy import load_file, save_file

    texts, known = list(texts), _vectors(model_id)
    marks = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    new = {mark: text for mark, text in zip(marks, texts, strict=True) if mark not in known}
    if new:
        file = runs_dir() / "vectors" / f"{models.checksum(model_id)[:8]}.safetensors"
        if file.exists():
            known.update(load_file(file))  # what another process has read in the meantime
        missing = {mark: text for mark, text in new.items() if mark not in known}
        if missing:
            vectors = Classifier.from_base(model_id, ["no", "yes"]).vectors(list(missing.values()))
            known.update(zip(missing, unit_length(vectors), strict=True))
            file.parent.mkdir(parents=True, exist_ok=True)
            beside = file.with_suffix(f".{os.getpid()}")
            save_file(known, beside)
            os.replace(beside, file)
    return np.array([known[mark] for mark in marks])


@functools.cache
def _vectors(model_id):
    """The vectors of one model that this process knows: hash of the text to vector; filled by frozen_vectors."""
    return {}


def unit_length(vectors):
    """The vectors (n, D), each scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class FrozenHead:
    """The pretrained encoder as it comes, and a logistic regression on its vectors: no weight of the encoder moves.

    remember: look vectors of texts up that were read before, which sweeps need; False reads them anew, as a timing must
    """

    def __init__(self, model_id, texts, labels, remember=True):
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        self.model_id = model_id
        self.reader = None if remember else Classifier.from_base(model_id, sorted(set(labels)))
        vectors = self.vectors(texts)
        with threadpool_limits(1):  # matrices this small are slower on two cores than on one
            self.head = LogisticRegression(C=HEAD_C, max_iter=300, tol=1e-3).fit(vectors, list(labels))

    def vectors(self, texts):
        """What the head sees: (n, D)."""
        return unit_length(self.reader.vectors(texts)) if self.reader else frozen_vectors(self.model_id, texts)

    def predict(self, texts):
        """One label per text."""
        return list(self.head.predict(self.vectors(texts)))
