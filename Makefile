# What a person does with AstrID. `make` alone lists it.
#
# Every target makes the environment in .venv or reuses it. Settings, all optional:
#   PYTHON=/path/to/python3.12   the Python to make it with (3.11, 3.12 or 3.13; default: python3)
#   VENV=.venv                   where it stands
#   ASTRID_HOME=~/.astrid        where AstrID keeps its data
#   ARGS='…'                     further arguments of demo, test, bench, bench-science, champion
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help env demo test test-faults test-backfill test-s3 dev bench bench-science champion lint format lock clean

VENV ?= .venv
PYTHON ?=
ARGS ?=
WORKERS ?= 2
NIGHTS ?= 200
PORT ?= 3000
ASTRID_HOME ?= $(HOME)/.astrid
BIN := $(VENV)/bin

export ASTRID_HOME
export DAGSTER_DISABLE_TELEMETRY := yes
export MLFLOW_DISABLE_TELEMETRY := true

# The stamp names the folder and the Python it was made for: another folder or Python, another
# environment. It is older than the lock or the project's metadata when these have changed.
STAMP := $(VENV)/.astrid-installed
ifneq ($(strip $(shell cat $(STAMP) 2>/dev/null)),$(strip $(CURDIR) $(PYTHON)))
.PHONY: $(STAMP)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

env: $(STAMP) ## make or refresh the environment

$(STAMP): requirements.lock pyproject.toml tools/environment.sh
	@tools/environment.sh '$(VENV)' '$(PYTHON)'

demo: env ## every stage on ten real frames; prints the transients found
	@$(BIN)/astrid demo $(ARGS)

test: env ## the tests (no network needed; with ASTRID_DATA also those on real frames)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-faults: env ## the long fault tests: kills, lost servers, broken stores, hostile files
	@$(BIN)/python -m pytest -m faults -n $(WORKERS) --dist loadfile $(ARGS)

test-backfill: env ## a backfill of 200 nights on Dagster's own daemon, killed twice (NIGHTS=…)
	@BACKFILL_NIGHTS=$(NIGHTS) $(BIN)/python -m pytest -m faults -n 0 -s --show-capture=no astrid_tests/faults/test_backfill.py $(ARGS)

test-s3: env ## the object-store tests on a real S3 server (ENDPOINT=… BUCKET=… REGION=auto, keys in the environment)
	@test -n '$(ENDPOINT)' || { echo "AstrID: make test-s3 ENDPOINT=https://… BUCKET=… REGION=auto, with S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY in the environment" >&2; exit 1; }
	@TEST_S3_ENDPOINT='$(ENDPOINT)' TEST_S3_BUCKET='$(BUCKET)' TEST_S3_REGION='$(REGION)' \
	  $(BIN)/python -m pytest -k 's3 or multipart or large or upload' astrid_tests/resources/test_objects.py astrid_tests/resources/test_multipart.py $(ARGS)

dev: env ## the Dagster UI and daemon on 127.0.0.1:3000 (PORT=…)
	@exec $(BIN)/astrid dev --port $(PORT)

bench: env ## time, CPU and memory of each stage on the synthetic sky
	@$(BIN)/python -m astrid_assets.bench $(ARGS)

bench-science: env ## statistics of the subtraction against theory (ARGS=--quick: minutes)
	@$(BIN)/python -m astrid_assets.bench.science $(ARGS)

champion: env ## train the shipped model again and write its files and figures
	@$(BIN)/python -m astrid_assets.training $(ARGS)

lint: env ## style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: env ## put the code into the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# One resolution for all platforms and Pythons; the image's lock is the same one without the
# development tools.
LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-strip-extras --python-version 3.11
lock: ## resolve the dependencies again (needs uv; `make lock ARGS=--upgrade` for newer ones)
	@command -v uv >/dev/null || { echo "AstrID: make lock needs uv" >&2; exit 1; }
	@$(LOCK) --extra dev $(ARGS) pyproject.toml -o requirements.lock
	@$(LOCK) --extra image --constraint requirements.lock $(ARGS) pyproject.toml -o docker/requirements.lock

clean: ## remove caches and build outputs (the environment and ASTRID_HOME stay)
	@find astrid_assets astrid_resources astrid_tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@echo "The environment ($(VENV)) and the data ($$ASTRID_HOME) stay; remove them by hand."
