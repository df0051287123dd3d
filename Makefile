# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
IN_TREE = .venv/bin/python tests/tools/in_tree.py
STEPS = .venv/bin/python tests/tools/steps.py

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: setup ## watch the collection work on a host of its own (changes nothing outside this folder)
	@$(IN_TREE) tests/demo/run

bench: setup ## time it against its peers, some minutes (ARGS="--quick": only to see that it works; ARGS="kata": some rows)
	@BENCH_DOCS="$(CURDIR)/docs" $(IN_TREE) tests/bench/run $(ARGS)

test: setup packages ## all checks and the short tests, about five minutes on two cores (V=1 shows all output)
	@$(STEPS) test

test-all: setup packages ## the long suites after make test: all crash points, all races, the fleet
	@$(STEPS) long-together long-alone

lint: setup ## ruff, mypy, yamllint, ansible-lint, changelog, documentation
	@$(STEPS) lint

docs-check: setup ## the modules' documentation only
	@$(STEPS) docs-check

docs: setup ## write the options of the roles into their READMEs, and draw the floors
	@.venv/bin/python tests/tools/role_readme.py
	@.venv/bin/python tests/tools/floors_picture.py

sanity: setup ## ansible-test sanity
	@$(STEPS) sanity

units: setup ## unit tests on each Python from 3.9 on
	@$(STEPS) units

integration: setup packages ## tests with real runtimes (as root)
	@$(STEPS) integration faults

fleet: setup packages ## playbooks over ssh, on five small hosts (as root)
	@$(STEPS) fleet

molecule: setup packages ## the molecule scenarios (as root; without, the default one alone)
	@$(STEPS) molecule

pytest: setup ## pytest with arguments of yours: make pytest ARGS="tests/unit -k lock"
	@$(IN_TREE) python -m pytest $(ARGS)

format: setup ## format the code and sort its imports
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

clean: ## remove what make created, but not the fetched runtimes in .lab
	@rm -rf .venv .cache .ansible .mypy_cache .pytest_cache .ruff_cache tests/output

setup:
	@$(PYTHON) tests/tools/setup.py

packages:
	@tests/tools/system-packages

.PHONY: help demo bench test test-all lint docs docs-check sanity units integration fleet molecule pytest format clean setup packages
