# The two commands of the README are `make demo` and `make test`. Everything is in scripts/; this names it.
.DEFAULT_GOAL := help
.PHONY: help demo test test-private test-engines fuzz selftest docs release lint types format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## grade the example class, from nothing: installs and starts what is missing
	@scripts/demo.sh

test: ## run the tests, from nothing: unit, engine, browser, a selection of the selftest
	@scripts/test.sh

test-private: ## run the long tests: private engine, proxy, hostile corpus, kill points, cluster (about half an hour)
	@scripts/setup.sh
	@.venv/bin/python -m pytest -m "private or long" --durations=15

test-engines: ## try other engines (Docker 20.10, 26.1, 28.5, Podman) nested in this one: ENGINES=podman-5.4, an hour for all
	@scripts/setup.sh
	@scripts/prepare.sh
	@.venv/bin/python -m tests.engines.run $(ENGINES)

fuzz: ## throw random input at submissions, policy, spec loader and proxy, SECONDS=60 for each
	@scripts/setup.sh
	@for one in tests/fuzz/fuzz_*.py; do one=$$(basename $$one .py); \
	    echo "$$one"; .venv/bin/python -m tests.fuzz.$$one --seconds $(or $(SECONDS),60) || exit 1; done

selftest: ## grade every right and every wrong solution of the course for real
	@scripts/selftest.sh

docs: ## build the handbook and the other pages as a site, into build/site
	@scripts/docs.sh

release: ## build wheel, sdist and bill of materials into dist/, and try the wheel
	@scripts/release.sh

lint: ## ruff check, ruff format --check, shellcheck
	@scripts/lint.sh

types: ## mypy --strict
	@scripts/setup.sh
	@.venv/bin/mypy

format: ## format the code, and fix what ruff can fix safely
	@scripts/setup.sh
	@.venv/bin/ruff check --fix-only
	@.venv/bin/ruff format

lock: ## write requirements/*.txt again from pyproject.toml (UPGRADE=1: newest versions)
	@scripts/setup.sh
	@scripts/lock.sh

clean: ## remove what builds, tests and the demo wrote; .venv, the engine and its images stay
	@rm -rf build dist demo-results .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find grader reference scripts tests -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
