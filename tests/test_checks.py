"""Each check of a lab accepts the solution (the solution notebooks run them) and explains typical wrong answers."""

import functools
import importlib
import inspect
import json
import math
import random
import re
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit
from scipy.stats import t

from utils.checks import lab_08
from utils.feedback import NotYet
from utils.growth import from_chance, power_law
from utils.policies import MONTHS, policy_documents
from utils.retrieval import Store
from utils.runtime import ROOT
from utils.stats import mcnemar_power, needed_n

LABS = sorted((ROOT / "utils" / "checks").glob("lab_*.py"))


class Run:
    """A run that learned nothing."""

    classifier, best_epoch, validation_accuracy = None, 1, [(1, 0.1)]


def buckets(lengths, size, order=None):
    order = order or sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [order[start : start + size] for start in range(0, len(order), size)]


def tail(a, b, sides=2):
    return sides * sum(math.comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b)


# exercise: [(typical wrong answer, words of the explanation)], then a right one
LAB_09 = {
    "check_count_labels": [
        (lambda labels: None, "returns nothing"),
        (lambda labels: set(labels), "return a dict"),
        (lambda labels: dict.fromkeys(labels, 1), "expect b three times"),
        (lambda labels: {n: label for label, n in Counter(labels).items()}, "keys should be"),
        (lambda labels: Counter(labels), None),
    ],
    "check_majority_accuracy": [
        (lambda train, test: Counter(test).most_common(1)[0][1] / len(test), "commonest label of the training set"),
        (lambda train, test: Counter(train).most_common(1)[0][1] / len(train), "share of the training set"),
        (lambda train, test: test.count("a"), "expect 0.25|divide"),
        (lambda train, test: "a", "return one number"),
        (lambda train, test: test.count(Counter(train).most_common(1)[0][0]) / len(test), None),
    ],
    "check_share_of_padding": [
        (lambda lengths, size: 16 / 24, "divided by the real tokens"),
        (lambda lengths, size: 1 - sum(lengths) / (max(lengths) * len(lengths)), "last batch may be smaller|expect 16 / 40"),
        (lambda lengths, size: None, "return one number"),
        (lambda lengths, size: 1 - sum(lengths) / sum(max(lengths[s : s + size]) * size for s in range(0, len(lengths), size)), "smaller"),
        (
            lambda lengths, size: (
                1 - sum(lengths) / sum(max(lengths[s : s + size]) * len(lengths[s : s + size]) for s in range(0, len(lengths), size))
            ),
            None,
        ),
    ],
    "check_bucket": [
        (lambda lengths, size: buckets(lengths, size, list(range(len(lengths)))), "sort the row numbers"),
        (lambda lengths, size: buckets(sorted(lengths), size, sorted(lengths)), "not its length"),
        (lambda lengths, size: sorted(range(len(lengths))), "list of batches"),
        (lambda lengths, size: buckets(lengths, size)[:-1], "exactly one batch"),
        (lambda lengths, size: [sorted(range(len(lengths)))], "at most 8"),
        (lambda lengths, size: None, "returns nothing"),
        (buckets, None),
    ],
    "check_mean_pool": [
        (lambda hidden, mask: hidden.mean(1), "padding is in your average"),
        (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(1) / 3, "divide by T"),
        (lambda hidden, mask: hidden.mean(2), "should become"),
        (lambda hidden, mask: hidden[:, 0], "expected"),
        (lambda hidden, mask: [1], "return a tensor"),
        (lambda hidden, mask: (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True), None),
    ],
    "check_run": [
        ((None, 0.2), "return what fine_tune returns"),
        ((Run(), 0.2), "train for more epochs"),
        ((Run(), 0.05), None),
    ],
    "check_exact_mcnemar": [
        (lambda a, b: tail(a, b, sides=1), "one side only"),
        (lambda a, b: 2 * math.comb(a + b, min(a, b)) / 2 ** (a + b), "at least as uneven"),
        (lambda a, b: tail(a, b), "never above 1"),
        (lambda a, b: "small", "return one number"),
        (lambda a, b: min(1.0, tail(a, b)), None),
    ],
}


def wilson_by_hand(right, z=1.96):
    n, s = len(right), sum(right)
    half = z / (n + z**2) * math.sqrt(s * (n - s) / n + z**2 / 4)
    centre = (s + z**2 / 2) / (n + z**2)
    return centre - half, centre + half


def wald(right):
    n, share = len(right), sum(right) / len(right)
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    return share - half, share + half


def resampled(a, b, resamples, seed, ends=(0.025, 0.975), together=True, replace=True):
    draw, n = np.random.default_rng(seed), len(a)
    differences = []
    for _ in range(resamples):
        rows = draw.choice(n, n, replace=replace)
        others = rows if together else draw.integers(0, n, n)
        differences.append(b[rows].mean() - a[others].mean())
    return tuple(np.quantile(differences, ends))


def first_size(gain, disagreement, sizes, power=0.8, otherwise=None):
    return next((n for n in sizes if mcnemar_power(n, gain, disagreement) >= power), otherwise)


def slices(a, b, values, least=0):
    found = {value: np.array([v == value for v in values]) for value in values}
    return [(value, float(b[inside].mean() - a[inside].mean())) for value, inside in found.items() if inside.sum() >= least]


def by_difference(pair):
    return pair[1]


def turned(predict, texts, change, only_changed=True):
    pairs = [(text, change(text)) for text in texts if not only_changed or text != change(text)]
    if not pairs:
        return 0.0
    before, after = predict([text for text, _ in pairs]), predict([other for _, other in pairs])
    return sum(x != y for x, y in zip(before, after, strict=True)) / len(pairs)


def failures(predict, cases):
    answers = predict([text for text, _ in cases])
    return [(text, label, answer) for (text, label), answer in zip(cases, answers, strict=True) if label != answer]


def judged(evidence, rule, least=("gain", "low", "worst_slice"), strict=False):
    broken = [k for k in rule if (evidence[k] < rule[k] if k in least else evidence[k] > rule[k]) or (strict and evidence[k] == rule[k])]
    return ("do not ship" if broken else "ship"), [f"{name} is {evidence[name]}" for name in broken]


def first_reason(evidence, rule):
    decision, reasons = judged(evidence, rule)
    return decision, reasons[:1]


def by_majority(evidence, rule):
    reasons = judged(evidence, rule)[1]
    return ("do not ship" if len(reasons) > len(rule) / 2 else "ship"), reasons


LAB_14 = {
    "check_share_interval": [
        (wald, "1.96 standard errors"),
        (lambda right: wilson_by_hand(right)[::-1], "low should not be above high"),
        (lambda right: wilson_by_hand(right, 1.645), "expect 0.598 to 0.858"),
        (lambda right: (sum(right) / len(right) - 0.13, sum(right) / len(right) + 0.13), "lies evenly around"),
        (lambda right: tuple(len(right) * end for end in wilson_by_hand(right)), "divide by"),
        (lambda right: sum(right) / len(right), "return two values"),
        (lambda right: None, "returns nothing"),
        (wilson_by_hand, None),
    ],
    "check_paired_bootstrap": [
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, together=False), "systems separately"),
        (lambda a, b, resamples, seed: resampled(b, a, resamples, seed), "take b minus a"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, ends=(0.05, 0.95)), "middle 90 %"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, ends=(0, 1)), "expect about"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, seed, replace=False), "with replacement"),
        (lambda a, b, resamples, seed: resampled(a, b, resamples, None), "same seed"),
        (lambda a, b, resamples, seed: b.mean() - a.mean(), "return two values"),
        (resampled, None),
    ],
    "check_needed_items": [
        (lambda gain, disagreement, sizes: first_size(gain, disagreement, sizes, power=0.5), "at least 0.8"),
        (lambda gain, disagreement, sizes: max(sizes), "first size that suffices"),
        (lambda gain, disagreement, sizes: first_size(gain, disagreement, sizes, otherwise=sizes[-1]), "expect None"),
        (lambda gain, disagreement, sizes: sizes.index(first_size(gain, disagreement, sizes)), "not its place"),
        (lambda gain, disagreement, sizes: mcnemar_power(1000, gain, disagreement), "a whole number"),
        (lambda gain, disagreement, sizes: None, "got None"),
        (first_size, None),
    ],
    "check_worst_slice": [
        (lambda a, b, values, least: min(slices(a, b, values), key=by_difference), "leave such slices out"),
        (lambda a, b, values, least: max(slices(a, b, values, least), key=by_difference), "gains most"),
        (lambda a, b, values, least: max(slices(b, a, values, least), key=by_difference), "subtract a from b"),
        (lambda a, b, values, least: min(slices(a, b, values, least + 1), key=by_difference), "exactly 20 items"),
        (lambda a, b, values, least: min(slices(a, b, values, least), key=by_difference)[::-1], "value first"),
        (lambda a, b, values, least: min(slices(a, b, values, least), key=by_difference)[0], "return two values"),
        (lambda a, b, values, least: min(slices(a, b, values, least), key=by_difference), None),
    ],
    "check_invariance_failures": [
        (lambda predict, texts, change: turned(predict, texts, change, only_changed=False), "leave them out"),
        (lambda predict, texts, change: 1 - turned(predict, texts, change), "labels that stay"),
        (lambda predict, texts, change: round(5 * turned(predict, texts, change)), "divide by the number"),
        (lambda predict, texts, change: sum(predict(text) != predict(change(text)) for text in texts), "a list of texts"),
        (lambda predict, texts, change: 1.0, "not the texts"),
        (lambda predict, texts, change: turned(predict, texts, change) or 1, "touches no text"),
        (lambda predict, texts, change: None, "returns nothing"),
        (turned, None),
    ],
    "check_minimum_functionality": [
        (lambda predict, cases: len(failures(predict, cases)), "the failed cases themselves"),
        (lambda predict, cases: [case for case in cases if case[0] in ("fire in the tent", "hello")], "with the right answer"),
        (lambda predict, cases: [(text, label) for text, label, _ in failures(predict, cases)], "text, label, answer"),
        (lambda predict, cases: [(text, answer, label) for text, label, answer in failures(predict, cases)], "wrong way round"),
        (lambda predict, cases: [case for case in cases if predict(case[0])[0] != case[1]], "a list of texts"),
        (lambda predict, cases: failures(predict, cases)[:1], "in the order of the cases"),
        (failures, None),
    ],
    "check_ship": [
        (lambda evidence, rule: judged(evidence, rule, least=()), "more is better"),
        (lambda evidence, rule: judged(evidence, rule, least=tuple(rule)), "where no bound is broken"),
        (lambda evidence, rule: judged(evidence, rule, strict=True), "met exactly|no bound is broken"),
        (first_reason, "go on after the first"),
        (by_majority, "one broken bound is enough"),
        (lambda evidence, rule: judged(evidence, rule)[0] == "ship", "return two values"),
        (lambda evidence, rule: (not judged(evidence, rule)[1], judged(evidence, rule)[1]), "'ship' or 'do not ship'"),
        (judged, None),
    ],
}


