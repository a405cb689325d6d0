# make demo     see it work: a study goes from a PACS to the node and comes back
# make test     the whole test suite
# make soak     the tests of chance in their long forms: kills, floods, broken objects (hours)
# make test-viewers  results as a real viewer (OHIF) draws them, with pictures of it
# make install  just the virtual environment in .venv
# make lint     ruff, mypy, and who may import whom
# make coverage the whole test suite with the branches that it takes; coverage/index.html shows them
# make mutants  the tests of the deciding modules against small faults in them: a quarter of an hour

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: install demo test test-viewers soak coverage mutants lint clean

install: $(VENV)/installed

demo: install
	$(VENV)/bin/mediclip-dicom demo

test: $(VENV)/installed-test
	tests/system/install-debian-packages
	$(VENV)/bin/python -m pytest

soak: $(VENV)/installed-test
	tests/system/install-debian-packages
	MEDICLIP_SOAK=1 $(VENV)/bin/python -m pytest -m soak -o timeout=14400

coverage: $(VENV)/installed-test
	tests/system/install-debian-packages
	$(VENV)/bin/python -m pytest --cov --cov-report=term --cov-report=html

# mutmut works on a copy in mutants/, so the copy has to be found before the checkout. Its exit
# status says nothing of survivors; CONTRIBUTING.md names those that are known.
mutants: $(VENV)/installed-dev
	rm -rf mutants && mkdir mutants
	PYTHONPATH=$(CURDIR)/mutants OMP_NUM_THREADS=1 $(VENV)/bin/mutmut run
	$(VENV)/bin/mutmut results

# The viewer as its makers publish it, built; nothing of it is changed.
VIEWERS := .viewers
OHIF := @ohif/app@3.13.2
PLAYWRIGHT := playwright-core@1.65.1

test-viewers: $(VENV)/installed-test $(VIEWERS)/fetched
	MEDICLIP_VIEWERS=$(CURDIR)/$(VIEWERS) $(VENV)/bin/python -m pytest -s tests/viewers

$(VIEWERS)/fetched:
	PACKAGES="dcmtk orthanc orthanc-dicomweb orthanc-gdcm chromium nodejs npm" \
	  tests/system/install-debian-packages
	mkdir -p $(VIEWERS)/ohif $(VIEWERS)/modules/playwright-core
	cd $(VIEWERS) && tar xzf "$$(timeout 300 npm pack --silent $(OHIF))" -C ohif
	cd $(VIEWERS) && tar xzf "$$(timeout 300 npm pack --silent $(PLAYWRIGHT))" --strip-components 1 \
	  -C modules/playwright-core
	@touch $@

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info coverage mutants

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sqlite3, sys; python = sys.version_info; sys.exit( \
	  python < (3, 11) or python >= (3, 12) and sqlite3.sqlite_version_info < (3, 42))' || \
	  { echo "Python 3.11 is needed, or a newer one with SQLite 3.42 or newer;" \
	  "name it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "On Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV): a few minutes and about 6 GB, most of it torch."
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) -e '.[demo,test]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	$(PIP) -e '.[demo,dev]'
	@touch $@
