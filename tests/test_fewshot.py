"""utils.fewshot: the loss by hand, batches in pairs, a toy learned from four examples per label."""

import pytest
import torch

from utils.fewshot import FewShot, contrastive_loss, pair_batches


def test_the_loss_equals_the_formula_term_by_term():
    torch.manual_seed(0)
    vectors, y = torch.nn.functional.normalize(torch.randn(6, 5), dim=-1), torch.tensor([0, 0, 0, 1, 1, 2])
    terms = []
    for i in range(5):  # the sixth has no mate
        others = [j for j in range(6) if j != i]
        everything = sum(torch.exp(vectors[i] @ vectors[j] / 0.1) for j in others)
        mates = [j for j in others if y[j] == y[i]]
        terms.append(-sum(torch.log(torch.exp(vectors[i] @ vectors[j] / 0.1) / everything) for j in mates) / len(mates))
    assert contrastive_loss(vectors, y).item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)


def test_the_loss_is_lower_when_like_texts_lie_together():
    y = torch.tensor([0, 0, 1, 1])
    together, mixed = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    assert contrastive_loss(together, y) < contrastive_loss(mixed, y)


def test_an_epoch_holds_each_row_once_and_each_text_beside_a_mate():
    y = torch.arange(5).repeat_interleave(4)
    batches = pair_batches(y, 8)
    assert sorted(row for batch in batches for row in batch) == list(range(20))
    for batch in batches:
        labels = y[batch].tolist()
        assert all(labels.count(label) >= 2 for label in labels)


def test_a_toy_is_learned_from_four_examples_per_label(tiny):
    words = {"refund": "money back", "repair": "fix the zip", "delivery": "where is it"}
    texts = [f"{word} {n}" for word in words.values() for n in range(4)]
    labels = [label for label in words for _ in range(4)]
    system = FewShot(tiny, texts, labels, epochs=20, lr=1e-3)
    assert system.predict([f"{word} {n}" for word in words.values() for n in (7, 9)]) == [label for label in words for _ in range(2)]
    assert system.predict([]) == []


@pytest.mark.parametrize(("labels", "words"), [(["a", "a"], "at least two"), (["a", "b"], "comparing needs two")])
def test_examples_that_cannot_be_compared_are_refused(tiny, labels, words):
    with pytest.raises(ValueError, match=words):
        FewShot(tiny, ["one", "two"], labels)
