"""Checks of lab 11, write a LoRA layer; and the five broken adapters of its fifth exercise."""

import math

from utils.feedback import expect, right


def check_count_lora(count_lora):
    """Exercise 1: how many weights learn?"""
    found = count_lora(8, 4, 2)
    expect(isinstance(found, int), f"return one whole number, got {type(found).__name__}")
    expect(found != 8 * 4, "that is the matrix itself; count the two thin matrices A and B beside it")
    expect(found != 2 * 8 * 4, "A and B are not as large as the matrix: A has r rows of `in` numbers, B has `out` rows of r numbers")
    expect(found not in (8 * 2, 4 * 2), "that is one of the two matrices; A and B both learn")
    expect(found == 24, f"A is (2, 4) and B is (8, 2): expect 24 weights, got {found}")
    found = count_lora(100, 10, 1)
    expect(found == 110, f"A is (1, 10) and B is (100, 1): expect 110 weights, got {found}")
    right("You can say what an adapter costs before it exists.")


def check_lora_layer(LoRALinear):
    """Exercise 2: the layer."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    base = nn.Linear(6, 5)
    layer = LoRALinear(base, 2, 8)
    for name in ("base", "A", "B", "scale"):
        expect(hasattr(layer, name), f"the layer has no attribute {name}; set self.{name} in __init__")
    for name, shape in (("A", (2, 6)), ("B", (5, 2))):
        matrix = getattr(layer, name)
        expect(isinstance(matrix, nn.Parameter), f"{name} must be an nn.Parameter, or it will not learn; it is a {type(matrix).__name__}")
        expect(tuple(matrix.shape) == shape, f"for 6 numbers in, 5 out and rank 2, {name} should be {shape}, got {tuple(matrix.shape)}")
    expect(not layer.base.weight.requires_grad, "the base still learns: freeze it with base.requires_grad_(False)")
    expect(layer.base.bias is None or not layer.base.bias.requires_grad, "the base's bias still learns: freeze the whole layer")
    expect(layer.A.detach().any(), "A starts at zero; with B at zero too, neither would ever get a gradient: start A at random")
    expect(not layer.B.detach().any(), "B must start at zero, so that a fresh adapter changes nothing")
    expect(math.isclose(layer.scale, 4), f"for alpha 8 and rank 2 the scale is alpha / rank = 4, got {layer.scale}")
    x = torch.randn(3, 7, 6)
    found = layer(x)
    expect(isinstance(found, torch.Tensor), f"forward should return a tensor, got {type(found).__name__}")
    expect(tuple(found.shape) == (3, 7, 5), f"x of shape (3, 7, 6) should become (3, 7, 5), got {tuple(found.shape)}")
    expect(torch.allclose(found, base(x)), "before training the layer should give what the base gives; is the base's output in the sum?")
    with torch.no_grad():
        layer.B.normal_()
        found, correction = layer(x), x @ layer.A.T @ layer.B.T
    expect(not torch.allclose(found, base(x)), "B has changed and the output has not: add the correction in forward")
    expect(
        not torch.allclose(found, base(x) + correction, atol=1e-5), "the correction is added without the scale: multiply it by self.scale"
    )
    expect(torch.allclose(found, base(x) + 4 * correction, atol=1e-5), "expected base(x) + scale · B A x, got other numbers")
    right("A frozen matrix, and a thin correction that learns.")


def trained(rank=2, alpha=4, bias=True, seed=0):
    """A correct layer whose B is no longer zero, as after training."""
    import torch
    from torch import nn

    from utils.lora import LoRALinear

    torch.manual_seed(seed)
    layer = LoRALinear(nn.Linear(6, 5, bias=bias), rank, alpha)
    nn.init.normal_(layer.B)
    return layer


def check_merge(merge):
    """Exercise 3: one matrix again."""
    import torch
    from torch import nn

    layer, x = trained(), torch.randn(4, 6)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    merged = merge(layer)
    expect(isinstance(merged, nn.Linear), f"return an nn.Linear, got {type(merged).__name__}")
    with torch.no_grad():
        correction, bias = layer.B @ layer.A, layer.base.bias
        found, wanted = merged(x), layer(x)
    left_alone = all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    expect(left_alone, "the layer itself was changed: who goes on training it would have the correction twice; write into a new nn.Linear")
    expect(merged.bias is not None, "the base has a bias, the merged layer has none")
    expect(torch.equal(merged.bias, bias), "the bias is not the base's: copy it too")
    expect(not torch.allclose(found, layer.base(x)), "that is the base alone; add the correction to its weights")
    unscaled = x @ (before["base.weight"] + correction).T + bias
    expect(not torch.allclose(found, unscaled, atol=1e-5), "the correction is there without its scale: add layer.scale · B A")
    expect(
        torch.allclose(found, wanted, atol=1e-5),
        "the merged layer computes something else than the layer; its weight should be W + scale · B A",
    )
    layer = trained(bias=False)
    merged = merge(layer)
    expect(merged.bias is None or not merged.bias.detach().any(), "this base has no bias, so the merged layer may add none")
    expect(
        torch.allclose(merged(x), layer(x), atol=1e-5),
        "right with a bias, wrong without one: see what happens when layer.base.bias is None",
    )
    right("As large and as fast as before, and it holds what was learned.")


def toy():
    """A network with layers of several names, one of them nested."""
    from torch import nn

    block = nn.ModuleDict({"query": nn.Linear(6, 6), "value": nn.Linear(6, 6), "dense": nn.Linear(6, 6)})
    return nn.ModuleDict({"query": nn.Linear(6, 6), "block": block, "query_norm": nn.LayerNorm(6), "head": nn.Linear(6, 2)})


def check_add_adapters(add_adapters):
    """Exercise 4: into a model."""
    from torch import nn

    network = toy()
    before = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    found = add_adapters(network, {"query", "value"}, 2, 4)
    expect(isinstance(found, int), f"return the number of adapters, got {type(found).__name__}")
    wanted = ["query", "block.query", "block.value"]
    now = dict(network.named_modules())
    kept = [name for name in wanted if now[name] is before[name]]
    expect(not kept, f"{', '.join(kept)} should have an adapter and has none; a name like block.query is nested: set it on its parent")
    expect(
        now["block.dense"] is before["block.dense"] and now["head"] is before["head"], "dense and head were not asked for, and have changed"
    )
    lost = [name for name in wanted if getattr(now[name], "base", None) is not before[name]]
    expect(not lost, f"{', '.join(lost)}: the pretrained layer is gone; pass it to LoRALinear as its base")
    learning = {name for name, weight in network.named_parameters() if weight.requires_grad}
    others = sorted(name for name in learning if not name.endswith((".A", ".B")))
    expect(not others, f"{', '.join(others[:3])} still learn: freeze the whole network before you add adapters")
    expect(len(learning) == 6, f"A and B of three adapters should learn, six matrices; {len(learning)} do: freeze first, then add")
    expect(
        all(now[name].scale == 2 and now[name].A.shape[0] == 2 for name in wanted), "pass rank and alpha on to LoRALinear, in this order"
    )
    expect(found == 3, f"three layers fit, the function says {found}")
    right("The network is frozen, and three thin corrections learn.")


# ---- five faults -------------------------------------------------------------------------------

CAUSES = {1: "B not zero", 2: "A and B zero", 3: "base not frozen", 4: "merged twice", 5: "forgot the scale in merging"}


def broken(number):
    """(layer, merged after training): a LoRA layer with one fault, fresh, and a function that merges it as its maker did."""
    import torch
    from torch import nn

    from utils.lora import merge

    layer = trained(seed=number)
    with torch.no_grad():
        if number != 1:
            layer.B.zero_()
        if number == 2:
            layer.A.zero_()
    layer.base.requires_grad_(number == 3)

    def merge_as_made(layer):
        merged = merge(layer)
        with torch.no_grad():
            if number == 4:
                merged.weight += layer.scale * layer.B @ layer.A
            if number == 5:
                merged.weight -= (layer.scale - 1) * layer.B @ layer.A
        return merged

    assert isinstance(merge_as_made(layer), nn.Linear)
    return layer, merge_as_made


def symptoms():
    """What five broken adapters do, measured: a table, a row per fault."""
    import pandas as pd
    import torch

    rows = {}
    for number in CAUSES:
        layer, merge_as_made = broken(number)
        weights = {"A": layer.A, "B": layer.B, "W": layer.base.weight}
        x, target = torch.randn(20, 6), torch.randn(20, 5)
        changes = not torch.allclose(layer(x), layer.base(x))
        learning = [weight for weight in layer.parameters() if weight.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.05)
        for step in range(5):
            (layer(x) - target).pow(2).mean().backward()
            if step == 0:
                moved = [name for name, weight in weights.items() if weight.grad is not None and weight.grad.any()]
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            correction = (layer(x) - layer.base(x)).norm().item()
            off = (merge_as_made(layer)(x) - layer(x)).norm().item()
        rows[number] = {
            "changes the output at the start": "yes" if changes else "no",
            "gradient at step one": ", ".join(moved) or "none",
            "marked as learning": ", ".join(name for name, weight in weights.items() if weight.requires_grad),
            "merged, off by (in corrections)": f"{off / correction:.1f}" if correction else "no correction",
        }
    return pd.DataFrame(rows).T.rename_axis("fault")


def check_diagnose(diagnose):
    """Exercise 5: which fault does what?"""
    found = diagnose()
    expect(isinstance(found, dict), f"return a dict of fault number to cause, got {type(found).__name__}")
    expect(set(found) == set(CAUSES), f"the keys should be the fault numbers 1 to 5, got {sorted(found, key=str)}")
    unknown = [cause for cause in found.values() if cause not in CAUSES.values()]
    expect(not unknown, f"{unknown[:1]} is none of the five causes; copy one of the texts")
    twice = sorted({cause for cause in found.values() if list(found.values()).count(cause) > 1})
    expect(not twice, f"{', '.join(twice)} is named more than once; each cause belongs to one fault")
    ask = {
        1: "which start makes a fresh adapter change the output?",
        2: "A's gradient passes through B, and B's through A: when does neither get one?",
        3: "which weight is marked as learning that should not be?",
        4: "how far off is a sum that holds the correction once too often?",
        5: "with alpha / r = 2, how much of the correction is missing when the scale is?",
    }
    wrong = [number for number in CAUSES if found[number] != CAUSES[number]]
    expect(not wrong, f"{len(wrong)} are not right yet; look at fault {wrong[0] if wrong else 0} again: {ask[wrong[0]] if wrong else ''}")
    right("You have seen each of them once, and will know it again.")


def check_train_adapters(train_adapters):
    """Exercise 6: does it learn?"""
    from types import SimpleNamespace

    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = trained()

        def forward(self, x, y):
            return SimpleNamespace(loss=(self.layer(x) - y).pow(2).mean())

    network = Net()
    batch = {"x": torch.randn(16, 6), "y": torch.randn(16, 5)}
    first, frozen = network(**batch).loss.item(), network.layer.base.weight.clone()
    losses = train_adapters(network, batch, 8, 0.05)
    expect(isinstance(losses, list) and len(losses) == 8, "return a list with one loss per step")
    expect(
        all(isinstance(loss, float) for loss in losses), f"the losses should be plain numbers: loss.item(), got {type(losses[0]).__name__}"
    )
    expect(
        math.isclose(losses[0], first, rel_tol=1e-5), f"the first loss should be that before any update, {first:.3f}, got {losses[0]:.3f}"
    )
    expect(torch.equal(network.layer.base.weight, frozen), "the frozen base has moved; give AdamW only weights with requires_grad")
    expect(losses[-1] != losses[0], "nothing was learned: call loss.backward() and optimizer.step() in every step")
    expect(losses[-1] < losses[0], f"the loss rises from {losses[0]:.3f} to {losses[-1]:.3f}; a step should lower it")
    grads = [weight.grad for weight in network.parameters() if weight.grad is not None]
    expect(not any(grad.any() for grad in grads), "a gradient is left over, so steps add up: call optimizer.zero_grad() after each step")
    right("The base stays, the adapters learn.")


def check_round_block(round_block):
    """Exercise 7: fifteen levels."""
    import torch

    block = torch.tensor([0.7, -0.35, 0.06, 0.0, -0.7, 0.14])
    given = block.clone()
    found = round_block(block)
    expect(isinstance(found, torch.Tensor), f"return a tensor, got {type(found).__name__}")
    expect(torch.equal(block, given), "the block itself was changed; return a new tensor")
    expect(found.shape == block.shape, f"the rounded block should have the shape {tuple(block.shape)}, got {tuple(found.shape)}")
    codes = torch.tensor([7.0, -4.0, 1.0, 0.0, -7.0, 1.0])  # -3.5 may also go to -3
    expect(not torch.allclose(found.abs().max(), torch.tensor(7.0)), "those are the codes; multiply by the scale to come back to weights")
    expect(torch.isclose(found[0], torch.tensor(0.7)), f"the largest weight keeps its value: expect 0.7, got {found[0].item():.3f}")
    near = torch.isclose(found, 0.1 * codes, atol=1e-6) | torch.isclose(found, torch.full_like(found, -0.3), atol=1e-6)
    expect(
        near.all(),
        f"with the largest at 0.7 the levels are 0.1 apart; 0.06 goes to 0.1 and 0.14 too; got {[round(v, 3) for v in found.tolist()]}",
    )
    zeros = round_block(torch.zeros(2, 3))
    expect(not zeros.isnan().any(), "a block of zeros becomes NaN: zero divided by zero; treat it on its own")
    expect(zeros.shape == (2, 3) and not zeros.any(), "a block of zeros should stay zero, in its shape")
    right("Four bits and one scale per block.")
