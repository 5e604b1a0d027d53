"""LoRA adapters on a language model: attach them, speed their products up, tell which base model they belong to."""

import json
import warnings
from pathlib import Path

import torch
from torch import nn

from utils import models


def attach(network, rank=16, alpha=None, targets="all-linear", layers=None):
    """A peft model: `network` frozen, with LoRA adapters; alpha None takes twice the rank.

    targets: "all-linear" (all but the output layer) or a list of layer names such as ["q_proj", "v_proj"]
    layers: adapters in the top `layers` layers only; the lower ones then need no backward pass
    """
    from peft import LoraConfig, get_peft_model

    total = network.config.num_hidden_layers
    if layers is not None and not 1 <= layers <= total:
        raise ValueError(f"layers must be 1 to {total} for this model, got {layers}")
    top = None if layers is None else list(range(total - layers, total))
    if top is not None and targets == "all-linear":  # with layers chosen, peft wants names
        targets = sorted({name.split(".")[-1] for name, m in network.get_decoder().named_modules() if isinstance(m, nn.Linear)})
    config = LoraConfig(r=rank, lora_alpha=alpha or 2 * rank, target_modules=targets, layers_to_transform=top, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own, about names
        return get_peft_model(network, config)


class LoRAProduct(torch.autograd.Function):
    """x Wᵀ + s (x Aᵀ) Bᵀ with W frozen: the second term is added in place, and no gradient of W is made.

    peft's own layer makes three more tensors of the output's size on the way there and two on the way back.
    x: (…, in), W: (out, in), A: (r, in), B: (out, r); computed in W's number type.
    """

    @staticmethod
    def forward(ctx, x, W, bias, A, B, scale):
        rows = x.reshape(-1, x.shape[-1]).to(W.dtype)
        a, b = A.to(W.dtype), B.to(W.dtype)
        small = rows @ a.T  # (N, r)
        y = rows @ W.T if bias is None else torch.addmm(bias.to(W.dtype), rows, W.T)
        y.addmm_(small, b.T, alpha=scale)
        ctx.save_for_backward(rows, small, W, a, b)
        ctx.scale, ctx.types, ctx.shape = scale, (x.dtype, A.dtype, B.dtype), x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, gradient):
        rows, small, W, a, b = ctx.saved_tensors
        of_x, of_a, of_b = ctx.types
        g = gradient.reshape(-1, gradient.shape[-1]).to(W.dtype)
        down = (g @ b) * ctx.scale  # (N, r)
        x = (g @ W).addmm_(down, a).view(ctx.shape).to(of_x) if ctx.needs_input_grad[0] else None
        return x, None, None, (down.T @ rows).to(of_a), ((g.T @ small) * ctx.scale).to(of_b), None


def quicken(network, dtype="float32"):
    """Let peft's LoRA layers compute with LoRAProduct while they train; returns a function that puts their own back.

    dtype: the type to multiply in; the frozen weights are cast to it once, not at every step.
    """
    from peft.tuners.lora import Linear

    changed = []
    for layer in network.modules():
        name = layer.active_adapters[0] if isinstance(layer, Linear) and len(layer.active_adapters) == 1 else None
        plain = name in getattr(layer, "lora_A", {}) and not layer.lora_variant and not layer.use_dora.get(name)
        if plain and isinstance(layer.lora_dropout[name], nn.Identity) and type(layer.base_layer) is nn.Linear:
            weight = layer.base_layer.weight.detach().to(getattr(torch, dtype))

            def forward(x, *_, layer=layer, name=name, weight=weight, **__):
                a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
                return LoRAProduct.apply(x, weight, layer.base_layer.bias, a, b, layer.scaling[name])

            layer.forward = forward
            changed.append(layer)

    def restore():
        for layer in changed:
            del layer.forward  # the class's own is found again

    return restore


# ---- which base model --------------------------------------------------------------------------


def mark_base(folder, model_id):
    """Write beside an adapter which weights it was trained on."""
    mark = {"base": str(model_id), "checksum": models.checksum(model_id)}
    (Path(folder) / "base.json").write_text(json.dumps(mark), encoding="utf-8")


def base_of(adapter):
    """{"base", "checksum"} of the model that an adapter was trained on; the checksum is None for an adapter from elsewhere."""
    mark, config = Path(adapter) / "base.json", Path(adapter) / "adapter_config.json"
    if not config.exists():
        raise ValueError(f"{adapter}: no adapter here (adapter_config.json is missing); save one with model.save(folder)")
    if mark.exists():
        return json.loads(mark.read_text(encoding="utf-8"))
    return {"base": json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"], "checksum": None}


def check_adapter(model_id, adapter):
    """An adapter changes the weights that it was trained on; on others it makes noise."""
    trained = base_of(adapter)
    entry = models.find(str(model_id))
    names = {str(model_id)} | ({entry.name, entry.hub_id, str(models.folder_of(entry))} if entry else set())
    same = trained["base"] in names if trained["checksum"] is None else trained["checksum"] == models.checksum(model_id)
    if not same:
        raise ValueError(f"{adapter}: this adapter was trained on {trained['base']}, not on {model_id}; load it with that base model")
