# make demo    the whole stream on real pictures: a minute or two the first time, then 15 seconds
# make up      broker, index and worker on this machine until Ctrl-C
# make test    the whole test suite
# make kafka   Apache Kafka in the foreground until Ctrl-C (needs Java 17 and Maven, no Docker)
# make test-kafka        the tests that use a broker, and a short chaos run, on Apache Kafka;
#                        test-kafka-long for all tests
# make chaos   faults in every part, no event may be lost: about ten minutes (SEEDS=2); SEED=n, LOAD=real|random
# make fuzz    100,000 hostile inputs, about five minutes; INPUTS=n, SEED=n
# make overload          a backlog of 100,000 large events; memory must not grow
# make soak MINUTES=30   a steady load; samples and plots go to SOAK_FOLDER
# make accuracy DATA=folder   accuracy on labelled pictures (docs/accuracy.md)
# make bench   throughput and latency, compared with the bare models and with other tools (docs/benchmarks.md)
# make profile   a flame graph of the worker, and the time of each graph operator
# make check   ruff, mypy, import-linter, drift of schemas, OpenAPI document and settings table
# make audit   known vulnerabilities of the locked packages (queries an advisory service)
# Everything runs in .venv, which is built from the locks; PYTHON selects the interpreter.

PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=
# Seeds of the chaos run on Apache Kafka, about six minutes each.
KAFKA_SEEDS ?= 1

.PHONY: accuracy bench bench-pages profile demo up test chaos fuzz overload soak kafka test-kafka test-kafka-long check format lock audit clean help
.DEFAULT_GOAL := help

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

.venv/run.stamp: locks/run.lock pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); \
	  sys.exit(0 if ok else f"facestream needs Python 3.11 to 3.13, this is {sys.version.split()[0]}: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "python3 cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "installing into .venv from locks/run.lock …" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/run.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp locks/dev.lock
	@echo "installing into .venv from locks/dev.lock …" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/dev.lock
	@touch $@

demo: .venv/run.stamp
	@$(BIN)/facestream demo

up: .venv/run.stamp
	@$(BIN)/facestream up

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n 4 --dist loadfile $(PYTEST_ARGS)

# Five minutes each.
SEEDS ?= 2
LOAD ?= both
chaos: .venv/dev.stamp
	$(BIN)/python -m tools.chaos chaos --seeds $(SEEDS) --load $(LOAD) $(if $(SEED),--seed $(SEED)) $(if $(BUG),--bug $(BUG))

INPUTS ?= 100000
fuzz: .venv/dev.stamp
	$(BIN)/python -m tools.fuzz --inputs $(INPUTS) $(if $(SEED),--seed $(SEED))

EVENTS ?= 100000
PIECE ?= 10000
overload: .venv/dev.stamp
	$(BIN)/python -m tools.chaos overload --events $(EVENTS) --piece $(PIECE)

MINUTES ?= 30
SOAK_FOLDER ?= var/soak
soak: .venv/dev.stamp
	$(BIN)/python -m tools.chaos soak --minutes $(MINUTES) --folder $(SOAK_FOLDER)

kafka: .venv/dev.stamp
	@$(BIN)/python -m tools.kafka

# The tests that depend on the broker; the others of tests/integration do not.
ON_KAFKA := tests/kafka $(addprefix tests/integration/test_,losing_nothing.py pictures.py bad_input.py commands.py unreadable.py)
test-kafka: .venv/dev.stamp
	@$(BIN)/python -m tools.kafka.jars
	TEST_BROKER=apache $(BIN)/python -m pytest -n 2 --dist loadfile -m "not long" $(PYTEST_ARGS) $(ON_KAFKA)
	TEST_BROKER=apache $(BIN)/python -m tools.chaos chaos --seed 7 --load random --events 2000 --longest-fault 8

test-kafka-long: .venv/dev.stamp
	@$(BIN)/python -m tools.kafka.jars
	TEST_BROKER=apache $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS) tests/kafka tests/integration
	TEST_BROKER=apache $(BIN)/python -m tools.chaos chaos --seeds $(KAFKA_SEEDS)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m streams.web.openapi --check
	$(BIN)/python -m streams.config.settings_table --check docs/configuration.md

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m schemas.generate
	$(BIN)/python -m streams.web.openapi
	$(BIN)/python -m streams.config.settings_table docs/configuration.md

