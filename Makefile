# make demo        a real service, made sick, diagnosed and healed
# make demo-all    the same with every illness that the demo knows
# make test        everything, on servers that the tests start themselves
# make lint        ruff and mypy --strict
# make scenarios   the accuracy benchmark; ONLY=P01,P05 SEED=7 PG=15 narrow it
# make bench-postgres   ours and its peers in turn on one sick server; then hard servers; bars
# make memory      three leaks, a cache that fills and a steady process, watched for 90 s
# make venv        only installs, into .venv, wheels only

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all:
DEBIAN := postgresql-15 postgresql-15-hypopg pgbouncer redis-server rabbitmq-server openssl prometheus chromium \
          nginx-light
SERVERS := /usr/lib/postgresql/15/bin/postgres \
           /usr/share/postgresql/15/extension/hypopg.control \
           /usr/sbin/pgbouncer /usr/bin/redis-server /usr/lib/rabbitmq/bin/rabbitmq-server \
           /usr/bin/openssl /usr/bin/promtool /usr/bin/chromium /usr/sbin/nginx
# in runlevel 1, Debian's packages do not start their services: the tests start their own
APT := RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get

PEERS := check-postgres prometheus-postgres-exporter pg-activity pgbadger curl

.PHONY: bench-postgres demo demo-all lint memory packages scenarios test venv

demo: $(VENV)/.demo
	$(BIN)/backend-doctor demo

demo-all: $(VENV)/.demo
	$(BIN)/backend-doctor demo --all

test: $(VENV)/.test packages
	@$(BIN)/python -m pytest -n 2 --dist loadfile || { [ $$? = 1 ] && \
	  echo "what failed beside other tests is asked once more, alone:" && \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 1; }

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

scenarios: $(VENV)/.test packages
	$(BIN)/python -m tests.scenarios $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED)) $(if $(PG),--pg $(PG))

# on the interpreter that Debian's peers run on
bench-postgres: packages
	@which check_postgres prometheus-postgres-exporter pg_activity pgbadger curl >/dev/null || { \
	  $(APT) update -qq && $(APT) install -qq --no-install-recommends $(PEERS) >/dev/null; }
	@$(MAKE) --no-print-directory VENV=.venv-debian PYTHON=/usr/bin/python3 .venv-debian/.test
	.venv-debian/bin/python -m bench.postgres

memory: $(VENV)/.test
	MEMORY_SECONDS=90 $(BIN)/python -m pytest tests/backends/process/test_memory.py -k short_look

venv: $(VENV)/.demo

# editable, so that only a change of pyproject.toml needs another installation
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[demo,test]'
	@touch $@ $(VENV)/.demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than 3.11; try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] || \
	  { echo "$(PYTHON) cannot make virtual environments; as root: apt-get install python3-venv" >&2; exit 1; }; \
	  $(APT) update -qq && $(APT) install -qq --no-install-recommends python3-venv >/dev/null; }
	$(PYTHON) -m venv $(VENV)

packages:
	@ls $(SERVERS) >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] || \
	  { echo "the tests need, as root: apt-get install $(DEBIAN)" >&2; exit 1; }; \
	  $(APT) update -qq && $(APT) install -qq --no-install-recommends $(DEBIAN) >/dev/null; }
