# `make run` and `make test` set everything up by themselves; Python 3.11 or newer is all they need.

PYTHON ?= python3
TASK ?= phantom
DATA ?=
EPOCHS ?=
MAX_MINUTES ?=
FOLDS ?=
FOLD ?=
DEVICE ?= auto
RUNS ?= runs
STORE ?= store
# A wheel index for torch: https://download.pytorch.org/whl/cpu saves gigabytes where there is no NVIDIA GPU.
TORCH_INDEX ?=

BIN := .venv/bin
READY := .venv/ready

.PHONY: run test lint compile check clean

run: $(READY)  ## run the pipeline on this machine: make run TASK=hippocampus DATA=folder MAX_MINUTES=12
	@$(BIN)/python -m pipelines.run --task "$(TASK)" --runs "$(RUNS)" --store "$(STORE)" --device "$(DEVICE)" \
	  $(if $(DATA),--data "$(DATA)") \
	  $(if $(EPOCHS),--set training.epochs=$(EPOCHS)) \
	  $(if $(MAX_MINUTES),--set training.max_minutes=$(MAX_MINUTES)) \
	  $(if $(FOLDS),--set split.folds=$(FOLDS)) \
	  $(if $(FOLD),--set split.fold=$(FOLD))

test: $(READY) lint  ## lint, type check and all tests but the long trainings
	$(BIN)/python -m pytest -q -rs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compile: $(READY)  ## write the pipeline's intermediate representation to pipelines/compiled
	$(BIN)/python -m pipelines.compile

check: $(READY)  ## what this machine can do
	@$(BIN)/segline check

clean:  ## remove the virtual environment; runs and store stay
	rm -rf .venv

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "segline needs Python 3.11 or newer; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep '^torch==' requirements.txt)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@
