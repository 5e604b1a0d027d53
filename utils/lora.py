"""LoRA by hand, small enough to read: the layer, where it goes, what it costs, and how it is folded away.

A weight matrix W (out, in) stays as it is; beside it learn B (out, r) and A (r, in), so that the layer computes
W x + (alpha / r) B A x. Hu et al. 2021, arXiv 2106.09685. Lesson 11 shows that peft's layer computes the same.
"""

import math

import torch
from torch import nn

from utils import models

ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj", "query", "key", "value", "attention.output.dense"}  # Llama's names, and BERT's
BYTES = {"weight": 4, "gradient": 4, "Adam": 8}  # of float32, per weight that learns


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, and beside it a thin pair of matrices that learns."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.empty(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)


def linear_layers(network, targets="all"):
    """The linear layers that adapters may stand beside: a dict of full name to layer.

    targets: "all", "attention", or a collection of name endings such as {"q_proj", "v_proj"}
    The layer that makes the scores (lm_head, classifier) is left out, as peft's "all-linear" leaves it out.
    Raises ValueError where nothing fits.
    """
    found = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    found = {name: layer for name, layer in found.items() if name.split(".")[-1] not in ("lm_head", "classifier")}
    if targets == "all":
        chosen = found
    else:
        endings = tuple("." + ending for ending in (ATTENTION if targets == "attention" else targets))
        chosen = {name: layer for name, layer in found.items() if f".{name}".endswith(endings)}
    if not chosen:
        endings = ", ".join(sorted({name.split(".")[-1] for name in found}))
        raise ValueError(f'no linear layer fits targets {targets!r}; use "all", "attention", or endings out of: {endings}')
    return chosen


def add_lora(network, targets="all", rank=8, alpha=None):
    """Freeze a network and put an adapter beside each chosen layer, in place; returns the network.

    alpha: None takes 2 × rank, so that the scale is 2 at every rank
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    if any(isinstance(layer, LoRALinear) for layer in network.modules()):
        raise ValueError("this network has adapters already; fold them in with merge_all, or load the base anew")
    chosen = linear_layers(network, targets)
    models.freeze(network)
    for name, layer in chosen.items():
        replace(network, name, LoRALinear(layer, rank, alpha or 2 * rank).to(layer.weight.device))
    return network


def merge(layer):
    """The plain linear layer that computes the same as a LoRALinear: W + scale · B A."""
    if layer.base.weight.dtype != layer.A.dtype:
        raise ValueError(f"the base is kept as {layer.base.weight.dtype}; load it in float32, put the adapter there, and merge then")
    out, features = layer.base.weight.shape
    merged = nn.Linear(features, out, bias=layer.base.bias is not None, device=layer.base.weight.device)
    with torch.no_grad():
        merged.weight.copy_(layer.base.weight + layer.scale * layer.B @ layer.A)
        if layer.base.bias is not None:
            merged.bias.copy_(layer.base.bias)
    return merged


def merge_all(network):
    """Fold every adapter into its layer, in place; returns the network, which is again as large and as fast as its base."""
    for name, layer in [(n, m) for n, m in network.named_modules() if isinstance(m, LoRALinear)]:
        replace(network, name, merge(layer))
    return network


def replace(network, name, layer):
    """Put a layer in the place of the one with that full name."""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)


def shapes(network):
    """How many linear layers there are of each kind, and how large: a dict of ending to (count, out, in)."""
    found = {}
    for name, layer in linear_layers(network).items():
        ending = name.split(".")[-1]
        count = found.get(ending, (0,))[0]
        found[ending] = (count + 1, layer.out_features, layer.in_features)
    return found


def adapter_weights(shapes, rank):
    """How many weights learn: r (in + out) for each layer; shapes as `shapes` returns them."""
    return sum(count * rank * (out + features) for count, out, features in shapes.values())


def copy_into_peft(network, theirs):
    """Give a peft model around the same base the A and B of a network with our adapters, layer by layer; returns the peft model."""
    with torch.no_grad():
        for name, ours in network.named_modules():
            if isinstance(ours, LoRALinear):
                twin = theirs.get_submodule(f"base_model.model.{name}")
                twin.lora_A["default"].weight.copy_(ours.A)
                twin.lora_B["default"].weight.copy_(ours.B)
    return theirs


def training_memory(network, ids):
    """Measured after one real step with Adam on token numbers (B, T), at a learning rate of zero: MB of all tensors, by their purpose."""
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    adam = torch.optim.AdamW(learning, lr=0.0, weight_decay=0.0)
    network(ids, labels=ids).loss.backward()
    adam.step()
    kept = [value for state in adam.state.values() for value in state.values()]
    parts = {"weights": list(network.parameters()), "gradients": [weight.grad for weight in learning], "Adam": kept}
    found = {name: sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6 for name, tensors in parts.items()}
    network.zero_grad()
    return found
