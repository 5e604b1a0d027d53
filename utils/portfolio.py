"""Many made-up businesses that might fine-tune: which rule decides rightly, and which earns most (E20)?

Nothing here was measured at firms. RANGES says what was assumed; change it, and see which conclusions stay.
"""

import numpy as np

from utils.costs import net_value

# Drawn evenly on a logarithmic scale between the two ends.
RANGES = {
    "requests": (100, 1_000_000),  # a month
    "worth": (0.02, 2.0),  # dollars for one more right answer, where no expert is needed
    "examples": (30, 10_000),  # at hand
    "minutes": (0.5, 5),  # to check one
    "engineering": (20, 160),  # hours
}
BEFORE, GAIN = (0.4, 0.9), (-0.02, 0.05, 0.25)  # share right untuned, evenly; what tuning adds at best: low, likely, high
HALF = 200  # examples that bring half of that gain
PILOT = 0.02  # of the requests, where it is not for production
STALE = 0.25  # of the gain is left on average, where facts change under it
GUESS, TEST = 0.10, 200  # error of a guessed gain (standard deviation, as a share); items of a trial's test
FIXED = {
    "test_examples": TEST,
    "wage": 25,
    "engineer": 65,
    "tokens": 500,
    "epochs": 3,
    "runs": 8,
    "retrainings": 2,
    "relabel": 0.3,
    "upkeep": 4,
    "months": 24,
    "discount": 0.1,
}


def draw(n=2000, seed=0, expert_factor=10):
    """n businesses as a dict of arrays; expert_factor: how much more an answer is worth where domain expertise is critical."""
    rng = np.random.default_rng(seed)
    firms = {name: np.exp(rng.uniform(*np.log(ends), n)) for name, ends in RANGES.items()}
    expertise, production, updates = rng.random((3, n)) < np.array([[0.5], [0.5], [0.3]])
    firms["worth"] = firms["worth"] * np.where(expertise, expert_factor, 1)
    firms["requests"] = firms["requests"] * np.where(production, 1, PILOT)
    before = rng.uniform(*BEFORE, n)
    reached = rng.triangular(*GAIN, n) * firms["examples"] / (firms["examples"] + HALF)
    after = np.minimum(before + reached, 0.99)
    lasting = (after - before) * np.where(updates, STALE, 1)
    project = {**firms, **{name: np.full(n, float(value)) for name, value in FIXED.items()}, "gain": lasting}
    wobble = np.sqrt(0.25 / TEST)  # of a difference, where two systems disagree on a quarter of the items
    seen = {"guessed": after - before + rng.normal(0, GUESS, n), "measured": after - before + rng.normal(0, wobble, n)}
    return {"project": project, "expertise": expertise, "production": production, "updates": updates, "before": before, "seen": seen}


def trial_cost(project):
    """Dollars for a trial: the test set's labels and a quarter of the engineering."""
    return project["test_examples"] * project["minutes"] / 60 * project["wage"] + 0.25 * project["engineering"] * project["engineer"]


def net(firms):
    """The true net value of tuning in each business, in dollars."""
    return net_value(firms["project"])


def rules(firms):
    """What each rule would do: name to an array, True for tune. None sees the true gain, only a guess of it or a trial's measurement."""
    project, seen = firms["project"], firms["seen"]
    enough, above = project["examples"] >= 500, seen["guessed"] > 0.20
    staying = ~firms["updates"]

    def pays(gain):
        kept = np.clip(gain, -1, 1) * np.where(firms["updates"], STALE, 1)
        return net_value({**project, "gain": kept}) > 0

    return {
        "always tune": np.ones(len(enough), bool),
        "never tune": np.zeros(len(enough), bool),
        "question 1 alone": firms["expertise"],
        "question 2 alone": enough,
        "question 3, with 1": firms["production"] & firms["expertise"],
        "question 4 alone": above,
        "question 5 alone": staying,
        "all five": firms["expertise"] & enough & firms["production"] & above & staying,
        "money, gain guessed": pays(seen["guessed"]),
        "money, gain measured": pays(seen["measured"]),
    }


def earned(firms, name, tunes):
    """Dollars that each business earns by a rule; a measured gain costs its trial, tuned or not."""
    made = np.where(tunes, net(firms), 0.0)
    return made - trial_cost(firms["project"]) if "measured" in name else made
