# Each target works on a fresh Debian 12 and installs what it misses: Debian packages (as root or through sudo), and Python
# ones into $(VENV). Nothing is installed twice; a changed pyproject.toml is installed again.
#
# COMPILED=1 (demo, test, quick, soak): on the compiled package, in an environment of its own.

VENV ?= $(if $(COMPILED),.venv-compiled,.venv)
BIN := $(VENV)/bin
export PATH := $(PATH):/usr/sbin
unexport PYTHONDONTWRITEBYTECODE # else each process of the tests, and each program that they start, compiles everything anew

SHIPPED := tools/compile.py $(shell find bridge schemas sql opensips-examples -type f -not -name '*.pyc')
ifdef COMPILED
PACKAGE := $(SHIPPED)
INSTALLED := --import-mode=append
export PYTHONSAFEPATH := 1 # the package is the one that is installed, not this folder's
endif

# In several processes, each with servers of its own: one more than there are processors, as tests wait for others, too.
PYTEST = $(BIN)/python -m pytest $(INSTALLED) $(REPORT) -n $(WORKERS) --maxprocesses 4 --dist worksteal
WORKERS = $(shell expr $$(nproc) + 1)
REPORT = $(if $(REPORTS),--junitxml=$(REPORTS)/$@$(if $(COMPILED),-compiled).xml)
SERVERS = janus=janus setpriv=util-linux mariadbd=mariadb-server-core my_print_defaults=mariadb-client-core curl=curl \
  haproxy=haproxy nginx=nginx-light rtpengine=rtpengine-daemon strace=strace jq=jq rabbitmq-server=rabbitmq-server

HEADERS = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h=python3-dev

.PHONY: demo demo-cluster deb test suite quick test-galera test-systemd test-system image test-image release coverage fuzz soak lint bench clean

demo: $(VENV)/.run ## the main job on real servers, in a few lines; STAY=1 leaves it running
	@tools/need janus=janus setpriv=util-linux
	@$(BIN)/python -m tools.demo

demo-cluster: $(VENV)/.run ## two bridges on one MariaDB: one is killed, the other goes on with its handle; then a hand-over
	@tools/need janus=janus setpriv=util-linux mariadbd=mariadb-server-core my_print_defaults=mariadb-client-core
	@$(BIN)/python -m tools.demo_cluster

test: $(VENV)/.dev ## everything: linters, types, layers, and all tests on real servers
	@tools/need $(SERVERS)
	@$(MAKE) --no-print-directory -j2 COVERAGE=$(COVERAGE) $(if $(COMPILED),,lint) suite

suite: # of `make test`, beside the linters: types alone take half a minute where nothing is known from a run before
	$(PYTEST) -m "not (galera or package or image or release$(if $(COMPILED), or systemd))" $(if $(COVERAGE),--cov --cov-report=term)

quick: WORKERS = auto
quick: lint ## linters, types, and the tests that need no server, in under a minute
	QUICK=1 $(PYTEST) -m "not (janus or mysql or galera or rabbitmq or opensips or browser or program or systemd or package or image or release or slow)"

test-galera: $(VENV)/.dev ## what a cluster of bridges does on a Galera of three nodes, whose nodes die
	@tools/need $(SERVERS) /usr/lib/galera/libgalera_smm.so=galera-4
	$(BIN)/python -m pytest $(INSTALLED) $(REPORT) -m galera

deb: $(VENV)/.dev ## packages for Debian in dist/, built in clean trees of SUITES="bookworm trixie"; as root
	@tools/deb $(VENV) $(or $(SUITES),bookworm trixie)

test-systemd: $(VENV)/.dev ## the shipped unit under a real systemd, in a container; as root, and `make test` has it from then on
	@tools/need janus=janus
	@tools/checkout-tree .debian/checkout $(VENV)
	$(BIN)/python -m pytest $(REPORT) -m systemd tests/systemd

test-system: $(VENV)/.dev ## the packages of `make deb` in bare containers of Debian 12 and 13 with systemd; as root
	@tools/need $(SERVERS)
	@tools/debian-tree .debian/bookworm bookworm $(addprefix ./,$(wildcard dist/janus-bridge_*deb12*.deb))
	@tools/debian-tree .debian/trixie trixie $(addprefix ./,$(wildcard dist/janus-bridge_*deb13*.deb))
	$(BIN)/python -m pytest $(REPORT) -n 2 --dist loadgroup -m package tests/systemd

image: ## the container image, janus-bridge:VERSION; BASE=IMAGE below it, ENGINE=docker
	@tools/image janus-bridge:$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' bridge/__init__.py)

test-image: .image/id ## that image on a base made of Debian's packages, under podman; as root
	@tools/need janus=janus setpriv=util-linux
	$(BIN)/python -m pytest $(REPORT) -m image tests/image

.image/id: tools/container/Containerfile tools/image-for-tests pyproject.toml $(wildcard *.lock tools/*.lock) $(SHIPPED) | $(VENV)/.dev
	@tools/image-for-tests .image $(VENV)

release: $(VENV)/.dev ## dist/: sdist, wheels, packages, bill of materials, hashes; compared, installed and tried. DEB=0: no packages
	@tools/need janus=janus setpriv=util-linux git=git cc=gcc $(HEADERS)
	@$(BIN)/python -m tools.release check
	@rm -rf dist # of whatever it was: what is summed up is of this commit
	$(if $(filter 0,$(DEB)),,@$(MAKE) --no-print-directory deb)
	@$(BIN)/python -m tools.release
	$(BIN)/python -m pytest $(REPORT) -m release tests/release
	@$(BIN)/python -m tools.release check # as before, and what somebody has to choose is read at the end

coverage: COVERAGE = 1
coverage: test ## all tests, and which lines and branches they reach; fails under the gate in pyproject.toml
	$(BIN)/python -m pytest $(REPORT) tests/links/test_costs.py  # skipped while lines are counted: counting costs calls

fuzz: $(VENV)/.dev ## the fuzz targets for long: EXAMPLES=5000 for each
	FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/fuzz

soak: $(VENV)/.dev ## half load with random faults for MINUTES=30, against a model, then an attack for ATTACK=60 seconds; prints figures. SEED=N repeats one
	@tools/need setpriv=util-linux
	@$(BIN)/python -m tests.model.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.model.attack --seconds $(or $(ATTACK),60)

lint: $(VENV)/.dev ## what needs no server
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## what is measured, both builds beside what they are compared with; ONLY=opensips,commands: parts of it
	@tools/need janus=janus setpriv=util-linux wrk=wrk valgrind=valgrind mariadbd=mariadb-server-core my_print_defaults=mariadb-client-core
	@$(MAKE) --no-print-directory COMPILED=1 VENV=$(VENV)-compiled $(VENV)-compiled/.dev
	@COMPILED_PROGRAM=$(VENV)-compiled/bin/janus-bridge $(BIN)/python -m bench

clean: ## what the other targets made in this folder
	rm -rf --one-file-system .debian
	rm -rf .venv .venv-compiled $(VENV) .reports .image dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov
	find bridge tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: pyproject.toml $(PACKAGE)
	@tools/venv $(VENV) $(if $(COMPILED),dev compiled)
	@touch $@

$(VENV)/.dev: pyproject.toml $(PACKAGE)
	@tools/venv $(VENV) dev $(if $(COMPILED),compiled)
	@touch $@ $(VENV)/.run
