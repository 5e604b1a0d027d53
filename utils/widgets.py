"""Interactive parts of the lessons (ipywidgets): the quiz of beliefs, and the box for your own ticket."""

import html
import json

import ipywidgets as w

from utils.boxes import Column
from utils.runtime import ROOT, write_whole

ANSWERS = ROOT / ".answers.json"  # stays on this machine
FOUR_BIT = 4.127 / 8  # bytes per weight of NF4 whose scales (one per 64 weights) are kept in 8 bits: arXiv 2305.14314


def load_answers():
    """All answers given so far: {quiz: {question: answer}}; a damaged file counts as none."""
    try:
        return json.loads(ANSWERS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def save_answers(quiz, answers):
    """Keep the answers to one quiz; a crash keeps the old file."""
    everything = {**load_answers(), quiz: answers}
    write_whole(ANSWERS, json.dumps(everything, indent=1, ensure_ascii=False))


def belief_quiz(name, questions):
    """Ask what the learner believes now; the course answers later, with a measurement.

    questions: a list of {"ask": …, "options": [...], "lesson": "07"}.
    """
    before = load_answers().get(name, {})
    choices = []
    for question in questions:
        given = before.get(question["ask"])
        value = given if given in question["options"] else None
        choices.append(w.RadioButtons(options=question["options"], value=value, layout=w.Layout(width="95%")))
    button = w.Button(description="Keep my answers", button_style="primary")
    message = w.HTML()

    def keep(_):
        save_answers(name, {q["ask"]: c.value for q, c in zip(questions, choices, strict=True) if c.value})
        open_ones = sum(c.value is None for c in choices)
        lessons = ", ".join(sorted({q["lesson"] for q in questions}))
        message.value = f"{open_ones} still open." if open_ones else f"Kept on this machine. Lessons {lessons} measure the answers."

    button.on_click(keep)
    asked = []
    for number, (question, choice) in enumerate(zip(questions, choices, strict=True), 1):
        asked += [w.HTML(f"<b>{number}. {html.escape(question['ask'])}</b>"), choice]
    box = Column([*asked, button, message])
    box.choices, box.button, box.message = choices, button, message
    return box


def try_it(classifier, text="", top=3):
    """A box: type a text, see the labels that the classifier finds likeliest."""
    entry = w.Textarea(value=text, placeholder="type or paste a message", layout=w.Layout(width="95%", height="80px"))
    button = w.Button(description="Which label?", button_style="primary")
    answer = w.HTML()

    def classify(_):
        if not entry.value.strip():
            answer.value = "Type a message first."
            return
        shares = classifier.scores([entry.value])[0]
        best = sorted(zip(shares, classifier.labels, strict=True), reverse=True)[:top]
        answer.value = "".join(
            "<div style='margin:3px 0'><span style='display:inline-block;background:#0072B2;height:12px;"
            f"width:{round(200 * share)}px'></span>"
            f" {html.escape(label)} {share:.0%}</div>"
            for share, label in best
        )

    button.on_click(classify)
    box = Column([entry, button, answer])
    box.entry, box.button, box.answer = entry, button, answer
    return box


def threshold_slider(confidence, right):
    """A slider: act alone above this confidence; shows the share of items handled, and how many are right.

    confidence: the likeliest label's probability, per item; right: whether that label is true.
    """
    import numpy as np

    confidence, right = np.asarray(confidence), np.asarray(right)
    slider = w.FloatSlider(value=0.5, min=0, max=0.95, step=0.05, description="bar", readout_format=".2f", continuous_update=False)
    text = w.HTML()

    def tell(_=None):
        alone = confidence >= slider.value
        share = f"{alone.mean():.0%} of {len(alone)} messages are routed alone"
        text.value = f"{share}; {right[alone].mean():.0%} of these rightly." if alone.any() else f"{share}."

    slider.observe(tell, "value")
    tell()
    box = Column([slider, text])
    box.slider, box.text = slider, text
    return box


def adapter_dials(shapes, weights, rank=16):
    """Dials for rank, layers and base: what learns, what the memory for weights and training takes, how large the adapter's file is.

    shapes: ending to (count, out, in), from utils.lora.shapes; weights: those of the whole base model
    Activations come on top; they depend on the batch and its length, not on the dials.
    """
    from utils.lora import BYTES, adapter_weights

    ranks = w.SelectionSlider(options=[1, 2, 4, 8, 16, 32, 64, 128, 256], value=rank, description="rank")
    layers = w.SelectMultiple(options=list(shapes), value=list(shapes), rows=len(shapes), description="layers")
    base = w.ToggleButtons(options=["float32", "4-bit"], description="base")
    text = w.HTML()

    def tell(_=None):
        chosen = {name: shapes[name] for name in layers.value}
        learning = adapter_weights(chosen, ranks.value)
        linear = sum(count * out * features for count, out, features in shapes.values())
        kept = 4 * weights if base.value == "float32" else 4 * (weights - linear) + FOUR_BIT * linear
        training, file = sum(BYTES.values()) * learning, BYTES["weight"] * learning
        text.value = (
            f"<b>{learning:,}</b> weights learn, {learning / weights:.2%} of the base.<br>"
            f"Memory: base {kept / 1e6:,.0f} MB, adapter with gradients and Adam {training / 1e6:,.1f} MB "
            f"(every weight would take {sum(BYTES.values()) * weights / 1e6:,.0f} MB).<br>"
            f"The adapter's file: {file / 1e6:,.2f} MB."
        )

    for dial in (ranks, layers, base):
        dial.observe(tell, "value")
    tell()
    box = Column([ranks, layers, base, text])
    box.ranks, box.layers, box.base, box.text = ranks, layers, base, text
    return box


def curve_slider(curves, xlabel="training examples"):
    """A slider along learning curves ({name: {size: Interval}}): a line in the figure, and what each curve says there.

    Between two measured sizes the value is read off the drawn line, straight over the logarithm of the size.
    """
    import numpy as np

    from utils import plots

    sizes = sorted({size for curve in curves.values() for size in curve})
    slider = w.SelectionSlider(
        options=[int(n) for n in np.geomspace(sizes[0], sizes[-1], 25).round(-1)],
        description=xlabel,
        continuous_update=False,
        style={"description_width": "initial"},
        layout=w.Layout(width="70%"),
    )
    picture, text = w.HTML(), w.HTML()

    def tell(_=None):
        n = slider.value
        axes = plots.plot_learning_curve(curves, xlabel)
        axes.axvline(n, color=plots.BLACK, linestyle=":")
        read = {}
        for name, curve in curves.items():
            read[name] = np.interp(np.log(n), np.log(list(curve)), [interval.estimate for interval in curve.values()])
        said = "; ".join(f"{name} {value:.0%}" for name, value in read.items())
        picture.value = plots.image_of(axes.figure, f"{plots.words_of(axes.figure)} Read at {n:,}: {said}.")[0]
        text.value = f"With {n:,} {html.escape(xlabel)}: {html.escape(said)}."

    slider.observe(tell, "value")
    tell()
    box = Column([slider, picture, text])
    box.slider, box.picture, box.text = slider, picture, text
    return box


def rung_chooser(scores, minutes):
    """Two sliders, least accuracy and longest wait: names the rung that meets both with the fewest minutes of work.

    scores: name to Score with latency; minutes: name to minutes of work. The lower end of the interval must reach the bar.
    """
    style = {"description_width": "initial"}
    bar = w.FloatSlider(value=0.4, min=0, max=0.95, step=0.05, description="at least right", readout_format=".0%", style=style)
    wait = w.SelectionSlider(options=[1, 3, 10, 30, 100, 300, 1000, 3000], value=300, description="milliseconds at most", style=style)
    text = w.HTML()

    def tell(_=None):
        fits = [name for name, s in scores.items() if s.accuracy.low >= bar.value and s.latency[0] <= wait.value]
        if not fits:
            text.value = "No rung meets both with certainty: ask for less, label more, or test on more messages."
            return
        best = min(fits, key=lambda name: (minutes[name], -scores[name].accuracy.estimate))
        others = ", ".join(html.escape(name) for name in fits if name != best) or "none"
        found = f"{html.escape(str(scores[best].accuracy))}, {scores[best].latency[0]:.1f} ms, {minutes[best]} minutes of work"
        text.value = f"<b>{html.escape(best)}</b>: {found}. Others that meet both: {others}."

    for slider in (bar, wait):
        slider.observe(tell, "value")
    tell()
    box = Column([bar, wait, text])
    box.bar, box.wait, box.text = bar, wait, text
    return box


def token_explorer(tokenizer, text=""):
    """A box: type a text, see the pieces that the model reads, each with its number in the list."""
    entry = w.Textarea(value=text, placeholder="type or paste a text", layout=w.Layout(width="95%", height="60px"))
    pieces = w.HTML()

    def cut(_=None):
        ids = tokenizer(entry.value)["input_ids"] if entry.value.strip() else []
        shown = "".join(
            f"<span style='border:1px solid #0072B2;border-radius:3px;padding:1px 4px;margin:2px;display:inline-block'>"
            f"{html.escape(token)}<br><small>{number}</small></span>"
            for token, number in zip(tokenizer.convert_ids_to_tokens(ids), ids, strict=True)
        )
        words = len(entry.value.split())
        pieces.value = f"{shown}<br>{words} words, {len(ids)} pieces" if ids else "Type something first."

    entry.observe(cut, "value")
    cut()
    box = Column([entry, pieces])
    box.entry, box.pieces = entry, pieces
    return box


def layer_explorer(changes):
    """A choice of ways to tune: shows how far each matrix moved; changes maps a way to {name of the matrix: share moved}."""
    from utils import plots

    choice = w.ToggleButtons(options=list(changes), description="tuned")
    picture = w.HTML()

    def draw(_=None):
        moved = changes[choice.value]
        fig, ax = plots.figure(7.4, 1.2 + 0.17 * len(moved))
        ax.barh(list(moved), [100 * share for share in moved.values()], color=plots.BLUE)
        ax.invert_yaxis()
        ax.tick_params(axis="y", labelsize=7)
        ax.set_xlabel("moved, % of the matrix's size")
        ax.set_xlim(0, 105 * max(max(way.values()) for way in changes.values()) or 1)  # one scale for all ways
        most = max(moved, key=moved.get)
        plots.describe(ax, f"{choice.value}: how far each matrix moved; most {most}, {100 * moved[most]:.2f} %.")
        picture.value = plots.image_of(fig)[0]

    choice.observe(draw, "value")
    draw()
    box = Column([choice, picture])
    box.choice, box.picture = choice, picture
    return box


def before_after(before, after, jobs, text="", max_new_tokens=160):
    """A box: type a ticket, choose a job, see what two language models answer, side by side.

    before, after: language models, of which `generate` is called; jobs: name to a function from a ticket to the chat that asks
    """
    entry = w.Textarea(value=text, placeholder="type or paste a ticket", layout=w.Layout(width="95%", height="80px"))
    job = w.ToggleButtons(options=list(jobs), description="job")
    button = w.Button(description="Ask both", button_style="primary")
    answer = w.HTML()

    def ask(_):
        if not entry.value.strip():
            answer.value = "Type a ticket first."
            return
        answer.value = "Both are writing …"
        cells = []
        for name, model in (("before", before), ("after", after)):
            try:
                written = model.generate([jobs[job.value](entry.value.strip())], max_new_tokens=max_new_tokens)[0]
            except ValueError as error:  # such as a control token in the text
                answer.value = html.escape(str(error))
                return
            cells.append(f"<td><b>{name}</b><div style='white-space:pre-wrap;max-width:32em'>{html.escape(written)}</div></td>")
        answer.value = f"<table><tr style='vertical-align:top;text-align:left'>{''.join(cells)}</tr></table>"

    button.on_click(ask)
    box = Column([entry, job, button, answer])
    box.entry, box.job, box.button, box.answer = entry, job, button, answer
    return box
