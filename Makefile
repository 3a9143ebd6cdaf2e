PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_VENV := $(VENV)-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
BENCH_DATA ?= ../shared/data
BENCH_TOOLS ?= ../shared/tools
BENCH_SEEDS ?= $(shell seq 1001 1020)
BENCH_NEEDS := $(addprefix $(BENCH_DATA)/,audio voices) \
	$(addprefix $(BENCH_TOOLS)/,peer_funasr_diarize.py peer_senko_diarize.py make_conversations.py)

.PHONY: help demo test lint volume test-volume faults bench bench-data clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

$(STAMP): requirements.txt requirements.lock requirements-provision.txt requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; name another with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

volume: $(STAMP) ## fill ./volume for the demo; a second time there is nothing to do
	$(BIN)/python -m volume_bootstrap setup --project demo --volume ./volume

demo: volume ## transcribe the sample conversation, with speakers, through the RunPod handler
	SPEECH_VOLUME=volume SPEECH_PROJECT=demo RUNPOD_LOG_LEVEL=ERROR SPEECH_LOG_LEVEL=WARNING $(BIN)/python -m scripts.demo

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Besides, FunASR and torch, for the tests that run them.
test-volume: volume
	index=$$($(BIN)/python -m tests.torch_index) && TORCH_CPU_INDEX=$$index \
		$(BIN)/python -m volume_bootstrap setup --project demo-funasr --volume ./volume

# By file, for what the tests of one share; two at once, for half of them wait for processes.
test: test-volume lint ## lint, types and tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

faults: volume ## kill, starve and mislead the provisioner and the worker; prints what became of it
	$(BIN)/python -m tests.faults

bench-data:
	@missing=$$(for path in $(BENCH_NEEDS); do test -e $$path || echo "  $$path"; done); \
		test -z "$$missing" || { \
		echo "make bench needs recordings and the peers' scripts, which are not in this repository."; \
		echo "Missing:"; echo "$$missing"; \
		echo "Name the folders with BENCH_DATA=... BENCH_TOOLS=... (benchmarks/README.md says what they hold)."; \
		exit 1; }

# torch comes first and alone: nothing else may choose another one.
$(BENCH_STAMP): requirements-bench.txt requirements-bench-senko.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements-bench-senko.txt
	@touch $@

bench: bench-data test-volume $(BENCH_STAMP) ## measure beside FunASR, Senko, faster-whisper and the plain SDK; takes hours
	$(BENCH_VENV)/bin/python -m benchmarks.asr --data $(BENCH_DATA)
	$(BENCH_VENV)/bin/python -m benchmarks.run --data $(BENCH_DATA) --tools $(BENCH_TOOLS)
	$(BENCH_VENV)/bin/python -m benchmarks.conversations --data $(BENCH_DATA) --tools $(BENCH_TOOLS) --seeds $(BENCH_SEEDS)
	$(BENCH_VENV)/bin/python -m benchmarks.growth --data $(BENCH_DATA)
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.cold_imports --volume volume
	$(BIN)/python -m benchmarks.bundle --volume volume

clean: ## remove what was built
	rm -rf $(VENV) $(BENCH_VENV) volume out .hypothesis .pytest_cache .mypy_cache .ruff_cache
