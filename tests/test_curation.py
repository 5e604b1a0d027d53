"""What faults of a training set cost: the experiments of lesson 03, on toy data; and its widget."""

import random

import numpy as np
import pytest

from utils.curation import flattered, label_noise, narrow_sample, rarest, told_again, with_wrong_labels
from utils.data import as_datasets
from utils.duplicates import near_duplicates
from utils.split_sizes import needed, split_sizes

WORDS = {"refund": "money back card", "repair": "fix zip broken", "delivery": "where parcel late"}


@pytest.fixture
def desk():
    """Three intents with channels; each ticket has words of its own, so that no two are alike."""
    draw = random.Random(0)

    def rows(count, rare):
        found = []
        for label, words in WORDS.items():
            for n in range(rare if label == "repair" else count):
                noise = " ".join("".join(draw.choices("abcdefghijkl", k=6)) for _ in range(4))
                channel = ("email", "phone", "social")[n % 3]
                found.append({"text": f"{draw.choice(words.split())} {noise}", "label": label, "channel": channel})
        return found

    return as_datasets(train=rows(60, 20), validation=rows(10, 10), test=rows(20, 10))


def test_exactly_the_asked_share_of_labels_is_wrong():
    labels = ["a", "b", "c"] * 40
    spoilt, wrong = with_wrong_labels(labels, 0.2, seed=3)
    assert wrong.sum() == 24 and [s != o for s, o in zip(spoilt, labels, strict=True)] == list(wrong)
    assert with_wrong_labels(labels, 0.0, seed=3)[0] == labels
    assert with_wrong_labels(labels, 0.2, seed=4)[0] != spoilt == with_wrong_labels(labels, 0.2, seed=3)[0]


def test_a_message_told_again_differs_and_is_a_near_duplicate():
    text = "Where is my parcel? I ordered the green tent on Monday, and it has not come."
    for seed in range(20):
        again = told_again(text, random.Random(seed))
        assert again != text and near_duplicates([text, again], 0.6)


def test_wrong_labels_cost_and_removing_them_helps(desk, tiny):
    runs = {(s, wrong): label_noise(100, s, wrong, 0, desk, tiny) for s, wrong in ((0.0, "left in"), (0.4, "left in"), (0.4, "removed"))}
    assert [run["tickets"] for run in runs.values()] == [100, 100, 60]
    assert all(0 <= run["accuracy"] <= 1 for run in runs.values())


def test_copies_of_test_tickets_flatter(desk):
    mean = np.mean([flattered("copies", 0.5, seed, desk, None, n=40)["gap"] for seed in range(4)])
    assert mean > 0
    run = flattered("choice", 0.3, 0, desk, None, n=60)
    assert run["gap"] == pytest.approx(run["shown"] - run["true"])


def test_a_left_out_channel_is_judged_but_not_learned(desk, tiny, monkeypatch):
    import utils.curation

    learned = []
    real = utils.curation.FrozenHead

    def spy(model_id, texts, labels):
        learned.append(dict(zip(texts, labels, strict=True)))
        return real(model_id, texts, labels)

    monkeypatch.setattr(utils.curation, "FrozenHead", spy)
    monkeypatch.setattr(utils.curation, "RARE", 1)
    channel = dict(zip(desk["train"]["text"], desk["train"]["channel"], strict=True))
    assert rarest(desk["train"]["label"]) == ["repair"]
    for part in ("nothing", "phone", "rare intents"):
        found = narrow_sample(part, 0, desk, tiny, n=60)
        assert set(found) == {"accuracy", "rare intents", "phone", "social", "worst intent"}
    everything, no_phone, few_rare = learned
    assert len(everything) == len(no_phone) == len(few_rare) == 60
    assert "phone" in {channel[text] for text in everything} and "phone" not in {channel[text] for text in no_phone}
    assert list(few_rare.values()).count("repair") == 2


def test_the_split_sliders_tell_and_draw_anew():
    box = split_sizes(1000, 0.2)
    before = box.picture.value
    assert "200 messages judge, 800 remain" in box.text.value and 'alt="Interval of a score' in before
    box.part.value = 0.05
    assert "50 messages judge" in box.text.value and box.picture.value != before
    box.total.value = 10000
    assert "500 messages judge" in box.text.value and "Gains of" in box.text.value
    box.total.value = 100
    assert "Not even a gain of 10%" in box.text.value
    assert list(needed()) == [0.02, 0.05, 0.1] and list(needed().values()) == sorted(needed().values(), reverse=True)