# The newest versions that pyproject.toml allows, with hashes and without an index address.
COMPILE := $(BIN)/uv pip compile -q --universal --upgrade --generate-hashes --no-emit-index-url \
  --python-version 3.11 --custom-compile-command "make lock" pyproject.toml
lock: .venv/dev.stamp
	$(COMPILE) --extra embedded --extra build -o locks/run.lock
	$(COMPILE) --extra embedded --extra build --extra dev --extra bench -c locks/run.lock -o locks/dev.lock
	$(COMPILE) -c locks/run.lock -o locks/image.lock
	$(COMPILE:pyproject.toml=) --group audit -o locks/audit.lock

# dev.lock contains the packages of all other locks.
# Exit status 1: a vulnerability is known; 2: some packages could not be looked up.
.venv-audit/audit.stamp: locks/audit.lock
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/audit.lock
	@touch $@

audit: .venv-audit/audit.stamp
	@.venv-audit/bin/python deploy/audit.py .venv-audit/bin/pip-audit locks/dev.lock

clean:
	rm -rf .venv .venv-audit .venv-deepface build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache demo-output

accuracy: .venv/dev.stamp
	@test -n "$(DATA)" || { echo "make accuracy DATA=folder: which folder? docs/accuracy.md has the format" >&2; exit 2; }
	@$(BIN)/python -m benchmarks.accuracy "$(DATA)" --page docs/accuracy.md

# QUICK=1: three minutes, for development. ONLY=facestream,opencv,latency,scaling,growth,start: these
# parts. AGAIN=latency,1080p: repeats a part and a picture set, and updates the pages of the last run.
# BENCH_DATA=folder of JPEGs to use instead of the 640x480 ones. PEERS=deepface: compares with DeepFace
# too, in a separate environment or in that of DEEPFACE_PYTHON. Only a run of all sets and parts (with
# any REPEATS and BENCH_EVENTS), or AGAIN without other options, writes the pages.
REPEATS ?= 5
BENCH_EVENTS ?= $(if $(filter command line environment,$(origin EVENTS)),$(EVENTS),600)
EVERY_SET := vga,1080p,12mp
SETS ?= $(EVERY_SET)
WHOLE_RUN = $(and $(filter $(EVERY_SET),$(SETS)),$(if $(ONLY)$(BENCH_DATA)$(QUICK),,whole))
DEEPFACE_PYTHON ?= $(if $(findstring deepface,$(PEERS)),.venv-deepface/bin/python,python3)
BENCH := $(BIN)/python -m benchmarks
BENCH_PAGES := --json docs/benchmarks.json --page docs/benchmarks.md --scaling-page docs/scaling.md
bench: $(if $(AGAIN),$(if $(WHOLE_RUN),,$(error AGAIN measures into the pages of the last run: without SETS, ONLY, QUICK or BENCH_DATA))) .venv/dev.stamp $(if $(filter .venv-deepface/%,$(DEEPFACE_PYTHON)),.venv-deepface/stamp)
	@$(BENCH) --repeats $(REPEATS) --events $(BENCH_EVENTS) --sets $(SETS) --only "$(ONLY)" \
	  --peers "$(PEERS)" --deepface-python $(DEEPFACE_PYTHON) \
	  $(if $(BENCH_DATA),--data "$(BENCH_DATA)") \
	  $(if $(AGAIN),--again "$(AGAIN)") $(if $(QUICK),--quick) $(if $(WHOLE_RUN),$(BENCH_PAGES))

# Render the pages again from the last measurements.
bench-pages: .venv/dev.stamp
	@$(BENCH) --render $(BENCH_PAGES)

PROFILE ?= var/bench/worker.svg
profile: .venv/dev.stamp
	@$(BIN)/python -m benchmarks.profiling --output $(PROFILE)
	@echo "flame graph: $(PROFILE)" >&2

# TensorFlow needs 2 GB.
.venv-deepface/stamp:
	@test -x .venv-deepface/bin/python || $(PYTHON) -m venv .venv-deepface
	@.venv-deepface/bin/python -m pip install -q --disable-pip-version-check \
	  "deepface==0.0.103" tf-keras werkzeug aiokafka qdrant-client
	@touch $@
