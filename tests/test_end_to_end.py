"""The real encoder on the course's real data, in small."""

import pytest

from utils.classifiers import Classifier, Prototypes
from utils.data import load, sample
from utils.evaluate import compare, score
from utils.proof import difficulty
from utils.train import fine_tune

pytestmark = [pytest.mark.weights, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def tickets():
    data = load("fernhill-tickets")
    return data.__class__(train=sample(data["train"], 600), validation=sample(data["validation"], 200), test=data["test"])


def test_the_tuned_encoder_beats_what_it_started_from(tickets, tmp_path):
    run = fine_tune("minilm", tickets, epochs=3)
    untuned = score(Prototypes("minilm", tickets["train"]["text"], tickets["train"]["label"]), tickets["test"], "untuned")
    tuned = score(run.classifier, tickets["test"], "tuned")
    comparison = compare(untuned, tuned)
    assert comparison.difference.estimate > 0, str(comparison)
    assert tuned.accuracy.low > 0.35

    again = Classifier.load(run.classifier.save(tmp_path / "saved"))
    assert again.predict(tickets["test"]["text"][:40]) == tuned.predicted[:40]


@pytest.mark.timeout(3600)
def test_the_shops_data_are_as_hard_as_the_card_says():
    gates = difficulty(train=True, epochs=3)  # the card's run has 10 epochs; three suffice for a gain of four points
    assert [gate for gate in gates if not gate.kept] == []
