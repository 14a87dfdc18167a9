# Needs Python 3.11 or newer; everything else goes into .venv, in the versions of requirements/locked.txt.
# Nothing is installed again before pyproject.toml or the lock changes.

LOCK := requirements/locked.txt
RUN := .venv/bin/python -m
PYTEST_ARGS ?=
# Two processes, each of which compiles the programs of a memory once.
PYTEST := pytest -n 2 --dist loadgroup
# Compiling takes most of the tests' time. XLA's older emitters take half of it; newer versions than the locked one may lack them.
QUICK := XLA_FLAGS="$$XLA_FLAGS --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
# The first Python that is new enough; `make test PYTHON=python3.12` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# The other end of the version range: uv finds that Python (or fetches it, where it may), unless pyenv knows a place.
PYTHON_NEWEST ?= $(shell p="$$(pyenv prefix 3.13 2>/dev/null)/bin/python3.13"; test -x "$$p" && echo "$$p" || echo 3.13)

# Puts the locked versions and this checkout into the environment $(1). pip steps in where uv has no index to ask.
define install
.venv/bin/uv pip install --python $(1)/bin/python -r $(LOCK) || .venv/bin/python -m pip --python $(1)/bin/python install -r $(LOCK)
.venv/bin/uv pip install --python $(1)/bin/python --offline --no-deps --no-build-isolation -e .
@touch $(1)/.installed
endef

.PHONY: help demo test test-all test-newest check format docs bench wheel-test lock
.DEFAULT_GOAL := help

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: .venv/.installed ## train four NTMs to copy, from four seeds, and evaluate them; results in runs/ntm_copy
	$(RUN) experiments.train ntm_copy --seeds 4 --out runs/ntm_copy

test: check ## lint, format, types, and the fast tests; PYTEST_ARGS="-k ntm" narrows them
	$(QUICK) $(RUN) $(PYTEST) $(PYTEST_ARGS)

test-all: check ## the same with the slow tests, which train something
	$(QUICK) $(RUN) $(PYTEST) --slow $(PYTEST_ARGS)

test-newest: .venv-newest/.installed ## the fast tests with Python 3.13 and the newest JAX (PYTHON_NEWEST=...)
	.venv-newest/bin/python -m $(PYTEST) $(PYTEST_ARGS)

check: .venv/.installed ## lint, format and types only
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) ty check --python .venv

format: .venv/.installed ## rewrite the files as the checks want them
	$(RUN) ruff check --fix-only
	$(RUN) ruff format

docs: .venv/.installed ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict

bench: .venv/.installed ## measure speed and memory, next to a plain scan and, where torch is installed, PyTorch
	$(RUN) experiments.bench

# Installs the wheel as a stranger would: newest versions, an empty environment, a folder from which the checkout is not seen.
wheel-test: .venv/.installed ## build wheel and sdist; on the installed wheel, run the README's Python and some tests
	rm -rf dist
	.venv/bin/uv build --no-build-isolation --python .venv/bin/python --out-dir dist
	.venv/bin/python -c 'import glob, zipfile; \
		names = zipfile.ZipFile(*glob.glob("dist/*.whl")).namelist(); \
		extra = [n for n in names if not n.startswith(("diffmem/", "diffmem-"))]; \
		assert not extra and "diffmem/py.typed" in names, extra or "no py.typed"'
	@set -e; checkout=$$PWD; wheel=$$PWD/$$(echo dist/*.whl); uv=$$PWD/.venv/bin/uv; place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	awk '/^```/ { on = /^```python/; next } on' README.md > "$$place/readme.py"; \
	test -s "$$place/readme.py" || { echo "README.md has no python example"; exit 1; }; \
	"$$uv" venv --quiet --python .venv/bin/python "$$place/env"; \
	"$$uv" pip install --quiet --python "$$place/env/bin/python" "$$wheel"; \
	cd "$$place"; \
	env/bin/python -I -c 'import diffmem, sys; print(diffmem.__file__); assert diffmem.__file__.startswith(sys.prefix)'; \
	env/bin/python -I readme.py; \
	"$$uv" pip install --quiet --python "$$place/env/bin/python" "$$wheel[test]"; \
	cp -r "$$checkout/tests" "$$checkout/pyproject.toml" .; \
	env/bin/python -m $(PYTEST) -q tests/test_addressing.py tests/test_errors.py tests/test_fused.py

lock: .venv/bin/uv ## resolve the versions of requirements/locked.txt anew
	UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--upgrade --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --quiet --output-file $(LOCK)

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo "diffmem needs Python 3.11 or newer: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' $(LOCK))"

.venv/.installed: pyproject.toml $(LOCK) | .venv/bin/uv
	$(call install,.venv)

.venv-newest/.installed: pyproject.toml $(LOCK) | .venv/bin/uv
	test -x .venv-newest/bin/python || .venv/bin/uv venv --python "$(PYTHON_NEWEST)" .venv-newest
	$(call install,.venv-newest)
