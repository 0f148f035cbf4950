# The house's commands; `make help` lists them.
#
# One virtualenv, .venv/, made by whichever target needs it first.  `run` and `demo` need only requirements.lock;
# `test` and `check` add requirements-dev.lock on top.  Nothing is installed outside .venv/, and nothing ever with sudo.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet

# Where the environment forbids compiled files, each of a site's forty daemons would compile hundreds of modules anew.
export PYTHONDONTWRITEBYTECODE :=

# What an installation depends on: an editable install misses packages that were added after it.
HOUSE := setup.cfg pyproject.toml setup.py qianzhi/wire/_kernel.pyx

# A site of config/sites/; without one the default site, config/site.toml.
SITE ?=
QIANZHI = $(BIN)/qianzhi $(if $(SITE),--site "$(SITE)")

DEMO_SECONDS ?= 20
DEMO_RATE ?= 100
DEMO_KILL ?=

# Tests wait more than they work, so that more processes than processors pay.  Their folder's name is short, because
# the paths of sockets are.
TEST_JOBS ?= 3

# All faults without a list.
FAULTS ?=
FAULTS_RATE ?= 300

# Faults of all kinds, or of those of a list.
MINUTES ?= 10
SEED ?= 1
CHAOS_RATE ?= 300
CHAOS_KINDS ?=

# For each parser: until so many seconds or (where it is given) executions.
FUZZ_SECONDS ?= 20
FUZZ_RUNS ?=
FUZZ_PARSERS ?=
FUZZ_KEEP ?=

# Of every live port: frames that its daemon has to read; the seed; banks or ports, all without any.
FRAMES ?= 100000
BANKS ?=

# Of the benchmarks: rounds, seconds for each run, what is run, and what each tool understands besides (--help).
BENCH_ROUNDS ?= 5
BENCH_SECONDS ?= 4
BENCH ?= end-to-end,relay,queue,latency,codec
BENCH_MORE ?=

# Seeds of the simulator, and the first of them.
SEEDS ?= 200
FIRST ?= 1

# All mutants without names; so many at once.
MUTANTS ?=
MUTANT_JOBS ?= 2

CODE := qianzhi frontends bankmq socket_pool interface_layer crm_bridge simulators examples benchmarks tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run demo test test-ibmmq check bench bench-overload bench-growth check-speed chaos faults fuzz fuzz-ports simulate mutants lock clean

help:  ## show this list
	@echo "usage: make TARGET [PYTHON=python3.11]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{printf "%-14s %s\n", $$1, $$2}'

setup: $(VENV)/.dev  ## make .venv/ with everything that run, test and check need

run: $(VENV)/.run  ## bring the whole path up in the foreground with simulated banks; Ctrl-C ends it; SITE=carrier|pair
	@exec $(QIANZHI) run --traffic

demo: $(VENV)/.run  ## a bounded run that proves itself: SITE=carrier|pair DEMO_SECONDS=20 DEMO_RATE=100 DEMO_KILL=node|front|bridge|DAEMON
	@exec $(QIANZHI) demo --seconds "$(DEMO_SECONDS)" --rate "$(DEMO_RATE)" $(if $(DEMO_KILL),--kill "$(DEMO_KILL)")

test: $(VENV)/.dev  ## run every test, some against servers that it starts itself (takes minutes): TEST_JOBS=3
	@folder=$$(mktemp -d /tmp/qz.XXXX) && \
	    { $(BIN)/python -m pytest --numprocesses "$(TEST_JOBS)" --dist loadfile --no-loadscope-reorder --ignore tests/chaos/test_chaos.py \
	        --basetemp "$$folder/t"; status=$$?; rm -rf "$$folder"; exit $$status; }
	@QIANZHI_PURE=1 $(BIN)/python -m pytest --numprocesses "$(TEST_JOBS)" tests/wire tests/fuzz/test_corpus.py
	@$(BIN)/python -m pytest tests/chaos/test_chaos.py

test-ibmmq: $(VENV)/.dev  ## test queues on a real queue manager of IBM MQ (docs/IBM_MQ.md)
	@$(BIN)/python -m pytest tests/bankmq/ibmmq_live.py

check: $(VENV)/.dev  ## format, lint, types, the layers' contracts and the tidiness of the tree
	@$(BIN)/ruff format --check $(wildcard $(CODE))
	@$(BIN)/ruff check $(wildcard $(CODE))
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest tests/test_tidy.py

faults: $(VENV)/.run  ## kill and freeze one process after the other under load: FAULTS=kill-node,stop-broker FAULTS_RATE=300
	@exec $(BIN)/python benchmarks/faults.py --site "$(or $(SITE),carrier)" --rate "$(FAULTS_RATE)" --only "$(FAULTS)"

