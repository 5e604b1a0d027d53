"""What learns, and from where: the head's start, the weights of each mode, the embedding rows in use."""

import warnings

import torch
from torch import nn
from torch.nn import functional as F

from utils import models


def start_head(classifier, train, dtype, per_label=32):
    """Let the untrained head start as a nearest-mean classifier instead of at random.

    Each label's row points to the mean vector of its texts. A random head first drags the encoder about
    (Kumar et al. 2022, arXiv 2202.10054); with this start, five epochs on 1,279 support tickets ended 4 points
    higher on validation. The scale says how sure to be: the one with the lowest loss when no text votes for itself.
    """
    by_label = {}
    for item in train:
        by_label.setdefault(item["labels"], []).append(item["input_ids"])
    chosen = [by_label[label][:per_label] for label in range(len(classifier.labels))]
    y = torch.tensor([label for label, texts in enumerate(chosen) for _ in texts])
    with torch.autocast(classifier.network.device.type, getattr(torch, dtype), enabled=dtype != "float32"):
        vectors = classifier.vectors_of([ids for texts in chosen for ids in texts])  # (n, D)
    counts = torch.bincount(y)
    sums = torch.zeros(len(counts), vectors.shape[1]).index_add_(0, y, vectors)
    means = sums / counts[:, None]  # (labels, D)
    center, size = means.mean(0), means.norm(dim=-1).mean()
    directions = F.normalize(means - center, dim=-1) / size

    scores = (vectors - center) @ directions.T  # (n, labels)
    without_self = (sums[y] - vectors) / (counts[y] - 1).clamp(min=1)[:, None]
    own = F.normalize(without_self - center, dim=-1) / size
    scores[torch.arange(len(y)), y] = ((vectors - center) * own).sum(-1)
    fair = counts[y] > 1
    scale = min((1, 2, 4, 8, 16), key=lambda k: F.cross_entropy(k * scores[fair], y[fair]).item()) if fair.any() else 1

    head = classifier.network.classifier
    with torch.no_grad():
        head.weight.copy_(scale * directions)
        head.bias.copy_(-scale * directions @ center)


def prepare(network, mode, rank):
    """Choose the weights that learn: all, the head, or the head and LoRA adapters on all linear layers."""
    if mode == "full":
        return network
    if mode == "head":
        models.freeze(network.encoder)
        return network
    from peft import LoraConfig, get_peft_model

    # All linear layers and alpha = 2 r: arXiv 2106.09685, and what later work found to matter.
    linear = [name for name, module in network.encoder.named_modules(prefix="encoder") if isinstance(module, nn.Linear)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's own, about a name of transformers
        return get_peft_model(network, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear, modules_to_save=["classifier"]))


class UsedRows(nn.Module):
    """The rows of an embedding table that a data set uses.

    Two in three weights of MiniLM are its table of 30,522 tokens, and a data set uses a few thousand of them.
    The gradient of the others is zero, so training without them gives the same result; but zeroing,
    clipping and updating millions of zeros takes a fifth of each step on a CPU.
    """

    def __init__(self, table, used):
        super().__init__()
        self.weight = nn.Parameter(table[used].clone())  # (used, D)
        row = torch.zeros(len(table), dtype=torch.long, device=table.device)
        row[used] = torch.arange(len(used), device=table.device)
        self.register_buffer("row", row, persistent=False)

    def forward(self, input_ids):
        """Vectors (B, T, D) of token numbers (B, T)."""
        return F.embedding(self.row[input_ids], self.weight)


def keep_used_rows(network, items):
    """Swap the token embedding for its used rows; returns what restore_rows needs."""
    full = network.encoder.get_input_embeddings()
    used = torch.tensor(sorted({token for item in items for token in item["input_ids"]} | {full.padding_idx or 0}))
    network.encoder.set_input_embeddings(UsedRows(full.weight.data, used))
    return full, used


def restore_rows(network, unused):
    """Put the trained rows back into the full table."""
    full, used = unused
    with torch.no_grad():
        full.weight[used] = network.encoder.get_input_embeddings().weight.to(full.weight.device)
    network.encoder.set_input_embeddings(full.to(network.device))
