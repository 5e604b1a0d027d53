"""The articles' five questions as code: five votes, one precedence, a verdict with reasons, and what would change it.

The articles give each question two exits and do not say which comes first when they disagree. Here every question votes, and the
strongest vote wins (PRECEDENCE), so that the order of asking cannot matter. `as_written` asks in an order, for comparison.
"""

from dataclasses import dataclass, replace

from utils.stats import Interval

# From the strongest to the weakest: one vote against tuning is enough, and advice on what to do instead comes first.
PRECEDENCE = ("retrieve", "skip", "prompt first", "measure first", "tune")
MEANING = {
    "retrieve": "answer from documents; if tuning, then only for the form of the answer",
    "skip": "do not fine-tune; the untuned system stays",
    "prompt first": "improve the prompt and collect examples, then ask again",
    "measure first": "run a small trial, or find out what it is worth, then ask again",
    "tune": "fine-tune, and test it",
}
ENOUGH, HIGH, LOW = 500, 0.20, 0.10  # the articles' bounds: examples; improvement that justifies tuning, and that does not
# What "20 % better" can mean, for shares right before and after.
READINGS = {
    "points": lambda before, after: after - before,
    "relative": lambda before, after: share(after - before, before),
    "errors removed": lambda before, after: share(after - before, 1 - before),
}


def share(part, whole):
    """part / whole; of nothing, any change is endless."""
    return part / whole if whole else 0.0 if part == 0 else float("inf") if part > 0 else float("-inf")


@dataclass(frozen=True)
class Answers:
    """Your answers to the five questions.

    expertise: is domain expertise critical? examples: how many that you would show a new colleague
    production: will it be a production system? before, after: share right of the best untuned system, and of the tuned one
    updates: must answers follow facts that change? net: net value with its interval in dollars, if known; it then answers in
    place of the improvement
    """

    expertise: bool
    examples: int
    production: bool
    before: float
    after: float
    updates: bool
    net: Interval | None = None

    def __post_init__(self):
        for name in ("before", "after"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share right, between 0 and 1, got {getattr(self, name)}")
        if self.examples < 0:
            raise ValueError(f"examples is how many you have, at least 0, got {self.examples}")


@dataclass(frozen=True)
class Vote:
    """What one question says: its name, one of PRECEDENCE, and why."""

    question: str
    verdict: str
    reason: str


# ---- the five questions: answers in, vote out --------------------------------------------------


def expertise(answers, reading):
    """Is domain expertise critical? (C42)"""
    if answers.expertise:
        return "tune", "domain expertise is critical"
    return "skip", "domain expertise is not critical: a general model with a good prompt may do"


def examples(answers, reading):
    """Are there 500 or more high-quality examples? (C43)"""
    if answers.examples >= ENOUGH:
        return "tune", f"{answers.examples:,} examples, {ENOUGH} or more"
    return "prompt first", f"{answers.examples:,} examples, fewer than {ENOUGH}"


def production(answers, reading):
    """Will it be a production system? (C44)"""
    return ("tune", "it runs in production") if answers.production else ("skip", "it is not for production")


def worth(answers, reading):
    """Is the cost justified: by the net value where it is known, else by the improvement? (C45)"""
    if answers.net is not None:
        said = f"the net value is {answers.net.low:,.0f} to {answers.net.high:,.0f} dollars"
        if answers.net.low > 0:
            return "tune", f"{said}, above zero"
        return ("skip", f"{said}, below zero") if answers.net.high < 0 else ("measure first", f"{said}: zero lies inside")
    better = improvement(answers.before, answers.after, reading)
    said = (
        f"the improvement is {100 * better:.0f} % ({reading}: {100 * answers.before:.0f} % right before, {100 * answers.after:.0f} % after)"
    )
    if better > HIGH:
        return "tune", f"{said}, above {HIGH:.0%}"
    return ("skip", f"{said}, below {LOW:.0%}") if better < LOW else ("measure first", f"{said}, where the articles say nothing")


def updates(answers, reading):
    """Must answers follow facts that change? (C46)"""
    if answers.updates:
        return "retrieve", "facts change, and tuned weights keep the old ones"
    return "tune", "the facts stay as they are"


QUESTIONS = {question.__name__: question for question in (expertise, examples, production, worth, updates)}


# ---- the verdict -------------------------------------------------------------------------------


def improvement(before, after, reading="points"):
    """How much better, as a share, in one of READINGS."""
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(READINGS)}, got {reading!r}")
    return round(READINGS[reading](before, after), 9)  # 0.8 - 0.6 is 0.2, and not a little more


