"""What a learner sees: `make lab`'s own server, a real Chromium, lessons 00 and 09 run from the menu's command, each widget moved."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from utils.runtime import ROOT

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

pytestmark = [pytest.mark.browser, pytest.mark.notebook, pytest.mark.weights, pytest.mark.timeout(900), pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of the course in quick size, so that nothing here is changed; it shares the packages."""
    copy = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "utils", "data", "jupyter", "labs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    for path in (copy / "notebooks").glob("*.ipynb"):
        path.write_text(path.read_text(encoding="utf-8").replace("quick = False", "quick = True"), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def server(course, tmp_path_factory):
    """`make lab` without opening a window; yields its address and token."""
    if not (ROOT / ".venv" / ".models").exists():
        pytest.fail("the browser test starts `make lab`: run it through `make test`, which sets up .venv")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, home = secrets.token_hex(16), tmp_path_factory.mktemp("home")
    options = f"--no-browser --LabApp.expose_app_in_browser=True --ServerApp.port={port} --ServerApp.port_retries=0"
    environment = {**os.environ, "JUPYTER_TOKEN": token, "IPYTHONDIR": str(home / "ipython"), "FTM_RUNS": str(home / "runs")}
    environment |= {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment |= {f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    log = (home / "lab.log").open("w")
    process = subprocess.Popen(
        ["make", "lab", f"LAB_OPTIONS={options}"], cwd=course, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    started = time.time()
    while True:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/api/status", headers={"Authorization": f"token {token}"})
            urllib.request.urlopen(request, timeout=1)
            break
        except OSError:
            if process.poll() is not None or time.time() - started > 300:
                pytest.fail("make lab did not start a server:\n" + (home / "lab.log").read_text())
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}", token
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing; .ci/run installs it")
        pytest.skip("Chromium is not installed: on Debian and Ubuntu, apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


class Lesson:
    """A lesson open in JupyterLab."""

    def __init__(self, browser, server, name):
        address, token = server
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page_errors, self.console, self.external = [], [], []
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)[:300]))
        self.page.on("console", lambda message: self.console.append(message.text[:300]) if message.type == "error" else None)
        self.page.on("request", lambda request: self.note(request.url, address))
        self.page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset&token={token}", timeout=120_000)
        self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").wait_for(timeout=120_000)
        self.page.evaluate(
            """async () => { const panel = window.jupyterapp.shell.currentWidget;
            await panel.context.ready; await panel.sessionContext.ready;
            for (let i = 0; i < 600; i++) { const kernel = panel.sessionContext.session?.kernel;
              if (kernel?.connectionStatus === 'connected' && kernel.status === 'idle') return;
              await new Promise(r => setTimeout(r, 100)); }
            throw new Error('the kernel never became idle'); }"""
        )

    def note(self, url, address):
        if not url.startswith((address, address.replace("http", "ws"), "data:", "blob:")):
            self.external.append(url)

    def run_all(self, seconds):
        """Run all cells; returns the notebook as JSON."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        wanted = """() => { const panel = window.jupyterapp.shell.currentWidget;
          const cells = panel.content.model.toJSON().cells.filter(c => c.cell_type === 'code');
          const failed = cells.some(c => c.outputs.some(o => o.output_type === 'error'));
          return failed || (cells.every(c => c.execution_count) && panel.sessionContext.session.kernel.status === 'idle'); }"""
        self.page.wait_for_function(wanted, timeout=1000 * seconds)
        return self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()")

    def assert_clean(self, notebook):
        errors = [o for c in notebook["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]
        assert not errors, json.dumps(errors)[:3000]
        for kind in (".jp-Dialog", ".jp-toast-button", ".Toastify__toast"):
            assert self.page.locator(kind).count() == 0, "a dialog or notice asks the learner something"
        assert self.page_errors == []
        assert self.external == []

    def scroll_to(self, locator):
        """Outputs far down are drawn when they come into view."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:move-cursor-up')")
        locator.scroll_into_view_if_needed(timeout=30_000)

    def picture(self, name):
        """Keep a screenshot for a person to look at, where FTM_PICTURES says."""
        if folder := os.environ.get("FTM_PICTURES"):
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


def show_cell(lesson, cell_id):
    """Bring one cell into view."""
    lesson.page.evaluate(
        """async id => { const notebook = window.jupyterapp.shell.currentWidget.content;
        const index = notebook.widgets.findIndex(cell => cell.model.id === id);
        notebook.activeCellIndex = index; await notebook.scrollToItem(index, 'start'); }""",
        cell_id,
    )
    lesson.page.wait_for_timeout(800)


