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

# Of the images; VARIANT is cuda or cpu, empty for what the project lists first.
IMAGE ?= speech-worker
PROJECT ?= demo
VARIANT ?=

.PHONY: help demo test lint generate volume test-volume browser image image-baked faults bench \
	bench-data clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 13

$(STAMP): requirements.txt requirements.lock requirements-provision.txt requirements-client.txt \
		requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; name another with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

volume: $(STAMP) ## fill ./volume for the demo; a second time there is nothing to do
	$(BIN)/python -m volume_bootstrap setup --project demo --volume ./volume

demo: volume ## transcribe the sample conversation, with speakers, through the RunPod handler
	SPEECH_VOLUME=volume SPEECH_PROJECT=demo RUNPOD_LOG_LEVEL=ERROR SPEECH_LOG_LEVEL=WARNING $(BIN)/python -m scripts.demo

lint: $(STAMP) ## ruff, mypy, hadolint, and whether generated files are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile.serverless .runpod/Dockerfile
	$(BIN)/python -m scripts.generate --check

generate: $(STAMP) ## make anew what is made from the code: tables, the Hub's files, the licences
	$(BIN)/python -m scripts.generate

# Besides, FunASR and torch, for the tests that run them.
test-volume: volume
	index=$$($(BIN)/python -m tests.torch_index) && TORCH_CPU_INDEX=$$index \
		$(BIN)/python -m volume_bootstrap setup --project demo-funasr --volume ./volume

browser: ## make sure that there is a Chromium, which tests of the report drive
	@for name in chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; \
	else \
		echo "The tests need a browser: install Chromium or Google Chrome, so that one of chromium,"; \
		echo "chromium-browser and google-chrome is on PATH (Debian: apt-get install chromium)."; \
		exit 1; \
	fi

# By file, for what the tests of one share; two at once, for half of them wait for processes.
test: browser test-volume lint ## lint, types and tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

image: ## build the image of the worker alone, with docker: IMAGE=name
	docker build -f Dockerfile.serverless -t $(IMAGE) .

image-baked: ## build it with packages and models inside: PROJECT=demo VARIANT=
	docker build -f Dockerfile.serverless --target baked --build-arg PROJECT=$(PROJECT) \
		--build-arg VARIANT=$(VARIANT) $(if $(filter cpu,$(VARIANT)),--build-arg CUDA=) \
		-t $(IMAGE):$(PROJECT) .

faults: browser volume ## kill, starve and mislead the provisioner, the worker and the client; prints what became of it
	$(BIN)/python -m pytest -m slow
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
