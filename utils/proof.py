"""The proof that Fernhill's data are good: every demand as a gate, with the number found.

`python -m utils.quality data/` reports them, and the tests demand them.
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from utils.data import FERNHILL, load
from utils.duplicates import near_duplicates
from utils.fernhill import FILES, catalogue, facts, in_force, policies, rows_of
from utils.stats import wilson
from utils.voice import RULES, broken_rules


@dataclass(frozen=True)
class Gate:
    """One demand on the data: what it is about, the number found, the bound in words, and whether it is kept."""

    file: str
    what: str
    found: str
    bound: str
    kept: bool


TEXTS = {  # file: how to get the texts that must differ
    "tickets.jsonl": lambda row: [row["text"]],
    "tickets_es.jsonl": lambda row: [row["text"]],
    "replies.jsonl": lambda row: [body(row["reply"])],
    "preferences.jsonl": lambda row: [body(row["chosen"]), body(row["rejected"])],
    "facts.jsonl": lambda row: [row["question"], *row["paraphrases"]],
    "general.jsonl": lambda row: [row["question"]],
    "general_text.jsonl": lambda row: [row["text"]],
    "guardrails.jsonl": lambda row: [row["text"]],
    "domains/medical.jsonl": lambda row: [row["text"]],
    "domains/legal.jsonl": lambda row: [row["text"]],
    "domains/finance.jsonl": lambda row: [row["text"]],
    "domains/real_estate.jsonl": lambda row: [row["text"]],
}


def body(reply):
    """A reply without the greeting and the closing line, which the house voice fixes."""
    return "\n".join(line for line in reply.strip().splitlines() if not line.startswith("Hello") and line.strip() != "The Fernhill desk")


def skeleton(text, names):
    """The text with numbers, product names and capitalised names masked: what is left is its form."""
    for name in names:
        text = re.sub(rf"\b{re.escape(name)}\b", "PRODUCT", text, flags=re.I)
    text = re.sub(r"[£€$]?\d[\d.,/:-]*", "0", text)
    text = re.sub(r"(?<=[a-z,] )[A-Z][a-z]+", "NAME", text)
    return " ".join(re.findall(r"\w+", text))


def gates():
    """Every demand that needs no model: a list of Gate."""
    return [gate for file in FILES for gate in gates_of(file)] + splits() + truth_of_replies() + truth_of_facts()


def gates_of(file):
    """Size and variety of one file."""
    rows, least = rows_of(file), FILES[file][0]
    found = [Gate(file, "rows", f"{len(rows):,}", f"at least {least:,}", len(rows) >= least)]
    return found + variety(file, [text for row in rows for text in TEXTS[file](row)]) if file in TEXTS else found


def variety(file, texts):
    """Near-duplicates, skeletons and openings of one file's texts."""
    names = sorted(catalogue(), key=len, reverse=True)
    share = len({j for _, j in near_duplicates(texts)}) / len(texts)
    forms = Counter(skeleton(text, names) for text in texts).most_common(1)[0]
    openings = Counter(" ".join(text.lower().split()[:5]) for text in texts if len(text.split()) >= 5).most_common(1)[0]
    return [
        Gate(file, "near-duplicates", f"{share:.2%}", "under 1 %", share < 0.01),
        Gate(file, "commonest skeleton", f"{forms[1]} times", "at most 3 times", forms[1] <= 3),
        Gate(
            file,
            "commonest first five words",
            f"{openings[1] / len(texts):.2%}",
            "at most 1 %, or 3 rows",
            openings[1] <= max(3, len(texts) / 100),
        ),
    ]


def splits():
    """No group and no near-duplicate on both sides of a split."""
    found = []
    for name, (path, _) in FERNHILL.items():
        data = load(name)
        side = {i: split for split in data for i in data[split]["id"]}
        rows = [row for split in data.values() for row in split]
        pairs = [(rows[i]["id"], rows[j]["id"]) for i, j in near_duplicates([row["text"] for row in rows])]
        members = {}
        for row in rows:
            members.setdefault(row["group"], []).append(row["id"])
        pairs += [(ids[0], other) for ids in members.values() for other in ids[1:]]
        torn = [f"{a} and {b}" for a, b in pairs if side[a] != side[b]]
        found.append(Gate(path.removeprefix("data/"), "groups and near-duplicates in two splits", listed(torn), "none", not torn))
    return found


