"""Checks of lab 09, fine-tune a classifier on another domain."""

import math

from utils.feedback import expect, right


def check_count_labels(count_labels):
    """Exercise 1: how many rows has each label?"""
    given = ["b", "a", "b", "c", "b"]
    counts = count_labels(given)
    expect(counts is not None, "the function returns nothing; end it with return and the counts")
    expect(hasattr(counts, "items"), f"return a dict of label to number, got {type(counts).__name__}")
    counts = dict(counts)
    expect(set(counts) == {"a", "b", "c"}, f"for {given} the keys should be 'a', 'b' and 'c', got {list(counts)}")
    expect(all(isinstance(n, int) for n in counts.values()), f"for {given} each value should be a whole number, got {counts}")
    expect(counts == {"a": 1, "b": 3, "c": 1}, f"for {given} expect b three times, a and c once, got {counts}")
    right("Each label is counted.")


def check_majority_accuracy(majority_accuracy):
    """Exercise 2: the number to beat."""
    train, test = ["a", "a", "a", "b", "b"], ["b", "b", "b", "a"]
    found = majority_accuracy(train, test)
    expect(isinstance(found, int | float), f"return one number, got {type(found).__name__}")
    expect(
        not math.isclose(found, 0.75),
        "you took the commonest label of the test set; a model cannot know it: take the commonest label of the training set",
    )
    expect(not math.isclose(found, 0.6), "that is the label's share of the training set; count how often it is right on the test set")
    expect(found <= 1, f"return a share between 0 and 1, got {found}; divide by the number of test labels")
    expect(
        math.isclose(found, 0.25),
        f"training says 'a', which is right for 1 of the 4 test labels {test}: expect 0.25, got {found}",
    )
    right("Any model that learned something should be above this.")


def check_share_of_padding(share_of_padding):
    """Exercise 3: what does a batch order waste?"""
    found = share_of_padding([2, 10, 2, 10], 2)
    expect(isinstance(found, int | float), f"return one number, got {type(found).__name__}")
    expect(
        not math.isclose(found, 16 / 24),
        "you divided by the real tokens; padding is asked as a share of all tokens that the machine works on",
    )
    expect(
        math.isclose(found, 16 / 40),
        f"lengths 2, 10, 2, 10 in batches of two fill 2 × 20 places with 24 tokens: expect 16 / 40 = 0.4, got {found}",
    )
    found = share_of_padding([4, 4, 8], 2)
    expect(math.isclose(found, 0), f"the last batch may be smaller: lengths 4, 4, 8 in batches of two need no padding, got {found}")
    right("You can say what an order of messages costs.")


def check_bucket(bucket):
    """Exercise 4: batches that waste little."""
    lengths = [(37 * i) % 90 + 5 for i in range(100)]
    batches = bucket(lengths, 8)
    expect(batches is not None, "the function returns nothing; return a list of batches")
    try:
        batches = [[int(i) for i in batch] for batch in batches]
    except TypeError:
        expect(False, "return a list of batches, each a list of row numbers, like [[3, 0], [1, 2]]")
    rows = sorted(i for batch in batches for i in batch)
    expect(
        rows == list(range(len(lengths))),
        f"each of the {len(lengths)} rows must be in exactly one batch, as its number, not its length; "
        f"{len(set(rows))} different numbers came",
    )
    expect(
        max(map(len, batches)) <= 8,
        f"a batch may hold at most 8 rows, one holds {max(map(len, batches))}",
    )
    expect(len(batches) <= 13, f"100 rows fit into 13 batches of 8, you made {len(batches)}; fill the batches")
    waste = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches) / sum(lengths) - 1
    expect(
        waste < 0.15,
        f"still {waste:.0%} padding on top of the real tokens; sort the row numbers by length before you cut them into batches",
    )
    right(f"Padding adds only {waste:.0%} to the work.")


def check_mean_pool(mean_pool):
    """Exercise 5: the head's average."""
    import torch

    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], [[6.0, 6.0], [9.0, 9.0], [0.0, 3.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    pooled = mean_pool(hidden, mask)
    expect(isinstance(pooled, torch.Tensor), f"return a tensor, got {type(pooled).__name__}")
    expect(tuple(pooled.shape) == (2, 2), f"(B, T, D) = (2, 3, 2) should become (B, D) = (2, 2), got {tuple(pooled.shape)}")
    expect(
        not torch.allclose(pooled, hidden.mean(1)),
        "padding is in your average: multiply by the mask before you add up, and divide by the number of real tokens",
    )
    expect(
        not torch.allclose(pooled, (hidden * mask.unsqueeze(-1)).sum(1) / 3),
        "the sum is right, but you divide by T; divide by the number of real tokens, the sum of the mask",
    )
    wanted = torch.tensor([[2.0, 3.0], [5.0, 6.0]])
    expect(torch.allclose(pooled, wanted), f"expected {wanted.tolist()}, got {pooled.tolist()}")
    right("Padding no longer counts.")


def check_run(run, bar):
    """Exercise 6: a fine-tuned model that beats the number to beat, on validation."""
    expect(hasattr(run, "classifier"), f"return what fine_tune returns, got {type(run).__name__}")
    reached = dict(run.validation_accuracy)[run.best_epoch]
    expect(
        reached > bar,
        f"validation accuracy is {reached:.0%}, and always answering the commonest label gives {bar:.0%}; "
        "train for more epochs (small data need 8 or more)",
    )
    right(f"{reached:.0%} on validation, against {bar:.0%} for the commonest label.")


def check_exact_mcnemar(exact_mcnemar):
    """Exercise 7: could it be chance?"""
    from scipy.stats import binomtest

    found = exact_mcnemar(2, 8)
    expect(isinstance(found, int | float), f"return one number, got {type(found).__name__}")
    wanted = binomtest(2, 10).pvalue
    expect(
        not math.isclose(found, wanted / 2, rel_tol=1e-6),
        "that is one side only; a difference could have gone the other way too: double it",
    )
    expect(
        not math.isclose(found, 2 * math.comb(10, 2) / 2**10, rel_tol=1e-6),
        "you counted only exactly 2 of 10; count results that are at least as uneven: 0, 1 and 2",
    )
    expect(math.isclose(found, wanted, rel_tol=1e-6), f"for 2 against 8 expect p = {wanted:.4f}, got {found:.4f}")
    for a, b in ((8, 2), (5, 5), (0, 0), (0, 6), (40, 61)):
        wanted = 1.0 if a == b else binomtest(a, a + b).pvalue
        found = exact_mcnemar(a, b)
        expect(
            math.isclose(found, wanted, rel_tol=1e-6),
            f"for {a} against {b} expect p = {wanted:.4f}, got {found:.4f}" + (" (a p-value is never above 1)" if found > 1 else ""),
        )
    right("This is the test of lesson 09.")
