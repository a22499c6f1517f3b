# `make run` and `make test` set everything up by themselves; Python 3.11 or newer is all they need.

PYTHON ?= python3
TASK ?= phantom
DATA ?=
EPOCHS ?=
MAX_MINUTES ?=
# Minutes for the best model that this machine can train in them: a probe picks patch, batch, rate and schedule.
BUDGET ?=
FOLDS ?=
# With FOLDS, that fold alone; they count from 0: FOLDS=5 FOLD=0 is the first, FOLD=4 the last.
FOLD ?=
# Networks trained at once from seeds of their own, whose scores are averaged: better by a little, slower to run.
SEEDS ?=
# 1: the folds' models as one model, judged on cases that no fold has seen.
ENSEMBLE ?=
DEVICE ?= auto
GPU ?=
# docker: every stage in a container of its image.
RUNNER ?= subprocess
# Which images to build; all that can be had by default. REGISTRY: where they are pushed to.
IMAGES ?=
REGISTRY ?=
# What make serve answers with: a folder of a package or a run, or a registered model.
MODEL ?= phantom@champion
PORT ?= 8000
RUNS ?= runs
# URI of an MLflow server; a SQLite file in the store by default.
TRACKING ?=
STORE ?= store
# For the cluster: KFP_HOST, KFP_TOKEN, KFP_NAMESPACE and KUBECONFIG are read from the environment.
ACCELERATOR ?=
# small: for a cluster on one machine. GPU_TYPES: nvidia.com/gpu.product of the nodes that engines are built for.
PROFILE ?=
GPU_TYPES ?=
CRON ?= 0 0 2 * * 0
ACTION ?= create
DETACH ?=
# A wheel index for torch: https://download.pytorch.org/whl/cpu saves gigabytes where there is no NVIDIA GPU.
TORCH_INDEX ?=

ASKED = --task "$(TASK)" \
  $(if $(DATA),--data "$(DATA)") \
  $(if $(EPOCHS),--set training.epochs=$(EPOCHS)) \
  $(if $(SEEDS),--set ensemble.seeds=$(SEEDS)) \
  $(if $(MAX_MINUTES),--set training.max_minutes=$(MAX_MINUTES)) \
  $(if $(BUDGET),--set training.tune=true --set training.max_minutes=$(BUDGET))
DEMAND = $(if $(ACCELERATOR),--accelerator "$(ACCELERATOR)") \
  $(if $(PROFILE),--profile "$(PROFILE)") \
  $(if $(GPU_TYPES),--gpu-types "$(GPU_TYPES)")
ON_CLUSTER = $(ASKED) $(DEMAND) \
  $(if $(TRACKING),$(error TRACKING: on a cluster its ConfigMap segline-settings says where MLflow is; leave it out))
HERE = $(ASKED) $(if $(TRACKING),--tracking "$(TRACKING)") --runs "$(RUNS)" --store "$(STORE)" --device "$(DEVICE)" --runner "$(RUNNER)"

# Whose client the tests use, without the half of PyPI that its server needs.
ALONE := monailabel==0.8.5

BIN := .venv/bin
UV := 0.13.9
# uv installs in parallel, but reads no pip.conf: where it finds nothing, pip has the last word. The system's
# certificates are those that know a proxy which looks into what is fetched.
install = $(BIN)/uv pip install --system-certs --quiet --python $(BIN)/python $(1) || $(BIN)/python -m pip install --quiet $(1)
# Bytecode is written as it is first needed; without it each start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE
READY := .venv/ready

.PHONY: run retrain serve mlflow test test-fast lint images niivue compile submit schedule check check-cluster clean kind kind-down

run: $(READY)  ## run the pipeline on this machine: make run TASK=hippocampus DATA=folder MAX_MINUTES=12
	@$(BIN)/python -m pipelines.run $(HERE) \
	  $(if $(FOLDS),$(if $(FOLD),--set split.folds=$(FOLDS) --set split.fold=$(FOLD),--folds $(FOLDS))) \
	  $(if $(ENSEMBLE),--ensemble)

retrain: $(READY)  ## train and judge a challenger, if there are new cases since the champion
	@$(BIN)/python -m pipelines.run --retrain $(HERE)

serve: $(READY)  ## answer over HTTP, with a viewer: make serve MODEL=phantom@champion; Ctrl-C ends it
	@$(BIN)/segline serve "$(MODEL)" --host 127.0.0.1 --port "$(PORT)" --device "$(DEVICE)" --store "$(STORE)" \
	  $(if $(TRACKING),--tracking "$(TRACKING)")

mlflow: $(READY)  ## the registry's pages, on http://127.0.0.1:5000
	$(BIN)/mlflow server --host 127.0.0.1 --port 5000 \
	  --backend-store-uri "sqlite:///$(abspath $(STORE))/mlflow/mlflow.db"

test: $(READY) lint  ## lint, type check and all tests but the long trainings
	$(BIN)/python -m pytest -q -rs --durations=12 -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(READY)  ## the tests that wait for no training, server or process: for the loop while coding
	$(BIN)/python -m pytest -q -n 2 -m "not heavy and not slow and not cluster"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

images: $(READY)  ## build the stages' images: make images IMAGES="base serve" REGISTRY=registry.example.org/team
	@$(BIN)/python -m pipelines.images $(IMAGES) \
	  $(if $(ACCELERATOR),--accelerator "$(ACCELERATOR)") \
	  $(if $(REGISTRY),--registry "$(REGISTRY)") \
	  $(if $(TORCH_INDEX),--docker=--build-arg --docker="TORCH_INDEX=$(TORCH_INDEX)")

niivue: $(READY)  ## fetch what viewer.html and the server's page draw with, where it could not be fetched at first
	@$(BIN)/python -m pipelines.niivue

compile: $(READY)  ## write the pipeline for clusters, as IR and as manifests, to pipelines/compiled
	$(BIN)/python -m pipelines.compile $(DEMAND)

submit: $(READY)  ## run a task on a cluster: make submit TASK=spleen KFP_HOST=http://localhost:8080
	@$(BIN)/python -m pipelines.submit $(ON_CLUSTER) $(if $(FOLDS),--folds $(FOLDS)) \
	  $(if $(ENSEMBLE),--ensemble) $(if $(DETACH),--detach)

schedule: $(READY)  ## retrain on a schedule: make schedule CRON="0 0 2 * * 0", ACTION=list|pause|resume|delete
	@$(BIN)/python -m pipelines.schedule $(ACTION) --cron "$(CRON)" $(ON_CLUSTER)

check: $(READY)  ## what this machine can do
	@$(BIN)/segline check

check-cluster: $(READY)  ## what a Kubernetes cluster lacks before the pipeline can run on it
	@$(BIN)/python -m pipelines.check $(DEMAND)

kind:  ## a cluster on this machine with Kubeflow Pipelines, MinIO and MLflow; GPU=1 gives it the GPU
	@GPU="$(GPU)" manifests/kind/up

kind-down:  ## remove that cluster and its data
	@manifests/kind/down

clean:  ## remove the virtual environment; runs and store stay
	rm -rf .venv

$(READY): requirements.txt pyproject.toml segline/report/viewer/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "segline needs Python 3.11 or newer; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==$(UV)
	$(call install,$(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep '^torch==' requirements.txt))
	$(call install,--requirement requirements.txt)
	$(call install,--no-deps --editable . $(ALONE))
	@$(BIN)/python -m pipelines.niivue || echo "segline: going on without pages that show volumes" >&2
	@touch $@
