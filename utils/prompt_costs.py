"""What a prompt costs: seconds to read it, anew or with its beginning remembered, and what that means in tickets and money."""

from dataclasses import dataclass

import numpy as np

from utils import plots
from utils.stats import interval_over_seeds


@dataclass
class PromptCosts:
    """Measured costs of several prompts for the same tickets; `ours` names the one that all others are compared with.

    tokens, seconds: name to (n,) arrays, of each ticket's whole prompt; shared: name to the tokens that all tickets begin with
    writing: seconds for one answer; written: its tokens
    """

    ours: str
    tokens: dict
    seconds: dict
    shared: dict
    writing: float
    written: float

    def line(self):
        """(seconds per token read, seconds at the start): the least-squares line through all readings."""
        x, y = (np.concatenate(list(column.values())) for column in (self.tokens, self.seconds))
        slope, start = np.polyfit(x, y, 1)
        return float(slope), float(start)

    def per_ticket(self, name, remembered=False):
        """Seconds for each ticket, reading and writing; remembered: without reading the shared beginning, by the line's slope."""
        return self.seconds[name] + self.writing - (self.line()[0] * self.shared[name] if remembered else 0.0)

    def saved(self, name, remembered=False):
        """Seconds that our prompt saves per ticket against this one: mean over tickets with its interval."""
        return interval_over_seeds(self.per_ticket(name, remembered) - self.per_ticket(self.ours, remembered))

    def price(self, name, output_price, cached_price=1.0):
        """Price of a ticket, where a token read costs 1, one written output_price and one remembered cached_price."""
        return float(self.tokens[name].mean()) - (1 - cached_price) * self.shared[name] + output_price * self.written

    def table(self, training_seconds, output_price, cached_price):
        """A row per prompt: tokens, seconds, tickets until the training is repaid, and the price factor at which both cost the same."""
        import pandas as pd

        rows = []
        for name in self.tokens:
            row = {"prompt": name, "tokens": f"{self.tokens[name].mean():.0f}"}
            for remembered, words in ((False, ""), (True, ", remembered")):
                row[f"s per ticket{words}"] = f"{self.per_ticket(name, remembered).mean():.2f}"
                if name != self.ours:
                    saved = self.saved(name, remembered).estimate
                    row[f"tickets to repay{words}"] = f"{training_seconds / saved:,.0f}" if saved > 0 else "never"
                    cached = cached_price if remembered else 1.0
                    fair = self.price(name, output_price, cached) / self.price(self.ours, output_price, cached)
                    row[f"fair price{words}"] = f"{fair:.2f}"
            rows.append(row)
        return pd.DataFrame(rows).fillna("")

    def figure(self):
        """Every reading as a point, and the line through them."""
        fig, ax = plots.figure()
        slope, start = self.line()
        for (name, x), (color, _, marker) in zip(self.tokens.items(), plots.SERIES, strict=False):
            ax.plot(x, 1000 * self.seconds[name], marker, color=color, linestyle="", label=name)
        ends = np.array([min(x.min() for x in self.tokens.values()), max(x.max() for x in self.tokens.values())])
        ax.plot(ends, 1000 * (start + slope * ends), "--", color=plots.BLACK)
        ax.set(xlabel="tokens in the prompt", ylabel="ms to read them", ylim=(0, None))
        ax.legend()
        means = "; ".join(f"{name} {x.mean():.0f} tokens in {1000 * self.seconds[name].mean():.0f} ms" for name, x in self.tokens.items())
        plots.describe(ax, f"Milliseconds to read a prompt against its tokens: {means}. The line rises by {1000 * slope:.1f} ms per token.")
        return fig


def read_prompts(systems, tickets, ours, answer_tokens=40):
    """Let each system read each ticket's prompt alone, and `ours` write one answer; returns PromptCosts.

    systems: name to (language model, function from a ticket to its chat); the systems take turns, so that a busy moment hits all alike
    """
    if len(tickets) < 2:
        raise ValueError(f"two tickets or more are needed to see how reading times differ, got {len(tickets)}")
    tokens, seconds, shared = ({name: [] for name in systems} for _ in range(3))
    for ticket in tickets:
        for name, (model, chat) in systems.items():
            model.generate([chat(ticket)], max_new_tokens=1)
            tokens[name].append(model.last["prompt_tokens"])
            seconds[name].append(model.last["seconds"])
    for name, (model, chat) in systems.items():
        model.generate([chat(ticket) for ticket in tickets[:2]], max_new_tokens=1)
        shared[name] = model.last["shared_tokens"]
    model, chat = systems[ours]
    model.generate([chat(tickets[0])], max_new_tokens=answer_tokens)
    writing, written = max(0.0, model.last["seconds"] - seconds[ours][0]), model.last["new_tokens"]
    arrays = ({name: np.array(values) for name, values in column.items()} for column in (tokens, seconds))
    return PromptCosts(ours, *arrays, shared, writing, written)
