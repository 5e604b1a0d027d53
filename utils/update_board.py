"""Change a document, ask a store and a tuned model the same question, and see who noticed (ipywidgets)."""

import html

import ipywidgets as w

from utils.boxes import Column
from utils.facts import ask, ask_documents, chat
from utils.passages import Document


def update_board(store, model, tuned, documents, question, day, threshold=-1.0):
    """A box: choose a document, change it, ask; both systems answer, each with how likely it held its own words.

    store: utils.retrieval.Store, which the box writes to; model reads its passages, None quotes them; tuned answers from its weights
    documents: list of Document, those that may be changed; day: the day of asking, YYYY-MM-DD
    """
    sources = {document.source: document for document in documents}
    wide = w.Layout(width="95%")
    choice = w.Dropdown(options=list(sources), description="document")
    text = w.Textarea(value=documents[0].text, layout=w.Layout(width="95%", height="180px"))
    entry = w.Text(value=question, description="question", layout=wide)
    button = w.Button(description="Save and ask both", button_style="primary", layout=w.Layout(width="auto"))
    answer = w.HTML()
    kept = {}  # what was saved here, by source

    def show(_):
        text.value = kept.get(choice.value, sources[choice.value].text)

    def row(name, reply, quoted=False):
        held = "quoted" if quoted else f"{reply.likelihood:.0%}"
        return f"<tr><td><b>{name}</b></td><td>{html.escape(reply.text)}</td><td>{held}</td></tr>"

    def ask_both(_):
        if not entry.value.strip():
            answer.value = "Type a question first."
            return
        answer.value = "Both are answering …"
        try:
            changed = store.ingest([Document(choice.value, text.value, sources[choice.value].since)])
            kept[choice.value] = text.value
            (read,) = ask_documents(store, model, [{"question": entry.value.strip()}], day, threshold)
            (recalled,) = ask(tuned, [chat(entry.value.strip())])
        except ValueError as error:  # such as a document without text, or a control token in the question
            answer.value = html.escape(str(error))
            return
        seconds = f"saved and indexed in {changed['seconds']:.1f} s" if changed["replaced"] else "nothing to save"
        heads = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("", "answer", "how likely it held these words"))
        table = f"<table><tr>{heads}</tr>{row('retrieval', read, model is None)}{row('tuned', recalled)}</table>"
        answer.value = f"{table}The document: {seconds}. The tuned model: not told."

    choice.observe(show, "value")
    button.on_click(ask_both)
    box = Column([choice, text, entry, button, answer])
    box.choice, box.text, box.entry, box.button, box.answer = choice, text, entry, button, answer
    return box