def lora_class(scaled=True, freeze=True, start_b=0.0, start_a=1.0, turned=False, with_base=True, plain=False):
    """A LoRALinear with none or one of the usual mistakes."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self, base, rank, alpha):
            super().__init__()
            self.base = base.requires_grad_(not freeze)
            a, b = start_a * torch.randn(rank, base.in_features), start_b * torch.randn(base.out_features, rank)
            self.A, self.B = (a, b) if plain else (nn.Parameter(a.T.contiguous() if turned else a), nn.Parameter(b))
            self.scale = alpha / rank

        def forward(self, x):
            correction = x @ (self.A if turned else self.A.T) @ self.B.T
            return with_base * self.base(x) + (self.scale if scaled else 1) * correction

    return Layer


def merged_with(weight, bias=True):
    """A merge that makes the new weight as `weight(layer)` says."""
    import torch
    from torch import nn

    def merge(layer):
        out, features = layer.base.weight.shape
        merged = nn.Linear(features, out, bias=layer.base.bias is not None and bias is not None)
        with torch.no_grad():
            merged.weight.copy_(weight(layer))
            if layer.base.bias is not None and bias:
                merged.bias.copy_(layer.base.bias)
        return merged

    return merge


def merged_in_place(layer):
    layer.base.weight.data += layer.scale * layer.B.data @ layer.A.data
    return layer.base


def adapters(freeze=True, nested=True, which=None, keep=True, late=False, count=None, turned=False):
    """An add_adapters with none or one of the usual mistakes."""
    from torch import nn

    from utils.lora import LoRALinear

    def add(network, endings, rank, alpha):
        if freeze and not late:
            network.requires_grad_(False)
        found = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Linear)]
        chosen = [(name, m) for name, m in found if name.split(".")[-1] in (which or endings)]
        for name, layer in chosen:
            parent, _, child = name.rpartition(".")
            base = layer if keep else nn.Linear(layer.in_features, layer.out_features)
            if nested or not parent:
                setattr(network.get_submodule(parent), child, LoRALinear(base, *((alpha, rank) if turned else (rank, alpha))))
        if late:
            network.requires_grad_(False)
        return len(chosen) if count is None else count

    return add


def trainer(every=False, step=True, zero=True, as_numbers=True, sign=1, after=False):
    """A train_adapters with none or one of the usual mistakes."""
    import torch

    def train(network, batch, steps, lr):
        learning = [weight for weight in network.parameters() if weight.requires_grad or every]
        for weight in learning:
            weight.requires_grad_(True)
        optimizer = torch.optim.AdamW(learning, lr=lr)
        losses = []
        for _ in range(steps):
            loss = network(**batch).loss
            (sign * loss).backward()
            if step:
                optimizer.step()
            if zero:
                optimizer.zero_grad()
            loss = network(**batch).loss if after else loss
            losses.append(loss.item() if as_numbers else loss)
        return losses

    return train


def even_levels(block, back=True, guard=True, levels=7):
    scale = block.abs().max() / levels
    if guard and scale == 0:
        return block.clone()
    return (block / scale).round() * (scale if back else 1)


CAUSES = ["B not zero", "A and B zero", "base not frozen", "merged twice", "forgot the scale in merging"]

LAB_11 = {
    "check_count_lora": [
        (lambda out, features, rank: out * features, "that is the matrix itself"),
        (lambda out, features, rank: 2 * out * features, "not as large as the matrix"),
        (lambda out, features, rank: rank * out, "one of the two matrices"),
        (lambda out, features, rank: out + features, "expect 24 weights, got 12"),
        (lambda out, features, rank: 2 * (out + features), "expect 110 weights"),
        (lambda out, features, rank: None, "one whole number"),
        (lambda out, features, rank: rank * (out + features), None),
    ],
    "check_lora_layer": [
        (lora_class(freeze=False), "base still learns"),
        (lora_class(start_b=1.0), "B must start at zero"),
        (lora_class(start_a=0.0), "start A at random"),
        (lora_class(scaled=False), "without the scale"),
        (lora_class(with_base=False), "base's output in the sum"),
        (lora_class(turned=True), r"A should be \(2, 6\)"),
        (lora_class(plain=True), "must be an nn.Parameter"),
        (lora_class(), None),
    ],
    "check_merge": [
        (lambda layer: layer.base.weight, "return an nn.Linear"),
        (merged_in_place, "the layer itself was changed"),
        (merged_with(lambda layer: layer.base.weight), "that is the base alone"),
        (merged_with(lambda layer: layer.base.weight + layer.B @ layer.A), "without its scale"),
        (merged_with(lambda layer: layer.base.weight + 2 * layer.scale * layer.B @ layer.A), "should be W \\+ scale"),
        (merged_with(lambda layer: layer.base.weight + layer.scale * layer.B @ layer.A, bias=False), "not the base's"),
        (merged_with(lambda layer: layer.base.weight + layer.scale * layer.B @ layer.A, bias=None), "the merged layer has none"),
        (merged_with(lambda layer: layer.base.weight + layer.scale * layer.B @ layer.A), None),
    ],
    "check_add_adapters": [
        (adapters(freeze=False), "freeze the whole network before"),
        (adapters(nested=False), "block.query, block.value should have an adapter"),
        (adapters(which={"query", "value", "dense"}), "were not asked for"),
        (adapters(keep=False), "pretrained layer is gone"),
        (adapters(late=True), "freeze first, then add"),
        (adapters(turned=True), "in this order"),
        (adapters(count=4), "three layers fit"),
        (lambda network, endings, rank, alpha: None, "return the number"),
        (adapters(), None),
    ],
    "check_diagnose": [
        (lambda: CAUSES, "return a dict"),
        (lambda: dict(enumerate(CAUSES)), "fault numbers 1 to 5"),
        (lambda: dict(enumerate(["too hot", *CAUSES[1:]], 1)), "none of the five causes"),
        (lambda: dict(enumerate([CAUSES[1], *CAUSES[1:]], 1)), "more than once"),
        (lambda: dict(enumerate([*CAUSES[:3], CAUSES[4], CAUSES[3]], 1)), "2 are not right yet; look at fault 4"),
        (lambda: dict(enumerate(CAUSES, 1)), None),
    ],
    "check_train_adapters": [
        (trainer(every=True), "frozen base has moved"),
        (trainer(step=False), "nothing was learned"),
        (trainer(zero=False), "a gradient is left over"),
        (trainer(as_numbers=False), "plain numbers"),
        (trainer(sign=-1), "the loss rises"),
        (trainer(after=True), "before any update"),
        (lambda network, batch, steps, lr: trainer()(network, batch, steps, lr)[-1], "return a list"),
        (trainer(), None),
    ],
    "check_round_block": [
        (lambda block: even_levels(block, back=False), "those are the codes"),
        (lambda block: even_levels(block, guard=False), "becomes NaN"),
        (lambda block: even_levels(block, levels=8), "levels are 0.1 apart"),
        (lambda block: even_levels(block).flatten()[:2], "should have the shape"),
        (lambda block: block.mul_(1.0).copy_(even_levels(block)), "the block itself was changed"),
        (lambda block: block.tolist(), "return a tensor"),
        (even_levels, None),
    ],
}


def places(prompts, lengths, width):
    at = torch.arange(width)
    return at >= torch.tensor(prompts)[:, None], at < torch.tensor(lengths)[:, None]


def summed(scores, ids, mask, shift=True, late=False, soft=True):
    nats = scores.log_softmax(-1) if soft else scores
    if not shift:
        return (nats.gather(2, ids[..., None])[..., 0] * mask).sum(1)
    return (nats[:, :-1].gather(2, ids[:, 1:, None])[..., 0] * (mask[:, :-1] if late else mask[:, 1:])).sum(1)


def dpo(chosen, rejected, reference_chosen, reference_rejected, beta):
    return -torch.nn.functional.logsigmoid(beta * (chosen - reference_chosen - rejected + reference_rejected)).mean()


def unsafe_dpo(c, r, rc, rr, beta):
    return -torch.sigmoid(beta * (c - rc - r + rr)).log().mean()


class Preferred:
    """A run whose first loss and later margin are given."""

    validation = []

    def __init__(self, loss, margin):
        self.steps = [dict(loss=loss, margin=0.0), dict(loss=loss, margin=margin)]


LAB_12 = {
    "check_answer_mask": [
        (lambda prompts, lengths, width: places(prompts, lengths, width)[1], "the prompt is in your mask"),
        (lambda prompts, lengths, width: places(prompts, lengths, width)[0], "padding is in your mask"),
        (lambda prompts, lengths, width: ~places(prompts, lengths, width)[0], "you marked the prompt"),
        (
            lambda prompts, lengths, width: places([p + 1 for p in prompts], lengths, width)[0] & places(prompts, lengths, width)[1],
            "should be",
        ),
        (lambda prompts, lengths, width: [[True] * width for _ in prompts], "return a tensor"),
        (lambda prompts, lengths, width: places(prompts, lengths, width)[0][0], "should have the shape"),
        (lambda prompts, lengths, width: None, "returns nothing"),
        (lambda prompts, lengths, width: torch.logical_and(*places(prompts, lengths, width)), None),
    ],
    "check_summed_log_probabilities": [
        (lambda scores, ids, mask: summed(scores, ids, mask, shift=False), "shift by one"),
        (lambda scores, ids, mask: summed(scores, ids, torch.ones_like(mask)), "all tokens"),
        (lambda scores, ids, mask: summed(scores, ids, mask, late=True), "the mask is not"),
        (lambda scores, ids, mask: summed(scores, ids, mask, soft=False), "no probabilities yet"),
        (lambda scores, ids, mask: -summed(scores, ids, mask), "the sign is turned"),
        (lambda scores, ids, mask: summed(scores, ids, mask) / mask.sum(1), "you took the mean"),
        (lambda scores, ids, mask: summed(scores, ids, mask).sum(), "should have the shape"),
        (lambda scores, ids, mask: summed(scores, ids, mask) - 1, "expected"),
        (summed, None),
    ],
    "check_dpo_loss": [
        (lambda c, r, rc, rr, beta: dpo(c, r, 0, 0, beta), "the reference is missing"),
        (lambda c, r, rc, rr, beta: dpo(c, r, rc, rr, 1.0), "beta is missing"),
        (lambda c, r, rc, rr, beta: dpo(r, c, rr, rc, beta), "the wrong way round"),
        (lambda c, r, rc, rr, beta: -dpo(c, r, rc, rr, beta), "the sign is turned"),
        (lambda c, r, rc, rr, beta: 3 * dpo(c, r, rc, rr, beta), "take their mean"),
        (lambda c, r, rc, rr, beta: -torch.sigmoid(beta * (c - rc - r + rr)).mean(), "the logarithm is missing"),
        (lambda c, r, rc, rr, beta: c - r, "return one number"),
        (lambda c, r, rc, rr, beta: None, "returns nothing"),
        (lambda c, r, rc, rr, beta: 0.7, "expected"),
        (unsafe_dpo, "your loss is infinite"),
        (dpo, None),
    ],
    "check_push": [
        (lambda margins, beta: -beta * torch.sigmoid(-margins), "turn the sign"),
        (lambda margins, beta: torch.sigmoid(-margins), "beta is missing"),
        (lambda margins, beta: beta * torch.sigmoid(margins), "push least"),
        (lambda margins, beta: torch.full_like(margins, beta), "push alike"),
        (lambda margins, beta: beta * torch.sigmoid(-beta * margins), "expected"),
        (lambda margins, beta: 0.1, "return a tensor"),
        (lambda margins, beta: beta * torch.sigmoid(-margins), None),
    ],
    "check_nats_apart": [
        (lambda share, beta: math.log(share / (1 - share)), "that is the margin"),
        (lambda share, beta: math.log(share / (1 - share)) * beta, "so divide"),
        (lambda share, beta: share / beta, "first turn it into a margin"),
        (lambda share, beta: math.log((1 - share) / share) / beta, "the sign is turned"),
        (lambda share, beta: abs(math.log(share / (1 - share))) / beta, "for 0.2"),
        (lambda share, beta: None, "return one number"),
        (lambda share, beta: math.log(share / (1 - share)) / beta, None),
    ],
    "check_normalised_margin": [
        (lambda c, r, rc, rr, nc, nr, beta: beta * (c - rc - r + rr), "lengths are not used"),
        (lambda c, r, rc, rr, nc, nr, beta: beta * (c - rc - r + rr) / (nc + nr), "a length of its own"),
        (lambda c, r, rc, rr, nc, nr, beta: beta * ((c - rc) / nr - (r - rr) / nc), "the lengths are crossed"),
        (lambda c, r, rc, rr, nc, nr, beta: (c - rc) / nc - (r - rr) / nr, "beta is missing"),
        (lambda c, r, rc, rr, nc, nr, beta: beta * (c / nc - r / nr), "expected"),
        (lambda c, r, rc, rr, nc, nr, beta: (beta * ((c - rc) / nc - (r - rr) / nr)).mean(), "should have the shape"),
        (lambda c, r, rc, rr, nc, nr, beta: beta * ((c - rc) / nc - (r - rr) / nr), None),
    ],
    "check_disagreement": [
        (((5.0, 4.0, 10, 10),), "per token your chosen answer still wins"),
        (((3.0, 4.0, 10, 10),), "the sum should favour the chosen one"),
        (((5.0, 4.0, 10.5, 2),), "a whole number of tokens"),
        ((("5", 4.0, 10, 2),), "give four numbers"),
        (((5.0, 4.0),), "give four numbers"),
        (((-5.0, -6.0, 10, 20),), None),
        (((5.0, 4.0, 100, 10),), None),
    ],
    "check_win_rate": [
        (lambda ours, theirs: sum(a < b for a, b in zip(ours, theirs, strict=True)) / len(ours), "ties are missing"),
        (lambda ours, theirs: sum(a <= b for a, b in zip(ours, theirs, strict=True)) / len(ours), "a whole win"),
        (lambda ours, theirs: sum((a < b) + (a == b) / 2 for a, b in zip(ours, theirs, strict=True)), "divide by the number"),
        (
            lambda ours, theirs: sum((a > b) + (a == b) / 2 for a, b in zip(ours, theirs, strict=True)) / len(ours),
            "fewer broken rules are better",
        ),
        (lambda ours, theirs: 0.4, "expect 0.5"),
        (lambda ours, theirs: None, "return one number"),
        (lambda ours, theirs: sum((a < b) + (a == b) / 2 for a, b in zip(ours, theirs, strict=True)) / len(ours), None),
    ],
    "check_run": [
        ((None,), "return what prefer returns"),
        ((Preferred(0.4, 1.0),), "not ln 2"),
        ((Preferred(math.log(2), -0.1),), "train longer"),
        ((Preferred(math.log(2), 0.8),), None),
    ],
}


def equal_pairs(texts, key=None, swap=False, chain=False):
    from utils.duplicates import normalise

    key, first, pairs = key or normalise, {}, []
    for number, text in enumerate(texts):
        earlier = first.setdefault(key(text), number)
        if earlier != number:
            pairs.append((number, earlier) if swap else (earlier, number))
            if chain:
                first[key(text)] = number
    return pairs


def word_sets(texts, split=None):
    from utils.duplicates import normalise

    return [set((split or normalise)(text).split()) for text in texts]


def jaccard(one, two):
    return len(one & two) / len(one | two) if one | two else 0.0


def later_copies(texts, line, split=None, strict=False, both=False):
    bags, found = word_sets(texts, split), []
    for j in range(len(texts)):
        for i in range(j):
            if jaccard(bags[i], bags[j]) > line or (not strict and jaccard(bags[i], bags[j]) == line):
                found += [i, j] if both else [j]
    return sorted(set(found))


def export_rows():
    from utils.fernhill import rows_of

    return [row for row in rows_of("tickets_raw.jsonl") if row["text"].strip()]


def leaking_rows(train, judges, line, most=2.0, strict=False, inside=False):
    bags, asked = word_sets(train), word_sets(judges)
    found = []
    for i, bag in enumerate(bags):
        others = asked + [other for j, other in enumerate(bags) if inside and i != j]
        if any(
            (jaccard(bag, other) > line or (not strict and jaccard(bag, other) == line)) and jaccard(bag, other) < most for other in others
        ):
            found.append(i)
    return found


def split_of_groups(groups, share, seed, shuffle=True, by_row=False):
    import random

    if by_row:
        rows = random.Random(seed).sample(range(len(groups)), len(groups))
        return sorted(rows[round(share * len(rows)) :]), sorted(rows[: round(share * len(rows))])
    names = sorted(set(groups))
    if shuffle:
        random.Random(seed).shuffle(names)
    chosen = set(names[: round(share * len(names))])
    return [i for i, g in enumerate(groups) if g not in chosen], [i for i, g in enumerate(groups) if g in chosen]


def mend(row, names=None, dumps=json.dumps, join="\n", keep=False, in_place=False, answered=True):
    names = {"customer": "user", "agent": "assistant"} if names is None else names
    new = []
    for message in row["messages"]:
        message = message if in_place else dict(message)
        message["role"] = names.get(message["role"], message["role"])
        if not isinstance(message["content"], str):
            message["content"] = dumps(message["content"])
        if join is not None and new and new[-1]["role"] == message["role"]:
            new[-1]["content"] += join + message["content"]
        else:
            new.append(message)
    if answered and new[-1]["role"] != "assistant":
        return None
    return {**row, "messages": new} if keep else {"messages": new}


LAB_03 = {
    "check_find_same": [
        (lambda texts: equal_pairs(texts, key=str), "after normalise"),
        (lambda texts: equal_pairs(texts, swap=True), "earlier row first"),
        (lambda texts: equal_pairs(texts, chain=True), "both later ones belong to the first"),
        (lambda texts: [pair[1] for pair in equal_pairs(texts)], "return pairs of row numbers"),
        (lambda texts: [*equal_pairs(texts), (1, 4)], "one inside the other is not enough"),
        (lambda texts: None, "returns nothing"),
        (equal_pairs, None),
    ],
    "check_overlap": [
        (lambda one, two: len(one & two), "divide it by"),
        (lambda one, two: len(one & two) / len(one), "one text only"),
        (lambda one, two: 2 * len(one & two) / (len(one) + len(two)), "count once below the line"),
        (lambda one, two: len(one & two) / len(one | two), "do not divide by zero"),
        (lambda one, two: one & two, "return one number"),
        (jaccard, None),
    ],
    "check_near_copies": [
        (lambda texts, line: later_copies(texts, line, both=True), "the first of its kind is no copy"),
        (lambda texts, line: later_copies(texts, line, split=str), "without punctuation"),
        (lambda texts, line: later_copies(texts, 1.0), "above the line of 0.8"),
        (lambda texts, line: later_copies(texts, 0.3), "far below the line"),
        (lambda texts, line: later_copies(texts, line, strict=True), "exactly the line counts"),
        (lambda texts, line: [texts[j] for j in later_copies(texts, line)], "row numbers, not texts"),
        (lambda texts, line: None, "returns nothing"),
        (later_copies, None),
    ],
    "check_copies": [
        (([], export_rows()), "lower the line"),
        ((list(range(0, 1200, 40)), export_rows()), "misses more than one copy in five"),
        ((list(range(1200)), export_rows()), "raise the line"),
        ((later_copies([row["text"] for row in export_rows()[:300]], 0.5), export_rows()[:300]), None),
    ],
    "check_leaks": [
        (lambda train, judges, line: leaking_rows(train, judges, line, most=1.0), "an equal message leaks as well"),
        (lambda train, judges, line: leaking_rows(train, judges, line, strict=True), "exactly the line: it leaks"),
        (lambda train, judges, line: leaking_rows(train, judges, line, inside=True), "copies, not leaks"),
        (lambda train, judges, line: [train[i] for i in leaking_rows(train, judges, line)], "row numbers of the training rows"),
        (lambda train, judges, line: list(range(len(train))), "no judging row resembles"),
        (lambda train, judges, line: None, "returns nothing"),
        (leaking_rows, None),
    ],
    "check_grouped_split": [
        (lambda groups, share, seed: split_of_groups(groups, share, seed, by_row=True), "draw groups, not rows"),
        (lambda groups, share, seed: split_of_groups(groups, share, seed, shuffle=False), "another seed must give another split"),
        (lambda groups, share, seed: split_of_groups(groups, share, None), "same seed must give the same split"),
        (lambda groups, share, seed: split_of_groups(groups, share, seed)[::-1], "the parts are swapped"),
        (lambda groups, share, seed: split_of_groups(groups, 0.4, seed), "about the asked share"),
        (lambda groups, share, seed: split_of_groups(groups, share, seed)[0], "return two lists"),
        (lambda groups, share, seed: (list(range(290)), list(range(280, 300))), "exactly one of the two parts"),
        (split_of_groups, None),
    ],
    "check_fix_row": [
        (lambda row: mend(row, keep=True), "keep messages only"),
        (lambda row: mend(row, names={}), "customer becomes user"),
        (lambda row: mend(row, dumps=lambda value: value), "must become text: json.dumps"),
        (lambda row: mend(row, dumps=str), "single quotes"),
        (lambda row: mend(row, join=None), "one speaker in a row become one"),
        (lambda row: mend(row, join=" "), "line break between"),
        (lambda row: mend(row, answered=False), "without an answer has nothing to learn"),
        (lambda row: mend(row, in_place=True), "changes the row that it is given"),
        (lambda row: None, "returns None"),
        (mend, None),
    ],
}


ITEMS, DAYS = ["honey", "soap"], ["monday", "friday"]  # of lab 10's shop
ORDER = "{n} {item} for {day}", "on {day}: {n} of your {item}", "{item}, {n}, {day}, thanks", "hello! {day} please, {n} {item}"


def order_note(rng, wordings=ORDER, items=ITEMS, quantity=int, reply="We pack {n} {item} for {day}.", key="answer"):
    slots = dict(n=rng.randint(1, 9), item=rng.choice(items), day=rng.choice(DAYS))
    answer = {"item": slots["item"], "quantity": quantity(slots["n"]), "day": slots["day"], "reply": reply.format(**slots)}
    return {"note": rng.choice(wordings).format(**slots), key: answer}


def order_of(row):
    return tuple(row["answer"][name] for name in ("item", "quantity", "day"))


def split_by_order(rows, share, seed, swap=False):
    orders = sorted({order_of(row) for row in rows})
    random.Random(seed).shuffle(orders)
    out = set(orders[: round(share * len(orders))])
    parts = [row for row in rows if order_of(row) not in out], [row for row in rows if order_of(row) in out]
    return parts[::-1] if swap else parts


def split_rows(rows, share, seed):
    random.Random(seed).shuffle(rows)
    return rows[round(share * len(rows)) :], rows[: round(share * len(rows))]


def order_chat(row, content=json.dumps, system="Answer as JSON.", user=lambda row: row["note"], roles=("system", "user", "assistant")):
    return [{"role": role, "content": text} for role, text in zip(roles, (system, user(row), content(row["answer"])), strict=False)]


def read_order(
    text, n_fits=lambda n: type(n) is int and 1 <= n <= 9, fields=frozenset({"item", "quantity", "day", "reply"}), caught=ValueError
):
    try:
        found = json.loads(text)
    except caught:
        return None
    if not isinstance(found, dict) or not fields <= set(found) or (fields and set(found) != fields):
        return None
    return found if found.get("item") in ITEMS and found.get("day") in DAYS and n_fits(found.get("quantity")) else None


def shop_voice(reply, first=r"We\b", most=12, last=True):
    return {
        "we": bool(re.match(first, reply)) and not re.search(r"\b(I|me|my)\b", reply),
        "calm": "!" not in reply,
        "short": len(reply.split()) <= most,
        "one_sentence": len(re.findall(r"[.!?]", reply)) == 1 and (not last or reply[-1] in ".!?"),
    }


def fastest(systems, bar, strict=False):
    good = [name for name, found in systems.items() if found["low"] > bar or (not strict and found["low"] == bar)]
    return min(good, key=lambda name: systems[name]["seconds"], default=None)


def tuned_to(*losses):
    run = Run()
    run.model, run.validation_loss = None, list(enumerate(losses, 1))
    return run


LAB_10 = {
    "check_make_note": [
        ((lambda rng: "3 honey for friday", ITEMS, DAYS), "dict with the keys note and answer"),
        ((lambda rng: order_note(random), ITEMS, DAYS), "not with the random module"),
        ((lambda rng: order_note(rng, quantity=str), ITEMS, DAYS), "whole number from 1 to 9"),
        ((lambda rng: order_note(rng, ["{item} for {day}"] * 4), ITEMS, DAYS), "does not say its quantity"),
        ((lambda rng: order_note(rng, ORDER[:2]), ITEMS, DAYS), "only 2 ways"),
        ((lambda rng: order_note(rng, items=ITEMS[:1]), ITEMS, DAYS), "never \\['soap'\\]"),
        ((lambda rng: order_note(rng, reply="We pack it."), ITEMS, DAYS), "reply should name"),
        ((order_note, ITEMS, DAYS), None),
    ],
    "check_split": [
        (split_rows, "stand in both lists"),
        (lambda rows, share, seed: split_by_order(rows, share, seed)[0], "two lists"),
        (lambda rows, share, seed: split_by_order(rows[:150], share, seed), "exactly one list"),
        (lambda rows, share, seed: split_by_order(rows, share, seed, swap=True), "held-out list comes second"),
        (lambda rows, share, seed: split_by_order(rows, share, None), "same seed"),
        (lambda rows, share, seed: split_by_order(rows, share, 0), "another seed, another split"),
        (split_by_order, None),
    ],
    "check_to_chat": [
        (lambda row: order_chat(row, content=str), "no JSON"),
        (lambda row: order_chat(row, roles=("user", "assistant")), "system, user and assistant"),
        (lambda row: order_chat(row, user=str), "the note and nothing else"),
        (lambda row: order_chat(row, system="Answer. " + json.dumps(row["answer"])), "gives this order away"),
        (lambda row: order_chat(row, content=lambda answer: json.dumps({"item": answer["item"]})), "the whole answer"),
        (lambda row: json.dumps(row), "list of messages"),
        (order_chat, None),
    ],
    "check_learnable": [
        (lambda prompt, answer, end: (prompt + answer, [-100] * len(prompt) + answer), "never learns to stop"),
        (lambda prompt, answer, end: (prompt + answer + [end], prompt + answer + [end]), "every token carries loss"),
        (lambda prompt, answer, end: (prompt + answer + [end], [-100] * len(prompt) + answer + [-100]), "end token carries no loss"),
        (lambda prompt, answer, end: (prompt + answer + [end], [*answer, end]), "one label per token"),
        (lambda prompt, answer, end: (prompt + answer + [end], [-100] * 2 + answer + [end, end]), "prompt's labels"),
        (lambda prompt, answer, end: (prompt + answer + [end], [-100] * 3 + [22, 2, 2]), "shift by one"),
        (lambda prompt, answer, end: prompt + answer + [end], "two lists"),
        (lambda prompt, answer, end: (prompt + answer + [end], [-100] * len(prompt) + answer + [end]), None),
    ],
    "check_read_answer": [
        ((lambda text: read_order(text, lambda n: n in range(1, 10)), ITEMS, DAYS), "true as quantity"),
        ((lambda text: read_order(text, fields=frozenset()), ITEMS, DAYS), "a field too many"),
        ((lambda text: read_order(text, caught=KeyError), ITEMS, DAYS), "text around the JSON should give None, but raised"),
        ((lambda text: read_order(text[text.find("{") :]), ITEMS, DAYS), "text around the JSON should give None, got"),
        ((lambda text: read_order(text, lambda n: str(n) in "123456789"), ITEMS, DAYS), "a quantity in words"),
        ((lambda text: None, ITEMS, DAYS), "return it as a dict"),
        ((read_order, ITEMS, DAYS), None),
    ],
    "check_voice": [
        (lambda reply: shop_voice(reply, first="We"), "Weather.* breaks the rule 'we'"),
        (lambda reply: shop_voice(reply, most=30), "breaks the rule 'short'"),
        (lambda reply: shop_voice(reply) | {"one_sentence": reply[-1] in ".!?"}, "even nothing|breaks the rule 'one_sentence'"),
        (lambda reply: all(shop_voice(reply).values()), "dict of rule"),
        (lambda reply: {"we": True}, "the rules are"),
        (shop_voice, None),
    ],
    "check_run": [
        ((None, 2.0), "return what fine_tune_chat returns"),
        ((tuned_to(2.5, 2.1), 2.0), "nothing was learned"),
        ((tuned_to(math.nan), 2.0), "lower the learning rate"),
        ((tuned_to(1.0, 1.2), 2.0), None),
    ],
    "check_cheapest": [
        (lambda systems, bar: min(systems, key=lambda name: systems[name]["seconds"]), "misses the bar"),
        (lambda systems, bar: max(systems, key=lambda name: systems[name]["low"]), "c is the best"),
        (lambda systems, bar: fastest(systems, bar, strict=True), "equals the bar"),
        (lambda systems, bar: fastest(systems, bar) or "a", "return None"),
        (lambda systems, bar: systems[fastest(systems, bar)], "the system's name"),
        (fastest, None),
    ],
}

HEADLINES = [  # lab 04
    {"text": text, "label": label}
    for label, texts in {
        "negative": ["Acme warns of a loss", "Bolt warns again", "Fraud at Corex, bank says"],
        "neutral": ["Dax names a chair", "Meeting of Elm on Friday", "Figures of Fern unchanged"],
        "positive": ["Record profit at Gorse", "Hazel wins a large order", "Record sales at Iris"],
    }.items()
    for text in texts
]


def sign_rules(text, fall_back="neutral", lower=True, words=("warn", "fraud", "record", "win")):
    text = text.lower() if lower else text
    return "negative" if any(w in text for w in words[:2]) else "positive" if any(w in text for w in words[2:]) else fall_back


def folded(make, texts, labels, folds, learn=lambda i, fold, folds: i % folds != fold, aligned=True, ordered=True, parts=None):
    answers, late = [None] * len(texts), []
    for fold in range(parts or folds):
        rows = [i for i in range(len(texts)) if learn(i, fold, folds)]
        judge = [i for i in range(len(texts)) if i % folds == fold]
        known = [labels[i] for i in rows] if aligned else labels[: len(rows)]
        given = make([texts[i] for i in rows], known).predict([texts[i] for i in judge])
        late += given
        for i, answer in zip(judge, given, strict=True):
            answers[i] = answer
    return answers if ordered else late


def nearest_vote(known, labels, vector, k, cosine=True, weighed=True, sign=-1):
    likeness = known @ vector
    if cosine:
        likeness = likeness / (np.linalg.norm(known, axis=1) * np.linalg.norm(vector))
    votes = Counter()
    for i in np.argsort(sign * likeness)[:k]:
        votes[labels[i]] += likeness[i] if weighed else 1
    return max(votes, key=votes.get)


def shots(rows, per_label, headline, blocks=False, leave_out=True, refill=True, said=str, system="Sort it.", last=None):
    names = sorted({row["label"] for row in rows})
    groups = {n: [r["text"] for r in rows if r["label"] == n and not (leave_out and refill and r["text"] == headline)] for n in names}
    pairs = [(groups[n][i], n) for i in range(per_label) for n in names]
    pairs = [pair for pair in pairs if not (leave_out and pair[0] == headline)]
    pairs = sorted(pairs, key=lambda pair: pair[1]) if blocks else pairs
    chat = [{"role": "system", "content": system}]
    for text, label in pairs:
        chat += [{"role": "user", "content": text}, {"role": "assistant", "content": said(label)}]
    return [*chat, {"role": "user", "content": last or headline}]


NAMES = ["bad", "fair", "good"]


def level(nats, names, axis=0, sign=1, pick="argmax"):
    return [names[i] for i in getattr(sign * (nats - nats.mean(axis, keepdims=True)), pick)(1)]


def level_in_place(nats, names):
    nats -= nats.mean(0)
    return [names[i] for i in nats.argmax(1)]


def undominated(systems, beats):
    return [n for n, one in systems.items() if not any(beats(other, one) for m, other in systems.items() if m != n)]


LAB_04 = {
    "check_majority_score": [
        (lambda read, judge: 0.3, "three numbers"),
        (lambda read, judge: (3.0, 1.0, 6.0), "between 0 and 1"),
        (lambda read, judge: (0.6, *wilson_by_hand([True] * 6 + [False] * 4)), "commonest that was read"),
        (lambda read, judge: (2 / 3, 0.2, 0.9), "among those that were read"),
        (lambda read, judge: (0.5, 0.2, 0.9), "read most often"),
        (lambda read, judge: (0.3, 0.6, 0.1), "lower end"),
        (lambda read, judge: (0.3, *wald(np.array([True] * 3 + [False] * 7))), "not that of 3 right"),
        (lambda read, judge: (0.3, 0.1078, 0.6032), None),
    ],
    "check_rules": [
        ((lambda text: sign_rules(text, fall_back=None), HEADLINES), "no answer"),
        ((lambda text: sign_rules(text, fall_back="unknown"), HEADLINES), "you also say"),
        ((lambda text: sign_rules(text) if text else None, HEADLINES), "even an empty one"),
        ((lambda text: sign_rules(text, lower=False), HEADLINES), "text.lower"),
        ((lambda text: sign_rules(text, words=("warn", "fraud", "xyz", "xyz")), HEADLINES), "never say positive"),
        ((lambda text: sign_rules(text, words=("meeting", "names", "chair", "unchanged")), HEADLINES), "no better than"),
        (
            (lambda text: {r["text"].lower(): r["label"] for r in HEADLINES}.get(text.lower(), "neutral"), HEADLINES),
            "not for whole headlines",
        ),
        ((sign_rules, HEADLINES), None),
    ],
    "check_cross_validate": [
        (lambda make, texts, labels, folds: None, "returns nothing"),
        (lambda *given: folded(*given)[:20], "need 23 answers"),
        (lambda *given: folded(*given, parts=3), "have no answer"),
        (lambda make, texts, labels, folds: labels, "never called"),
        (lambda make, texts, labels, folds: [make(texts, labels) for _ in range(folds)] and labels, "never asked"),
        (lambda *given: folded(*given, aligned=False), "do not belong together"),
        (lambda *given: folded(*given, learn=lambda i, fold, folds: True), "learned from"),
        (lambda *given: folded(*given, learn=lambda i, fold, folds: i % folds == (fold + 1) % folds), "turn it round"),
        (lambda *given: folded(*given, learn=lambda i, fold, folds: i % folds != fold and i > 2), "all texts that it is not asked"),
        (lambda make, texts, labels, folds: folded(make, texts, labels, len(texts)), "need 4 systems"),
        (lambda *given: folded(*given, ordered=False), "order of the texts"),
        (folded, None),
    ],
    "check_vote": [
        (lambda known, labels, vector, k: None, "returns nothing"),
        (lambda known, labels, vector, k: 0, "return a label"),
        (lambda *given: nearest_vote(*given, cosine=False), "long vector"),
        (lambda *given: nearest_vote(*given, sign=1), "long vector|least similar"),
        (lambda known, labels, vector, k: nearest_vote(known, labels, vector, 1), "of the three nearest"),
        (lambda known, labels, vector, k: nearest_vote(known, labels, vector, 3 if len(known) > 3 else k), "k = 1"),
        (lambda *given: nearest_vote(*given, weighed=False), "do not count heads"),
        (nearest_vote, None),
    ],
    "check_few_shot_chat": [
        ((lambda *given: shots(*given)[-1]["content"], "Sort it.", NAMES), "list of messages"),
        ((lambda *given: shots(*given, system="Hello."), "Sort it.", NAMES), "content TASK"),
        ((lambda *given: [*shots(*given), {"role": "assistant", "content": "bad"}], "Sort it.", NAMES), "for the model to give"),
        ((lambda *given: shots(*given, last="Sort this: What now?"), "Sort it.", NAMES), "nothing else"),
        ((lambda *given: [*shots(*given)[::2], shots(*given)[-1]], "Sort it.", NAMES), "two turns"),
        ((lambda *given: shots(*given, said=lambda label: "bad"), "Sort it.", NAMES), "not its headline's"),
        ((lambda rows, n, headline: shots(rows, 1, headline), "Sort it.", NAMES), "two examples of each"),
        ((lambda *given: shots(*given, blocks=True), "Sort it.", NAMES), "come in blocks"),
        ((lambda *given: shots(*given, leave_out=False), "Sort it.", NAMES), "that is a leak"),
        ((lambda *given: shots(*given, refill=False), "Sort it.", NAMES), "take the next one"),
        ((shots, "Sort it.", NAMES), None),
    ],
    "check_without_lean": [
        (lambda nats, names: None, "returns nothing"),
        (level_in_place, "make new ones"),
        (lambda nats, names: level(nats, names)[:2], "three answers"),
        (lambda nats, names: (nats - nats.mean(0)).argmax(1), "not column numbers"),
        (lambda nats, names: level(nats, names, axis=1), "likes best"),
        (lambda nats, names: [names[i] for i in nats.argmin(1)], "lowest score"),
        (lambda nats, names: level(nats, names, sign=-1), "mean\\(0\\)"),
        (level, None),
    ],
    "check_not_dominated": [
        (lambda systems: None, "returns nothing"),
        (list, "'beaten'"),
        (lambda systems: [min(systems, key=lambda n: systems[n][1])], "most accurate"),
        (lambda systems: [max(systems, key=lambda n: systems[n][0])], "fastest"),
        (lambda systems: undominated(systems, lambda a, b: a[0] > b[0] and a[1] < b[1]), "as accurate and slower"),
        (lambda systems: undominated(systems, lambda a, b: a[0] >= b[0] and a[1] < b[1]), "as fast and less accurate"),
        (lambda systems: undominated(systems, lambda a, b: a[0] >= b[0] and a[1] <= b[1]), "do not dominate each other"),
        (lambda systems: undominated(systems, lambda a, b: a[0] >= b[0] and a[1] <= b[1] and a != b), None),
    ],
    "check_plan": [
        (lambda cost, items, value, disagreement: 0.06, "return two numbers"),
        (lambda cost, items, value, disagreement: (cost / items, 100), "worth is missing"),
        (lambda cost, items, value, disagreement: (100 * cost / items / value, 100), "not in points"),
        (lambda cost, items, value, disagreement: (items * value / cost, 100), "turn it round"),
        (lambda cost, items, value, disagreement: (0.5, 100), "that is the cost of 600"),
        (lambda cost, items, value, disagreement: (cost / items / value, 100), "not needed_n"),
        (lambda cost, items, value, disagreement: (gain := cost / items / value, needed_n(gain, disagreement)), "needed_n refuses"),
        (
            lambda cost, items, value, disagreement: (gain := min(cost / items / value, disagreement), needed_n(gain, disagreement)),
            "in its place",
        ),
        (lambda cost, items, value, disagreement: (gain := cost / items / value, needed_n(gain, max(gain, disagreement))), None),
    ],
}


def npv(once, flow, months, discount, first=1, per_year=12):
    return flow * sum((1 + discount) ** (-month / per_year) for month in range(first, months + first)) - once


def net_interval_of(brief, n, seed, ends=(0.025, 0.975), rng=None):
    rng = rng or np.random.default_rng(seed)
    drawn = {name: rng.triangular(*brief[name], n) for name in ("gain", "worth", "once", "monthly")}
    values = npv(drawn["once"], brief["requests"] * drawn["gain"] * drawn["worth"] - drawn["monthly"], 24, 0.1)
    return (*np.quantile(values, [ends[0], 0.5, ends[1]]), (values > 0).mean())


def votes_of_brief(brief, ignore=()):
    cast = {"expertise": "tune" if brief["expertise"] else "skip", "production": "tune" if brief["production"] else "skip"}
    cast["examples"] = "tune" if brief["examples"] >= 500 else "prompt first"
    low, _, high, _ = net_interval_of(brief, 20_000, 0)
    cast["worth"] = "tune" if low > 0 else "skip" if high < 0 else "measure first"
    cast["updates"] = "retrieve" if brief["updates"] else "tune"
    return [{"question": name, "verdict": "tune" if name in ignore else vote} for name, vote in cast.items()]


def strongest(cast):
    word = min((vote["verdict"] for vote in cast), key=lab_08.ORDER.index)
    return word, [vote["question"] for vote in cast if vote["verdict"] == word]


def decide_brief(brief, ignore=(), everything=False, point=False):
    word, reasons = strongest(votes_of_brief(brief, ignore))
    net = net_interval_of(brief, 20_000, 0)[:3]
    reasons = lab_08.QUESTIONS if everything else reasons
    return {"verdict": word, "reasons": reasons, "net": (net[1],) * 3 if point else net}


def turning_of(brief, tried=("expertise", "production", "updates", "examples")):
    now, turned = decide_brief(brief)["verdict"], []
    for name in tried:
        other = (499 if brief["examples"] >= 500 else 500) if name == "examples" else not brief[name]
        turned += [name] if decide_brief({**brief, name: other})["verdict"] != now else []
    return turned


def spoil(brief):
    brief["updates"] = not brief["updates"]
    return turning_of(brief)


def memos_of(same=False, **wrong):
    made = {}
    for name, brief in lab_08.BRIEFS.items():
        step = "The team counts errors for two weeks." if same else f"The team of {name} counts errors for two weeks."
        made[name] = {**decide_brief(brief), "would_change": turning_of(brief), "next_step": step, **wrong}
    return made


def changed_briefs(name, **fields):
    return {key: brief | (fields if key == name else {}) for key, brief in lab_08.BRIEFS.items()}


def paid(project, price, per_hour=60, runs=True, epochs=True, million=1e6):
    label = project["minutes"] / per_hour * project["wage"]
    tokens = project["examples"] * project["tokens"] * (project["epochs"] if epochs else 1) * (project["runs"] if runs else 1)
    parts = {"labels": project["examples"] * label, "evaluation": project["test_examples"] * label}
    return parts | {"engineering": project["engineering"] * project["engineer"], "training": tokens / million * price}


def three(before, after, relative=None, errors=None, factor=1):
    gain = factor * (after - before)
    return {"points": gain, "relative": gain / (relative or before), "errors removed": gain / (errors or 1 - before)}


def asked_price(new, shared, output, prices, hits, cold=1.0, million=1e6, remembered=0):
    per_shared = hits * prices["cached"] + (1 - hits) * prices["input"] * cold
    per_new = prices["cached"] if remembered and hits else prices["input"]
    return (new * per_new + shared * per_shared + output * prices["output"]) / million


LAB_08 = {
    "check_three_readings": [
        (lambda before, after: after - before, "return a dict with the keys"),
        (lambda before, after: three(before, after, factor=100), "do not multiply by 100"),
        (lambda before, after: three(before, after, factor=-1), "the sign is turned"),
        (lambda before, after: three(before, after, relative=after), "divides by the one before"),
        (lambda before, after: three(before, after, errors=1 - after), "errors before are one minus"),
        (three, None),
    ],
    "check_paid_once": [
        (lambda project, price: sum(paid(project, price).values()), "return a dict with the keys"),
        (lambda project, price: paid(project, price, per_hour=1), "divide minutes by 60"),
        (lambda project, price: paid(project, price, runs=False), "every run until one is kept"),
        (lambda project, price: paid(project, price, epochs=False), "multiply by it"),
        (lambda project, price: paid(project, price, million=1), "for a million tokens"),
        (lambda project, price: paid(project, price) | {"evaluation": 200.0}, "nothing is labelled where no example judges"),
        (paid, None),
    ],
    "check_request_cost": [
        (lambda *arguments: None, "return one number"),
        (lambda *arguments: asked_price(*arguments, million=1), "divide by 1e6"),
        (lambda *arguments: asked_price(*arguments, remembered=1), "new tokens are never remembered"),
        (lambda *arguments: asked_price(*arguments, cold=0), "shared tokens are free"),
        (lambda new, shared, output, prices, hits: asked_price(new, shared, output, prices, round(hits)), "expect \\$0.00180"),
        (asked_price, None),
    ],
    "check_net_present_value": [
        (lambda once, flow, months, discount: flow * months - once, "discount is not used"),
        (lambda once, flow, months, discount: flow * months / (1 + discount) ** (months / 12) - once, "each month has its own"),
        (lambda once, flow, months, discount: npv(once, flow, months, discount, first=0), "months are 1 to 12"),
        (lambda once, flow, months, discount: npv(once, flow, months, discount, per_year=1), "exponent m / 12"),
        (lambda once, flow, months, discount: npv(float(np.max(once)), flow, months, discount), "work for arrays"),
        (lambda once, flow, months, discount: npv(once, flow, months, discount) + 2 * once, "make \\$20"),
        (npv, None),
    ],
    "check_net_interval": [
        (lambda brief, n, seed: net_interval_of(brief, n, seed)[:3], "4 numbers, got 3"),
        (lambda brief, n, seed: net_interval_of(brief, n, seed, ends=(0.05, 0.95)), "middle 90 %"),
        (lambda brief, n, seed: net_interval_of(brief, n, seed, ends=(0, 1)), "smallest and the largest"),
        (lambda brief, n, seed: net_interval_of(brief, n, seed, rng=np.random.default_rng()), "same seed"),
        (lambda brief, n, seed: net_interval_of(brief, n, 5), "another seed"),
        (lambda brief, n, seed: net_interval_of(brief | {"monthly": (0, 0.1, 1)}, n, seed), "its own triangle"),
        (net_interval_of, None),
    ],
    "check_verdict": [
        (lambda cast: strongest(cast)[0], "return two values"),
        (lambda cast: (cast[0]["verdict"], [cast[0]["question"]]), "five votes for tune|order of the votes"),
        (lambda cast: (Counter(v["verdict"] for v in cast).most_common(1)[0][0], lab_08.QUESTIONS), "do not count heads|voted so"),
        (lambda cast: (strongest(cast)[0], [vote["question"] for vote in cast]), "questions that voted so"),
        (lambda cast: (next((v["verdict"] for v in cast if v["verdict"] != "tune"), "tune"), strongest(cast)[1]), "must not matter"),
        (strongest, None),
    ],
    "check_briefs": [
        ({}, "make a dict with the keys"),
        (changed_briefs("Outlet", gain=(4, 8, 12)), "0.05 for five points"),
        (changed_briefs("Meadow", worth=(0.01, 0.1, 1.0)), "Meadow, worth: this does not fit"),
        (changed_briefs("Northlight", once=12_000), "write three numbers"),
        (changed_briefs("Northlight", production="yes"), "True or False"),
        (changed_briefs("Outlet", updates=True), "Outlet, updates"),
        ({name: {k: v for k, v in brief.items() if k != "monthly"} for name, brief in lab_08.BRIEFS.items()}, "'monthly' is missing"),
        (lab_08.BRIEFS, None),
    ],
    "check_decide_brief": [
        (lambda brief: decide_brief(brief)["verdict"], "return a dict"),
        (lambda brief: decide_brief(brief, ignore=("updates",)), "expect 'retrieve'"),
        (lambda brief: decide_brief(brief, ignore=("worth",)), "expect 'measure first'"),
        (lambda brief: decide_brief(brief, point=True), "net should be about"),
        (lambda brief: decide_brief(brief, everything=True), "the reasons are the questions"),
        (lambda brief: decide_brief({**brief, "examples": brief["examples"] - 1}), "exactly 500"),
        (decide_brief, None),
    ],
    "check_what_would_change": [
        (lambda brief: None, "return a list"),
        (spoil, "work on a copy"),
        (lambda brief: [*turning_of(brief), "worth"], "worth is a calculation"),
        (lambda brief: turning_of(brief, ("expertise", "production", "updates")), "would turn the verdict, too"),
        (lambda brief: [*lab_08.QUESTIONS[:3], "updates"], "leaves the verdict as it is"),
        (turning_of, None),
    ],
    "check_memos": [
        ({}, "make a memo for each"),
        (memos_of(same=True), "three next steps are the same"),
        (memos_of(verdict="tune"), "does not follow from the brief"),
        (memos_of(reasons=["worth"]), "name the questions that decided"),
        (memos_of(net=(1, 2, 3)), "net value does not follow"),
        (memos_of(would_change=[]), "would_change should be"),
        (memos_of(next_step="Wait."), "five words or more"),
        (memos_of(), None),
    ],
}


# ---- lab 06 ------------------------------------------------------------------------------------

LOCKERS = [("Lockers", "A locker keeps a parcel for a week.\n\nBring the code."), ("Lockers › What you pay", "Nothing.")]


def sections(text, keep=(), whole=True, join=" › ", drop_empty=True, paragraphs=True):
    """Exercise 1, right or with one fault."""
    title, found = "", []
    for line in text.splitlines():
        if line.startswith("## ") and whole:
            found.append((f"{title}{join}{line[3:]}" if join else line[3:], []))
        elif line.startswith("# "):
            title = line[2:]
            found.append((title, []))
        elif not line.startswith("In force") or keep:
            found[-1][1].append(line)
    bodies = [(heading, "\n".join(lines).strip()) for heading, lines in found]
    return [(h, body if paragraphs else body.split("\n\n")[0]) for h, body in bodies if body or not drop_empty]


def begins(text, year, which=0, form="{}-{:02}-{:02}", missing=None):
    """Exercise 2."""
    days = re.findall(r"(?:from|until) (\d+) (\w+)", next((line for line in text.splitlines() if line.startswith("In force")), ""))
    if not days:
        if missing is None:
            raise ValueError("no day")
        return missing
    day, month = days[min(which, len(days) - 1)]
    return form.format(year, MONTHS.index(month) + 1, int(day))


def word_scores(question, texts, once=set, count=None, length=True, level=True, plus=1):
    """Exercise 3."""
    mean, scores = sum(map(len, texts)) / len(texts), [0.0] * len(texts)
    for word in once(question):
        n = sum(word in text for text in texts)
        rare = math.log(plus + (len(texts) - n + 0.5) / (n + 0.5))
        for i, text in enumerate(texts):
            often = min(text.count(word), count or 10**6)
            bound = often + 1.2 * (0.25 + 0.75 * len(text) / mean if length else 1)
            scores[i] += rare * (2.2 * often / bound if level else often)
    return scores


def joined(rankings, weights, constant, first=1, use_weights=True, reverse=True, scores_only=False):
    """Exercise 4."""
    scores = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for place, item in enumerate(ranking, first):
            scores[item] = scores.get(item, 0) + (weight if use_weights else 1) / (constant + place)
    return scores if scores_only else sorted(scores, key=scores.get, reverse=reverse)


def valid(passages, day, begun=lambda since, day: since <= day, each=True):
    """Exercise 5."""
    latest = {}
    for p in passages:
        if begun(p["since"], day):
            latest[p["source"]] = max(p["since"], latest.get(p["source"], ""))
    newest = max(latest.values(), default="")
    return [i for i, p in enumerate(passages) if p["since"] == (latest.get(p["source"]) if each else newest)]


def swap(db, source, texts, begin=True, back=True, again=True, where=True, delete=True, commit=True):
    """Exercise 6."""
    if begin:
        db.execute("BEGIN IMMEDIATE")
    try:
        if delete:
            db.execute("DELETE FROM passages WHERE source = ?" if where else "DELETE FROM passages WHERE ? != ''", (source,))
        for text in texts:
            db.execute("INSERT INTO passages VALUES (?, ?)", (source, text))
    except OSError:
        if begin and back:
            db.execute("ROLLBACK")
        if again:
            raise
        return
    if begin and commit:
        db.execute("COMMIT")


def pasted(db, source, texts):
    db.execute("BEGIN")
    for text in texts:
        db.execute(f"INSERT INTO passages VALUES ('{source}', '{text}')")
    db.execute("COMMIT")


def point(similarities, known, price, above=True, paid=None):
    """Exercise 7."""

    def cost(t):
        false = sum(s >= t and not k for s, k in zip(similarities, known, strict=True))
        return (paid or price) * false + sum(s < t and k for s, k in zip(similarities, known, strict=True))

    return min([*similarities, max(similarities) + 0.01] if above else similarities, key=cost)


@functools.cache
def policy_store():
    """Fernhill's policies, to be found by their words; the vectors are all alike, so no weights are needed."""
    store = Store(":memory:", lambda texts: np.ones((len(texts), 2)))
    store.ingest(policy_documents())
    return store