def votes(answers, reading="points", order=tuple(QUESTIONS)):
    """The five votes, in the order of asking."""
    return [Vote(name, *QUESTIONS[name](answers, reading)) for name in order]


@dataclass(frozen=True)
class Decision:
    """A verdict, the votes behind it, and the reading of % that was used."""

    verdict: str
    votes: list
    reading: str

    @property
    def reasons(self):
        """The votes that decided."""
        return [vote for vote in self.votes if vote.verdict == self.verdict]

    def __str__(self):
        return f"{self.verdict}: " + "; ".join(vote.reason for vote in self.reasons)


def decide(answers, reading="points", order=tuple(QUESTIONS)):
    """The strongest vote is the verdict; whatever the order of asking, it is the same."""
    cast = votes(answers, reading, order)
    return Decision(min((vote.verdict for vote in cast), key=PRECEDENCE.index), cast, reading)


def as_written(answers, order, reading="points", stop_at_yes=True):
    """The articles' list asked in an order: the first question that gives advice settles it.

    stop_at_yes: "yes → fine-tune" settles it too, as the words say; False reads them kindly: only a reason against settles
    """
    for vote in votes(answers, reading, order):
        if vote.verdict != "measure first" and (stop_at_yes or vote.verdict != "tune"):
            return vote.verdict
    return "tune" if all(vote.verdict == "tune" for vote in votes(answers, reading)) else "no advice"


# ---- what would change it ----------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One answer changed, in words, and the verdict that it would bring."""

    question: str
    words: str
    verdict: str


def other_answers(answers, reading):
    """Every answer changed alone: [(question, in words, answers, reading)]."""
    found = [
        (name, f"{'not ' if getattr(answers, name) else ''}{words}", replace(answers, **{name: not getattr(answers, name)}), reading)
        for name, words in (("expertise", "critical"), ("production", "for production"), ("updates", "changing"))
    ]
    count = ENOUGH if answers.examples < ENOUGH else ENOUGH - 1
    found.append(("examples", f"{count:,} examples", replace(answers, examples=count), reading))
    if answers.net is not None:
        for words, net in (("above zero", (1, 2)), ("of either sign", (-1, 1)), ("below zero", (-2, -1))):
            found.append(("worth", f"net value {words}", replace(answers, net=Interval(sum(net) / 2, *net)), reading))
        return found
    for target, words in ((HIGH + 0.01, f"above {HIGH:.0%}"), ((HIGH + LOW) / 2, "in between"), (LOW - 0.01, f"below {LOW:.0%}")):
        size = {"points": 1, "relative": answers.before, "errors removed": 1 - answers.before}[reading]
        after = answers.before + target * size
        if size and after <= 1:  # 20 % more than 90 % right cannot be
            found.append(("worth", f"improvement {words}: {after:.0%} right after tuning", replace(answers, after=after), reading))
    found += [("worth", f"the improvement read as {other}", answers, other) for other in READINGS if other != reading]
    return found


def sensitivity(answers, reading="points"):
    """The single changes that would change the verdict; empty where it takes two changes or more."""
    verdict = decide(answers, reading).verdict
    results = [(name, words, decide(changed, read).verdict) for name, words, changed, read in other_answers(answers, reading)]
    return [Change(*result) for result in results if result[2] != verdict]