NUMBER = re.compile(r"£?\d[\d,.]*\d|£?\d")
# Answers that a text may word freely ("free of charge" for "nothing").
WORDED = re.compile(r"nothing|none|no|yes|one|two|three|four|five|ten|the customer|Fernhill")


def faults_of_reply(reply, message, cited, month, known, facts):
    """What a reply says that its sources do not: a list of sentences, empty when all is well.

    Every cited fact's answer in force stands in the reply, and every number in the reply stands in the
    message, a cited fact or the catalogue.
    """
    faults = []
    answers = []
    for name in cited:
        if name not in facts:
            faults.append(f"there is no fact {name}")
            continue
        answer = in_force(facts[name], month)
        answers.append(answer)
        bare = answer.removeprefix("the ").removeprefix("within ")
        if not WORDED.fullmatch(answer) and bare.lower() not in reply.lower():
            faults.append(f"cites {name}, but does not say {answer!r}")
    allowed = set(NUMBER.findall(" ".join([message, *answers]))) | known
    faults += [f"{number} is in no source" for number in NUMBER.findall(reply) if number not in allowed]
    return faults


def truth_of_replies():
    """Replies keep the house voice and the facts in force in their month; rejected ones break what they say."""
    known = set(NUMBER.findall(" ".join(f"{name} {kind} {price} {more}" for name, (kind, price, more) in catalogue().items())))
    by_id, found = facts(), []
    good = [
        ("replies.jsonl", "reply", "message"),
        ("preferences.jsonl", "chosen", "prompt"),
        ("guardrails.jsonl", "acceptable", "text"),
    ]
    for file, column, asked in good:
        rows = rows_of(file)
        voice = [row["id"] for row in rows if broken_rules(row[column])]
        false = [row["id"] for row in rows if faults_of_reply(row[column], row[asked], row["facts"], row["month"], known, by_id)]
        found.append(Gate(file, f"{column}: breaks the house voice", listed(voice), "none", not voice))
        found.append(Gate(file, f"{column}: disagrees with the facts in force", listed(false), "none", not false))
    rows = rows_of("preferences.jsonl")
    wrong = [row["id"] for row in rows if broken_rules(row["rejected"]) != [row["broken"]] * (row["broken"] in RULES)]
    found.append(Gate("preferences.jsonl", "rejected: breaks another rule than it says", listed(wrong), "none", not wrong))
    return found


def truth_of_facts():
    """Every fact's answer stands in its document of that version, and the other version's does not."""
    missing, stale, versions = [], [], {"v1": policies(1), "v2": policies(12)}
    for row in facts().values():
        for version, other in (("v1", "v2"), ("v2", "v1")):
            document, answer = versions[version][row["document"]], row[version]
            if not WORDED.fullmatch(answer) and answer.lower() not in document.lower():
                missing.append(f"{row['id']} {version}")
            if row["v1"] != row["v2"] and not WORDED.fullmatch(row[other]) and stands_in(row[other], document) and row[other] not in answer:
                stale.append(f"{row['id']} {version}")
    rows = rows_of("facts.jsonl")
    options = [r["id"] for r in rows if len(set(r["options"])) != 4 or {r["v1"], r["v2"]} - {None} - set(r["options"])]
    asked = [r["id"] for r in rows if len({q.lower() for q in [r["question"], *r["paraphrases"]]}) != 9]
    return [
        Gate("policies/", "facts that their document does not state", listed(missing), "none", not missing),
        Gate("policies/", "facts whose other version stands there too", listed(stale), "none", not stale),
        Gate("facts.jsonl", "questions without four options that hold both answers", listed(options), "none", not options),
        Gate("facts.jsonl", "questions without eight paraphrases", listed(asked), "none", not asked),
    ]


def stands_in(answer, document):
    """True when the answer stands in the document as whole words."""
    return bool(re.search(rf"(?<![\w£]){re.escape(answer)}(?!\w)", document, re.I))


def listed(items):
    """A count, and the first three items."""
    return f"{len(items)}" + (f" ({', '.join(map(str, items[:3]))}{', …' if len(items) > 3 else ''})" if items else "")