chaos: $(VENV)/.run  ## as root, the carrier's site on machines of its own under random faults: MINUTES=10 SEED=1 CHAOS_RATE=300
	@exec $(BIN)/python benchmarks/chaos.py --minutes "$(MINUTES)" --seed "$(SEED)" --rate "$(CHAOS_RATE)" \
	    --kinds "$(CHAOS_KINDS)"

fuzz: $(VENV)/.fuzz  ## break the parsers with made-up bytes: FUZZ_SECONDS=20 FUZZ_RUNS=300000 FUZZ_PARSERS="tlv pin"
	@exec $(BIN)/python tests/fuzz/fuzz_run.py $(FUZZ_PARSERS) $(if $(FUZZ_KEEP),--keep) \
	    $(if $(FUZZ_RUNS),--runs "$(FUZZ_RUNS)",--seconds "$(FUZZ_SECONDS)")

fuzz-ports: $(VENV)/.run  ## mutated frames on the live ports of every bank and of link: FRAMES=100000 SEED=1 BANKS="icbc psbc"
	@exec $(BIN)/python tests/fuzz/ports_run.py --frames "$(FRAMES)" --seed "$(SEED)" $(BANKS)

bench: $(VENV)/.dev  ## the product beside its yardsticks, interleaved (about 10 minutes): BENCH_ROUNDS=5 BENCH_SECONDS=4 BENCH=end-to-end,queue
	@exec $(BIN)/python benchmarks/speed/bench.py --rounds "$(BENCH_ROUNDS)" --seconds "$(BENCH_SECONDS)" --only "$(BENCH)"

bench-overload: $(VENV)/.dev  ## twice and five times the capacity, a flooding and a stuck bank (about 5 minutes); exit 1 when it does not hold
	@exec $(BIN)/python benchmarks/speed/overload.py $(BENCH_MORE)

bench-growth: $(VENV)/.dev  ## against connections, banks, accounts, journal rows and writers, with plots (an hour or two): BENCH_MORE=--quick
	@exec $(BIN)/python benchmarks/speed/growth.py $(BENCH_MORE)

check-speed: $(VENV)/.dev  ## instructions of the hot parts against recorded ones, by valgrind (2 minutes): BENCH_MORE=--record
	@exec $(BIN)/python benchmarks/speed/check_speed.py $(BENCH_MORE)

simulate: $(VENV)/.run  ## the whole system in one process, from seeds, with everything going wrong: SEEDS=200 FIRST=1
	@exec $(BIN)/qianzhi simulate --seeds "$(SEEDS)" --first "$(FIRST)"

mutants: $(VENV)/.dev  ## plant faults in copies of the tree, one after the other: does the check that must notice? MUTANTS="third_send"
	@exec $(BIN)/python tests/mutants/mutants_run.py $(MUTANTS) --jobs "$(MUTANT_JOBS)"

lock: $(VENV)/.dev  ## work both lock files out again from setup.cfg (asks the package index)
	@rm -rf build/lock && $(call make-venv,build/lock) && build/lock/bin/python -m pip install --quiet pip-tools
	@for kind in "" "-dev" "-fuzz"; do \
	  build/lock/bin/python -m piptools compile --quiet --strip-extras --generate-hashes --allow-unsafe \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --build-deps-for wheel \
	    $$(test -z "$$kind" || echo --extra $${kind#-}) --output-file requirements$$kind.lock setup.cfg || exit 1; \
	done; rm -rf build/lock

clean:  ## remove .venv/, build products, caches and var/ (the embedded core's data goes with it)
	@rm -rf $(VENV) build dist var *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f qianzhi/wire/_kernel.c qianzhi/wire/_kernel*.so

# A virtualenv with pip in it.  Debian without python3-venv has no ensurepip: then the system's pip, if there is one,
# installs into a virtualenv made without; else say which package is missing and leave nothing half-made behind.
define make-venv
( $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    || { echo "qianzhi needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || true). Say make PYTHON=/path/to/python3.11" >&2; exit 1; } ; \
  $(PYTHON) -m venv $(1) >/dev/null 2>&1 \
    || { rm -rf $(1); $(PYTHON) -m venv --without-pip $(1) >/dev/null 2>&1 \
         && $(PYTHON) -m pip --version >/dev/null 2>&1 \
         && $(PYTHON) -m pip --python $(1)/bin/python install --quiet pip >/dev/null; } \
    || { rm -rf $(1); echo "cannot make a virtualenv; install it first: apt-get install python3-venv" >&2; exit 1; } )
endef

$(VENV)/.made:
	@echo "making $(VENV)/ with $(PYTHON)"
	@$(call make-venv,$(VENV))
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements.lock $(HOUSE)
	@echo "installing requirements.lock into $(VENV)/"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "installing requirements-dev.lock into $(VENV)/"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev requirements-fuzz.lock
	@echo "installing requirements-fuzz.lock into $(VENV)/"
	@$(PIP) install --require-hashes -r requirements-fuzz.lock
	@touch $@
