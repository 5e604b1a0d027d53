# Fine-Tuning, Measured. "make" alone lists what there is.

PYTHON ?= python3
PY := .venv/bin/python
# Where Linux finds torch's CPU build (200 MB instead of gigabytes); macOS needs none.
# With an NVIDIA GPU: make lab TORCH_INDEX=
TORCH_INDEX ?= $(if $(filter Linux,$(shell uname -s)),https://download.pytorch.org/whl/cpu)
TORCH := $(shell grep -o '^torch==[^ ]*' requirements.txt)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup lab test run labs results bench clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d: make lab PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "set-up 1 of 4: a Python environment in .venv (10 s)"
	@$(PYTHON) -m venv .venv

.venv/.torch: | .venv/bin/python
	@echo "set-up 2 of 4: torch (200 MB, 1 minute)"
	@$(PY) -m pip install --quiet --retries 1 --timeout 20 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH) 2>.venv/pip.log || { cat .venv/pip.log; exit 1; }
	@touch $@

.venv/.packages: requirements.txt | .venv/.torch
	@echo "set-up 3 of 4: the other packages (500 MB, 2 minutes)"
	@$(PY) -m pip install --quiet -r requirements.txt 2>.venv/pip.log || { cat .venv/pip.log; exit 1; }
	@touch $@

.venv/.models: utils/models.py | .venv/.packages
	@echo "set-up 4 of 4: two base models (180 MB, 1 minute)"
	@$(PY) -m utils.models fetch
	@touch $@

setup: .venv/.packages .venv/.models

lab: setup  ## set up if needed, then open the course in JupyterLab
	@echo "starting JupyterLab (10 s); stop it with Ctrl-C twice"
	@$(PY) -m jupyter lab --config=jupyter/lab_config.py $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_OPTIONS)

test: setup  ## set up if needed, then run all tests (half an hour on two cores)
	@$(PY) -m pytest -n 2 --dist loadgroup

run: setup  ## run one notebook without a browser: make run NB=09, or NB=09 QUICK=1
	@test -n "$(NB)" || { echo "which notebook? make run NB=09"; exit 2; }
	@$(PY) -m utils.notebooks $(NB) $(if $(QUICK),--quick)

labs: setup  ## clean the notebooks, write labs/ from solutions/
	@$(PY) -m utils.labs

results: setup  ## run the full experiments, write data/results/ (up to two hours)
	@$(PY) -m utils.studies

bench: setup  ## measure training, prediction, generation and sweeps against what is usual (an hour, alone on the machine)
	@$(PY) -m tests.bench
	@$(PY) -m tests.bench_sft --rows 32

clean:  ## delete what runs produced (models and packages stay)
	@rm -rf runs
