"""Checks of lab 12, the loss of DPO with your own hands."""

import math

from utils.feedback import expect, right


def expect_tensor(found, shape, what):
    """Is it a tensor of that shape?"""
    import torch

    expect(found is not None, "the function returns nothing; end it with return")
    expect(isinstance(found, torch.Tensor), f"return a tensor, got {type(found).__name__}")
    expect(tuple(found.shape) == shape, f"{what} should have the shape {shape}, got {tuple(found.shape)}")


def check_answer_mask(answer_mask):
    """Exercise 1: which tokens are the answer's?"""
    import torch

    mask = answer_mask([2, 1, 3], [4, 3, 4], 5)
    wanted = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)
    expect_tensor(mask, (3, 5), "a mask of 3 rows with 5 places")
    expect(set(mask.unique().tolist()) <= {0, 1}, "a mask holds True and False only")
    mask = mask.bool()
    real = torch.arange(5) < torch.tensor([[4], [3], [4]])
    expect(not torch.equal(mask, real), "the prompt is in your mask; the model did not write it, so it gets no reward for it")
    expect(not torch.equal(mask, ~wanted & real), "you marked the prompt; mark what comes after it")
    expect(not (mask & ~real).any(), "padding is in your mask; a row ends after its own length")
    shown = [wanted[0].int().tolist(), mask[0].int().tolist()]
    expect(torch.equal(mask, wanted), f"a row with 2 tokens of prompt and 4 in all should be {shown[0]}, got {shown[1]}")
    right("Prompt and padding carry no reward.")


def check_summed_log_probabilities(summed_log_probabilities):
    """Exercise 2: how likely is an answer, given its prompt?"""
    import torch

    torch.manual_seed(0)
    scores, ids = torch.randn(2, 4, 5), torch.tensor([[1, 2, 3, 4], [0, 4, 2, 1]])
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 0]], dtype=torch.bool)
    nats = scores.log_softmax(-1)
    each = nats[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    wanted = (each * mask[:, 1:]).sum(1)
    found = summed_log_probabilities(scores, ids, mask)
    expect_tensor(found, (2,), "one number per row")
    same = nats.gather(2, ids[..., None])[..., 0]
    expect(
        not torch.allclose(found, (same * mask).sum(1), atol=1e-4),
        "you read the score of a token at its own place; the scores at place t are about the token at t + 1: shift by one",
    )
    expect(not torch.allclose(found, each.sum(1), atol=1e-4), "you added up all tokens; the mask says which are the answer's")
    late = (each * mask[:, :-1]).sum(1)
    expect(
        not torch.allclose(found, late, atol=1e-4), "scores and tokens are shifted, the mask is not: take mask[:, 1:], as with the tokens"
    )
    raw = (scores[:, :-1].gather(2, ids[:, 1:, None])[..., 0] * mask[:, 1:]).sum(1)
    expect(not torch.allclose(found, raw, atol=1e-4), "scores are no probabilities yet; log_softmax over the last dimension makes them so")
    expect(not torch.allclose(found, -wanted, atol=1e-4), "the sign is turned: a log-probability is at most zero")
    mean = wanted / mask.sum(1)
    expect(not torch.allclose(found, mean, atol=1e-4), "you took the mean over the answer's tokens; DPO adds them up (exercise 6 divides)")
    expect(torch.allclose(found, wanted, atol=1e-4), f"expected {wanted.tolist()}, got {found.tolist()}")
    right("This is the log-probability of a whole answer.")


def pairs():
    """Log-probabilities of three pairs: chosen, rejected, and both for the reference."""
    import torch

    return tuple(
        torch.tensor(values) for values in ([-10.0, -20.0, -30.0], [-12.0, -18.0, -33.0], [-11.0, -20.5, -28.0], [-11.0, -19.0, -33.0])
    )


def check_dpo_loss(dpo_loss):
    """Exercise 3: the loss."""
    import torch
    from torch.nn import functional as F

    chosen, rejected, ref_chosen, ref_rejected = pairs()
    ratio = (chosen - ref_chosen) - (rejected - ref_rejected)
    wanted = -F.logsigmoid(0.5 * ratio).mean()
    found = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, 0.5)
    expect(found is not None, "the function returns nothing; end it with return")
    found = torch.as_tensor(found)
    expect(found.numel() == 1, f"return one number, the mean over the pairs, got shape {tuple(found.shape)}")

    def is_like(value):
        return math.isclose(found.item(), float(value), abs_tol=1e-4)

    expect(not is_like(-F.logsigmoid(0.5 * (chosen - rejected)).mean()), "the reference is missing: rewards are log-ratios to it")
    expect(not is_like(-F.logsigmoid(ratio).mean()), "beta is missing: it multiplies the difference of the log-ratios")
    expect(not is_like(-F.logsigmoid(-0.5 * ratio).mean()), "chosen and rejected are the wrong way round: the chosen one should win")
    expect(not is_like(-wanted), "the sign is turned: a loss becomes smaller when the chosen answer wins more clearly")
    expect(not is_like(3 * wanted), "you added up the pairs; take their mean")
    expect(not is_like(-torch.sigmoid(0.5 * ratio).mean()), "the logarithm is missing: the loss is minus the log of the chance to win")
    expect(is_like(wanted), f"expected {wanted.item():.4f}, got {found.item():.4f}")
    far = dpo_loss(torch.tensor([-900.0]), torch.tensor([0.0]), torch.zeros(1), torch.zeros(1), 1.0)
    expect(
        math.isfinite(float(far)), "for a pair that is very wrong your loss is infinite; logsigmoid is exact where log(sigmoid(x)) is not"
    )
    start = float(dpo_loss(chosen, rejected, chosen, rejected, 0.5))
    expect(math.isclose(start, math.log(2), abs_tol=1e-5), f"where model and reference agree the loss is ln 2, got {start:.4f}")
    right("Where model and reference agree it is ln 2, whatever beta is.")