def asked_by_words(question, day, k=3, least=1.0, skip=0, on=True, form=vars):
    """Exercise 8 by words alone: refuses where the best score per word is low."""
    found = policy_store().search(question, k=k + skip, by="words", on=day if on else None)
    enough = found and found[0].score / len(set(question.split())) >= least
    return [form(passage) for passage in found[skip:]] if enough else []


LAB_06 = {
    "check_split": [
        (lambda text: None, "returns nothing"),
        (lambda text: [body for _, body in sections(text)], "list of pairs"),
        (lambda text: sections(text, keep=True), "'In force from …' is still"),
        (lambda text: sections(text, whole=False), "a '#' is left"),
        (lambda text: sections(text, drop_empty=False), "'Where' has no text"),
        (lambda text: sections(text, join=""), "carry the title"),
        (lambda text: sections(text, paragraphs=False), "lost its second"),
        (lambda text: [(h, body + "\n") for h, body in sections(text)], "strip the empty lines"),
        (lambda text: LOCKERS, "without '## ' sections"),
        (sections, None),
    ],
    "check_first_day": [
        (lambda text, year: None, "return the day as a text"),
        (lambda text, year: begins(text, year, form="{}-{}-{}"), "two digits"),
        (lambda text, year: begins(text, year, form="{}-{2:02}-{1:02}".replace("{}", "{0}")), "2026-07-01, got"),
        (lambda text, year: begins(text, year, which=1), "the first one counts"),
        (lambda text, year: begins(text, year, missing="2026-01-01"), "a guessed day"),
        (lambda text, year: re.search("In force", text).group() and begins(text, year), "it raised AttributeError"),
        (begins, None),
    ],
    "check_bm25": [
        (lambda question, texts: None, "one score per text"),
        (lambda question, texts: [-score for score in word_scores(question, texts)], "highest score"),
        (lambda question, texts: [score + 1 for score in word_scores(question, texts)], "scores 0"),
        (lambda question, texts: word_scores(question, texts, count=1), "counted it once"),
        (lambda question, texts: word_scores(question, texts, length=False), "length makes no difference"),
        (lambda question, texts: word_scores(question, texts, level=False), "must level off"),
        (lambda question, texts: word_scores(question, texts, plus=0), "compare with the formula|keeps its weight"),
        (lambda question, texts: word_scores(question, texts, once=list), "counts twice"),
        (word_scores, None),
    ],
    "check_fuse": [
        (lambda rankings, weights, constant: None, "returns nothing"),
        (lambda *a: joined(*a, scores_only=True), "you return the scores"),
        (lambda rankings, weights, constant: [x for ranking in rankings for x in ranking], "come once"),
        (lambda rankings, weights, constant: rankings[0], "all numbers of both"),
        (lambda *a: joined(*a, reverse=False), "worst comes first"),
        (lambda rankings, *a: list(dict.fromkeys(x for ranking in rankings for x in ranking)), "so it should lead"),
        (lambda *a: joined(*a, use_weights=False), "use the weights"),
        (lambda rankings, weights, constant: joined(rankings, weights, 60), "with constant 0"),
        (joined, None),
    ],
    "check_in_force": [
        (lambda passages, day: None, "returns nothing"),
        (lambda passages, day: [passages[i] for i in valid(passages, day)], "whole numbers"),
        (lambda passages, day: valid(passages, day, begun=lambda since, day: since < day), "from its own day on"),
        (lambda passages, day: [i for i, p in enumerate(passages) if p["since"] <= day], "the next one has ended it"),
        (lambda passages, day: valid(passages, day, each=False), "of each source, not of all"),
        (lambda passages, day: sorted({passages[i]["source"]: i for i in valid(passages, day)}.values()), "both passages"),
        (valid, None),
    ],
    "check_replace": [
        (lambda *a: swap(*a, commit=False), "say COMMIT"),
        (lambda *a: swap(*a, where=False), "another source are gone"),
        (lambda *a: swap(*a, delete=False), "old texts are still there"),
        (lambda *a: swap(*a, begin=False), "half of the new version"),
        (lambda *a: swap(*a, back=False), "still open"),
        (lambda *a: swap(*a, again=False), "the error disappeared"),
        (pasted, "SQLite refused a command"),
        (swap, None),
    ],
    "check_cheapest_point": [
        (lambda similarities, known, price: None, "returns nothing"),
        (lambda similarities, known, price: [0.5], "return one number"),
        (lambda similarities, known, price: min(similarities), "price of 3 is paid three times"),
        (lambda similarities, known, price: point(similarities, [not k for k in known], price), "cheapest point lies|paid three"),
        (lambda similarities, known, price: point(similarities, known, price, paid=1), "cheaper than a refusal"),
        (lambda similarities, known, price: point(similarities, known, price, above=False), "all should be refused"),
        (lambda similarities, known, price: point(similarities, known, price) if all(known) is False else 0.4, "none should be refused"),
        (point, None),
    ],
    "check_ask": [
        ((lambda question, day: None, True), "return a list"),
        ((lambda question, day: asked_by_words(question, day, k=4), True), "at most three"),
        ((lambda question, day: asked_by_words(question, day, form=lambda p: p.text), True), "dicts with source"),
        ((lambda question, day: asked_by_words(question, day, on=False), True), "only what is in force"),
        ((lambda question, day: [], True), "all of the first twenty"),
        ((lambda question, day: asked_by_words(question, day, skip=5, least=0), True), "order of your rankings"),
        ((lambda question, day: asked_by_words(question, day, least=0), True), "as often as those with one"),
        ((lambda question, day: asked_by_words(question, day, least=1.6), True), "helps nobody"),
        ((asked_by_words, True), None),
    ],
}


