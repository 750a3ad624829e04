# Every target sets up what it needs: one virtual environment from requirements.lock, reused until that file changes.
# Variables: PYTHON=<interpreter>  VENV=<folder>  GPU=1 (adds the CUDA wheels)  ARGS="<more flags>" (train, runs, test, docs, lock)
# FIG=<number of a figure of the paper> (paper-small)  NAME=<a published number> (published)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
PEERS ?= .venv-peers
JOBS ?= 1
GPU ?=
FIG ?=
NAME ?=
ARGS ?=
# For bench-curvature: what pip installs PyHessian from; a folder with a copy of its repository will do.
PYHESSIAN ?= git+https://github.com/amirgholami/PyHessian@de8cf239ace21c7754ee599255897ebf3eed19cb
# The interpreters of test-pythons; empty for all that are found.
PYTHONS ?=
# `type: ignore` and `pyright: ignore` comments in the tree. It may only fall.
MAX_IGNORES := 0
UV_VERSION := 0.13.9

BIN := $(VENV)/bin
# Only what is imported gets compiled, when it is: compiling all of TensorFlow takes as long as installing it.
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --no-compile --no-deps
PIP_INSTALL_PEERS = $(PEERS)/bin/python -m pip install --disable-pip-version-check --no-input --quiet --no-deps
INSTALLED := $(VENV)/installed $(if $(filter-out 0,$(GPU)),$(VENV)/installed-gpu)

.PHONY: help setup train demo runs paper-report paper-small published test test-slow test-pythons lint types contract doctest docs quantities methods lock clean bench-peers bench-atari bench-curvature bench-loop bench-diagnostics bench-probe

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make the virtual environment (.venv) from requirements.lock

train: $(INSTALLED) ## Train LayerNorm Double DQN on Atari in its short form, into runs/quick
	$(BIN)/python bin/train --gin_file=gin/atari_dqn_ln.gin --gin_file=gin/sizes/quick.gin --run_dir=runs/quick $(ARGS)

demo: $(INSTALLED) ## Run a small sweep on digits and make its report, in a few minutes
	$(BIN)/python bin/sweep --experiment=gin/paper/small/demo.gin --run_root=runs/demo $(ARGS)
	$(BIN)/python bin/report --runs=runs/demo --out=runs/demo/report

runs: $(INSTALLED) ## Make the runs of docs/paper/queue.txt and commit each; stop and continue at will (JOBS=2: two at a time)
	nice -n 10 $(BIN)/python -m tfplastic.command_line.queue --jobs=$(JOBS) $(ARGS)

test: $(INSTALLED) ## Run the tests, doctests and the import contract
	@TIMEFORMAT='CPU time: %U s user + %S s sys (18 minutes at most are meant, on an idle machine)'; \
	time $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(INSTALLED) ## Run the tests that are marked slow
	$(BIN)/python -m pytest -m slow $(ARGS)

test-pythons: ## Run the tests under each Python at hand, each in an environment of its own (.venv-3.12, ...)
	@found=$$(.ci/pythons $(PYTHONS)); failed=; \
	while read -r version python; do \
	  echo "Python $$version: $$python"; \
	  $(MAKE) --no-print-directory test PYTHON="$$python" VENV=".venv-$$version" </dev/null || failed+=" $$version"; \
	done <<<"$$found"; \
	[ -z "$$failed" ] || { echo "Tests failed under Python$$failed." >&2; exit 1; }

lint: $(INSTALLED) ## Check style and formatting (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Check types (pyright, basic), and that the number of ignores has not risen
	$(BIN)/pyright --pythonpath $(BIN)/python
	@count=$$({ git grep -cE '(type|pyright): *ignore' -- '*.py' bin || true; } | awk -F: '{ sum += $$NF } END { print sum + 0 }'); \
	[ "$$count" -le $(MAX_IGNORES) ] || { echo "$$count type ignores, at most $(MAX_IGNORES) allowed." >&2; exit 1; }

contract: $(INSTALLED) ## Check who imports whom (import-linter)
	$(BIN)/lint-imports

doctest: $(INSTALLED) ## Run the examples in the docstrings alone
	TF_USE_LEGACY_KERAS=1 $(BIN)/python -m pytest tfplastic $(ARGS)

quantities: $(INSTALLED) ## Write docs/quantities.md from the docstrings of the quantities
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m tfplastic.diagnostics.declaration.quantities_page >docs/quantities.md

methods: $(INSTALLED) ## Write docs/methods.md from the methods' classes, docstrings and gin files
	TF_CPP_MIN_LOG_LEVEL=3 TF_USE_LEGACY_KERAS=1 $(BIN)/python -m tfplastic.command_line.methods_page >docs/methods.md

docs: $(INSTALLED) ## Build the site of these pages and the API into site/, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean $(ARGS)