def check_push(push):
    """Exercise 4: how hard does a pair pull?"""
    import torch
    from torch.nn import functional as F

    margins, beta = torch.tensor([-2.0, 0.0, 3.0]), 0.1
    found = push(margins, beta)
    expect_tensor(found, (3,), "one number per pair")
    slope = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    (beta * -F.logsigmoid(slope).sum()).backward()
    wanted = -slope.grad
    expect(not torch.allclose(found, -wanted), "that is the gradient; the push goes against it: turn the sign")
    expect(
        not torch.allclose(found, wanted / beta), "beta is missing: the margin holds beta times the log-probability, so the slope does too"
    )
    turned = beta * torch.sigmoid(margins)
    expect(not torch.allclose(found, turned), "a pair that is right already should push least; put a minus before the margin")
    expect(not torch.allclose(found, torch.full((3,), found[0].item())), "all pairs push alike in yours; it depends on the margin")
    expect(torch.allclose(found, wanted, atol=1e-6), f"expected {wanted.tolist()}, got {found.tolist()}")
    right("A pair in the wrong order pulls hard, one that is right hardly at all.")


def check_nats_apart(nats_apart):
    """Exercise 5: how far must a model go?"""
    found = nats_apart(0.9, 0.1)
    expect(isinstance(found, int | float), f"return one number, got {type(found).__name__}")
    wanted = math.log(9) / 0.1
    expect(not math.isclose(found, math.log(9), rel_tol=1e-4), "that is the margin; the log-ratios differ by the margin divided by beta")
    expect(not math.isclose(found, math.log(9) * 0.1, rel_tol=1e-4), "you multiplied by beta; margin = beta × difference, so divide")
    expect(not math.isclose(found, 9.0, rel_tol=1e-4), "that is the chance itself divided by beta; first turn it into a margin")
    expect(not math.isclose(found, -wanted, rel_tol=1e-4), "the sign is turned: a chance above one half needs a margin above zero")
    expect(math.isclose(found, wanted, rel_tol=1e-4), f"for a chance of 0.9 and beta 0.1 expected {wanted:.2f} nats, got {found:.2f}")
    for share, beta in ((0.5, 0.3), (0.2, 0.5), (0.99, 0.01)):
        wanted, found = math.log(share / (1 - share)) / beta, nats_apart(share, beta)
        expect(
            math.isclose(found, wanted, rel_tol=1e-4, abs_tol=1e-9), f"for {share} and beta {beta} expected {wanted:.2f}, got {found:.2f}"
        )
    right("A tenth of beta lets the model go ten times as far.")


