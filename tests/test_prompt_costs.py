"""What prompts cost: measured on a model whose times are known."""

import pytest

from utils.plots import words_of
from utils.prompt_costs import read_prompts

BEGINNING = 100


class Clock:
    """A model that takes 10 ms to start, 1 ms per token read and 20 ms per token written after the first."""

    def __init__(self, beginning):
        self.beginning = beginning

    def generate(self, conversations, max_new_tokens):
        own = [len(messages[0]["content"]) for messages in conversations]
        written = min(max_new_tokens, 6)
        prompt = sum(own) + self.beginning * len(own)
        shared = self.beginning if len(own) > 1 else 0
        seconds = 0.010 + 0.001 * prompt + 0.020 * (written - 1)
        self.last = dict(prompt_tokens=prompt, shared_tokens=shared, new_tokens=written, seconds=seconds)


@pytest.fixture(scope="module")
def costs():
    def chat(ticket):
        return [{"role": "user", "content": ticket}]

    return read_prompts({"tuned": (Clock(20), chat), "examples": (Clock(BEGINNING), chat)}, ["a" * 10, "b" * 30], ours="tuned")


def test_the_line_finds_what_a_token_takes(costs):
    slope, start = costs.line()
    assert slope == pytest.approx(0.001) and start == pytest.approx(0.010)


def test_a_longer_prompt_costs_time_that_remembering_gives_back(costs):
    assert costs.saved("examples").estimate == pytest.approx(0.080)
    assert costs.saved("examples", remembered=True).estimate == pytest.approx(0.0, abs=1e-9)
    assert costs.per_ticket("tuned").mean() == pytest.approx(0.010 + 0.040 + 0.100)


def test_prices_count_written_and_remembered_tokens(costs):
    assert costs.price("examples", output_price=4) == 120 + 4 * 6
    assert costs.price("examples", output_price=4, cached_price=0.1) == pytest.approx(120 - 90 + 24)


def test_the_table_says_when_training_is_repaid_and_when_never(costs):
    table = costs.table(training_seconds=8, output_price=4, cached_price=0.1).set_index("prompt")
    row = table.loc["examples"]
    assert row["tickets to repay"] == "100"
    assert row["fair price"] == f"{144 / 64:.2f}"
    assert table.loc["tuned", "fair price"] == ""


def test_the_figure_says_what_it_shows(costs):
    assert "examples 120 tokens in 130 ms" in words_of(costs.figure()) and "1.0 ms per token" in words_of(costs.figure())


def test_one_ticket_is_too_few():
    with pytest.raises(ValueError, match="two tickets or more"):
        read_prompts({}, ["a"], "tuned")
