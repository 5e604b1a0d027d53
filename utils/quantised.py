"""Weights in few bits: rounding by hand, block by block, and bitsandbytes' layers.

A block of weights is divided by its largest magnitude, and each weight becomes the number of the nearest of a few levels.
NF4, the levels of QLoRA, are quantiles of the normal distribution: Dettmers et al. 2023, arXiv 2305.14314.
"""

import contextlib
import logging
import warnings

import torch

from utils import models
from utils.lora import linear_layers
from utils.runtime import release_memory

BLOCK = 64  # weights that share one scale, as in QLoRA
BITS = {"nf4": 4, "int8": 8, "int4": 4, "int3": 3, "int2": 2}


def levels(kind):
    """The values that a weight may take, between -1 and 1, in ascending order: (2^bits,) or one fewer."""
    if kind == "nf4":
        return normal_levels()
    if kind not in BITS:
        raise ValueError(f"kind must be one of {', '.join(BITS)}, got {kind!r}")
    half = 2 ** (BITS[kind] - 1) - 1
    return torch.arange(-half, half + 1) / half  # evenly spaced, zero among them


def normal_levels(tail=0.9677083):
    """NF4: sixteen values that normally distributed weights use about equally often; zero is one of them.

    tail: the outermost quantile, the mean of 1 - 1/30 and 1 - 1/32 (the paper's appendix)
    """
    normal = torch.distributions.Normal(0.0, 1.0)
    above = normal.icdf(torch.linspace(0.5, tail, 9))[1:]
    below = -normal.icdf(torch.linspace(0.5, tail, 8))[1:]
    values = torch.cat([below, torch.zeros(1), above]).sort().values
    return values / values.abs().max()


def quantise(weight, levels, block=BLOCK):
    """A matrix as numbers of levels and one scale per block: codes (blocks, block) and scales (blocks, 1)."""
    if weight.numel() % block:
        raise ValueError(f"{weight.numel()} weights cannot be cut into blocks of {block}; choose a block that divides them")
    blocks = weight.detach().float().reshape(-1, block)
    scales = blocks.abs().amax(1, keepdim=True).clamp(min=1e-12)
    middles = (levels[1:] + levels[:-1]) / 2  # a weight goes to the level on its side of the middle
    return torch.bucketize(blocks / scales, middles), scales


def dequantise(codes, scales, levels, shape):
    """The weights that such codes stand for, in the matrix's shape."""
    return (levels[codes] * scales).reshape(shape)


def rounded(weight, kind, block=BLOCK):
    """What is left of a matrix after quantising and back."""
    values = levels(kind)
    return dequantise(*quantise(weight, values, block), values, weight.shape)


def round_layers(network, kind, block=BLOCK):
    """Round all linear layers but the last in place, kept in float32: the loss of few bits without their gain; returns the network."""
    with torch.no_grad():
        for layer in linear_layers(network).values():
            layer.weight.copy_(rounded(layer.weight, kind, block))
    return network


def load_quantised(model_id, kind):
    """A base language model whose linear layers bitsandbytes keeps in few bits: kind "nf4" (scales quantised too) or "int8".

    Sums are computed in float32; embeddings, norms and the last layer stay in float32. "float32" loads all of it so.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32)
    settings = {"float32": None, "int8": dict(load_in_8bit=True), "nf4": four}
    if kind not in settings:
        raise ValueError(f"kind must be one of {', '.join(settings)}, got {kind!r}")
    chosen = settings[kind] and BitsAndBytesConfig(**settings[kind])
    options = dict(quantization_config=chosen, device_map="cpu") if chosen else {}
    with models.quiet_transformers(), quiet_bitsandbytes():
        network = AutoModelForCausalLM.from_pretrained(models.locate(model_id), dtype=torch.float32, **options).eval()
    for weight in network.parameters() if chosen else ():
        if weight.dtype == torch.float32:  # a copy of its own: a view would keep the whole float32 file in memory
            weight.data = weight.data.clone()
    return network


@contextlib.contextmanager
def quiet_bitsandbytes():
    """Hide two notices that repeat for every layer: int8 computes in float16; gradients of NF4 were checked (tests/test_lora.py)."""
    logger = logging.getLogger("bitsandbytes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*MatMul8bitLt.*|.*gemv_4bit.*|.*autograd kernel.*")
            yield
    finally:
        logger.setLevel(level)


def measured_load(model_id, kind, ids):
    """(network, MB of its weights, MB by which this process grew): load_quantised, measured after one forward pass of ids (B, T)."""
    import psutil

    release_memory()
    before = psutil.Process().memory_info().rss
    network = load_quantised(model_id, kind)
    with torch.inference_mode(), quiet_bitsandbytes():
        network(ids)
    release_memory()
    return network, network.get_memory_footprint() / 1e6, (psutil.Process().memory_info().rss - before) / 1e6


def fill_dequantised(plain, four):
    """Give a float32 network the weights that a four-bit one stands for, in place; returns it."""
    from bitsandbytes.functional import dequantize_4bit

    for name, layer in linear_layers(four).items():
        plain.get_submodule(name).weight.data.copy_(dequantize_4bit(layer.weight.data, layer.weight.quant_state))
    return plain
