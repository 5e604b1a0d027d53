"""Learn to sort texts from a few examples per label, by comparing all of them with each other."""

import torch
from torch.nn import functional as F

from utils.classifiers import Classifier, mean_over_tokens
from utils.runtime import device, fastest_dtype, set_seed
from utils.train import collate, encode
from utils.trainable import keep_used_rows, restore_rows


def contrastive_loss(vectors, y, temperature=0.1):
    """How far each text is from telling its own label's texts from all others in the batch.

    vectors: (B, D); y: (B,) label numbers; returns a number. A text alone with its label counts only as "other".
    Supervised contrastive loss: Khosla et al. 2020, arXiv 2004.11362, its L_out.
    """
    vectors = F.normalize(vectors.float(), dim=-1)
    itself = torch.eye(len(y), dtype=torch.bool, device=y.device)
    alike = (y[:, None] == y) & ~itself  # (B, B)
    log_share = (vectors @ vectors.T / temperature).masked_fill(itself, -1e9).log_softmax(-1)  # (B, B)
    mates = alike.sum(-1)
    return -((log_share * alike).sum(-1) / mates.clamp(min=1))[mates > 0].mean()


def pair_batches(y, batch_size):
    """One epoch as lists of row numbers: each label's rows in pairs, new every time, spread evenly over the batches."""
    rounds = []  # (when a pair comes, its rows)
    for label in y.unique():
        rows = (y == label).nonzero()[:, 0]
        pairs = rows[torch.randperm(len(rows))].split(2)
        rounds += [(turn + torch.rand(1).item(), pair.tolist()) for turn, pair in enumerate(pairs)]
    pairs = [pair for _, pair in sorted(rounds)]
    size = -(-len(pairs) // -(-len(y) // batch_size))  # as few batches as needed, as even as possible
    return [[row for pair in pairs[i : i + size] for row in pair] for i in range(0, len(pairs), size)]


def batch_vectors(classifier, items, group=20):
    """Vectors (B, D) of encoded items and their label numbers (B,), worked out in groups of like length: less padding."""
    items = sorted(items, key=lambda item: len(item["input_ids"]))
    vectors, labels = [], []
    for start in range(0, len(items), group):
        batch = {name: part.to(device()) for name, part in collate(classifier.tokenizer, items[start : start + group]).items()}
        labels.append(batch.pop("labels"))
        vectors.append(mean_over_tokens(classifier.network.encoder(**batch).last_hidden_state, batch["attention_mask"]))
    return torch.cat(vectors), torch.cat(labels)


class FewShot:
    """A pretrained encoder tuned so that texts of one label come to lie together, then a logistic regression.

    model_id: a name of utils.models, a folder, or a hub id; texts, labels: the examples, one label each
    epochs: passes over the examples, fixed, so no validation rows are needed; batch_size: texts compared at once
    SetFit (Tunstall et al. 2022, arXiv 2209.11055) compares texts two at a time; here one pass through
    the encoder serves all pairs of a batch.
    """

    def __init__(self, model_id, texts, labels, epochs=5, lr=1e-4, batch_size=160, temperature=0.1, max_tokens=128, seed=0):
        from sklearn.linear_model import LogisticRegression

        texts, labels = list(texts), list(labels)
        names, dropout = sorted(set(labels)), dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        if len(names) < 2:
            raise ValueError(f"the examples have {len(names)} label(s); a classifier needs at least two")
        if len(names) == len(labels):
            raise ValueError("each label has one example; comparing needs two of at least one label (Prototypes works with one)")
        set_seed(seed)
        self.classifier = Classifier.from_base(model_id, names, max_tokens, seed, **dropout)
        self.classifier.network.to(device())
        self._tune(encode(self.classifier, {"text": texts, "label": labels}), epochs, lr, batch_size, temperature)
        self.head = LogisticRegression(C=10, max_iter=1000).fit(self.embed(texts), labels)

    def _tune(self, items, epochs, lr, batch_size, temperature):
        """Train the encoder with AdamW; the rate rises for a tenth of the steps, then falls to zero."""
        network, y = self.classifier.network, torch.tensor([item["labels"] for item in items])
        unused = keep_used_rows(network, items)
        batches = [batch for _ in range(epochs) for batch in pair_batches(y, batch_size)]
        rise, steps = max(1, len(batches) // 10), len(batches)
        optimizer = torch.optim.AdamW(network.encoder.parameters(), lr=lr, weight_decay=0.0)
        plan = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / rise, (steps - s) / max(1, steps - rise)))
        network.train()
        for batch in batches:
            with torch.autocast(device(), torch.bfloat16, enabled=fastest_dtype() == "bfloat16"):
                vectors, labels = batch_vectors(self.classifier, [items[i] for i in batch])
            loss = contrastive_loss(vectors, labels, temperature)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.encoder.parameters(), 1.0)
            optimizer.step()
            plan.step()
        restore_rows(network, unused)

    def embed(self, texts):
        """One vector of length 1 per text: (n, D)."""
        return F.normalize(torch.from_numpy(self.classifier.vectors(texts)), dim=-1).numpy()

    def predict(self, texts):
        """One label per text."""
        return self.head.predict(self.embed(texts)).tolist() if len(texts) else []