def steps_by_factor(least, most, count, whole=round):
    return [whole(least * (most / least) ** (i / (count - 1))) for i in range(count)]


def drawn_rows(labels, n, seed, first=True, from_front=True):
    order = [int(i) for i in np.random.default_rng(seed if from_front else seed + 1000 * n).permutation(len(labels))]
    one_each = {}
    for i in order:
        one_each.setdefault(labels[i], i)
    chosen = list(one_each.values()) if first else []
    return (chosen + [i for i in order if i not in set(chosen)])[:n]


def one_of_each_in_turn(labels, n, seed):
    order, taken = drawn_rows(labels, len(labels), seed), Counter()
    rank = {}
    for i in order:
        rank[i] = taken[labels[i]]
        taken[labels[i]] += 1
    return sorted(order, key=lambda i: rank[i])[:n]


def around_mean(scores, ddof=1, root=True, share=0.975, factor=None):
    k, mean = len(scores), float(np.mean(scores))
    half = (factor or t.ppf(share, k - 1)) * np.std(scores, ddof=ddof) / (math.sqrt(k) if root else 1)
    return mean, mean - half, mean + half


def gains_of(sizes, scores, per=100, points=100, sign=1):
    steps = zip(sizes, sizes[1:], scores, scores[1:], strict=False)
    return [sign * points * (d - c) / ((b - a) / per if per else 1) for a, b, c, d in steps]


