# make demo   install, run the quick-start study, print the best trials, how right
#             they are, and where the report is
# make test   install with the tools of developers, run all checks and tests, which build the site
# make docs   build the documentation: build/site/index.html
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and by version: a range would fetch the newest build with its GPU libraries
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/vaeopt optimize studies/quick-start
	$(BIN)/vaeopt best studies/quick-start --truth
	$(BIN)/vaeopt report studies/quick-start

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -W --keep-going -n --quiet -b html -d build/doctrees docs build/site
	@echo "open build/site/index.html"

clean:
	rm -rf $(VENV)
