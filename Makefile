# Every target sets up .venv first; that is quick from the second time on.
#   make demo ARGS=--once      PYTHON=/path/to/python3 make setup

VENV := .venv
RUN := $(VENV)/bin/python
SETUP := $(VENV)/.set-up
BENCH := .tools/bench
BENCH_SETUP := $(BENCH)/.set-up
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-flask test coverage lint types screenshots messages bench bench-faults stress prove docs-check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(SETUP)  ## make .venv with all extras and tools (PYTHON=... chooses the interpreter)

$(SETUP): pyproject.toml tests/tools/setup.sh
	@tests/tools/setup.sh $(VENV)
	@touch $@

demo: $(SETUP)  ## Django over real data: a narrated run, then a site to look at (ARGS=--once ends after the run)
	@$(RUN) example_projects/django_atlas/demo.py $(ARGS)

demo-flask: $(SETUP)  ## the same with Flask
	@$(RUN) example_projects/flask_catalog/demo.py $(ARGS)

test: $(SETUP)  ## all tests (ARGS="tests/keys -x": those, by pytest)
	@tests/tools/servers.sh redis memcached postgres pgbouncer chromium
	@$(RUN) $(if $(strip $(ARGS)),-m pytest $(ARGS),tests/tools/run_all.py)

coverage: $(SETUP)  ## all tests, with branch coverage
	@tests/tools/servers.sh redis memcached postgres pgbouncer chromium
	@$(RUN) tests/tools/run_all.py --coverage $(ARGS)

lint: $(SETUP)  ## ruff, formatting, import contracts
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(VENV)/bin/lint-imports

types: $(SETUP)  ## mypy over packages and typing tests, pyright over the typing tests
	$(RUN) -m mypy
	$(RUN) -m pyright

screenshots: $(SETUP)  ## renew the pictures of the docs with Chromium
	@tests/tools/servers.sh redis chromium
	@SCREENSHOTS=1 $(RUN) -m pytest tests/browser -q -p no:randomly $(ARGS)

messages: $(SETUP)  ## collect the texts of the Django admin page, and compile their translations (needs gettext)
	@cd django_ext && ../$(RUN) -m django makemessages --all --no-location --no-wrap
	@cd django_ext && ../$(RUN) -m django compilemessages

bench: $(BENCH_SETUP)  ## measure against other caching packages (ARGS choose what)
	@$(BENCH)/bin/python -m tests.benchmarks $(ARGS)

bench-faults: $(BENCH_SETUP)  ## what each package makes of a Redis that fails (six minutes; ARGS=--quick)
	@$(BENCH)/bin/python -m tests.benchmarks --only faults $(ARGS)

# The peers live in an environment of their own: what they pin must not decide what is tested.
$(BENCH_SETUP): $(SETUP) tests/benchmarks/requirements.txt
	@echo "Installing the packages to compare with into $(BENCH) ..."
	@tests/tools/servers.sh redis
	@test -x $(BENCH)/bin/python || $(RUN) -m venv --without-pip $(BENCH)
	@$(RUN) -m pip --python $(BENCH)/bin/python install -qq --editable '.[all]' -r tests/benchmarks/requirements.txt
	@touch $@

stress: $(SETUP)  ## three minutes of faults, each read looked at (ARGS="--seconds 600 --mode strict --seed 1")
	@tests/tools/servers.sh redis
	@$(RUN) -m tests.stress $(ARGS)

prove: $(SETUP)  ## run the protocol through every order of small scenarios, with each rule off in turn (ARGS=--quick)
	@$(RUN) -m cache_core.testing.simulation $(ARGS)

docs-check: $(SETUP)  ## run the code in README.md and docs/, check links and that nothing is left out
	@tests/tools/servers.sh redis
	$(RUN) -m pytest tests/test_docs.py tests/test_docs_complete.py $(ARGS)

clean:  ## remove environments, caches and everything else that can be made again
	rm -rf $(VENV) .tools .demo build dist htmlcov .coverage coverage.xml
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