def fitted(sizes, scores, floor, form=from_chance, top=1.0, whole=False, order=slice(None)):
    bounds = (0, [top, 1e6, 5])
    found = curve_fit(lambda n, *p: form(n, floor, *p), np.array(sizes, float), scores, p0=(0.9, 100, 1), bounds=bounds, maxfev=20_000)
    return found if whole else tuple(found[0])[order]


def turned_round(ceiling, half, rate, floor, target, inverse=True, from_floor=True, guard=True, upside=False, strict=False):
    if guard and (target > ceiling if strict else target >= ceiling):
        return math.inf
    begin = floor if from_floor else 0
    way = (target - begin) / (ceiling - begin)
    odds = (1 - way) / way if upside else way / (1 - way)
    return half * odds ** (1 / rate if inverse else rate)


def missed(sizes, scores, floor, cut, fit, inside=lambda n, cut: n <= cut, at=-1, sign=1, points=100, given=None):
    kept = [i for i, n in enumerate(sizes) if inside(n, cut)]
    parameters = fit([sizes[i] for i in kept], [scores[i] for i in kept], floor if given is None else given)
    return sign * points * (scores[at] - float(from_chance(float(sizes[at]), floor, *parameters)))


def stopped(predict, have, batch, worth, price, most, points=100, late=False, since_start=False):
    n, start = have, have
    while n + batch <= most:
        gain = points * (predict(n + batch) - predict(n))
        if since_start:
            gain = points * (predict(n + batch) - predict(start)) / ((n + batch - start) / batch)
        if gain * worth <= batch * price:
            return n + batch if late else n
        n += batch
    return most


