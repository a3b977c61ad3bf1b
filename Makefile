# make demo           both stages on a generated task, on two CPU cores
# make test           all tests but the next five
# make test-latents   what trained codes hold and what they do not: some minutes of training
# make test-architectures   every causal type of transformers: the table of docs/MODELS.md, some minutes
# make test-faults   kills at every file operation, races, damage, malformed input: counts, about an hour
# make test-lowest   the tests with the lowest versions that setup.cfg declares; some GB
# make test-engines   the tests with vLLM for CPUs, which it installs: some GB and minutes
# make lint           style and formatting
# make bench          speed, as ratios within one run
# make docs           README.md and docs/ as a site in build/docs; a broken link or reference fails
# make clean          removes environments, builds and the demo
# Each does its own set-up; needs Python 3.11 or later, make and a C compiler.

PYTHON ?= python3
WHICH ?= lowest
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-latents test-architectures test-faults test-lowest test-engines lint bench docs clean

demo: $(READY)
	$(BIN)/mixlm demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 $(PYTEST_OPTIONS)

test-latents: $(READY)
	$(BIN)/python -m pytest -n 2 tests/latents/wording.py

test-architectures: $(READY)
	$(BIN)/python -m tests.architectures.sweep

test-faults: $(READY)
	$(BIN)/python -m tests.faults $(FAULTS_OPTIONS)

# Skipped with a message where less than 12 GB are free. WHICH=newest: the newest of all but torch.
test-lowest:
	$(PYTHON) tests/lowest.py $(WHICH) $(PYTEST_OPTIONS)

# Skipped with a message where vLLM cannot be installed. MIXLM_ENGINE=PYTHON: one that has it already.
test-engines: $(READY)
	$(BIN)/python -m tests.engines $(PYTEST_OPTIONS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# torch goes first and alone, so that nothing else decides which build of it is taken.
$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,gguf]'
	@touch $@

bench: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH_OPTIONS)

docs: .venv/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -c docs . build/docs
	@echo build/docs/index.html

# Once installed, the site is built without a network.
.venv/docs: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv .venv-lowest .venv-newest .venv-engines build dist demo *.egg-info .pytest_cache .ruff_cache .hypothesis