def test_lesson_00_runs_and_keeps_quiz_answers(browser, server, course):
    lesson = Lesson(browser, server, "00_start_here")
    lesson.picture("00-opened")
    lesson.assert_clean(lesson.run_all(240))
    for cell in ("check", "train", "course-map"):
        show_cell(lesson, cell)
        lesson.picture(f"00-{cell}")
    show_cell(lesson, "quiz-show")
    radios = lesson.page.locator(".jp-OutputArea .widget-radio-box input")
    radios.first.wait_for(timeout=30_000)
    for first_of_question in (0, 5, 9, 13, 17):
        radios.nth(first_of_question).check()
    lesson.page.get_by_role("button", name="Keep my answers").click()
    lesson.page.get_by_text("Kept on this machine").wait_for(timeout=15_000)
    lesson.picture("00-quiz")
    assert len(json.loads((course / ".answers.json").read_text())["00"]) == 5


def test_lesson_09_runs_and_its_widgets_move(browser, server):
    lesson = Lesson(browser, server, "09_fine_tune_a_classifier")
    lesson.assert_clean(lesson.run_all(600))
    for cell in ("look", "counts", "train", "overfit-figure", "modes-table", "test-figure", "errors", "confusion"):
        show_cell(lesson, cell)
        lesson.picture(f"09-{cell}")
    images = lesson.page.locator(".jp-OutputArea img")
    assert images.count() and all(image.get_attribute("alt") for image in images.all())

    show_cell(lesson, "threshold")
    handle = lesson.page.locator(".jp-OutputArea .noUi-handle").first
    handle.wait_for(timeout=30_000)
    told = lesson.page.locator(".jp-OutputArea").get_by_text("are routed alone").first
    assert "100% of" not in told.inner_text()
    handle.focus()
    lesson.page.keyboard.press("Home")
    lesson.page.locator(".jp-OutputArea").get_by_text("100% of").first.wait_for(timeout=15_000)
    lesson.picture("09-threshold")

    show_cell(lesson, "try")
    box = lesson.page.locator(".jp-OutputArea textarea").last
    box.fill("where is my <b>parcel</b>? it should have come on tuesday")
    lesson.page.get_by_role("button", name="Which label?").click()
    lesson.page.locator(".jp-OutputArea").get_by_text("order_status").last.wait_for(timeout=15_000)
    lesson.picture("09-try")