# ---- how hard they are -------------------------------------------------------------------------


def difficulty(train=False, **settings):
    """How hard the labelled sets are: a list of Gate. With train=True, also what takes the base models and minutes.

    Settings go to `fine_tune`.
    """
    from utils.baselines import Tfidf
    from utils.evaluate import compare, score

    gates = [domain_difficulty(name) for name in ("medical", "legal", "finance", "real_estate")]
    data = load("fernhill-tickets")
    tfidf = score(Tfidf(data["train"]["text"], data["train"]["label"]), data["test"], "TF-IDF")
    share, n = tfidf.accuracy.estimate, tfidf.n
    file = "tickets.jsonl"
    gates.append(Gate(file, "test items", str(n), "at least 600", n >= 600))
    gates.append(Gate(file, "TF-IDF, test", str(tfidf.accuracy), "60 to 85 %", 0.60 <= share <= 0.85))
    if train:
        from utils.classifiers import LabelNames
        from utils.train import fine_tune

        gates.append(general_knowledge())
        names = score(LabelNames("minilm", tfidf.truth), data["test"], "label names")
        found = f"{names.accuracy}, {100 * (share - names.accuracy.estimate):.1f} points lower"
        gates.append(
            Gate(file, "untuned encoder, label names", found, "at least 15 points below TF-IDF", names.accuracy.estimate <= share - 0.15)
        )
        tuned = score(fine_tune("minilm", data, mode="full", **settings).classifier, data["test"], "tuned")
        against = compare(tfidf, tuned)
        gain = tuned.accuracy.estimate - share
        found = f"{tuned.accuracy}, {100 * gain:+.1f} points, p = {against.p:.2g}"
        gates.append(Gate(file, "tuned encoder", found, "at least 4 points above TF-IDF, p < 0.01", gain >= 0.04 and against.p < 0.01))
    return gates


def general_knowledge(model_id="smollm2"):
    """Share of the general questions that an untuned language model answers: the option with the highest likelihood."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from utils.models import locate, quiet_transformers
    from utils.runtime import device, fastest_dtype

    rows, right, folder = rows_of("general.jsonl"), 0, locate(model_id)
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().to(device())
    dtype = fastest_dtype()
    with torch.inference_mode(), torch.autocast(device(), getattr(torch, dtype), enabled=dtype != "float32"):
        for row in rows:
            asked = tokenizer(f"Question: {row['question']}\nAnswer:")["input_ids"]
            answers = [tokenizer(f" {option}")["input_ids"] for option in row["options"]]
            length = len(asked) + max(map(len, answers))
            ids = torch.tensor([(asked + answer + [0] * length)[:length] for answer in answers], device=device())
            log_p = network(input_ids=ids).logits.float().log_softmax(-1)  # padding stands behind, where nothing looks
            sums = [sum(log_p[i, len(asked) + k - 1, token].item() for k, token in enumerate(answer)) for i, answer in enumerate(answers)]
            right += row["options"][int(np.argmax(sums))] == row["answer"]
    share = wilson(right, len(rows))
    return Gate("general.jsonl", "untuned SmolLM2, by likelihood", str(share), "55 to 80 %", 0.55 <= share.estimate <= 0.80)


def domain_difficulty(name):
    """TF-IDF on one of the other domains, in five-fold cross-validation, since 80 test rows would say little."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    from utils.baselines import Tfidf

    rows = rows_of(f"domains/{name}.jsonl")
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(Tfidf(texts, labels).pipeline, texts, labels, cv=folds)
    share = float(np.mean(predicted == np.array(labels)))
    return Gate(f"domains/{name}.jsonl", "TF-IDF, five folds", f"{share:.1%}", "60 to 90 %", 0.60 <= share <= 0.90)


def report(gates, say=print):
    """Print gates as a table; returns True when all are kept."""
    width = max(len(f"{gate.file}: {gate.what}") for gate in gates)
    for gate in gates:
        say(f"{'ok  ' if gate.kept else 'FAIL'} {gate.file + ': ' + gate.what:<{width}}  {gate.found}  ({gate.bound})")
    return all(gate.kept for gate in gates)
