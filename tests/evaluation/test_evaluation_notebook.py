"""model_evaluation.ipynb: what is kept in it, and whether it runs on a tiny run and on files from elsewhere."""

import json
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from artifact_detection.detector.checkpoints import make_checkpoint
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.injection import KINDS, inject
from artifact_detection.labels import CLASSES
from artifact_detection.portraits import draw_portrait
from artifact_detection.training.data import load_images
from artifact_detection.training.runs import RunFolder

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOK = PROJECT / "model_evaluation.ipynb"


def make_dataset(folder: Path, clean: int, artifacts: int) -> Path:
    """folder/test/<class>/ with drawn portraits of 96 px."""
    rng = np.random.default_rng(0)
    for i, name in enumerate([CLASSES[0]] * clean + [CLASSES[1]] * artifacts):
        image, face = draw_portrait(rng, size=96)
        if name == CLASSES[1]:
            image, _ = inject(image, "text", 3, rng, face)
        path = folder / "test" / name / f"image_{i:05d}_{CLASSES.index(name)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def make_run(folder: Path, dataset: Path, seed: int) -> Path:
    """A run folder whose model is not trained and whose predictions are drawn, with every kind of error."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = build_model("mobilenet_v3_small", "none", Preprocessing(32), regions=True)
    images = load_images(dataset, "test", Preprocessing(32), folder / "cache")
    rng, run = np.random.default_rng(seed), RunFolder(folder, {})
    probabilities = np.clip(0.3 + 0.4 * images.labels + rng.normal(0, 0.3, len(images)), 0.01, 0.99)
    run.write_config({"dataset": str(dataset)}, {})
    run.save("best.pt", make_checkpoint(model, temperature=1.3, threshold=0.5))
    for split in ("val", "test"):
        run.write_predictions(split, images, probabilities, 0.5)
    return folder


def execute(environment: dict[str, str], monkeypatch) -> str:
    """Run the notebook with these variables; everything that its cells show as text."""
    for name in ("RUN_DIR", "DATASET_DIR", "PREDICTIONS_CSV", "ARTIFACT_LABEL", "COMPARE_WITH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(PROJECT)}}).execute()
    return shown(notebook)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook) -> str:
    texts = []
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        data = output.get("data", {})
        texts.append(output.get("text", "") or data.get("text/markdown", "") or data.get("text/plain", ""))
    return "\n".join(texts)


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_kept_notebook_was_run_once_from_top_to_bottom(kept):
    assert [cell.execution_count for cell in code_cells(kept)] == list(range(1, len(code_cells(kept)) + 1))


def test_kept_notebook_has_no_errors_and_no_warnings(kept):
    outputs = [output for cell in code_cells(kept) for output in cell.outputs]
    assert outputs
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result", "stream"}
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_kept_notebook_is_small_and_names_no_machine(kept):
    assert NOTEBOOK.stat().st_size <= 1_500_000
    assert str(PROJECT) not in json.dumps(kept)


def test_cells_are_short_and_headings_are_questions(kept):
    assert all(len(cell.source.splitlines()) <= 10 for cell in code_cells(kept))
    headings = [line for cell in kept.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    headings = [line for line in headings if line.startswith("#")]
    assert len(headings) > 12
    assert all(line.endswith("?") for line in headings)


def test_runs_on_a_tiny_run_and_compares_it_with_another(tmp_path, monkeypatch):
    dataset = make_dataset(tmp_path / "dataset", clean=5, artifacts=4)
    first, second = (make_run(tmp_path / name, dataset, seed) for seed, name in enumerate(("first", "second")))
    text = execute({"RUN_DIR": str(first), "COMPARE_WITH": str(second)}, monkeypatch)
    assert "9 images scored" in text
    assert "Left out" not in text
    assert "not certifiable: validation has no part that chose nothing" in text
    assert f"Of {len(KINDS)} kinds" in text and "injected artifacts: mean IoU" in text
    assert "McNemar" in text


def test_runs_on_a_predictions_file_from_elsewhere(tmp_path, monkeypatch):
    artifact = [1] * 15 + [0] * 3 + [1] * 5 + [0] * 177  # 15/3/5/177, where "0" means artifact
    called = [1] * 18 + [0] * 182
    rows = [f"image_{i:05d}_{1 - a}.png,{1 - c}" for i, (a, c) in enumerate(zip(artifact, called, strict=True))]
    path = tmp_path / "elsewhere.csv"
    path.write_text("\n".join(["filename,prediction", *rows]))
    text = execute({"PREDICTIONS_CSV": str(path), "ARTIFACT_LABEL": "0"}, monkeypatch)
    assert "0.750  (0.531 - 0.888)" in text
    assert text.count("Left out") == 10


@pytest.mark.parametrize(("clean", "artifacts", "left_out"), [(4, 0, 4), (0, 4, 7)])
def test_a_test_split_of_one_class_has_the_reason_in_each_place(tmp_path, monkeypatch, clean, artifacts, left_out):
    dataset = make_dataset(tmp_path / "dataset", clean, artifacts)
    first, second = (make_run(tmp_path / name, dataset, seed) for seed, name in enumerate(("first", "second")))
    text = execute({"RUN_DIR": str(first), "COMPARE_WITH": str(second)}, monkeypatch)
    reason = f"no image is labelled {CLASSES[clean > 0]}"
    assert text.count(f"Left out: {reason}.") == left_out
    assert f"But {reason}." in text
    assert text.count("There can be no ") == 2
    assert "nan" not in text.replace("undefined: ", "")