LAB_07 = {
    "check_sizes_to_try": [
        (lambda least, most, count: [round(n) for n in np.linspace(least, most, count)], "equal steps"),
        (lambda least, most, count: steps_by_factor(least, most, count, float), "whole number"),
        (lambda least, most, count: list(np.geomspace(least, most, count).round().astype(int)), "Python's own kind"),
        (lambda least, most, count: steps_by_factor(least, most, count + 1)[:-1], "the last most = 320"),
        (lambda least, most, count: [least * 2**i for i in range(count)], "only least and most|expect 49"),
        (lambda least, most, count: steps_by_factor(least, most, count, int), "expect 49|the last most"),
        (lambda least, most, count: least, "return a list"),
        (lambda least, most, count: None, "returns nothing"),
        (steps_by_factor, None),
    ],
    "check_draw_rows": [
        (lambda labels, n, seed: list(np.random.default_rng(seed).integers(0, len(labels), n)), "came twice"),
        (lambda labels, n, seed: drawn_rows(labels, n, seed, first=False), "one row of each label first"),
        (lambda labels, n, seed: drawn_rows(labels, n, seed, from_front=False), "among the 40"),
        (lambda labels, n, seed: drawn_rows(labels, n, 0), "every seed gave the same"),
        (lambda labels, n, seed: drawn_rows(labels, n, int(np.random.default_rng().integers(1e6))), "the same seed gave other rows"),
        (lambda labels, n, seed: [labels[i] for i in drawn_rows(labels, n, seed)], "return row numbers"),
        (lambda labels, n, seed: drawn_rows(labels, n + 1, seed), "expect 3 row numbers"),
        (one_of_each_in_turn, "take rows as they come"),
        (lambda labels, n, seed: None, "returns nothing"),
        (drawn_rows, None),
    ],
    "check_mean_interval": [
        (lambda scores: around_mean(scores, root=False), "single runs scatter"),
        (lambda scores: around_mean(scores, factor=1.96), "as for many runs"),
        (lambda scores: around_mean(scores, ddof=0), "ddof=1"),
        (lambda scores: around_mean(scores, share=0.95), "90 % interval"),
        (lambda scores: (float(np.mean(scores)), min(scores), max(scores)), "smallest and the largest"),
        (lambda scores: around_mean(scores)[1:], "return 3 numbers"),
        (lambda scores: (around_mean(scores)[0], *around_mean(scores)[:0:-1]), "low should be below high"),
        (lambda scores: None, "returns nothing"),
        (around_mean, None),
    ],
    "check_gain_per_hundred": [
        (lambda sizes, scores: gains_of(sizes, scores, per=None), "points of the whole step"),
        (lambda sizes, scores: gains_of(sizes, scores, points=1), "a point is a hundredth"),
        (lambda sizes, scores: gains_of(sizes, scores, sign=-1), "subtract the earlier"),
        (lambda sizes, scores: gains_of(sizes, scores)[:2], "three steps"),
        (lambda sizes, scores: gains_of(sizes, scores, per=1, points=1), "for one example"),
        (lambda sizes, scores: gains_of(sizes, scores)[0], "return a list"),
        (lambda sizes, scores: None, "returns nothing"),
        (gains_of, None),
    ],
    "check_fit_growth": [
        (lambda sizes, scores, floor: fitted(sizes, scores, floor, power_law, 1.0), "starts at the floor"),
        (lambda sizes, scores, floor: fitted(sizes, scores, floor, whole=True), "only that"),
        (lambda sizes, scores, floor: fitted(sizes, scores, 0.0), "floor is kept fixed|check the formula"),
        (lambda sizes, scores, floor: fitted(sizes, scores, floor, order=slice(None, None, -1)), "the order is|between 0 and 1"),
        (lambda sizes, scores, floor: fitted(sizes, scores, floor)[0], "return 3 numbers"),
        (lambda sizes, scores, floor: None, "returns nothing"),
        (fitted, None),
    ],
    "check_examples_needed": [
        (lambda *known: turned_round(*known, inverse=False), "takes its inverse"),
        (lambda *known: turned_round(*known, from_floor=False), "it begins at the floor"),
        (lambda *known: turned_round(*known, upside=True), "upside down"),
        (lambda *known: turned_round(*known, guard=False), "return math.inf|complex|expect math.inf"),
        (lambda *known: turned_round(*known, strict=True), "return math.inf|expect math.inf"),
        (lambda *known: None if known[4] >= known[0] else turned_round(*known), "returns nothing"),
        (lambda *known: "400", "got str"),
        (turned_round, None),
    ],
    "check_missed_by": [
        (lambda *known: missed(*known, inside=lambda n, cut: True), "show the fit the score"),
        (lambda *known: missed(*known, inside=lambda n, cut: n < cut), "cut itself among them"),
        (lambda *known: missed(*known, sign=-1), "measured minus predicted"),
        (lambda *known: missed(*known, points=1), "return points"),
        (lambda *known: missed(*known, at=-2), "compare at the largest"),
        (lambda *known: missed(*known, given=0.0), "hand the floor on"),
        (lambda sizes, scores, floor, cut, fit: 0.4, "never calls fit"),
        (lambda *known: None, "returns nothing"),
        (missed, None),
    ],
    "check_stop_at": [
        (lambda *known: stopped(*known, late=True), "not after"),
        (lambda *known: stopped(*known, since_start=True), "since the beginning"),
        (lambda *known: stopped(*known, points=1), "you stop at once"),
        (lambda *known: known[-1], "you never stop"),
        (lambda *known: stopped(*known) if known[3] > 1 else 200, "stop with the 100"),
        (lambda *known: min(stopped(*known), 600), "stop at most = 700"),
        (lambda *known: None, "returns nothing"),
        (stopped, None),
    ],
}


