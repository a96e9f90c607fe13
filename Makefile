# condflow: `make serve` runs the service, `make test` passes the tests. Both set up everything they need.
PYTHON ?= python3
VENV   ?= .venv
STORE  ?= ./models
HOST   ?= 127.0.0.1
PORT   ?= 8000
DEVICE ?= cpu
# Where torch comes from, e.g. TORCH_INDEX=<URL of the CPU-only wheel index>; default: pip's own index.
TORCH_INDEX ?=
TORCH  := torch==2.13.0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
RUN := $(BIN)/python -m

.PHONY: help serve train test test-full lint bench bench-serving gpu-wheels openapi clean
.DEFAULT_GOAL := help

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# --- environments: one venv, grown on demand; a stamp per requirement set -----------------------------------------
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "condflow needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "condflow needs Python 3.11 or newer, $(PYTHON) is older; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: | $(BIN)/python
	@echo "installing $(TORCH)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@touch $@

$(VENV)/.serve: requirements/serve.txt | $(BIN)/python
	@echo "installing the serving dependencies"
	@$(PIP) -r $<
	@touch $@

$(VENV)/.%: requirements/%.txt $(VENV)/.torch | $(BIN)/python
	@echo "installing the $* dependencies"
	@$(PIP) -r $<
	@touch $@

# The peers of the serving benchmark pin what ours does not: they live apart.
.venv-peers/.stamp: requirements/serving-peers.txt | $(BIN)/python
	@echo "making the peers' environment .venv-peers"
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# --- what people run -----------------------------------------------------------------------------------------------
serve: $(VENV)/.serve $(if $(filter cuda%,$(DEVICE)),$(VENV)/.torch)  ## Serve STORE (./models) on HOST:PORT (127.0.0.1:8000); an empty store gets the ready-made models.
	@CONDFLOW_PYTHON=$(BIN)/python CONDFLOW_STORE=$(STORE) exec deploy/serve.sh --host $(HOST) --port $(PORT) --device $(DEVICE)

train: $(VENV)/.train  ## Fit RECIPE=... and, with PUBLISH=name, publish it into STORE. ARGS= is handed on.
	@[ -n "$(RECIPE)" ] || { $(RUN) training list; echo 'usage: make train RECIPE=gaussian-mixture [PUBLISH=name] [ARGS="--set fit.epochs=5"]' >&2; exit 2; }
	@exec $(RUN) training fit $(RECIPE) --store $(STORE) $(if $(PUBLISH),--publish $(PUBLISH)) --device $(DEVICE) $(ARGS)

test: $(VENV)/.dev  ## The daily suite: under 10 minutes on 2 cores.
	@OMP_NUM_THREADS=1 $(RUN) pytest -q -n 2 --dist worksteal $(ARGS)

test-full: $(VENV)/.dev $(VENV)/.bench  ## Everything, also what takes hours; writes docs/results/test-full.md.
	@OMP_NUM_THREADS=1 $(RUN) pytest -q -m 'full or not full' --junitxml=build/test-full.xml $(ARGS); \
	 status=$$?; $(RUN) tests.report build/test-full.xml > docs/results/test-full.md; exit $$status

lint: $(VENV)/.dev  ## ruff, mypy and the import rules.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(RUN) mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev $(VENV)/.bench  ## The flows core beside zuko, nflows and FrEIA; writes docs/results/flows-speed.md.
	@$(RUN) benchmarks.flows

bench-serving: $(VENV)/.dev .venv-peers/.stamp  ## The service beside LitServe, BentoML, Ray Serve and FastAPI, in 3 rounds (needs wrk, some 25 minutes); writes docs/results/serving.md.
	@$(RUN) benchmarks.serving $(ARGS)

gpu-wheels: $(VENV)/.dev  ## Fetch into .whl/SET/ what benchmarks/gpu.sh needs on another machine but torch; HAVE=file: `pip freeze` there.
	@$(RUN) benchmarks.gpu.wheels $(if $(HAVE),--have $(HAVE))

openapi: $(VENV)/.serve  ## Write openapi.yaml from the app.
	@$(RUN) service openapi > openapi.yaml

clean:  ## Remove what was built (not the store, not the environments).
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
