"""The recall matrix: its numbers, its figure, its command."""

import numpy as np
import pandas as pd
import pytest
import torch

from artifact_detection.detector.checkpoints import make_checkpoint
from artifact_detection.detector.weights import build_model
from artifact_detection.evaluation.recall_matrix import main, plot_recall_matrix, recall_matrix
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.injection import KINDS
from artifact_detection.portraits import draw_portrait
from tests.sources import draw_source


@pytest.fixture(scope="module")
def image():
    return draw_portrait(np.random.default_rng(3))[0]


def test_matrix_counts_what_the_detector_sees(image):
    def sees_half_of_the_changed(images):
        changed = np.array([not np.array_equal(one, image) for one in images])
        return np.where(changed & (np.arange(len(images)) % 2 == 0), 0.9, 0.1)

    table = recall_matrix(
        sees_half_of_the_changed, [image] * 4, ["text", "hand"], [1, 3], np.random.default_rng(0), threshold=0.9
    )
    clean, *cells = table.itertuples(index=False)
    assert list(table.columns) == ["kind", "severity", "n", "detected", "recall", "low", "high"]
    assert (clean.kind, clean.n, clean.detected) == ("clean", 4, 0)
    assert [(cell.kind, cell.severity) for cell in cells] == [("text", 1), ("text", 3), ("hand", 1), ("hand", 3)]
    for cell in cells:
        assert (cell.n, cell.detected, cell.recall) == (4, 2, 0.5)
        assert (cell.low, cell.high) == (pytest.approx(0.150, abs=1e-3), pytest.approx(0.850, abs=1e-3))


def test_matrix_figure_shows_every_cell_and_the_false_alarms(image):
    table = recall_matrix(
        lambda images: np.ones(len(images)), [image] * 2, ["text", "swirl"], [1, 2], np.random.default_rng(0)
    )
    axis = plot_recall_matrix(table).axes[0]
    assert [text.get_text() for text in axis.texts] == ["100  (34–100)"] * 4  # noqa: RUF001
    assert "false alarms: 2 of 2" in axis.get_title()


def test_matrix_of_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = build_model("mobilenet_v3_small", "none", Preprocessing(32))
    torch.save(make_checkpoint(model), tmp_path / "best.pt")
    arguments = ["--images", str(draw_source(tmp_path)), "--count", "3", "--kinds", "occlusion", "--severity", "2"]
    assert main([str(tmp_path / "best.pt"), *arguments]) == 0
    assert main([str(tmp_path / "none.pt"), *arguments]) == 2
    table = pd.read_csv(tmp_path / "recall_matrix.csv")
    assert list(table["kind"]) == ["clean", *(kind for kind in KINDS if KINDS[kind] == "occlusion")]
    assert set(table["n"]) == {3}
    assert (tmp_path / "recall_matrix.png").stat().st_size > 1000
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recall_matrix.csv").write_text("mine")
    assert main([str(tmp_path / "best.pt"), *arguments, "--out", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "recall_matrix.csv").read_text() == "mine"
