PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test lint volume bench clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

$(STAMP): requirements.txt requirements.lock requirements-provision.txt requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; name another with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

volume: $(STAMP) ## fill ./volume for the demo; a second time there is nothing to do
	$(BIN)/python -m volume_bootstrap setup --project demo --volume ./volume

demo: volume ## diarize the sample conversation through the RunPod handler
	SPEECH_VOLUME=volume RUNPOD_LOG_LEVEL=ERROR SPEECH_LOG_LEVEL=WARNING $(BIN)/python -m scripts.demo

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: volume lint ## lint, types and tests
	$(BIN)/python -m pytest

clean: ## remove what was built
	rm -rf $(VENV) .venv-bench volume out .pytest_cache .mypy_cache .ruff_cache
