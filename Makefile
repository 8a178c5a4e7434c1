# make demo   a first page by the detector that ships; then organize test_data/, train a small VGG-19, score the
#             test split, filter it (about eight minutes on two cores, install included)
# make test   the whole test suite
# make attempts   model-training-attempts/, all of it: wants a GPU; FLAGS="--protocol small ..." for less
# make lint   ruff
# Each makes .venv and installs what it needs; PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3
PY := .venv/bin/python

.PHONY: demo test attempts lint

demo: .venv/running
	$(PY) filter_images.py test_data/test --out filtered-first
	$(PY) organize_dataset.py
	$(PY) model_training.py --config model-training-attempts/00-demo.toml --name demo --resume
	$(PY) filter_images.py test_data/test --model runs/demo/best.pt --out filtered --threshold 0.2 0.8

test: .venv/developing
	$(PY) -m pytest

attempts: .venv/running
	$(PY) -m artifact_detection.attempts $(FLAGS)

lint: .venv/developing
	$(PY) -m ruff check . && $(PY) -m ruff format --check .

.venv/running: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet -r requirements.txt
	touch $@

.venv/developing: .venv/running requirements-dev.txt
	$(PY) -m pip install --quiet -r requirements-dev.txt
	touch $@