# The build tools of the one source distribution (gym) go first: `--no-build-isolation` keeps unpinned ones out.
# TF-Agents is compiled because its first import would print Python's warnings about its syntax.
$(VENV)/installed: requirements.lock
	@python=$$(.ci/pythons $(PYTHON) | awk 'NR == 1 { print $$2 }'); \
	echo "Installing requirements.lock into $(VENV) with $$python (one to two minutes)"; \
	"$$python" -m venv --clear $(VENV)
	@awk '/^[a-z]/ { wanted = /^(setuptools|wheel)==/ } wanted' requirements.lock >$(VENV)/build-tools.txt
	@$(PIP_INSTALL) --require-hashes -r $(VENV)/build-tools.txt
	@$(PIP_INSTALL) --require-hashes --no-build-isolation -r requirements.lock
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@$(BIN)/python -W ignore -m compileall -q $(VENV)/lib/python3*/site-packages/tf_agents
	@touch $@

# The CUDA wheels are an addition to the same environment, at no version's expense.
$(VENV)/installed-gpu: requirements-gpu.lock $(VENV)/installed
	@echo "Installing requirements-gpu.lock (CUDA) into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements-gpu.lock
	@touch $@

lock: ## Remake the two lock files; pins stay unless ARGS moves them, as in ARGS="--upgrade-package scipy"
	@.ci/lock $(UV_VERSION) $(ARGS)

bench-peers: $(PEERS)/installed ## Make the environment of the benchmarks' peers (.venv-peers)

bench-atari: $(INSTALLED) $(PEERS)/installed ## Measure Atari training beside stable-baselines3 and CleanRL's style
	$(BIN)/python benchmarks/atari_throughput.py --peers-python=$(PEERS)/bin/python $(ARGS)

bench-curvature: $(INSTALLED) $(PEERS)/installed-pyhessian ## Measure Hessian products and spectra beside peers in PyTorch and JAX
	$(BIN)/python benchmarks/curvature.py --peers-python=$(PEERS)/bin/python $(ARGS)

bench-loop: $(INSTALLED) $(PEERS)/installed ## Measure gradient steps on data in memory beside JAX, PyTorch and Keras
	$(BIN)/python benchmarks/train_loop.py --peers-python=$(PEERS)/bin/python $(ARGS)

bench-diagnostics: $(INSTALLED) $(PEERS)/installed ## Measure what diagnostics cost, and beside their formulas in PyTorch
	$(BIN)/python benchmarks/diagnostics_overhead.py --peers-python=$(PEERS)/bin/python $(ARGS)

bench-probe: $(INSTALLED) $(PEERS)/installed ## Measure probes of plasticity beside JAX, PyTorch and Keras
	$(BIN)/python benchmarks/probe.py --peers-python=$(PEERS)/bin/python $(ARGS)

# What cannot be installed is named here, and its peers are rows 'not measured' of the benchmarks.
$(PEERS)/installed: $(wildcard benchmarks/peers/requirements/*.txt)
	@python=$$(.ci/pythons $(PYTHON) | awk 'NR == 1 { print $$2 }'); "$$python" -m venv --clear $(PEERS)
	@missing=; for each in $^; do \
	  $(PIP_INSTALL_PEERS) -r "$$each" || { missing=1; echo "Not installed, and so not measured: $$each" >&2; }; \
	done; \
	if [ -z "$$missing" ]; then touch $@; else echo "The next benchmark tries again." >&2; fi

# PyHessian comes from its repository: the release on PyPI, 0.1, calls `torch.eig`, which PyTorch has no more. Where the
# repository cannot be reached, the next `make bench-curvature` tries again.
$(PEERS)/installed-pyhessian: $(PEERS)/installed
	@if $(PIP_INSTALL_PEERS) --no-build-isolation --use-pep517 "$(PYHESSIAN)"; then touch $@; else \
	  echo "Not installed, and so not measured: PyHessian. Make bench-curvature with PYHESSIAN=<folder>" >&2; \
	fi

paper-report: $(INSTALLED) ## Make docs/paper/README.md and its figures from the runs that are committed there
	$(BIN)/python -m tfplastic.command_line.paper_report $(ARGS)

paper-small: ## Rerun a figure of the paper in its small form, with its report: make paper-small FIG=06
	@number=$$(sed -nE 's/^0*([1-9][0-9]?)$$/0\1/; s/^0([0-9]{2})$$/\1/; p' <<<"$(FIG)"); \
	if [ -z "$(FIG)" ] || [ ! -e "gin/paper/small/fig$$number.gin" ]; then \
	  known=$$(ls gin/paper/small | sed -n 's/^fig\([0-9][0-9]\)\.gin$$/\1/p' | xargs); \
	  echo "FIG must be a figure with a small form: $$known (06 is of Figs. 6 and 8 to 11, 12 of 12, 13, 15 and 16). Received: '$(FIG)'" >&2; \
	  exit 2; \
	fi; \
	$(MAKE) --no-print-directory setup; set -x; \
	$(BIN)/python bin/sweep --experiment=gin/paper/small/fig$$number.gin --run_root=runs/paper/fig$$number $(ARGS); \
	[ ! -d runs/paper/fig$$number ] || $(BIN)/python bin/report --runs=runs/paper/fig$$number --out=runs/paper/fig$$number/report

published: $(INSTALLED) ## Make the runs of a number of the literature and judge them (NAME=kumar_table2), or write the pages of all
	$(BIN)/python -m tfplastic.command_line.published $(if $(NAME),--name=$(NAME)) $(ARGS)

clean: ## Remove the environments and caches; runs/ stays
	rm -rf .venv .venv-* build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