TOYS = """
import sys

sys.path.insert(0, "..")
from types import SimpleNamespace as Toy

import numpy as np

from utils.decide import Answers
from utils.decision_board import decision_board
from utils.growth import Curve
from utils.label_budget import label_budget
from utils.passages import Document
from utils.quizzes import quiz
from utils.retrieval import Store
from utils.split_sizes import split_sizes
from utils.stats import Interval
from utils.update_board import update_board
from utils.widgets import adapter_dials, before_after, curve_slider, layer_explorer, rung_chooser, token_explorer


class Letters:
    def __call__(self, text):
        return {"input_ids": [ord(letter) for letter in text]}

    def convert_ids_to_tokens(self, ids):
        return [chr(number) for number in ids]


def about(share):
    return Interval(share, share - 0.05, share + 0.05)


def scribe(name):
    return Toy(generate=lambda chats, max_new_tokens: [f"{name}: {chat}" for chat in chats])


def letters(texts):
    return np.array([[text.lower().count(letter) + 0.1 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])


letters.name = "letters"
shop = Document("post", "# Post\\n\\nA parcel costs £4.95.", "2026-03-01")
recalls = Toy(generate=lambda chats, length, stop: ["£4.95"], log_likelihood=lambda chats, texts: ([-0.1], [3]))
"""
WIDGETS = {  # those that the tests above leave out: a cell; then what a learner does, and the words that this brings
    "curves": (
        """curve_slider({"pretrained": {10: about(0.3), 1000: about(0.8)}, "random": {10: about(0.1), 1000: about(0.4)}}, "tickets")""",
        [(lambda box: box.locator(".noUi-handle").press("End"), "With 1,000 tickets: pretrained 80%; random 40%.")],
    ),
    "pieces": (
        """token_explorer(Letters(), "zip")""",
        [(lambda box: box.locator("textarea").press_sequentially(" dd <b>"), "3 words, 10 pieces")],
    ),
    "layers": (
        """layer_explorer({"full": {"query": 0.1, "key": 0.2}, "head": {"query": 0.0, "key": 0.0}})""",
        [(lambda box: box.get_by_role("button", name="head").click(), "")],
    ),
    "budget": (
        """label_budget(Curve("from chance", 0.05, (0.7, 150, 1), np.array([(0.7, 150, 1)] * 9), (50, 100, 200, 400), 9), 0.5)""",
        [
            (lambda box: box.get_by_label("dollars an hour").fill("60"), "$"),
            (lambda box: box.locator(".noUi-handle").press("End"), "99% is out of reach"),
            (lambda box: box.locator(".noUi-handle").press("Home"), "6% takes about"),
        ],
    ),
    "sizes": ("split_sizes()", [(lambda box: box.locator(".noUi-handle").first.press("Home"), "20 messages judge, 80 remain")]),
    "rungs": (
        """rung_chooser({"rules": Toy(accuracy=about(0.5), latency=(1, 2)), "tuned": Toy(accuracy=about(0.8), latency=(20, 30))},
             {"rules": 60, "tuned": 90})""",
        [
            (lambda box: box.locator(".noUi-handle").first.press("End"), "No rung meets both"),
            (lambda box: box.locator(".noUi-handle").first.press("Home"), "rules: 50.0%"),
            (lambda box: box.locator(".noUi-handle").last.press("Home"), "Others that meet both: none"),
        ],
    ),
    "board": (
        "decision_board(Answers(expertise=True, examples=800, production=True, before=0.5, after=0.75, updates=False))",
        [
            (lambda box: box.get_by_label("answers follow facts that change").check(), "retrieve: "),
            (lambda box: box.get_by_label("answers follow facts that change").uncheck(), "tune: "),
            (lambda box: box.locator(".noUi-handle").nth(2).press("End"), "pays in 100%"),
            (lambda box: box.get_by_role("button", name="Keep as a memo").click(), "our-case.html"),
        ],
    ),
    "both": (
        """before_after(scribe("base"), scribe("tuned"), {"triage": lambda text: f"label {text}", "reply": lambda text: text}, "where?")""",
        [
            (lambda box: box.get_by_role("button", name="Ask both").click(), "tuned: label where?"),
            (lambda box: box.locator("textarea").press_sequentially(" dd <b>"), ""),
            (lambda box: box.get_by_role("button", name="reply").click(), ""),
            (lambda box: box.get_by_role("button", name="Ask both").click(), "tuned: where? dd <b>"),
        ],
    ),
    "update": (
        """update_board(Store("toys.sqlite", letters), None, recalls, [shop], "What does a parcel cost?", "2026-03-01")""",
        [
            (lambda box: box.get_by_role("button", name="Save and ask both").click(), "A parcel costs £4.95."),
            (lambda box: box.locator("textarea").fill("# Post\n\nA parcel costs £1 <b>."), ""),
            (lambda box: box.get_by_role("button", name="Save and ask both").click(), "A parcel costs £1 <b>."),
        ],
    ),
    "dials": (
        """adapter_dials({"q_proj": (2, 100, 200), "up_proj": (1, 400, 100)}, weights=1_000_000)""",
        [
            (lambda box: box.locator(".noUi-handle").press("Home"), "1,100 weights learn"),
            (lambda box: box.get_by_role("option", name="q_proj").click(), "600 weights learn"),
            (lambda box: box.get_by_role("button", name="4-bit").click(), "base 4 MB"),
        ],
    ),
    "quiz": ("""quiz("01")""", [(lambda box: box.locator("input").first.check(), re.compile("Right|Not quite"))]),
}


@pytest.fixture(scope="module")
def toys(browser, server, course):
    """A notebook with a cell for each widget, open and run."""
    import nbformat

    sources = {"toys": TOYS} | {name: source for name, (source, _) in WIDGETS.items()}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id=name) for name, source in sources.items()])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, course / "notebooks" / "toys.ipynb")
    lesson = Lesson(browser, server, "toys")
    lesson.assert_clean(lesson.run_all(300))
    return lesson


@pytest.mark.parametrize("name", WIDGETS)
def test_each_widget_answers_mouse_and_keyboard(name, toys):
    from playwright.sync_api import expect

    show_cell(toys, name)
    box = toys.page.locator(".jp-Cell.jp-mod-active .jp-OutputArea-output")
    picture = box.locator("img")
    pictured = [image.get_attribute("src") for image in picture.all()]
    for move, words in WIDGETS[name][1]:
        move(box)
        expect(box).to_contain_text(words, timeout=120_000)
    for before in pictured:
        expect(picture).not_to_have_attribute("src", before, timeout=120_000)
    toys.picture(f"widget-{name}")
    toys.assert_clean(toys.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()"))
    assert toys.console == []