def check_normalised_margin(normalised_margin):
    """Exercise 6: rewards per token."""
    import torch

    chosen, rejected, ref_chosen, ref_rejected = pairs()
    lengths = torch.tensor([10.0, 20.0, 40.0]), torch.tensor([5.0, 20.0, 10.0])
    found = normalised_margin(chosen, rejected, ref_chosen, ref_rejected, *lengths, 2.0)
    expect_tensor(found, (3,), "one margin per pair")
    gain = chosen - ref_chosen, rejected - ref_rejected
    wanted = 2.0 * (gain[0] / lengths[0] - gain[1] / lengths[1])
    summed = 2.0 * (gain[0] - gain[1])
    expect(not torch.allclose(found, summed), "the lengths are not used yet: divide each log-ratio by the tokens of its own answer")
    one = summed / (lengths[0] + lengths[1])
    expect(not torch.allclose(found, one), "you divided the difference by both lengths together; each answer has a length of its own")
    crossed = 2.0 * (gain[0] / lengths[1] - gain[1] / lengths[0])
    expect(not torch.allclose(found, crossed), "the lengths are crossed: the chosen answer is divided by its own length")
    expect(not torch.allclose(found, wanted / 2), "beta is missing: the margin is beta times the difference")
    expect(torch.allclose(found, wanted, atol=1e-5), f"expected {wanted.tolist()}, got {found.tolist()}")
    right("Now a long answer has no advantage for its length alone.")


def check_disagreement(example):
    """Exercise 7: a pair on which the two rewards disagree."""
    expect(
        isinstance(example, tuple | list) and len(example) == 4,
        "give four numbers: gain_chosen, gain_rejected, tokens_chosen, tokens_rejected",
    )
    gain_chosen, gain_rejected, tokens_chosen, tokens_rejected = example
    expect(all(isinstance(n, int | float) for n in example), f"give four numbers, got {example}")
    whole = isinstance(tokens_chosen, int) and isinstance(tokens_rejected, int)
    expect(whole and min(tokens_chosen, tokens_rejected) >= 1, "an answer has a whole number of tokens, at least one")
    expect(gain_chosen > gain_rejected, "summed up, your rejected answer gained as much or more: the sum should favour the chosen one")
    per_token = gain_chosen / tokens_chosen, gain_rejected / tokens_rejected
    expect(per_token[0] < per_token[1], "per token your chosen answer still wins: let it be much longer, or let both become less likely")
    why = "the chosen answer wins by its length" if gain_chosen > 0 else "the rejected answer's loss is spread over more tokens"
    right(f"Here {why}; which of the two rewards is right depends on what you want.")


def check_win_rate(win_rate):
    """Exercise 8: the judge's verdict in one number."""
    found = win_rate([0, 2, 1, 3], [1, 2, 1, 0])
    expect(isinstance(found, int | float), f"return one number, got {type(found).__name__}")
    expect(not math.isclose(found, 0.25), "ties are missing: where both break as many rules, half a win goes to each")
    expect(not math.isclose(found, 0.75), "you gave each tie a whole win; give half")
    expect(found <= 1, f"return a share between 0 and 1, got {found}; divide by the number of answers")
    expect(math.isclose(found, 0.5), f"one win, two ties, one defeat: expect 0.5, got {found}")
    found = win_rate([0, 0, 1], [2, 1, 1])
    turned = math.isclose(found, 1 / 6)
    expect(not turned, "fewer broken rules are better; yours counts more as a win")
    expect(math.isclose(found, 5 / 6), f"two wins and a tie: expect 0.833, got {found:.3f}")
    right("Identical answers give one half, as a fair judge should.")


def check_run(run):
    """Exercise 9: a run that learned to prefer."""
    expect(hasattr(run, "validation") and hasattr(run, "steps"), f"return what prefer returns, got {type(run).__name__}")
    first = run.steps[0]
    expect(abs(first["loss"] - math.log(2)) < 0.01, f"the first loss is {first['loss']:.3f}, not ln 2: is the model its own reference?")
    last = run.steps[len(run.steps) // 2 :]
    margin = sum(step["margin"] for step in last) / len(last)
    expect(margin > 0, f"the margin of the later steps is {margin:.3f}; train longer, or with a higher lr")
    right(f"From a margin of zero to {margin:.2f} on the pairs it learned from.")
