"""EDA.ipynb: what is kept in it, and that it runs on a small and difficult dataset."""

import json
import os
from pathlib import Path

import cv2
import nbformat
import numpy as np
from nbclient import NotebookClient

from artifact_detection.portraits import draw_portrait

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOK = PROJECT / "EDA.ipynb"


def cells(kind: str) -> list[dict]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def shown(notebook: nbformat.NotebookNode) -> str:
    """Everything that the cells show as text."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join("".join(output.get("data", {}).get("text/markdown", "")) for output in outputs)


def test_it_is_small_and_its_cells_are_short():
    assert NOTEBOOK.stat().st_size < 1_500_000
    assert max(len("".join(cell["source"]).splitlines()) for cell in cells("code")) <= 10


def test_it_is_kept_with_the_outputs_of_one_run_from_top_to_bottom():
    code = cells("code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(output["output_type"] in ("error", "stream") for cell in code for output in cell["outputs"])
    assert sum("image/jpeg" in output.get("data", {}) for cell in code for output in cell["outputs"]) >= 10


def test_every_section_is_a_question():
    headings = [line for cell in cells("markdown") for line in "".join(cell["source"]).splitlines() if line[:1] == "#"]
    assert len(headings) >= 12
    assert all(heading.endswith("?") for heading in headings)


def test_the_kept_sentences_are_about_test_data():
    images = len(list((PROJECT / "test_data").rglob("*.png")))
    assert f"All {images} image files decode completely" in shown(nbformat.read(NOTEBOOK, as_version=4))


def test_it_runs_on_one_class_with_bad_files_and_duplicates(tmp_path, monkeypatch):
    for i in range(5):
        image, _ = draw_portrait(np.random.default_rng(i % 4), size=64)
        cv2.imwrite(str(tmp_path / f"image_{i}_0.png"), image)
    bad = tmp_path / os.fsdecode(b"caf\xe9_0.png")  # no UTF-8
    bad.write_bytes((tmp_path / "image_0_0.png").read_bytes()[:999])
    os.rename(tmp_path / "image_1_0.png", os.fsencode(tmp_path) + b"/\xff_0.png")
    for name in ("ARTIFACT_LABEL", "LABEL_PATTERN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATASET_DIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(PROJECT)}}).execute()
    text = shown(notebook)
    for sentence in (
        "1 of 6 image files cannot be used: 1 truncated",
        "1 same file",
        "All 5 labelled images are no_artifacts, so training is impossible",
    ):
        assert sentence in text
