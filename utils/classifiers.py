"""A pretrained encoder with a head: text in, label out; save, load, predict."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from utils import models


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
    def from_base(cls, model_id, labels, seed=0, **options):
        """A pretrained encoder with a new, untrained head for these labels."""
        folder = models.locate(model_id)
        names = dict(id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)})
        torch.manual_seed(seed)  # the head's first weights
        return cls(load_network(folder, **names, **options), models.load_tokenizer(folder))

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

    def scores(self, texts, batch_size=64):
        """Probabilities (n, labels): texts go through the network sorted by length, so that little is padding."""
        texts = list(texts)
        if not texts:
            return torch.empty(0, len(self.labels)).numpy()
        encoded = self.tokenizer(texts, truncation=True, max_length=longest(self.network.config))["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        out = torch.empty(len(texts), len(self.labels))
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                batch = self.tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt").to(self.network.device)
                logits = self.network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                out[chosen] = logits.float().softmax(-1).cpu()
        return out.numpy()

    def predict(self, texts, batch_size=64):
        """One label per text."""
        return [self.labels[i] for i in self.scores(texts, batch_size).argmax(-1)]


def longest(config, limit=256):
    """How many tokens to read of a text: at most `limit`, and never more than the model knows positions."""
    return min(limit, getattr(config, "max_position_embeddings", limit))


def load_network(folder, **options):
    """EncoderWithHead from a base model (new head) or a saved classifier."""
    # Plain ("eager") attention: for short texts on a CPU it is faster than torch's fused kernel.
    attention = "eager" if not torch.cuda.is_available() else "sdpa"
    with models.quiet_transformers():
        config = AutoConfig.from_pretrained(folder, attn_implementation=attention, **options)
        return EncoderWithHead.from_pretrained(folder, config=config, dtype=torch.float32)