ANSWERS = {
    "lab_03": LAB_03,
    "lab_04": LAB_04,
    "lab_06": LAB_06,
    "lab_07": LAB_07,
    "lab_08": LAB_08,
    "lab_09": LAB_09,
    "lab_10": LAB_10,
    "lab_11": LAB_11,
    "lab_12": LAB_12,
    "lab_14": LAB_14,
}
CASES = [(lab, check, answer, words) for lab, checks in ANSWERS.items() for check, rows in checks.items() for answer, words in rows]


@pytest.mark.parametrize(("lab", "check", "answer", "words"), CASES)
def test_a_check_explains_what_is_wrong_and_accepts_what_is_right(lab, check, answer, words, capsys):
    function = getattr(importlib.import_module(f"utils.checks.{lab}"), check)
    arguments = answer if isinstance(answer, tuple) else (answer,)
    if words is None:
        function(*arguments)
        assert capsys.readouterr().out.startswith("Right. ")
        return
    with pytest.raises(NotYet, match=words) as refusal:
        function(*arguments)
    assert len(str(refusal.value)) > 20
    assert refusal.value._render_traceback_() == [f"Not yet: {refusal.value}"]


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_every_check_has_two_wrong_answers_here_and_a_place_in_its_lab(path):
    module = importlib.import_module(f"utils.checks.{path.stem}")
    checks = {name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith("check_")}
    rows = ANSWERS[path.stem]
    assert checks == set(rows)
    assert all(sum(words is not None for _, words in answers) >= 2 for answers in rows.values())
    solution = next((ROOT / "solutions").glob(f"{path.stem[4:]}_*.ipynb")).read_text(encoding="utf-8")
    assert all(f"{check}(" in solution for check in checks)
