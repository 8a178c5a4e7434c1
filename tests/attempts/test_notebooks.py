"""The notebooks of model-training-attempts/: what is kept in them, and that they run."""

import nbformat
import pytest
from nbclient import NotebookClient

from artifact_detection.attempts import analysis, report
from artifact_detection.attempts.catalogue import FOLDER, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS
from artifact_detection.attempts.results import Results
from tests.attempts.test_report import keep, predictions

NOTEBOOKS = {name: FOLDER / f"{name}.ipynb" for name in ("compare", "explore-focal-loss")}


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(output.get("data", {}).get("text/markdown", "") for output in outputs)


def execute(name: str):
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return notebook


@pytest.fixture(params=NOTEBOOKS)
def kept(request):
    return nbformat.read(NOTEBOOKS[request.param], as_version=4)


def test_kept_with_the_outputs_of_one_run_from_top_to_bottom(kept):
    code = code_cells(kept)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not any(output.output_type in ("error", "stream") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3


def test_questions_and_short_cells(kept):
    headings = [cell.source.splitlines()[0] for cell in kept.cells if cell.cell_type == "markdown"]
    assert len(headings) >= 6 and all(heading.startswith("#") and heading.endswith("?") for heading in headings)
    assert max(len(cell.source.splitlines()) for cell in code_cells(kept)) <= 10


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_small(path):
    assert path.stat().st_size < 600_000


def test_one_attempt_step_by_step(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other crawl on a busy machine
    text = shown(execute("explore-focal-loss"))
    assert "`27-bce`: loss = bce" in text
    assert "gamma 2 leaves 4% of the gradient" in text  # known: the focal gradient's factor at a logit of 2


def test_compares_whatever_results_there_are(tmp_path, monkeypatch):
    small = PROTOCOLS["small"]
    for attempt in read_attempts()[:1] + read_attempts()[19:21]:
        (tmp_path / f"{attempt.name}.toml").write_bytes((FOLDER / f"{attempt.name}.toml").read_bytes())
        keep(Results(tmp_path), attempt, 0, predictions(1.0 + len(attempt.settings), 0), small)
    monkeypatch.setenv("ATTEMPTS_DIR", str(tmp_path))
    monkeypatch.setenv("PROTOCOL", "small")
    text = shown(execute("compare"))
    assert "300 images, 60 artifacts, in 150 groups" in text
    assert "spread between seeds is not known" in text and "Fewer than two seeds" in text
    assert "Highest AP among the settings of one network: **2" in text


def test_compare_shows_the_committed_results():
    board = analysis.analyse(Results(FOLDER), PROTOCOLS["small"], read_attempts())
    assert report.winner(board).strip() in shown(nbformat.read(NOTEBOOKS["compare"], as_version=4))
